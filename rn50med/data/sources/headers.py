"""Headers of DICOM files: what they say of patient, view and device, as text, without the pixels."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, MutableSequence, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rn50med.data.progress import bar
from rn50med.data.readers import dicom
from rn50med.data.readers.reader import FAMILIES, HEAD

if TYPE_CHECKING:
    from pydicom.uid import UID

TAGS = (
    "StudyInstanceUID", "SeriesInstanceUID", "StudyDate", "Modality", "BodyPartExamined", "ViewPosition",
    "ImageLaterality", "PatientSex", "PatientAge", "Manufacturer", "ManufacturerModelName",
    "PhotometricInterpretation", "PresentationIntentType", "BurnedInAnnotation",
)  # fmt: skip
"""What becomes a column of the manifest, where any image says it."""

UNREAD = frozenset({"damaged", "unknown"})
"""Kinds of headers of which it is not known what they say."""

_THREADS = 8  # of which most wait for a disk or a network
_SUFFIXES = (".dcm", ".dicom")
_STANDARD = "1.2.840.10008."  # all other SOP classes are of makers


@dataclass(frozen=True)
class Header:
    """What a file says of itself.

    Args:
        kind: An ``image`` in DICOM; a DICOM ``object`` without one, such as a report; a ``picture`` in
            another format; ``damaged``: named like DICOM, or starting so, and not to be read; ``unknown``:
            anything else that cannot be read.
        said: Text by keyword; what the file does not say is left out.
    """

    kind: Literal["image", "object", "picture", "damaged", "unknown"]
    said: dict[str, str] = field(default_factory=dict)


def first_bytes(path: Path) -> bytes:
    """Return the bytes by which formats are known; none of a file that cannot be opened.

    Args:
        path: The file.
    """
    try:
        with path.open("rb") as file:
            return file.read(HEAD)
    except (OSError, ValueError):  # the second of a name that holds a zero byte
        return b""


def is_keyword(name: str) -> bool:
    """Return whether a name is a DICOM keyword.

    Args:
        name: Such as ``ViewPosition``.
    """
    from pydicom.datadict import tag_for_keyword  # noqa: PLC0415 - a large dictionary

    return tag_for_keyword(name) is not None


def keywords() -> list[str]:
    """Return all DICOM keywords."""
    from pydicom.datadict import keyword_dict  # noqa: PLC0415 - a large dictionary

    return [name for name in keyword_dict if name]


def read_headers(paths: Sequence[Path], names: Sequence[str]) -> list[Header]:
    """Read what the headers of files say, in parallel.

    Args:
        paths: The files.
        names: Keywords to read.
    """
    workers = min(_THREADS, 4 * (os.cpu_count() or 1))
    headers = []
    with _silent(), ThreadPoolExecutor(workers) as pool, bar("reading headers", len(paths)) as step:
        for header in pool.map(partial(_read_header, names=tuple(names)), paths):
            headers.append(header)
            step(1)
    return headers


def columns_of(headers: Sequence[Header], names: Sequence[str]) -> dict[str, list[str]]:
    """Return headers as columns, without those that are empty in all of them.

    Args:
        headers: As `read_headers` gives them.
        names: Keywords, in the order of the columns.
    """
    cells = {name: [header.said.get(name, "") for header in headers] for name in names}
    return {name: values for name, values in cells.items() if any(values)}


def unread_of(names: Sequence[str], headers: Sequence[Header]) -> frozenset[str]:
    """Return the images of which it is not known what their headers say.

    Args:
        names: Of the images.
        headers: As `read_headers` gives them.
    """
    return frozenset(n for n, header in zip(names, headers, strict=True) if header.kind in UNREAD)


@contextmanager
def _silent() -> Iterator[None]:
    """Keep what pydicom says of odd values to ourselves: a header with them is read all the same."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _read_header(path: Path, names: tuple[str, ...]) -> Header:
    head = first_bytes(path)
    if not dicom.reads(head):
        named = path.name.casefold().endswith(_SUFFIXES)
        known = any(family.reads(head) for family in FAMILIES)
        return Header("damaged" if named else "picture" if known else "unknown")
    from pydicom import dcmread  # noqa: PLC0415 - only where there is DICOM

    wanted = ["SpecificCharacterSet", "Rows", "SOPClassUID", *names]
    try:
        # without preamble it is DICOM all the same, as its first bytes have told
        header = dcmread(path, stop_before_pixels=True, force=True, specific_tags=wanted)
        said = {name: text for name in names if (text := _text(header.get(name)))}
        if "Rows" in header:
            return Header("image", said)
        sort = header.file_meta.get("MediaStorageSOPClassUID") or header.get("SOPClassUID")
    except Exception:  # damaged in any way there is
        return Header("damaged")
    return Header("damaged" if _may_be_image(sort) else "object", said)


def _may_be_image(sort: UID | None) -> bool:
    """Return whether a file without a size may be an image that was cut off, by its SOP class.

    Of some such files pydicom gives nothing, and of others the first part of the class.
    """
    if sort is None or _STANDARD.startswith(sort):
        return True
    return "Image" in sort.name or (sort.startswith(_STANDARD) and sort.name == sort)


def _text(value: object) -> str:
    """Return a value as text, without the blanks and zero bytes that pad it."""
    if value is None:
        return ""
    if isinstance(value, MutableSequence):  # several values, as DICOM writes them
        return "\\".join(_text(part) for part in value)
    written = getattr(value, "original_string", None)  # of a number, with its zeros
    return (written if isinstance(written, str) else str(value)).strip(" \0\t\r\n")
