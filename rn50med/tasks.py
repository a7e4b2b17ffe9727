"""Tasks: what is predicted, how it is encoded, learnt and judged.

A task is written once and knows everything that depends on what is predicted: the number of logits,
the loss, the probabilities, the figures, the figure to watch. Nothing else in rn50med asks which task
it has.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from rn50med.errors import RecipeError, nearest
from rn50med.evaluation.figures import binary_figures, multiclass_figures
from rn50med.evaluation.intervals import Figure
from rn50med.evaluation.metrics import auroc, macro_auroc
from rn50med.evaluation.operating_point import OperatingPoint, youden
from rn50med.evaluation.predictions import Predictions, stored
from rn50med.parts import Part

Columns = dict[str, NDArray[np.generic]]


class Task(Part, ABC):
    """What is predicted of an image. A subclass is a frozen dataclass."""

    monitor: ClassVar[str] = "auroc"
    """The figure of val by which the best epoch is chosen; more is better."""

    @property
    @abstractmethod
    def classes(self) -> tuple[str, ...]:
        """Names of the classes or findings, in the one order used everywhere."""

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
        """Number of logits, K; one per probability."""
        return len(self.probability_names)

    @property
    def positive_class(self) -> str | None:
        """The class that a single probability belongs to, where there is one."""
        return None

    @abstractmethod
    def fault(self, row: Mapping[str, str]) -> str | None:
        """Return what is wrong with a row's labels, or None."""

    @abstractmethod
    def encode(self, row: Mapping[str, str]) -> int | list[int]:
        """Return the target of a row that has no fault."""

    @abstractmethod
    def stratum(self, row: Mapping[str, str]) -> str:
        """Return what a split keeps in proportion: the name of the row's class."""

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
            - logits: ``(B, K)``.
            - output: ``(B, 1)`` for `Binary`, else ``(B, K)``.
        """

    @abstractmethod
    def calls(self, probability: NDArray[np.float64], point: OperatingPoint | None) -> NDArray[np.str_]:
        """Return the call of each image, as a class name."""

    @abstractmethod
    def target_names(self, target: NDArray[np.int64]) -> NDArray[np.str_]:
        """Return the class name of each encoded target."""

    @abstractmethod
    def watched(self, predictions: Predictions) -> dict[str, float]:
        """Return the figures to log each epoch, without intervals; undefined is ``nan``."""

    @abstractmethod
    def figures(
        self, predictions: Predictions, patients: NDArray[np.str_], point: OperatingPoint | None
    ) -> dict[str, Figure]:
        """Return the final figures with their intervals, clustered by patient."""

    def operating_point(self, predictions: Predictions) -> OperatingPoint | None:
        """Return the operating point to freeze, chosen on these predictions (of val), if there is one."""
        return None

    def stored_probabilities(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return probabilities in 64-bit, rounded as a prediction file holds them."""
        return stored(self.probabilities(torch.from_numpy(np.array(logits, dtype=np.float64))).numpy())

    def output_columns(self, logits: NDArray[np.float64], point: OperatingPoint | None) -> Columns:
        """Return the columns of a prediction file that follow from the logits."""
        probability = self.stored_probabilities(logits)
        columns: Columns = {f"prob_{n}": probability[:, i] for i, n in enumerate(self.probability_names)}
        columns |= {f"logit_{n}": logits[:, i] for i, n in enumerate(self.probability_names)}
        return columns | {"call": self.calls(probability, point)}


class _OneColumn(Task):
    """A task whose label stands in one column and is one of several classes."""

    column: str

    @property
    def columns(self) -> tuple[str, ...]:
        """The label's column."""
        return (self.column,)

    def fault(self, row: Mapping[str, str]) -> str | None:
        """Return what is wrong with the label."""
        value, classes = row[self.column], self.classes
        if value in classes:
            return None
        if not value.strip():
            return f"empty cell in column {self.column!r}; write one of {', '.join(classes)}"
        guess = nearest(value, classes)
        hint = f"nearest class {guess!r}" if guess is not None else f"classes are {', '.join(classes)}"
        return f"unknown label {value!r} in column {self.column!r}; {hint}"

    def encode(self, row: Mapping[str, str]) -> int:
        """Return the position of the class; of two, the positive one is 1."""
        return self.classes.index(row[self.column])

    def stratum(self, row: Mapping[str, str]) -> str:
        """Return the label."""
        return row[self.column]

    def target_names(self, target: NDArray[np.int64]) -> NDArray[np.str_]:
        """Return the class names."""
        return np.array(self.classes)[target]


