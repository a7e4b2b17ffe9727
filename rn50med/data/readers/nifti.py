"""NIfTI, plain or gzipped, through nibabel: one slice, upright as a radiologist expects it.

nibabel's arrays are ``(x, y, z)``, as stored: the first axis is no row. The slices are those along the
file's last axis, which is how scanners' images are converted, counted as stored. By the affine, each is
turned (never resampled) so that

- an axial slice has the patient's front at the top and the patient's right on the left of the image,
- a coronal slice has the head at the top and the patient's right on the left of the image,
- a sagittal slice has the head at the top and the patient's front on the left of the image.

An oblique slice is shown as the nearest of these. A file without orientation (both form codes 0) has the
affine that the standard then gives: its first axis runs to the patient's left, its second to the front.
"""

from __future__ import annotations

import gzip
import zlib
from dataclasses import replace
from io import BytesIO
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from rn50med.data.readers.arrays import chosen_slice, image_of, numbers
from rn50med.data.readers.checks import (
    grey_if_equal,
    quiet,
    refuse_kind,
    refuse_large,
    refuse_short,
    window_ends,
)
from rn50med.data.readers.image import Image, ImageFault, Values

if TYPE_CHECKING:
    from rn50med.data.readers.reader import Reader

GZIP = b"\x1f\x8b"
HEADERS = {348: "Nifti1Image", 540: "Nifti2Image"}
"""Length of the header, which is its first number, and nibabel's class."""

ROWS_AND_COLUMNS = {
    "x": (("z", "S"), ("y", "A")),  # sagittal
    "y": (("z", "S"), ("x", "R")),  # coronal
    "z": (("y", "A"), ("x", "R")),  # axial
}
"""Of a slice along an axis: the axis of the rows and what is at the top, that of the columns, at the left."""


def reads(head: bytes) -> bool:
    """Return whether a file with these first bytes is read here: NIfTI, or what gzip packed.

    Args:
        head: Its first bytes.
    """
    return head.startswith(GZIP) or _class(head) is not None


def _class(head: bytes) -> str | None:
    """Return the name of nibabel's class for a header; None where it is none."""
    for order in ("little", "big"):
        length = int.from_bytes(head[:4], order)
        mark = head[344:347] if length == 348 else head[4:7]
        if length in HEADERS and mark[:1] == b"n" and mark[1:2] in b"i+" and mark[2:3].isdigit():
            return HEADERS[length]
    return None


def decode(content: bytes, options: Reader) -> Image:
    """Return one slice, upright.

    Args:
        content: All bytes of a file that `reads` knows.
        options: The reader's; its ``slice`` is needed where there are several.

    Raises:
        ImageFault: If it is none, or cannot be decoded.
    """
    packed = content.startswith(GZIP)
    head = _unpacked(content, 1024) if packed else content[:1024]
    if _class(head) is None:
        return refuse_kind(content)
    if head[344:348] == b"ni1\0" or head[4:8] == b"ni2\0":
        raise ImageFault("is one of a pair of files (.hdr and .img); save it as one .nii", "unsupported")
    try:
        length = _length(head, options)
        whole = _unpacked(content, length) if packed else content
        refuse_short(len(whole), length)
        return _slice(_opened(whole), options)
    except ImageFault:
        raise
    except Exception as error:  # nibabel raises many kinds for a damaged header
        raise ImageFault(
            f"cannot be decoded: {str(error) or type(error).__name__}; copy the file again", "damaged"
        ) from error


def _length(head: bytes, options: Reader) -> int:
    """Return how long the file has to be, by its header; refuse what is too large or empty."""
    kind = _kind(head)
    header = kind.header_class(head[: kind.header_class.template_dtype.itemsize], check=False)
    shape = tuple(int(length) for length in header.get_data_shape())
    if not shape or min(shape) < 1:
        raise ImageFault(f"is an array of shape {shape}, which holds no pixel", "empty")
    refuse_large(prod(shape), options)
    return int(header["vox_offset"]) + prod(shape) * int(header.get_data_dtype().itemsize)


