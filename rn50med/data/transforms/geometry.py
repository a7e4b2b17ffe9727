"""Random changes of place: turns, shifts, scales and mirrors, done in one resampling."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import cos, radians, sin
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from rn50med.data.transforms.random import Random

Matrix = NDArray[np.float64]
"""From a place in the result to one in the image, ``(3, 3)``; columns and rows go from -1 to 1."""


@dataclass(frozen=True)
class Map(ABC):
    """One kind of change of place; a subclass says which."""

    @abstractmethod
    def draw(self, random: np.random.RandomState) -> Matrix:
        """Return the matrix of one draw.

        Args:
            random: Where the draws come from.
        """


@dataclass(frozen=True)
class Turn(Map):
    """A turn about the middle.

    Args:
        degrees: Largest angle, either way.
    """

    degrees: float

    def draw(self, random: np.random.RandomState) -> Matrix:
        """Return the matrix of one draw."""
        angle = radians(random.uniform(-self.degrees, self.degrees))
        return _matrix(cos(angle), -sin(angle), sin(angle), cos(angle))


@dataclass(frozen=True)
class Shift(Map):
    """A shift, along columns and rows by itself.

    Args:
        share: Largest shift, as a share of the side.
    """

    share: float

    def draw(self, random: np.random.RandomState) -> Matrix:
        """Return the matrix of one draw."""
        right, down = random.uniform(-2 * self.share, 2 * self.share, 2)
        return _matrix(1, 0, 0, 1, right, down)


@dataclass(frozen=True)
class Scale(Map):
    """A scale, of width and height by itself.

    Args:
        share: Most that a factor differs from 1, below 1.
    """

    share: float

    def draw(self, random: np.random.RandomState) -> Matrix:
        """Return the matrix of one draw."""
        width, height = random.uniform(1 - self.share, 1 + self.share, 2)
        return _matrix(width, 0, 0, height)


@dataclass(frozen=True)
class Zoom(Map):
    """A scale of width and height together.

    Args:
        low: Smallest factor, above 0; below 1 shrinks.
        high: Largest factor.
    """

    low: float
    high: float

    def draw(self, random: np.random.RandomState) -> Matrix:
        """Return the matrix of one draw."""
        factor = 1 / random.uniform(self.low, self.high)
        return _matrix(factor, 0, 0, factor)


@dataclass(frozen=True)
class Mirror(Map):
    """Left and right exchanged."""

    def draw(self, random: np.random.RandomState) -> Matrix:
        """Return the matrix of one draw."""
        return _matrix(-1, 0, 0, 1)


@dataclass(frozen=True)
class Symmetry(Map):
    """One of the eight symmetries of the square, each as likely."""

    def draw(self, random: np.random.RandomState) -> Matrix:
        """Return the matrix of one draw."""
        swap, right, down = random.randint(0, 2, 3)
        a, d = 1 - 2 * right, 1 - 2 * down
        return _matrix(0, a, d, 0) if swap else _matrix(a, 0, 0, d)


@dataclass(frozen=True)
class Sometimes(Map):
    """A change that is not always made.

    Args:
        change: What is changed.
        prob: Probability of it, from 0 to 1.
    """

    change: Map
    prob: float

    def draw(self, random: np.random.RandomState) -> Matrix:
        """Return the matrix of one draw."""
        return self.change.draw(random) if random.rand() < self.prob else np.eye(3)


def _matrix(a: float, b: float, c: float, d: float, right: float = 0.0, down: float = 0.0) -> Matrix:
    return np.array([[a, b, right], [c, d, down], [0, 0, 1]], dtype=np.float64)


class RandGeometry(Random):
    """Change places: every map is drawn, and the image is resampled once for all of them together.

    Interpolation is bilinear. A draw that only mirrors a square, or turns it by quarters, moves its pixels as
    they are; one that changes nothing gives the image itself.

    Args:
        maps: What is changed, in this order.
        prob: Probability that anything is, from 0 to 1.
        outside: What is beyond the edge: black (`zeros`), or the image `reflected`.

    Shape:
        - image: ``(C, H, W)``; so is the result.
    """

    def __init__(
        self, *maps: Map, prob: float = 1.0, outside: Literal["zeros", "reflection"] = "zeros"
    ) -> None:
        super().__init__(prob)
        self.maps = maps
        self.outside = outside

    def _draw(self, image: Tensor) -> None:
        self._matrix = np.eye(3)
        for change in self.maps:
            self._matrix = self._matrix @ change.draw(self.R)

    def _apply(self, image: Tensor) -> Tensor:
        (a, b, right), (c, d, down) = self._matrix[:2]
        square = image.shape[-2] == image.shape[-1]
        if right == down == 0 and {abs(a), abs(b), abs(c), abs(d)} == {0.0, 1.0} and (square or a):
            return _rearranged(image, a, b, c, d)
        grid = _grid(self._matrix, *image.shape[-2:]).to(image.dtype)
        return F.grid_sample(image[None], grid, "bilinear", self.outside, align_corners=False)[0]


def _rearranged(image: Tensor, a: float, b: float, c: float, d: float) -> Tensor:
    """Return the image with its axes exchanged and turned round, as one of the eight symmetries asks."""
    if a == 0:
        image, a, d = image.transpose(-2, -1), c, b
    axes = [axis for axis, sign in ((-2, d), (-1, a)) if sign < 0]
    return image.flip(axes) if axes else image.contiguous()


def _grid(matrix: Matrix, height: int, width: int) -> Tensor:
    """Return where each pixel of the result comes from, ``(1, H, W, 2)``.

    The same as ``affine_grid`` gives, as a sum of what depends on the column and what depends on the row,
    which takes a tenth of the time.
    """
    (a, b, right), (c, d, down) = matrix[:2]
    columns = (2 * np.arange(width) + 1) / width - 1
    rows = (2 * np.arange(height) + 1) / height - 1
    grid = np.empty((1, height, width, 2), dtype=np.float32)
    _outer_sum(a * columns, b * height / width * rows + right, grid[0, ..., 0])
    _outer_sum(c * width / height * columns, d * rows + down, grid[0, ..., 1])
    return torch.from_numpy(grid)


def _outer_sum(columns: NDArray[Any], rows: NDArray[Any], out: NDArray[np.float32]) -> None:
    np.add(columns.astype(np.float32), rows.astype(np.float32)[:, None], out=out)
