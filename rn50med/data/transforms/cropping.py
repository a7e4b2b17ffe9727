"""Finds the part of a picture that is the patient: numpy and scipy, without torch."""

from __future__ import annotations

import numpy as np

from rn50med.data.pixels import Pixels

GRID = 256
"""Pixels along the longer side of the thumbnail that is looked at."""

LEAST = 1 / 16
"""Share of the picture that a region has to take; less is a lamp or a letter, and nothing is cut."""


def bright_region(pixels: Pixels, threshold: float) -> tuple[slice, slice]:
    """Return rows and columns of the largest connected bright region, with a small margin.

    Letters and marks beside it are regions of their own and do not hold the frame open. A picture that is
    black, or in which nothing large is bright, is kept whole.

    Args:
        pixels: ``(H, W)`` or ``(H, W, 3)``; of colours, the brightest channel counts.
        threshold: Brightness that counts as bright, as a share of white.

    Example:
        >>> picture = np.zeros((100, 200), np.uint8)
        >>> picture[20:80, 50:120] = 90
        >>> bright_region(picture, threshold=0.1)
        (slice(19, 81, None), slice(49, 121, None))
    """
    from scipy import ndimage  # noqa: PLC0415 - slow to import, and for two domains only

    height, width = pixels.shape[:2]
    step = -(-max(height, width) // GRID)
    small = pixels[::step, ::step]
    grey = small if small.ndim == 2 else small.max(axis=2)
    bright = ndimage.binary_opening(grey > threshold * np.iinfo(pixels.dtype).max, np.ones((3, 3)))
    regions, count = ndimage.label(bright)
    whole = slice(0, height), slice(0, width)
    if not count:
        return whole
    largest = 1 + int(np.argmax(np.bincount(regions.ravel())[1:]))
    rows, columns = ndimage.find_objects(regions)[largest - 1]
    if (rows.stop - rows.start) * (columns.stop - columns.start) < LEAST * grey.size:
        return whole
    return _full_size(rows, step, height), _full_size(columns, step, width)


def _full_size(part: slice, step: int, length: int) -> slice:
    """Return a slice of a thumbnail as one of the picture, a thumbnail's pixel wider on both sides."""
    return slice(max(0, (part.start - 1) * step), min(length, (part.stop + 1) * step))
