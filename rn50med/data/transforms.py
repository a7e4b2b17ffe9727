"""Transforms: one deterministic part, computed once, and one random part, drawn each epoch.

Both are MONAI transforms, usable in anyone's ``monai.transforms.Compose``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import radians
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import torch
from monai.data.meta_obj import get_track_meta, set_track_meta
from monai.transforms import (
    Compose,
    RandAdjustContrast,
    RandAffine,
    RandGaussianNoise,
    RandShiftIntensity,
    Transform,
)
from torch import Tensor

from rn50med.data.pixels import Pixels, as_colour, as_grey, channels_first, read_image, resize
from rn50med.errors import RecipeError
from rn50med.parts import Part


class ReadImage(Transform):  # type: ignore[misc]
    """Read a file into ``(H, W)`` or ``(H, W, 3)``; see `rn50med.data.pixels.read_image`."""

    def __call__(self, data: Path | str) -> Pixels:
        """Read one file."""
        return read_image(Path(data))


class Square(Transform):  # type: ignore[misc]
    """Bring pixels to ``(C, size, size)``, integers still.

    Args:
        size: Side in pixels.
        channels: 1 for grey, 3 for colour.
    """

    def __init__(self, size: int, channels: int) -> None:
        self.size = size
        self.channels = channels

    def __call__(self, data: Pixels) -> Pixels:
        """Convert one image, ``(H, W)`` or ``(H, W, 3)``."""
        pixels = as_grey(data) if self.channels == 1 else as_colour(data)
        return channels_first(resize(pixels, self.size))


class Unit(Transform):  # type: ignore[misc]
    """Scale integers by their bit depth to 32-bit floats in [0, 1]."""

    def __call__(self, data: Pixels) -> Tensor:
        """Scale one image, ``(C, H, W)``."""
        scaled = np.asarray(data, dtype=np.float32) / np.float32(np.iinfo(data.dtype).max)
        return torch.from_numpy(scaled)


class Clip(Transform):  # type: ignore[misc]
    """Clip to [0, 1], and give a plain tensor."""

    def __call__(self, data: Tensor) -> Tensor:
        """Clip one image."""
        return data.as_subclass(Tensor).clamp(0.0, 1.0)


class Transforms(Part, ABC):
    """A pair of pipelines, train and eval, after a deterministic part that both share."""

    channels: ClassVar[int]
    """Channels of the images: 1 for grey, 3 for colour."""

    size: int

    @property
    def prepare(self) -> Compose:
        """The deterministic part: pixels to integers, ``(C, size, size)``."""
        return Compose([Square(self.size, self.channels)])

    @property
    def eval(self) -> Compose:
        """Prepared pixels to a tensor in [0, 1]."""
        return Compose([Unit()])

    @property
    @abstractmethod
    def train(self) -> Compose:
        """The same with random changes; seed it with ``set_random_state``."""


class Radiograph(Transforms):
    """Grey projection images: chest, bones.

    Left and right are never exchanged: the heart has a side. The random part turns, shifts and scales
    the film a little, as positioning does, and changes exposure (gamma and offset) and noise.

    Args:
        size: Side of the square that the network sees, in pixels; 32 or more.
        strength: Strength of the random part, from 0 for none to 5; 1 is modest.
    """

    channels = 1

    def __init__(self, size: int = 224, strength: float = 1.0) -> None:
        # From 12.5 on, the range of scales would reach below 0: a film turned inside out.
        if size < 32 or not 0 <= strength <= 5:
            raise RecipeError(
                f"transforms: size is {size}, strength {strength}; give a size of at least 32 "
                "(the network halves it five times) and a strength from 0 to 5."
            )
        self.size = size
        self.strength = strength

    @property
    def train(self) -> Compose:
        """Random affine map, gamma, offset and noise."""
        return Compose([Unit(), *self._random(), Clip()]) if self.strength else self.eval

    def _random(self) -> Sequence[Transform]:
        shift = 0.06 * self.size * self.strength
        turn = radians(7.0) * self.strength
        scale = 0.08 * self.strength
        return [
            RandAffine(
                prob=0.9, rotate_range=turn, translate_range=(shift, shift), scale_range=(scale, scale),
                padding_mode="zeros",
            ),
            RandAdjustContrast(prob=0.7, gamma=(1 / (1 + 0.4 * self.strength), 1 + 0.4 * self.strength)),
            RandShiftIntensity(prob=0.5, offsets=0.08 * self.strength),
            RandGaussianNoise(prob=0.3, std=0.03 * self.strength),
        ]  # fmt: skip


@contextmanager
def light() -> Iterator[None]:
    """Run small transforms on one thread and without MONAI's metadata, which the network has no use for.

    Several threads on images this small wait for each other more than they compute.
    """
    threads, tracked = torch.get_num_threads(), get_track_meta()
    torch.set_num_threads(1)
    set_track_meta(False)
    try:
        yield
    finally:
        set_track_meta(tracked)
        torch.set_num_threads(threads)


def seeded(pipeline: Compose, data: Any, seed: Sequence[int]) -> Tensor:
    """Apply a pipeline whose random draws depend on the seed alone.

    Args:
        pipeline: What to apply.
        data: One image.
        seed: Whole numbers; here seed, epoch and image.
    """
    pipeline.set_random_state(seed=int(np.random.SeedSequence(list(seed)).generate_state(1)[0]))
    return cast(Tensor, pipeline(data))