def _kind(head: bytes) -> Any:
    """Return nibabel's class for a header."""
    import nibabel  # noqa: PLC0415 - only when such a file is met

    quiet("nibabel")
    return getattr(nibabel, _class(head) or "Nifti1Image")


def _opened(whole: bytes) -> Any:
    from nibabel.fileholders import FileHolder  # noqa: PLC0415

    return _kind(whole[:1024]).from_file_map({"image": FileHolder(fileobj=BytesIO(whole))})


def _unpacked(content: bytes, most: int) -> bytes:
    """Return the first bytes of what gzip packed, never more than asked for; whole ones are verified."""
    try:
        with gzip.GzipFile(fileobj=BytesIO(content)) as file:
            first = file.read(most)
            file.read(1)  # at the end of the file, its checksum
            return first
    except EOFError:
        raise ImageFault("is a gzip file that is cut off; copy the file again", "truncated") from None
    except (OSError, zlib.error) as error:
        raise ImageFault("is a damaged gzip file; copy the file again", "damaged") from error


def _slice(opened: Any, options: Reader) -> Image:
    """Return the chosen slice of an opened file."""
    axes = [axis for axis, length in enumerate(opened.shape) if length > 1 or axis < 2]
    if len(axes) > 3 or (len(axes) == 3 and axes[2] > 2):
        raise ImageFault(
            f"has the axes {opened.shape}; save one volume of rows, columns and slices", "volume"
        )
    slices = opened.shape[2] if len(opened.shape) > 2 else 1
    at = chosen_slice(slices, options) if slices > 1 or options.slice is not None else 0
    index = (slice(None), slice(None), at) + (0,) * (len(opened.shape) - 3)
    stored = np.asarray(opened.dataobj[index[: len(opened.shape)]])
    mode = opened.get_data_dtype().name
    if stored.dtype.names == ("R", "G", "B"):
        stored, mode = np.stack([stored[name] for name in "RGB"], axis=-1), "RGB"
    upright = numbers(_upright(stored, opened.affine))
    values = grey_if_equal(upright) if upright.ndim == 3 else upright
    if values.dtype.kind not in "uif":
        raise ImageFault(f"holds {opened.get_data_dtype()}, which are no pixels; save numbers", "unsupported")
    image = image_of(values, "NIfTI", mode, opened.get_data_dtype().itemsize * 8, options)
    return _windowed(image, opened.header, options)


def _windowed(image: Image, header: Any, options: Reader) -> Image:
    """Set black and white to what the options or the header (``cal_min``, ``cal_max``) say."""
    if image.facts.channels == 1 and options.window is not None:
        black, white = window_ends(options.window)
        return replace(image, black=black, white=white)
    low, high = float(header["cal_min"]), float(header["cal_max"])
    if options.voi == "header" and options.range is None and low < high:
        return replace(image, black=low, white=high)
    return image


def _upright(stored: Values, affine: Values) -> Values:
    """Turn a slice that is stored as ``(first axis, second axis)``; see the module's text."""
    from nibabel.orientations import aff2axcodes  # noqa: PLC0415

    ends = aff2axcodes(affine)  # type: ignore[no-untyped-call]  # where each axis runs to: of R or L, A or P, S or I
    if None in ends:
        ends = ("L", "A", "S")
    names = ["x" if end in "RL" else "y" if end in "AP" else "z" for end in ends]
    for axis, (name, start) in enumerate(ROWS_AND_COLUMNS[names[2]]):
        here = names.index(name)
        if here != axis:
            stored = stored.swapaxes(0, 1)
            names[0], names[1] = names[1], names[0]
            ends = (ends[1], ends[0], ends[2])
        if ends[axis] == start:  # it runs to what has to come first
            stored = np.flip(stored, axis)
    return stored
