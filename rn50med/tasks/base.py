"""What every task promises."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from rn50med.evaluation.arrays import UNKNOWN, Targets
from rn50med.evaluation.cases import Cases
from rn50med.evaluation.figure import Figure
from rn50med.evaluation.operating_point import Thresholds
from rn50med.evaluation.operating_rule import YOUDEN, Rule
from rn50med.evaluation.predictions import Predictions
from rn50med.evaluation.temperature import Temperature
from rn50med.losses import ClassCounts
from rn50med.tasks.filed import Columns, Filed
from rn50med.tasks.words import Words

__all__ = ["UNKNOWN", "Columns", "Row", "Task"]

Row = Mapping[str, str]
"""A row of the manifest: the cell of each column, as text."""


class Task(Words, Filed):
    """What is predicted of an image. A subclass is a frozen dataclass."""

    monitor: ClassVar[str] = "auroc"
    """The figure of val by which the best epoch is chosen."""

    monitor_mode: ClassVar[Literal["max", "min"]] = "max"
    """Whether more of that figure is better, or less."""

    def told(self) -> dict[str, Any]:
        """Return what a report has to know of the task, in plain types."""
        own = {
            "headline": self.headline_words,
            "figures": dict(self.figure_words),
            "section": list(self.section),
        }
        return {
            "kind": type(self).__name__,
            "classes": list(self.classes),
            "positive": self.positive_class,
            "watched": self.monitor,
            "loss": self.loss_words,
            **{name: said for name, said in own.items() if said},
            **self.facts(),
        }

    @property
    @abstractmethod
    def columns(self) -> tuple[str, ...]:
        """Manifest columns that hold the labels."""

    @property
    def num_outputs(self) -> int:
        """Number of the network's logits; one per probability."""
        return len(self.probability_names)

    @property
    def positive_class(self) -> str | None:
        """The class that a single probability belongs to, where there is one."""
        return None

    @abstractmethod
    def fault(self, row: Row) -> str | None:
        """Return what is wrong with a row's labels, or None."""

    @abstractmethod
    def encode(self, row: Row) -> float | list[int]:
        """Return the target of a row that has no fault, `UNKNOWN` where nobody ruled on it."""

    def ruled(self, row: Row) -> float | list[int]:
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

    @property
    def strata_names(self) -> tuple[str, ...]:
        """Names of the numbers or columns of `strata`."""
        return self.classes

    def targets(self, rows: Sequence[Row]) -> Targets:
        """Return what the network learns of rows without fault: mostly `strata`; numbers where continuous."""
        return self.strata(rows)

    def given(self, target: Tensor) -> Tensor:
        """Return the targets of a batch of somebody's own as `encode` would give them.

        Args:
            target: In the shape of `target_shape`, batched.

        Raises:
            RecipeError: If there are numbers that the task does not know.
        """
        return target

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

    def questions(self, targets: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return what a linear model of each logit learns: mostly the targets themselves.

        Shape:
            - targets: ``(N,)`` or ``(N, L)``.
            - output: the same; ``(N, num_outputs)`` of 0, 1 and `UNKNOWN` where each logit asks its own.
        """
        return targets

    def growth(self, draw: float) -> float | None:
        """Return how large the phantom draws the patient's heart, in [0, 1]; None leaves it to chance.

        Args:
            draw: That `imagine` is given.
        """
        return None

    @abstractmethod
    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the mean loss of a batch, a scalar.

        Shape:
            - logits: ``(B, K)``.
            - target: as `encode` gives it, batched; or soft, as `mixed` gives it.
        """

    def terms(self, target: Tensor) -> Tensor:
        """Return how many terms `loss` takes the mean of, by which several processes are put together.

        Args:
            target: As for `loss`.

        Shape:
            - output: ``()``.
        """
        labels = target[:, 0] if self.exclusive and target.ndim > 1 else target
        return torch.ones_like(labels).sum() if self.continuous else (labels != UNKNOWN).sum()

    def soft(self, target: Tensor) -> Tensor:
        """Return targets of a batch as numbers between which there are others; `UNKNOWN` stays as it is.

        Shape:
            - target: as `encode` gives it, batched; or soft already.
            - output: one-hot, ``(B, K)``, for classes that exclude each other; else as the target.
        """
        if not self.exclusive or target.is_floating_point():
            return target.float()
        hot = F.one_hot(target.clamp(min=0), self.num_outputs).float()
        return torch.where((target == UNKNOWN)[:, None], float(UNKNOWN), hot)

    @property
    def blends(self) -> bool:
        """Whether targets of two images can be blended, as mixup does."""
        return True

    def mixed(self, target: Tensor, other: Tensor, share: float) -> Tensor:
        """Return the targets of blended images, unknown where either is.

        Args:
            target: As `encode` gives it, batched.
            other: Likewise.
            share: Of the first in the blend, in [0, 1].

        Shape:
            - output: as that of `soft`.
        """
        one, two = self.soft(target), self.soft(other)
        return torch.where(
            (one == UNKNOWN) | (two == UNKNOWN), float(UNKNOWN), share * one + (1 - share) * two
        )

    @abstractmethod
    def watched(self, cases: Cases) -> dict[str, float]:
        """Return the figures to log each epoch, without intervals; undefined is ``nan``."""

    def chance(self, learnt: Targets, cases: Cases) -> float:
        """Return what the figure that is watched is without having learnt anything: of an AUROC, one half.

        Args:
            learnt: Targets of train.
            cases: Those that are judged.
        """
        return 0.5

    @property
    def perfect(self) -> float:
        """What the figure that is watched is without a fault: 1, or 0 where less of it is better."""
        return 1.0 if self.monitor_mode == "max" else 0.0

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

    def baselines(self, learnt: Targets, cases: Cases) -> dict[str, Figure]:
        """Return figures of saying the same of every case, as these targets of train suggest; mostly none."""
        return {}

    def calibration(self, cases: Cases) -> dict[str, float]:
        """Return how far probabilities are from the truth, without intervals, by the names of `figures`."""
        return {}
