"""What every family of formats has to check: the kind of a file, its size, its transparency, its range."""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from rn50med.data.readers.image import ImageFault, Values

if TYPE_CHECKING:
    from rn50med.data.readers.reader import Reader

KINDS = (
    (b"\x1f\x8b", "a gzip file"), (b"PK\x03\x04", "a ZIP file (or .npz, .xlsx)"),
    (b"PK\x05\x06", "a ZIP file"),
    (b"%PDF", "a PDF document"), (b"BZh", "a bzip2 file"), (b"\xfd7zXZ\0", "an xz file"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-zip file"), (b"Rar!", "a RAR file"), (b"\x89HDF", "an HDF5 file"),
    (b"NRRD", "an NRRD file"), (b"ObjectType", "a MetaImage header"), (b"8BPS", "a Photoshop file"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 image"), (b"\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (b"\x1aE\xdf\xa3", "a Matroska or WebM video"), (b"\0\0\x01\xba", "an MPEG video"),
    (b"\0\0\x01\xb3", "an MPEG video"), (b"OggS", "an Ogg file"), (b"II+\0", "a BigTIFF image"),
    (b"MM\0+", "a BigTIFF image"),
    (b"\x80\x04\x95", "a Python pickle"), (b"SQLite format 3", "an SQLite file"),
)  # fmt: skip
"""First bytes of what is met in place of images."""

FTYP = {b"heic": "a HEIC photo", b"heix": "a HEIC photo", b"mif1": "a HEIF photo", b"avif": "an AVIF image"}
"""Brands of ISO media files; any other is a video."""


def refuse_kind(content: bytes) -> NoReturn:
    """Refuse bytes that no family reads, by the name of what they are.

    Args:
        content: All bytes of a file.

    Raises:
        ImageFault: Always.
    """
    if not content:
        raise ImageFault("is empty (0 bytes); copy the file again", "empty")
    head = content[:1024]
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")) or b"<html" in start:
        raise ImageFault("is a web page, not an image; download the image itself", "web-page")
    if start.startswith(b"version https://git-lfs"):
        raise ImageFault("is a Git LFS pointer, not the image; run `git lfs pull`", "git-lfs")
    kind = _kind(head)
    if kind:
        raise ImageFault(f"is {kind}; save it as PNG, TIFF or DICOM", "not-an-image")
    if not content.strip(b"\0"):
        raise ImageFault(f"holds nothing but {len(content)} zero bytes; copy the file again", "truncated")
    raise ImageFault(
        f"is no image that is known (it starts with {head[:8]!r}); save it as PNG, TIFF or DICOM",
        "not-an-image",
    )


def _kind(head: bytes) -> str:
    if head[4:8] == b"ftyp":
        return FTYP.get(head[8:12], "a video (MP4 or QuickTime)")
    if head.startswith(b"RIFF"):
        return {b"AVI ": "an AVI video", b"WAVE": "a sound"}.get(head[8:12], "a RIFF file")
    return next((kind for magic, kind in KINDS if head.startswith(magic)), "")


def refuse_large(pixels: int, options: Reader) -> None:
    """Refuse an image by the size that its header tells, before any of it is decoded.

    Args:
        pixels: Number of pixels that decoding would make.
        options: The reader's; its ``most_megapixels`` is the limit.

    Raises:
        ImageFault: If there are more.
    """
    if pixels > options.most_megapixels * 1_000_000:
        raise ImageFault(
            f"says that it is {pixels / 1e6:,.0f} million pixels large; --data.reader.most_megapixels allows "
            f"{options.most_megapixels}; raise it if the image is right",
            "too-large",
        )


def refuse_short(found: int, expected: int) -> None:
    """Refuse a file of which the end is missing.

    Args:
        found: Bytes that are there.
        expected: Bytes that its header tells of.

    Raises:
        ImageFault: If there are fewer.
    """
    if found < expected:
        raise ImageFault(
            f"is cut off: it holds {found} of {expected} bytes; copy the file again", "truncated"
        )


def chosen_frame(frames: int, options: Reader) -> int:
    """Return the number of the frame to read.

    Args:
        frames: How many there are.
        options: The reader's; its ``frame`` is needed where there are several.

    Raises:
        ImageFault: If none is chosen, or one that is not there.
    """
    if options.frame is None:
        if frames > 1:
            raise ImageFault(
                f"holds {frames} frames; choose one with --data.reader.frame (0 to {frames - 1})",
                "several-frames",
            )
        return 0
    if not 0 <= options.frame < frames:
        raise ImageFault(
            f"has no frame {options.frame}; set --data.reader.frame to 0"
            + (f" to {frames - 1}" if frames > 1 else " or leave it out"),
            "no-such-frame",
        )
    return options.frame


def opaque(alpha: Values, full: int) -> None:
    """Refuse an image that is see-through anywhere: what it shows depends on what is behind it.

    Args:
        alpha: Opacity of each pixel.
        full: The opacity of what is not see-through.

    Raises:
        ImageFault: If any pixel is not opaque.
    """
    if (alpha != full).any():
        raise ImageFault(
            "is see-through in places, and its colours depend on what is behind; save it without alpha",
            "transparent",
        )


def grey_if_equal(colour: Values) -> Values:
    """Return one channel where all three are equal, as of a palette of greys.

    Args:
        colour: ``(H, W, 3)``.
    """
    first = colour[..., 0]
    same = (first == colour[..., 1]).all() and (first == colour[..., 2]).all()
    return np.ascontiguousarray(first) if same else colour


def finite(values: Values) -> None:
    """Refuse values that are no numbers.

    Args:
        values: Of any type.

    Raises:
        ImageFault: If any is NaN or infinite.
    """
    if values.dtype.kind != "f":
        return
    wrong = values.size - int(np.count_nonzero(np.isfinite(values)))
    if wrong:
        raise ImageFault(
            f"holds {wrong} values that are no finite numbers (NaN or infinite); replace them", "nan"
        )


def display_range(values: Values, options: Reader) -> tuple[float, float]:
    """Return black and white of values whose file does not say them.

    Unsigned 8- and 16-bit integers span their type. Of others the reader's ``range`` says it; without it,
    floats within [0, 1] span that, and of the rest nobody knows.

    Args:
        values: Finite numbers.
        options: The reader's.
    """
    if values.dtype in (np.uint8, np.uint16):
        return 0.0, float(np.iinfo(values.dtype).max)
    if options.range is not None:
        return float(options.range[0]), float(options.range[1])
    if values.dtype.kind == "f" and values.size and values.min() >= 0 and values.max() <= 1:
        return 0.0, 1.0
    return float("nan"), float("nan")


def window_ends(window: tuple[float, float]) -> tuple[float, float]:
    """Return black and white of a window: half its width below and above its centre.

    Args:
        window: Centre and width.

    Raises:
        ImageFault: If the width is not above 0.

    Example:
        >>> window_ends((40, 400))
        (-160.0, 240.0)
    """
    centre, width = window
    if not width > 0:
        raise ImageFault(f"is to be shown by a window {width} wide; give a width above 0", "window")
    return centre - width / 2, centre + width / 2


def quiet(library: str) -> None:
    """Keep a library's warnings to itself: they quote values of the file, which may name a patient.

    What a file's reader cannot make sense of is a fault. The filter stays, because entering and leaving
    `warnings.catch_warnings` is not safe where several threads decode.

    Args:
        library: Name of the package.
    """
    rule = ("ignore", None, Warning, re.compile(rf"{library}\."), 0)
    if rule not in warnings.filters:
        warnings.filterwarnings("ignore", module=rf"{library}\.")
