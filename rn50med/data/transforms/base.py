"""The pair of pipelines that every domain has, and how they are run."""

from __future__ import annotations

import hashlib
import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, cast
from uuid import uuid4

import numpy as np
import torch
from monai.data.meta_obj import get_track_meta, set_track_meta
from monai.transforms import Compose, Transform
from torch import Tensor

from rn50med.data.pixels import Pixels, Region
from rn50med.data.readers.image import Image
from rn50med.data.transforms.deterministic import Clip, Display, Square, Step, Unit
from rn50med.data.transforms.random import Seeded
from rn50med.errors import RecipeError
from rn50med.parts import TRUSTED_PACKAGES, Part

_VERSIONED = frozenset({*TRUSTED_PACKAGES, "builtins", "abc"})
"""Packages whose classes change with their version alone."""


class Pipeline(Compose, Seeded):  # type: ignore[misc]
    """MONAI's ``Compose``, seeded in a tenth of the time."""


@dataclass(frozen=True)
class View:
    """What of an image the network sees.

    Args:
        pixels: The whole image as it is displayed, ``(H, W)`` or ``(H, W, 3)``.
        region: Rows and columns of it that are resized to the square.
    """

    pixels: Pixels
    region: Region


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

    def view(self, image: Image) -> View | None:
        """Return what of an image the network sees, or None where a step does not say what it keeps.

        Args:
            image: One that can be prepared.
        """
        if type(self).prepare is not Transforms.prepare:
            return None
        data: Image | Pixels = image
        height, width = image.values.shape[:2]
        whole, top, left = None, 0, 0
        for step in self.shown():
            if not isinstance(step, Step):
                return None
            rows, columns = step.region(data)
            data = cast(Pixels, step(data))
            if data.shape[:2] != (rows.stop - rows.start, columns.stop - columns.start):
                return None  # a subclass that does more than its base says
            if data.shape[:2] == (height, width):
                whole = data
            top, left = top + rows.start, left + columns.start
        if whole is None or isinstance(data, Image):
            return None
        return View(whole, (slice(top, top + data.shape[0]), slice(left, left + data.shape[1])))

    @property
    def preparation(self) -> Mapping[str, object]:
        """What the deterministic part depends on, in plain types; equal ones give equal pixels."""
        own = self.specification()
        options = {name: value for name, value in own["init_args"].items() if name not in self.random_options}
        fixed = {"size": self.size, "channels": self.channels, "version": self.version}
        return {"transforms": own["class_path"], **options, **fixed, **_code_of(type(self))}

    @property
    def eval(self) -> Compose:
        """Prepared pixels to a tensor in [0, 1]."""
        return Compose([Unit()])

    @property
    @abstractmethod
    def train(self) -> Compose:
        """The same with random changes; seed it with ``set_random_state``."""

    @property
    def is_random(self) -> bool:
        """Whether an image is another one in each epoch of training."""
        return True


def _code_of(kind: type) -> dict[str, str]:
    """Return a hash of the code of classes that are not ours: whoever edits theirs raises no version."""
    foreign = [base for base in kind.__mro__ if base.__module__.partition(".")[0] not in _VERSIONED]
    if not foreign:
        return {}
    try:
        code = "".join(inspect.getsource(base) for base in foreign)
    except (OSError, TypeError):  # typed into a console: nobody can tell whether it is the same class
        code = uuid4().hex
    return {"code": hashlib.sha256(code.encode("utf-8")).hexdigest()}


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

    @property
    def is_random(self) -> bool:
        """Whether an image is another one in each epoch of training: not at strength 0."""
        return bool(self.strength) or type(self).train is not DomainTransforms.train

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
