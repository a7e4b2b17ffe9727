"""The deterministic part of the transforms: numpy and Pillow, without torch.

Pixels stay integers, height x width, until they are handed to the network, and keep their meaning: an
8-bit and a 16-bit file of one image give the same values on the scale from 0 to 1.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from rn50med.errors import DataError

Pixels = NDArray[Any]
"""``uint8`` or ``uint16``; ``(H, W)`` or ``(H, W, 3)``."""

GREY_WEIGHTS = (0.299, 0.587, 0.114)
"""Luma of red, green and blue; ITU-R BT.601."""

_NOT_READ = {
    b"II*\0": "a TIFF image", b"MM\0*": "a TIFF image", b"GIF8": "a GIF image", b"BM": "a BMP image",
    b"\x1f\x8b": "a gzip file", b"PK": "a ZIP file", b"%PDF": "a PDF document", b"\x93NUMPY": "a numpy file",
    b"version https://git-lfs": "a Git LFS pointer, not the image; run `git lfs pull`",
}  # fmt: skip


def read_image(path: Path) -> Pixels:
    """Read a PNG or JPEG image, known by its bytes and not by its name.

    A JPEG whose header turns it is turned. Pillow keeps the high byte of 16-bit colour, so that such
    images are read at 8 bits; 16-bit grey keeps all of its bits.

    Args:
        path: The file.

    Returns:
        ``(H, W)`` or ``(H, W, 3)``, 8 or 16 bits.

    Raises:
        DataError: If it is no such image or cannot be decoded whole; the message does not name the file.
    """
    try:
        with path.open("rb") as file:
            head = file.read(256)
    except FileNotFoundError:
        raise DataError("is not there") from None
    except (OSError, ValueError) as error:  # the second of a name that holds a zero byte
        raise DataError(f"cannot be opened ({getattr(error, 'strerror', error)})") from error
    _check_kind(head)
    try:
        with Image.open(path, formats=("PNG", "JPEG")) as image:
            image.load()
            upright = ImageOps.exif_transpose(image)
    except Exception as error:  # Pillow raises many kinds for a damaged file
        reason = "is damaged" if isinstance(error, UnidentifiedImageError) else _first_sentence(error)
        raise DataError(f"cannot be decoded: {reason}; copy the file again") from error
    return _as_pixels(upright)


def _check_kind(head: bytes) -> None:
    """Refuse what is neither PNG nor JPEG, by name."""
    if not head:
        raise DataError("is empty (0 bytes); copy the file again")
    if head.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")):
        return
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")) or b"<html" in start:
        raise DataError("is a web page, not an image; download the image itself")
    if head[128:132] == b"DICM":
        raise DataError("is a DICOM file, which this version does not read; save it as 16-bit PNG")
    for magic, kind in _NOT_READ.items():
        if head.startswith(magic):
            remedy = "" if ";" in kind else "; save it as PNG or JPEG"
            raise DataError(f"is {kind}{remedy}")
    raise DataError(f"is no image that is known (it starts with {head[:8]!r}); save it as PNG or JPEG")


def _as_pixels(image: Image.Image) -> Pixels:
    """Return the pixels of an image whose mode keeps its meaning; refuse every other by name."""
    if image.mode in {"L", "RGB"} and "transparency" not in image.info:
        return np.array(image)
    if image.mode in {"I;16", "I;16B", "I;16L", "I"}:
        wide = np.array(image)
        if wide.min(initial=0) < 0 or wide.max(initial=0) > np.iinfo(np.uint16).max:
            raise DataError("holds values beyond 16 bits; save it as 16-bit PNG")
        return wide.astype(np.uint16)
    names = {
        "1": "1-bit", "P": "palette", "LA": "grey with transparency", "RGBA": "colour with transparency",
        "CMYK": "CMYK", "L": "grey with transparency", "RGB": "colour with transparency",
    }  # fmt: skip
    kind = names.get(image.mode, image.mode)
    raise DataError(
        f"is a {kind} image (mode {image.mode}), which this version does not read; save it as grey or RGB"
    )


def _first_sentence(error: Exception) -> str:
    return str(error).split("\n")[0].split(". ")[0].rstrip(".") or type(error).__name__


def as_grey(pixels: Pixels) -> Pixels:
    """Return one channel: equal channels as they are, others by their luma.

    Args:
        pixels: ``(H, W)`` or ``(H, W, 3)``.

    Example:
        >>> as_grey(np.full((1, 2, 3), 7, np.uint8))
        array([[7, 7]], dtype=uint8)
    """
    if pixels.ndim == 2:
        return pixels
    first = pixels[..., 0]
    if (pixels == first[..., None]).all():
        return np.ascontiguousarray(first)
    luma: Pixels = np.rint(pixels @ np.array(GREY_WEIGHTS))
    return luma.astype(pixels.dtype)


def as_colour(pixels: Pixels) -> Pixels:
    """Return three channels; grey is repeated.

    Args:
        pixels: ``(H, W)`` or ``(H, W, 3)``.
    """
    return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)


def resize(pixels: Pixels, size: int) -> Pixels:
    """Resize to a square, whole and undistorted: the longer side fits, the rest is black on both sides.

    Pixels are averaged while shrinking (Pillow's antialiased bilinear filter), and computed in 32-bit
    floats for 16-bit images.

    Args:
        pixels: ``(H, W)`` or ``(H, W, 3)``.
        size: Side of the square in pixels.

    Example:
        >>> resize(np.full((4, 2), 9, np.uint8), 4)[0]
        array([0, 9, 9, 0], dtype=uint8)
    """
    height, width = pixels.shape[:2]
    scale = size / max(height, width)
    new_height, new_width = max(1, round(height * scale)), max(1, round(width * scale))
    if (new_height, new_width) != (height, width):
        pixels = _resample(pixels, (new_width, new_height))
    top, left = (size - new_height) // 2, (size - new_width) // 2
    margins = [(top, size - new_height - top), (left, size - new_width - left)]
    return np.pad(pixels, margins + [(0, 0)] * (pixels.ndim - 2))


def _resample(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    if pixels.dtype == np.uint8:
        return np.array(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))
    planes = [pixels] if pixels.ndim == 2 else list(np.moveaxis(pixels, -1, 0))
    smooth = [
        np.array(Image.fromarray(plane.astype(np.float32)).resize(size, Image.Resampling.BILINEAR))
        for plane in planes
    ]
    resampled: Pixels = np.rint(smooth[0] if pixels.ndim == 2 else np.stack(smooth, axis=-1))
    return resampled.astype(pixels.dtype)


def channels_first(pixels: Pixels) -> Pixels:
    """Return ``(C, H, W)`` of ``(H, W)`` or ``(H, W, C)``.

    Args:
        pixels: With or without a channel axis.
    """
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(np.moveaxis(pixels, -1, 0))
