"""What a task says of images from their logits: probabilities, calls, columns of a prediction file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rn50med.evaluation.arrays import Targets, stored
from rn50med.evaluation.cases import Cases, Membership, case_targets, combined
from rn50med.evaluation.operating_point import Thresholds
from rn50med.evaluation.predictions import Predictions
from rn50med.evaluation.temperature import Temperature
from rn50med.parts import Part

Columns = dict[str, NDArray[np.generic]]


class Filed(Part, ABC):
    """The half of a task that turns logits into what a prediction file holds."""

    continuous: ClassVar[bool] = False
    """Whether the target is a number on a scale, and `probabilities` gives its value."""

    @property
    @abstractmethod
    def classes(self) -> tuple[str, ...]:
        """Names of the classes or findings, in the one order used everywhere."""

    @property
    def probability_names(self) -> tuple[str, ...]:
        """Names of the columns of `probabilities`; of every class."""
        return self.classes

    @property
    def said_columns(self) -> tuple[str, ...]:
        """Columns of a prediction file that hold `probabilities`."""
        return tuple(f"prob_{name}" for name in self.probability_names)

    @property
    def target_shape(self) -> tuple[int, ...]:
        """Shape of one image's target: ``()`` for a class number, ``(L,)`` for several labels."""
        return ()

    @abstractmethod
    def probabilities(self, logits: Tensor) -> Tensor:
        """Return probabilities, one column per probability that a prediction file holds.

        Shape:
            - logits: ``(B, num_outputs)``.
            - output: ``(B, 1)`` for `Binary`, else ``(B, K)``.
        """

    def class_logits(self, logits: Tensor) -> Tensor:
        """Return the logits of a prediction file, one per probability: mostly those of the network.

        A temperature divides them, and a heat map shows what raises one of them.

        Shape:
            - logits: ``(B, num_outputs)``.
            - output: that of `probabilities`.
        """
        return logits

    def of_class_logits(self, logits: Tensor) -> Tensor:
        """Return probabilities from `class_logits`, divided by a temperature or not; the same shape."""
        return self.probabilities(logits)

    @abstractmethod
    def call_columns(self, probability: NDArray[np.float64], point: Thresholds) -> Columns:
        """Return the columns of a prediction file that hold the calls, as text."""

    @abstractmethod
    def target_columns(self, target: Targets) -> Columns:
        """Return the columns of a prediction file that hold the targets, as text."""

    def cases(
        self,
        predictions: Predictions,
        membership: Membership | None = None,
        temperature: Temperature | None = None,
    ) -> Cases:
        """Return the cases of images; where no membership is given, each image is one, and a patient."""
        whose = Membership.alone(len(predictions.target)) if membership is None else membership
        said = self.stored_probabilities(predictions.logits, temperature)
        grouping = whose.grouping
        return Cases(
            stored(combined(said, grouping, whose.images, self.exclusive)),
            case_targets(predictions.target, grouping),
            whose.patients[grouping.first],
        )

    @property
    def exclusive(self) -> bool:
        """Whether the probabilities of an image have a sum of 1."""
        return not self.target_shape and len(self.probability_names) > 1

    def stored_logits(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return `class_logits` in 64-bit, rounded as a prediction file holds them."""
        given = torch.from_numpy(np.array(logits, np.float64))
        found = self.class_logits(given)
        return logits if found is given else stored(found.numpy())

    def stored_probabilities(
        self, logits: NDArray[np.float64], temperature: Temperature | None = None
    ) -> NDArray[np.float64]:
        """Return probabilities in 64-bit, rounded as a prediction file holds them."""
        kept = self.stored_logits(logits)
        scaled = np.array(kept, np.float64) if temperature is None else temperature.scaled(kept)
        return stored(self.of_class_logits(torch.from_numpy(scaled)).numpy())

    def output_columns(
        self,
        logits: NDArray[np.float64],
        point: Thresholds,
        temperature: Temperature | None = None,
        membership: Membership | None = None,
    ) -> Columns:
        """Return the columns of a prediction file that follow from the logits.

        All images of a case have its call. An image whose logits are ``nan``, since it could not be read,
        has empty calls.
        """
        probability = self.stored_probabilities(logits, temperature)
        columns: Columns = {f"prob_{n}": probability[:, i] for i, n in enumerate(self.probability_names)}
        kept = self.stored_logits(logits)
        columns |= {f"logit_{n}": kept[:, i] for i, n in enumerate(self.probability_names)}
        return columns | self.case_calls(probability, point, membership)

    def case_calls(
        self, probability: NDArray[np.float64], point: Thresholds, membership: Membership | None = None
    ) -> Columns:
        """Return the calls of images, each that of its case, from their probabilities; ``nan`` has none."""
        whose = Membership.alone(len(probability)) if membership is None else membership
        together = stored(combined(probability, whose.grouping, whose.images, self.exclusive))
        said = ~np.isnan(probability).any(axis=1)
        calls = self.call_columns(together, point)
        return {name: np.where(said, call[whose.grouping.index], "") for name, call in calls.items()}
