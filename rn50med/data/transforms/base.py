"""The pair of pipelines that every domain has, and how they are run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, cast

import numpy as np
import torch
from monai.data.meta_obj import get_track_meta, set_track_meta
from monai.transforms import Compose, Transform
from torch import Tensor

from rn50med.data.transforms.deterministic import Clip, Display, Square, Unit
from rn50med.data.transforms.random import Seeded
from rn50med.errors import RecipeError
from rn50med.parts import Part


class Pipeline(Compose, Seeded):  # type: ignore[misc]
    """MONAI's ``Compose``, seeded in a tenth of the time."""


class Transforms(Part, ABC):
    """A pair of pipelines, train and eval, after a deterministic part that both share."""

    channels: ClassVar[int]
    """Channels of the images: 1 for grey, 3 for colour."""

    version: ClassVar[int] = 1
    """Version of the deterministic part; another one is another cache."""

    random_options: ClassVar[tuple[str, ...]] = ("strength",)
    """Arguments that the deterministic part does not depend on."""

    size: int

    @property
    def prepare(self) -> Compose:
        """The deterministic part: an image, or unsigned pixels, to integers, ``(channels, size, size)``."""
        return Compose([*self.shown(), Square(self.size, self.channels)])

    def shown(self) -> Sequence[Transform]:
        """Return the steps from what a reader gives to the pixels that a person would look at."""
        return [Display()]

    @property
    def preparation(self) -> Mapping[str, object]:
        """What the deterministic part depends on, in plain types; equal ones give equal pixels."""
        own = self.specification()
        options = {name: value for name, value in own["init_args"].items() if name not in self.random_options}
        fixed = {"size": self.size, "channels": self.channels, "version": self.version}
        return {"transforms": own["class_path"], **options, **fixed}

    @property
    def eval(self) -> Compose:
        """Prepared pixels to a tensor in [0, 1]."""
        return Compose([Unit()])

    @property
    @abstractmethod
    def train(self) -> Compose:
        """The same with random changes; seed it with ``set_random_state``."""


class DomainTransforms(Transforms):
    """Base of the domains: a square of a size, and a random part of a strength.

    Args:
        size: Side of the square that the network sees, in pixels; 32 or more.
        strength: Strength of the random part, from 0 for none to 5; 1 is modest.
    """

    def __init__(self, size: int = 224, strength: float = 1.0) -> None:
        # From 12.5 on, a radiograph's range of scales would reach below 0: a film turned inside out.
        if size < 32 or not 0 <= strength <= 5:
            raise RecipeError(
                f"transforms: size is {size}, strength {strength}; give a size of at least 32 "
                "(the network halves it five times) and a strength from 0 to 5."
            )
        self.size = size
        self.strength = strength

    @property
    def train(self) -> Compose:
        """The same with random changes, clipped to [0, 1] again; without any at strength 0."""
        return Pipeline([Unit(), *self.changes(), Clip()]) if self.strength else self.eval

    @abstractmethod
    def changes(self) -> Sequence[Transform]:
        """Return the random changes, of a tensor in [0, 1]."""


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
