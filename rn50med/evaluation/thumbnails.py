"""Few numbers of prepared images: small grey pictures, and the border alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rn50med.evaluation.arrays import Floats

SIDE = 16
"""Pixels along a side of a thumbnail."""

RING = 0.06
"""Width of the border, as a share of an image's side."""

_PARTS = 4  # of each side of the border


def thumbnails(images: NDArray[Any]) -> Floats:
    """Return images as grey pictures of 16 x 16 numbers, each the mean of its part of the image.

    Args:
        images: Unsigned integers, ``(B, C, H, W)``.

    Shape:
        - output: ``(B, 256)``, in [0, 1].

    Example:
        >>> image = np.zeros((1, 1, 32, 32), np.uint8)
        >>> image[0, 0, :2, :2] = 255
        >>> thumbnails(image).shape, thumbnails(image)[0, :2].tolist()
        ((1, 256), [1.0, 0.0])
    """
    grey = _grey(images)
    for axis in (1, 2):
        edges = np.arange(SIDE + 1) * grey.shape[axis] // SIDE
        grey = _means(grey, edges, axis)
    return grey.reshape(len(images), -1)


def borders(images: NDArray[Any]) -> Floats:
    """Return mean and standard deviation of four parts of each side of the images' borders.

    The border is an outer ring of 6 % of the side, at least a pixel wide.

    Args:
        images: Unsigned integers, ``(B, C, H, W)``.

    Shape:
        - output: ``(B, 32)``, in [0, 1].

    Example:
        >>> image = np.zeros((1, 1, 100, 100), np.uint8)
        >>> image[..., 6:94, 6:94] = 255
        >>> borders(image).any()
        np.False_
    """
    grey = _grey(images)
    height, width = grey.shape[1:]
    rows, columns = max(1, round(RING * height)), max(1, round(RING * width))
    sides = (grey[:, :rows], grey[:, -rows:], grey[:, :, :columns], grey[:, :, -columns:])
    numbers = []
    for side in sides:
        for part in np.array_split(side, _PARTS, axis=2 if side.shape[2] == width else 1):
            numbers += [part.mean(axis=(1, 2)), part.std(axis=(1, 2))]
    return np.stack(numbers, axis=1)


def _grey(images: NDArray[Any]) -> Floats:
    """Return the mean of the channels, as a share of white, ``(B, H, W)``."""
    white = float(np.iinfo(images.dtype).max)
    return np.asarray(images.mean(axis=1, dtype=np.float64) / white)


def _means(values: Floats, edges: NDArray[np.int64], axis: int) -> Floats:
    """Return the mean between edges along an axis; between two that are equal, the value there."""
    starts = np.minimum(edges[:-1], values.shape[axis] - 1)
    sums = np.add.reduceat(values, starts, axis=axis)
    sizes = np.maximum(1, np.diff(np.append(starts, values.shape[axis])))
    return np.asarray(sums / np.expand_dims(sizes, tuple(range(1, values.ndim - axis))), dtype=np.float64)
