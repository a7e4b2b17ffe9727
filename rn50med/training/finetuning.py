"""Which parts of the network train, from which epoch on, and how fast."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rn50med.errors import RecipeError
from rn50med.parts import Part

BACKBONE_PARTS = 5
"""Stages 5, 4, 3 and 2, and the stem: He et al., table 1."""


class FineTuning(Part):
    """Base of the ways to fine-tune; as it stands, everything trains from the start, at one rate.

    Parts are counted by depth: 0 is the head, 1 the last stage of the backbone, 5 its stem.
    """

    def trains(self, depth: int) -> bool:
        """Return whether a part is ever trained.

        Args:
            depth: Of the part.
        """
        return True

    def begins(self, depth: int, epochs: int | None) -> int:
        """Return the epoch, from 0, in which a part begins to train.

        Args:
            depth: Of the part, one that trains.
            epochs: Epochs of the whole training; None where nobody knows.

        Raises:
            RecipeError: If it depends on the number of epochs, and nobody knows it.
        """
        return 0

    def rate(self, depth: int) -> float:
        """Return the factor on a part's learning rate.

        Args:
            depth: Of the part.
        """
        return 1.0

    @property
    def memory(self) -> float:
        """Memory that features of a backbone that never trains may take, in GB."""
        return 0.0


class Full(FineTuning):
    """Everything trains from the start, at one learning rate.

    Example:
        >>> [Full().begins(depth, epochs=8) for depth in range(6)]
        [0, 0, 0, 0, 0, 0]
    """


class LinearProbe(FineTuning):
    """The head alone trains; the backbone stays as its weights are, batch-norm statistics included.

    Without random augmentation (``data.transforms.strength 0``) the features of each image are computed
    once. The learning rate is not lowered for pretrained weights, since nothing of them could be lost.

    Args:
        memory: Memory that the features may take, in GB, beside the network on its device; those that find
            no room are computed in every epoch. At 0 all are.

    Raises:
        RecipeError: If `memory` is below 0.

    Source:
        Alain & Bengio, *Understanding intermediate layers using linear classifier probes*, 2016;
        arXiv:1610.01644.

    Example:
        >>> [LinearProbe().trains(depth) for depth in range(6)]
        [True, False, False, False, False, False]
    """

    def __init__(self, memory: float = 2.0) -> None:
        if not 0 <= memory < math.inf:
            raise RecipeError(f"LinearProbe: memory is {memory}; give a number of GB, 0 or more.")
        self._memory = memory

    def trains(self, depth: int) -> bool:
        """Return whether a part is ever trained: the head alone."""
        return depth == 0

    @property
    def memory(self) -> float:
        """Memory that the features may take, in GB."""
        return self._memory


class Staged(FineTuning):
    """The head trains first; the stages of the backbone follow from the last to the stem, each at its epoch.

    A stage that has not begun is frozen, batch-norm statistics included. It takes over the learning rate
    where the schedule stands.

    Args:
        at: When stage 5, 4, 3, 2 and the stem begin: below 1 a share of the epochs, rounded up; from 1 on,
            the number of epochs before. Where there are fewer than five, the rest never trains.
        factor: Factor on the learning rate from each part to the one below it, in (0, 1].

    Raises:
        RecipeError: If the numbers fall, or are out of range.

    Source:
        Howard & Ruder, *Universal language model fine-tuning for text classification*, ACL 2018, section 3.3;
        arXiv:1801.06146. They thaw a layer each epoch.

    Example:
        >>> [Staged(at=(1, 2, 0.5)).begins(depth, epochs=8) for depth in range(4)]
        [0, 1, 2, 4]
    """

    def __init__(self, at: Sequence[float] = (0.1, 0.2, 0.3, 0.4, 0.5), factor: float = 1.0) -> None:
        _check_factor("Staged", factor)
        wrong = [number for number in at if not 0 <= number < math.inf or (number > 1 and number % 1)]
        if wrong or len(at) > BACKBONE_PARTS:
            raise RecipeError(
                f"Staged: at is {list(at)}; give up to {BACKBONE_PARTS} numbers, each a share below 1 or a "
                "whole number of epochs."
            )
        if all(number >= 1 for number in at) or all(number < 1 for number in at):
            _check_order(list(at), list(at))
        self.at = tuple(at)
        self.factor = factor

    def trains(self, depth: int) -> bool:
        """Return whether a part is ever trained."""
        return depth <= len(self.at)

    def begins(self, depth: int, epochs: int | None) -> int:
        """Return the epoch, from 0, in which a part begins to train."""
        if epochs is None and any(0 < number < 1 for number in self.at):
            raise RecipeError(
                f"Staged: at is {list(self.at)}, shares of a number of epochs that nobody knows; give "
                "trainer.max_epochs, or whole numbers of epochs."
            )
        first = [math.ceil(number * (epochs or 0)) if number < 1 else int(number) for number in self.at]
        _check_order(first, list(self.at))
        return (0, *first)[depth]

    def rate(self, depth: int) -> float:
        """Return the factor on a part's learning rate."""
        return float(self.factor**depth)


class Layerwise(FineTuning):
    """Everything trains from the start, the slower the nearer it is to the image; the stem is the slowest.

    Early layers see edges and textures, which differ little from one kind of image to another.

    Args:
        factor: Factor on the learning rate from each part to the one below it, in (0, 1].

    Raises:
        RecipeError: If `factor` is out of range.

    Source:
        Howard & Ruder, ACL 2018, section 3.2; arXiv:1801.06146: each layer at 1 / 2.6 of the next, which
        they found for a language model of few layers. Clark et al., *ELECTRA*, ICLR 2020, table 7;
        arXiv:2003.10555: 0.8 or 0.9 for each of many.

    Example:
        >>> [round(Layerwise(0.5).rate(depth), 5) for depth in range(6)]
        [1.0, 0.5, 0.25, 0.125, 0.0625, 0.03125]
    """

    def __init__(self, factor: float = 0.5) -> None:
        _check_factor("Layerwise", factor)
        self.factor = factor

    def rate(self, depth: int) -> float:
        """Return the factor on a part's learning rate."""
        return float(self.factor**depth)


def _check_factor(name: str, factor: float) -> None:
    if not 0 < factor <= 1:
        raise RecipeError(f"{name}: factor is {factor}; give a number above 0, at most 1.")


def _check_order(numbers: Sequence[float], given: Sequence[float]) -> None:
    if list(numbers) != sorted(numbers):
        raise RecipeError(
            f"Staged: at is {list(given)}, by which a stage begins before the one above it; let none fall."
        )