@dataclass(frozen=True)
class Binary(_OneColumn):
    """One finding, present or absent: one logit and a sigmoid.

    It equals a two-way softmax over the logits ``(0, z)``.

    Args:
        negative: The class without the finding.
        positive: The class with it; the probability is of this one.
        column: Manifest column of the label.
    """

    negative: str
    positive: str
    column: str = "label"

    def __post_init__(self) -> None:
        _check_classes(self.classes)

    @property
    def classes(self) -> tuple[str, ...]:
        """Negative first."""
        return (self.negative, self.positive)

    @property
    def positive_class(self) -> str | None:
        """The class with the finding."""
        return self.positive

    @property
    def probability_names(self) -> tuple[str, ...]:
        """The positive class alone."""
        return (self.positive,)

    def imagine(self, draw: float) -> tuple[dict[str, str], tuple[int, ...]]:
        """Return positive for half of the patients, with the phantom's first finding."""
        present = draw < 0.5
        return {self.column: self.classes[int(present)]}, (0,) if present else ()

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the binary cross-entropy."""
        return F.binary_cross_entropy_with_logits(logits[:, 0], target.to(logits.dtype))

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return the positive class's probability, shape ``(B, 1)``."""
        return logits.sigmoid()

    def calls(self, probability: NDArray[np.float64], point: OperatingPoint | None) -> NDArray[np.str_]:
        """Return positive at or above the operating point, at one half where there is none."""
        threshold = 0.5 if point is None else point.threshold
        return np.where(probability[:, 0] >= threshold, self.positive, self.negative)

    def watched(self, predictions: Predictions) -> dict[str, float]:
        """Return the AUROC."""
        return {"auroc": auroc(self.stored_probabilities(predictions.logits)[:, 0], predictions.target)}

    def operating_point(self, predictions: Predictions) -> OperatingPoint | None:
        """Return Youden's point, or None where val lacks a class."""
        if len(np.unique(predictions.target)) < 2:
            return None
        return youden(self.stored_probabilities(predictions.logits)[:, 0], predictions.target)

    def figures(
        self, predictions: Predictions, patients: NDArray[np.str_], point: OperatingPoint | None
    ) -> dict[str, Figure]:
        """Return the figures of `rn50med.evaluation.figures.binary_figures`."""
        probability = self.stored_probabilities(predictions.logits)[:, 0]
        threshold = None if point is None else point.threshold
        return binary_figures(probability, predictions.target, patients, threshold, self.classes)


@dataclass(frozen=True)
class MultiClass(_OneColumn):
    """One of several classes that exclude each other: a logit each and a softmax.

    Args:
        names: The classes, in the order of the logits. The phantom draws the first without a finding.
        column: Manifest column of the label.
    """

    names: tuple[str, ...]
    column: str = "label"

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))
        _check_classes(self.names)

    @property
    def classes(self) -> tuple[str, ...]:
        """As declared."""
        return self.names

    def imagine(self, draw: float) -> tuple[dict[str, str], tuple[int, ...]]:
        """Return classes in equal shares; class k has the phantom's finding k - 1, the first none."""
        chosen = int(draw * len(self.names))
        return {self.column: self.names[chosen]}, (chosen - 1,) if chosen else ()

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the cross-entropy."""
        return F.cross_entropy(logits, target)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return the softmax, shape ``(B, K)``."""
        return logits.softmax(dim=-1)

    def calls(self, probability: NDArray[np.float64], point: OperatingPoint | None) -> NDArray[np.str_]:
        """Return the most probable class."""
        return self.target_names(probability.argmax(axis=1))

    def watched(self, predictions: Predictions) -> dict[str, float]:
        """Return the macro AUROC over the classes that are defined, and each class's."""
        macro, each = macro_auroc(self.stored_probabilities(predictions.logits), predictions.target)
        by_class = {f"auroc/{name}": float(value) for name, value in zip(self.names, each, strict=True)}
        return {"auroc": macro, **by_class}

    def figures(
        self, predictions: Predictions, patients: NDArray[np.str_], point: OperatingPoint | None
    ) -> dict[str, Figure]:
        """Return the figures of `rn50med.evaluation.figures.multiclass_figures`."""
        probability = self.stored_probabilities(predictions.logits)
        return multiclass_figures(probability, predictions.target, patients, self.names)


def _check_classes(classes: tuple[str, ...]) -> None:
    if (
        len(classes) < 2
        or len(set(classes)) < len(classes)
        or not all(isinstance(c, str) and c for c in classes)
    ):
        raise RecipeError(f"task: classes are {list(classes)!r}; give two or more different names.")
