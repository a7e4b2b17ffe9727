"""What every task promises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rn50med.evaluation.arrays import UNKNOWN
from rn50med.evaluation.cases import Cases, Membership, case_targets, combined
from rn50med.evaluation.figure import Figure
from rn50med.evaluation.operating_point import Thresholds
from rn50med.evaluation.operating_rule import YOUDEN, Rule
from rn50med.evaluation.predictions import Predictions, stored
from rn50med.evaluation.temperature import Temperature
from rn50med.losses import ClassCounts
from rn50med.parts import Part

__all__ = ["UNKNOWN", "Columns", "Row", "Task"]

Columns = dict[str, NDArray[np.generic]]
Row = Mapping[str, str]
"""A row of the manifest: the cell of each column, as text."""


class Task(Part, ABC):
    """What is predicted of an image. A subclass is a frozen dataclass."""

    monitor: ClassVar[str] = "auroc"
    """The figure of val by which the best epoch is chosen."""

    monitor_mode: ClassVar[Literal["max", "min"]] = "max"
    """Whether more of that figure is better, or less."""

    @property
    @abstractmethod
    def classes(self) -> tuple[str, ...]:
        """Names of the classes or findings, in the one order used everywhere."""

    def facts(self) -> dict[str, Any]:
        """Return what a report has to know besides kind and classes, in plain types; mostly nothing."""
        return {}

    @property
    @abstractmethod
    def columns(self) -> tuple[str, ...]:
        """Manifest columns that hold the labels."""

    @property
    def probability_names(self) -> tuple[str, ...]:
        """Names of the columns of `probabilities`; of every class."""
        return self.classes

    @property
    def num_outputs(self) -> int:
        """Number of the network's logits; one per probability."""
        return len(self.probability_names)

    @property
    def target_shape(self) -> tuple[int, ...]:
        """Shape of one image's target: ``()`` for a class number, ``(L,)`` for several labels."""
        return ()

    @property
    def positive_class(self) -> str | None:
        """The class that a single probability belongs to, where there is one."""
        return None

    @abstractmethod
    def fault(self, row: Row) -> str | None:
        """Return what is wrong with a row's labels, or None."""

    @abstractmethod
    def encode(self, row: Row) -> int | list[int]:
        """Return the target of a row that has no fault, `UNKNOWN` where nobody ruled on it."""

    def ruled(self, row: Row) -> int | list[int]:
        """Return the target of a row as its cells say, before any policy for what is unknown."""
        return self.encode(row)

    @abstractmethod
    def stratum(self, row: Row) -> str:
        """Return a row's labels as one text: the name of the class, or of the findings that are there."""

    def strata(self, rows: Sequence[Row]) -> NDArray[np.int64]:
        """Return what a split keeps in proportion: the targets of rows without fault.

        Shape:
            - output: ``(N,)`` class numbers, or ``(N, L)`` of 0, 1 and `UNKNOWN`.
        """
        return np.array([self.encode(row) for row in rows], np.int64).reshape(len(rows), *self.target_shape)

    @abstractmethod
    def counts(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Return how many rows have each class: ``{"classes": {name: number}}``, and what else counts.

        A task with unknown labels adds what was written in the cells, before its policy:
        ``{"labels": {name: {"positive": n, "negative": n, "unknown": n, "unknown_is": policy}}}``.
        """

    def class_counts(self, rows: Sequence[Row]) -> ClassCounts | None:
        """Return what a loss of `rn50med.losses` has to know of train; None where none of them can be had.

        Args:
            rows: Of train, and of no other split, without fault.
        """
        return None

    @abstractmethod
    def absent(self, rows: Sequence[Row]) -> dict[str, str]:
        """Return the classes or labels that cannot be learnt or judged on these rows, and what is absent.

        The text is a clause such as ``no image of class 'virus'``.
        """

    def untrained(self, rows: Sequence[Row]) -> tuple[str, ...]:
        """Return the names of the classes or labels that cannot be learnt from these rows."""
        return tuple(self.absent(rows))

    @abstractmethod
    def single(self, rows: Sequence[Row]) -> str | None:
        """Return why there is nothing to tell apart in these rows, and what to do; None where there is.

        The text is the rest of a sentence, without its last stop.
        """

    @abstractmethod
    def imagine(self, draw: float) -> tuple[dict[str, str], tuple[int, ...]]:
        """Return labels of a synthetic patient, and the findings the phantom draws for them.

        Args:
            draw: A random number in [0, 1).
        """

    @abstractmethod
    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the mean loss of a batch, a scalar.

        Shape:
            - logits: ``(B, K)``.
            - target: as `encode` gives it, batched.
        """

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
    def target_columns(self, target: NDArray[np.int64]) -> Columns:
        """Return the columns of a prediction file that hold the targets, as text."""

    @abstractmethod
    def watched(self, cases: Cases) -> dict[str, float]:
        """Return the figures to log each epoch, without intervals; undefined is ``nan``."""

    @abstractmethod
    def headline(self, cases: Cases) -> Figure:
        """Return the figure that is watched, with its interval by patient."""

    @abstractmethod
    def figures(
        self, cases: Cases, point: Thresholds, prevalence: Mapping[str, float] | None = None
    ) -> dict[str, Figure]:
        """Return the final figures with their intervals, clustered by patient.

        The prevalence is that of `prevalence_names` where the model is to be used, in (0, 1).
        """

    @property
    def prevalence_names(self) -> tuple[str, ...]:
        """Names whose predictive values can be given for a stated prevalence."""
        return ()

    def operating_point(self, cases: Cases, rule: Rule = YOUDEN) -> Thresholds:
        """Return what to call by from now on, chosen on these cases (of val), if there is anything."""
        return None

    def temperature(self, predictions: Predictions) -> Temperature | None:
        """Return what to divide logits by from now on, chosen on these images (of val), if anything is."""
        return None

    def calibration(self, cases: Cases) -> dict[str, float]:
        """Return how far probabilities are from the truth, without intervals, by the names of `figures`."""
        return {}

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
