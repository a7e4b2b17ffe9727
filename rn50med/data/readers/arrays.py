"""``.npy``: arrays as numpy saves them, never with pickled objects."""

from __future__ import annotations

from io import BytesIO
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from rn50med.data.readers.checks import display_range, finite, opaque, refuse_large, refuse_short
from rn50med.data.readers.image import Facts, Image, ImageFault, Values

if TYPE_CHECKING:
    from rn50med.data.readers.reader import Reader

MAGIC = b"\x93NUMPY"
COLOURS = {3, 4}  # lengths of a last axis of colours, without and with alpha


def reads(head: bytes) -> bool:
    """Return whether a file with these first bytes is read here.

    Args:
        head: Its first bytes.
    """
    return head.startswith(MAGIC)


def decode(content: bytes, options: Reader) -> Image:
    """Return the image: rows first, a last axis of 3 is colour; axes of length 1 are dropped.

    Args:
        content: All bytes of a file that `reads` knows.
        options: The reader's.

    Raises:
        ImageFault: If it is none.
    """
    shape, kind, start = _header(content)
    if kind.hasobject or kind.names or kind.kind not in "biuf":
        raise ImageFault(f"holds {kind}, which are no pixels; save numbers", "unsupported")
    if not prod(shape):
        raise ImageFault(f"is an array of shape {shape}, which holds no pixel", "empty")
    refuse_large(prod(shape), options)
    refuse_short(len(content), start + prod(shape) * kind.itemsize)
    try:
        values: Values = np.load(BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ImageFault(f"cannot be decoded: {error}; copy the file again", "truncated") from error
    plane = plane_of(values, options)
    return image_of(numbers(plane), "NumPy", kind.name, kind.itemsize * 8, options)


def _header(content: bytes) -> tuple[tuple[int, ...], np.dtype[np.generic], int]:
    """Return shape, type and where the values start, without reading any."""
    file = BytesIO(content)
    try:
        version = np.lib.format.read_magic(file)
        read = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        shape, _, kind = read(file)
    except Exception as error:  # a damaged header is evaluated as Python's literals, with as many errors
        raise ImageFault(
            "cannot be decoded: its header is damaged; copy the file again", "damaged"
        ) from error
    return shape, kind, file.tell()


def plane_of(values: Values, options: Reader) -> Values:
    """Return ``(H, W)`` or ``(H, W, 3)`` of an array, one slice of a volume.

    Args:
        values: With two axes, or with three of which the last holds colours or slices; axes of length 1
            are dropped while there are more than two.
        options: The reader's; its ``slice`` is needed for volumes.

    Raises:
        ImageFault: If there is no such plane.
    """
    colour = values.ndim >= 3 and values.shape[-1] in COLOURS and values.dtype.kind in "bu"
    keep = 3 if colour else 2
    for axis in reversed(range(values.ndim)):
        if values.ndim > keep and values.shape[axis] == 1:
            values = values.squeeze(axis)
    if values.ndim == 3 and colour:
        if values.shape[-1] == 4:
            opaque(values[..., 3], int(np.iinfo(values.dtype).max) if values.dtype.kind == "u" else 1)
        return np.ascontiguousarray(values[..., :3])
    if values.ndim == 3:
        return values[..., chosen_slice(values.shape[-1], options)]
    if values.ndim != 2:
        raise ImageFault(f"has {values.ndim} axes {values.shape}; an image has rows and columns", "volume")
    return values


def chosen_slice(slices: int, options: Reader) -> int:
    """Return the number of the slice to read.

    Args:
        slices: How many there are.
        options: The reader's.

    Raises:
        ImageFault: If none is chosen, or one that is not there.
    """
    if options.slice is None:
        if slices == 1:
            return 0
        raise ImageFault(
            f"is a volume of {slices} slices; choose one with --data.reader.slice (0 to {slices - 1}), "
            "or save colours as the last of the axes (H, W, 3)",
            "volume",
        )
    if not 0 <= options.slice < slices:
        raise ImageFault(
            f"has no slice {options.slice}; set --data.reader.slice from 0 to {slices - 1}", "no-such-slice"
        )
    return options.slice


def numbers(values: Values) -> Values:
    """Return values in a type that the rest of rn50med computes with, none of them changed.

    Args:
        values: Booleans, integers or floats, in any byte order.
    """
    if values.dtype.kind == "b":
        return values.astype(np.uint8) * np.uint8(255)
    if values.dtype == np.float16 or (values.dtype.kind == "f" and values.dtype.itemsize > 8):
        return values.astype(np.float32 if values.dtype == np.float16 else np.float64)
    return np.ascontiguousarray(values.astype(values.dtype.newbyteorder("="), copy=False))


def image_of(values: Values, format: str, mode: str, bits: int, options: Reader) -> Image:
    """Return the image of values whose file does not say what is black and white.

    Args:
        values: ``(H, W)`` or ``(H, W, 3)``.
        format: As in `Facts`.
        mode: As in `Facts`.
        bits: As in `Facts`.
        options: The reader's.
    """
    finite(values)
    height, width = values.shape[:2]
    facts = Facts(format, mode, bits, height, width, 1 if values.ndim == 2 else 3)
    return Image(values, *display_range(values, options), facts)
