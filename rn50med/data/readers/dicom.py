"""DICOM, through pydicom: which file it is, which frame, and what it says of itself."""

from __future__ import annotations

import logging
import re
import zlib
from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING, NoReturn

from rn50med.data.readers.checks import chosen_frame, quiet, refuse_large
from rn50med.data.readers.dicom_pixels import stored_frame
from rn50med.data.readers.dicom_values import colour_image, grey_image, palette_colours
from rn50med.data.readers.image import Facts, Image, ImageFault

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from rn50med.data.readers.reader import Reader

PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
DEFLATED = "1.2.840.10008.1.2.1.99"
GROUP_LENGTH = b"\x02\0\0\0UL\x04\0"  # the first element of a header
INFLATED_PER_PIXEL = 8
"""Most bytes that a deflated file may become, per pixel that is allowed."""

FRAME_GROUPS = ("PixelValueTransformationSequence", "FrameVOILUTSequence")
"""Functional groups of enhanced objects that say what pixels mean."""


def reads(head: bytes) -> bool:
    """Return whether a file with these first bytes is read here: DICOM with or without preamble.

    Without it, a data set starts with an element of group 2 or 8, whose value representation is two
    capital letters, or whose length is small.

    Args:
        head: Its first bytes.
    """
    if head[128:132] == b"DICM":
        return True
    if len(head) < 8:
        return False
    if head[:2] == b"\0\x08" and head[4:6].isalpha() and head[4:6].isupper():  # big endian
        return True
    explicit = head[4:6].isalpha() and head[4:6].isupper()
    return head[:2] in {b"\x02\0", b"\x08\0"} and (explicit or int.from_bytes(head[4:8], "little") < 1 << 16)


def decode(content: bytes, options: Reader) -> Image:
    """Return one frame: the modality LUT applied, the window as black and white.

    Args:
        content: All bytes of a file that `reads` knows.
        options: The reader's.

    Raises:
        ImageFault: If it is no image, or cannot be decoded.
    """
    try:
        dataset = _opened(content, options)
        if not any(name in dataset for name in PIXELS):
            _refuse_object(dataset)
        return _image(dataset, options)
    except ImageFault:
        raise
    except Exception as error:  # pydicom raises many kinds for a damaged file
        cut = isinstance(error, EOFError) or "truncated" in str(error)
        raise ImageFault(
            f"cannot be decoded: {_sentence(error)}; copy the file again", "truncated" if cut else "damaged"
        ) from error


def _opened(content: bytes, options: Reader) -> Dataset:
    from pydicom import dcmread  # noqa: PLC0415 - only when such a file is met

    quiet("pydicom")
    logging.getLogger("pydicom").setLevel(logging.ERROR)  # its warnings quote values, which may be names
    _refuse_bomb(content, options)
    # The preamble may lack: `reads` has seen that it is DICOM
    return dcmread(BytesIO(content), force=True)


def _refuse_bomb(content: bytes, options: Reader) -> None:
    """Refuse a deflated file that would become too large, without keeping what it becomes."""
    if DEFLATED.encode() not in content[:1024]:
        return
    if content[132:140] != GROUP_LENGTH:
        raise ImageFault("is deflated, and its header is damaged; copy the file again", "damaged")
    rest = content[144 + int.from_bytes(content[140:144], "little") :]
    inflater, size = zlib.decompressobj(-zlib.MAX_WBITS), 0
    while rest and not inflater.eof:
        size += len(inflater.decompress(rest, 1 << 20))
        rest = inflater.unconsumed_tail
        refuse_large(size // INFLATED_PER_PIXEL, options)


def _refuse_object(dataset: Dataset) -> NoReturn:
    """Refuse what holds no pixels, by the name of its kind."""
    if len(dataset) == 0:  # pydicom drops all that it read where the end of the pixels is missing
        raise ImageFault("is a DICOM file that is cut off; copy the file again", "truncated")
    meta = getattr(dataset, "file_meta", {})
    found = dataset.get("SOPClassUID") or meta.get("MediaStorageSOPClassUID")
    name = getattr(found, "name", found) or "no SOP class"
    if "Image" in name and "Rows" not in dataset:
        remedy = "copy the file again if it should, as its header is cut off"
    else:
        remedy = "copy the file again" if "Image" in name else "leave it out"
    raise ImageFault(f"is a DICOM object without pixels ({name}); {remedy}", "not-an-image-object")


def _image(dataset: Dataset, options: Reader) -> Image:
    at = chosen_frame(int(dataset.get("NumberOfFrames") or 1), options)
    rows, columns, samples = (int(dataset.get(name) or 0) for name in ("Rows", "Columns", "SamplesPerPixel"))
    if rows < 1 or columns < 1:
        raise ImageFault("does not say how many rows and columns it has; copy the file again", "damaged")
    refuse_large(rows * columns, options)
    if samples not in {1, 3}:
        raise ImageFault(
            f"has {samples} samples per pixel, not 1 or 3; save it as grey or RGB", "unsupported"
        )
    stored, photometric = stored_frame(dataset, at)
    _merge_frame_groups(dataset, at)
    if photometric == "PALETTE COLOR":
        image = palette_colours(stored, dataset)
    elif photometric == "RGB":
        image = colour_image(stored, dataset)
    elif photometric in {"MONOCHROME1", "MONOCHROME2"}:
        image = grey_image(stored, dataset, options)
    else:
        raise ImageFault(
            f"has colours that are not read (photometric interpretation {photometric}); save it as RGB",
            "unsupported",
        )
    return replace(image, facts=_facts(dataset, image.facts))


def _merge_frame_groups(dataset: Dataset, at: int) -> None:
    """Put what enhanced objects say of one frame's values where single-frame objects have it."""
    shared = list(dataset.get("SharedFunctionalGroupsSequence") or [])[:1]
    own = list(dataset.get("PerFrameFunctionalGroupsSequence") or [])[at : at + 1]
    for groups in shared + own:  # a frame's own come last, and win
        for name in FRAME_GROUPS:
            for item in list(groups.get(name) or [])[:1]:
                dataset.update(item)


def _facts(dataset: Dataset, facts: Facts) -> Facts:
    """Add what the header says: coded words alone, which name nobody."""
    return replace(
        facts,
        mode=_code(dataset, "PhotometricInterpretation"),
        modality=_code(dataset, "Modality"),
        view=_code(dataset, "ViewPosition"),
        presentation=_code(dataset, "PresentationIntentType"),
        burned_in=_code(dataset, "BurnedInAnnotation"),
    )


def _code(dataset: Dataset, name: str) -> str:
    """Return a coded word, which DICOM writes in at most 16 capitals, digits, spaces and underscores."""
    return re.sub(r"[^A-Z0-9 _]", "", str(dataset.get(name) or "").upper())[:16].strip()


def _sentence(error: Exception) -> str:
    return str(error).split("\n")[0].split(". ")[0].rstrip(".") or type(error).__name__
