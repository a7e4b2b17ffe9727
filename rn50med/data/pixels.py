"""The deterministic part of the transforms: numpy and Pillow, without torch.

Pixels stay integers, height x width, until they are handed to the network, and keep their meaning: an
8-bit and a 16-bit file of one image give the same values on the scale from 0 to 1.
"""

from __future__ import annotations

from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from rn50med.data.readers import Image, ImageFault, Reader, Values

Pixels = NDArray[Any]
"""``uint8`` or ``uint16``; ``(H, W)`` or ``(H, W, 3)``."""

Region = tuple[slice, slice]
"""Rows and columns of a picture; both have a start and a stop."""

GREY_WEIGHTS = (0.299, 0.587, 0.114)
"""Luma of red, green and blue; ITU-R BT.601."""

WHITE = float(np.iinfo(np.uint16).max)


def read_image(path: Path) -> Pixels:
    """Read an image file as it is displayed, with the default options of the reader.

    Args:
        path: The file.

    Returns:
        ``(H, W)`` or ``(H, W, 3)``, 8 or 16 bits.

    Raises:
        ImageFault: If it cannot be used; the message does not name the file.
    """
    return display(Reader().read(path))


def display(image: Image) -> Pixels:
    """Return an image as its black and white show it: 0 is black, the type's largest number white.

    Eight bits that span black to white stay eight bits, turned over where low values are bright. All others
    are scaled to 16 bits, clipped and rounded.

    Args:
        image: As it was read.

    Raises:
        ImageFault: If nobody said what is black and what is white.

    Example:
        >>> from rn50med.data.readers import full_range
        >>> display(full_range(np.array([[0, 255]], np.uint8)))
        array([[  0, 255]], dtype=uint8)
    """
    if not isfinite(image.black + image.white):
        raise ImageFault(
            "does not say which of its values are black and white; say it with --data.reader.range, "
            "such as `--data.reader.range [0, 4095]`",
            "no-range",
        )
    if image.values.dtype in (np.uint8, np.uint16):
        full = float(np.iinfo(image.values.dtype).max)
        if (image.black, image.white) == (0, full):
            return image.values
        if (image.black, image.white) == (full, 0):
            turned: Pixels = np.iinfo(image.values.dtype).max - image.values
            return turned
    return _scaled(image.values, image.black, image.white)


def windowed(image: Image, centre: float, width: float) -> Pixels:
    """Return an image as another window shows it.

    Args:
        image: As it was read.
        centre: Value that is shown half bright, in the image's units, such as Hounsfield units.
        width: Difference of white and black, above 0.

    Example:
        >>> from rn50med.data.readers import full_range
        >>> windowed(full_range(np.array([[10, 20, 30]], np.uint8)), 20, 20)
        array([[    0, 32768, 65535]], dtype=uint16)
    """
    return _in_order(image, centre - width / 2, centre + width / 2)


def stretched(image: Image, low_percentile: float, high_percentile: float) -> Pixels:
    """Return an image with percentiles of its own values as black and white; a constant one is black.

    Args:
        image: As it was read.
        low_percentile: In [0, 100); what is below is black.
        high_percentile: In (low_percentile, 100]; what is above is white.
    """
    low, high = np.percentile(image.values, [low_percentile, high_percentile])
    if high <= low:  # nearly all values are one: the whole range, if there is any
        low, high = image.values.min(), image.values.max()
    return _in_order(image, float(low), float(high))


def _in_order(image: Image, low: float, high: float) -> Pixels:
    """Scale between two values, turned over where the image's low values are bright."""
    turned = image.black > image.white or image.facts.mode == "MONOCHROME1"  # also where nobody said black
    return _scaled(image.values, *((high, low) if turned else (low, high)))


def _scaled(values: Values, black: float, white: float) -> Pixels:
    if white == black:
        return np.zeros(values.shape, np.uint16)
    # 32-bit floats hold 16-bit integers whole, and whatever 32-bit floats held
    kind = np.float32 if values.dtype.itemsize <= 2 or values.dtype == np.float32 else np.float64
    scaled: NDArray[np.floating[Any]] = values.astype(kind)
    scaled -= kind(black)
    scaled *= kind(WHITE / (white - black))
    np.clip(scaled, 0, WHITE, out=scaled)
    np.rint(scaled, out=scaled)
    return scaled.astype(np.uint16)


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
    rows, columns = letterbox(height, width, size)
    new_height, new_width = rows.stop - rows.start, columns.stop - columns.start
    if (new_height, new_width) != (height, width):
        pixels = _resample(pixels, (new_width, new_height))
    if (new_height, new_width) == (size, size):
        return pixels  # np.pad would copy it, which takes as long as all else for a small one
    margins = [(rows.start, size - rows.stop), (columns.start, size - columns.stop)]
    return np.pad(pixels, margins + [(0, 0)] * (pixels.ndim - 2))


def letterbox(height: int, width: int, size: int) -> Region:
    """Return the rows and columns of a square that an image fills, whole and undistorted.

    Args:
        height: Of the image, in pixels.
        width: Of the image, in pixels.
        size: Side of the square in pixels.

    Example:
        >>> letterbox(height=40, width=20, size=8)
        (slice(0, 8, None), slice(2, 6, None))
    """
    scale = size / max(height, width)
    new_height, new_width = max(1, round(height * scale)), max(1, round(width * scale))
    top, left = (size - new_height) // 2, (size - new_width) // 2
    return slice(top, top + new_height), slice(left, left + new_width)


def unresize(square: NDArray[np.float32], region: Region, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Bring a plane of a square back to the image that was resized to it: `resize` the other way round.

    Args:
        square: One plane, ``(size, size)``.
        region: Rows and columns of the image that were resized.
        shape: Height and width of the image.

    Returns:
        ``(H, W)``, 0 outside of the region.

    Example:
        >>> plane = np.zeros((4, 4), np.float32)
        >>> plane[:, 1:3] = [1, 2]
        >>> unresize(plane, (slice(0, 4), slice(1, 3)), (4, 3))[0]
        array([0., 1., 2.], dtype=float32)
    """
    rows, columns = region
    height, width = rows.stop - rows.start, columns.stop - columns.start
    part = np.ascontiguousarray(square[letterbox(height, width, square.shape[0])])
    whole = np.zeros(shape, np.float32)
    picture = PillowImage.fromarray(part)
    whole[region] = np.asarray(picture.resize((width, height), PillowImage.Resampling.BILINEAR))
    return whole


def _resample(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    if pixels.dtype == np.uint8:
        return np.array(PillowImage.fromarray(pixels).resize(size, PillowImage.Resampling.BILINEAR))
    planes = [pixels] if pixels.ndim == 2 else list(np.moveaxis(pixels, -1, 0))
    smooth = [
        np.array(
            PillowImage.fromarray(plane.astype(np.float32)).resize(size, PillowImage.Resampling.BILINEAR)
        )
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
