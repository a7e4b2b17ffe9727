"""Headers of DICOM files: what they say of patient, view and device, as text, without the pixels."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, MutableSequence, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from rn50med.data.progress import bar

TAGS = (
    "StudyInstanceUID", "SeriesInstanceUID", "StudyDate", "Modality", "BodyPartExamined", "ViewPosition",
    "ImageLaterality", "PatientSex", "PatientAge", "Manufacturer", "ManufacturerModelName",
    "PhotometricInterpretation", "PresentationIntentType", "BurnedInAnnotation",
)  # fmt: skip
"""What becomes a column of the manifest, where any image says it."""

_MARK = slice(128, 132)
_THREADS = 8  # of which most wait for a disk or a network


def starts_like_dicom(path: Path) -> bool:
    """Return whether a file starts as DICOM files do.

    Args:
        path: The file.
    """
    try:
        with path.open("rb") as file:
            return file.read(132)[_MARK] == b"DICM"
    except (OSError, ValueError):
        return False


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


def read_headers(paths: Sequence[Path], names: Sequence[str]) -> list[dict[str, str] | None]:
    """Read what the headers of files say, in parallel.

    Args:
        paths: The files.
        names: Keywords to read; what a file does not say is left out.

    Returns:
        A dictionary for each file; None for one that is no DICOM file, or holds no image.
    """
    workers = min(_THREADS, 4 * (os.cpu_count() or 1))
    headers = []
    with _silent(), ThreadPoolExecutor(workers) as pool, bar("reading headers", len(paths)) as step:
        for header in pool.map(partial(_read_header, names=tuple(names)), paths):
            headers.append(header)
            step(1)
    return headers


def columns_of(headers: Sequence[dict[str, str] | None], names: Sequence[str]) -> dict[str, list[str]]:
    """Return headers as columns, without those that are empty in all of them.

    Args:
        headers: As `read_headers` gives them.
        names: Keywords, in the order of the columns.
    """
    cells = {name: [(header or {}).get(name, "") for header in headers] for name in names}
    return {name: values for name, values in cells.items() if any(values)}


@contextmanager
def _silent() -> Iterator[None]:
    """Keep what pydicom says of odd values to ourselves: a header with them is read all the same."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _read_header(path: Path, names: tuple[str, ...]) -> dict[str, str] | None:
    from pydicom import dcmread  # noqa: PLC0415 - only where there is DICOM

    try:
        header = dcmread(
            path, stop_before_pixels=True, specific_tags=["SpecificCharacterSet", "Rows", *names]
        )
        if "Rows" not in header:  # a report or a list of files, not an image
            return None
        said = {name: _text(header.get(name)) for name in names}
    except Exception:  # no DICOM file, or damaged in any way there is
        return None
    return {name: text for name, text in said.items() if text}


def _text(value: object) -> str:
    """Return a value as text, without the blanks and zero bytes that pad it."""
    if value is None:
        return ""
    if isinstance(value, MutableSequence):  # several values, as DICOM writes them
        return "\\".join(_text(part) for part in value)
    written = getattr(value, "original_string", None)  # of a number, with its zeros
    return (written if isinstance(written, str) else str(value)).strip(" \0\t\r\n")
