"""One of several classes that exclude each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from rn50med.evaluation.calibration import calibration_of
from rn50med.evaluation.cases import Cases
from rn50med.evaluation.figure import Figure
from rn50med.evaluation.figures import multiclass_figures
from rn50med.evaluation.intervals import macro_auroc_interval
from rn50med.evaluation.metrics import brier, log_loss, macro_auroc
from rn50med.evaluation.operating_point import Thresholds
from rn50med.evaluation.predictions import Predictions
from rn50med.evaluation.temperature import Temperature, softmax_temperature
from rn50med.losses import ClassCounts
from rn50med.tasks.base import UNKNOWN, Row
from rn50med.tasks.one_column import OneColumn, check_names


@dataclass(frozen=True)
class MultiClass(OneColumn):
    """One of several classes that exclude each other: a logit each and a softmax.

    Args:
        names: The classes, in the order of the logits. The phantom draws the first without a finding.
        column: Manifest column of the label.
    """

    names: tuple[str, ...]
    column: str = "label"

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))
        check_names(self.names, "classes", 2)

    @property
    def classes(self) -> tuple[str, ...]:
        """As declared."""
        return self.names

    def imagine(self, draw: float) -> tuple[dict[str, str], tuple[int, ...]]:
        """Return classes in equal shares; class k has the phantom's finding k - 1, the first none."""
        chosen = int(draw * len(self.names))
        return {self.column: self.names[chosen]}, (chosen - 1,) if chosen else ()

    def class_counts(self, rows: Sequence[Row]) -> ClassCounts | None:
        """Return how many rows have each class."""
        return ClassCounts.of(self.strata(rows), len(self.names), exclusive=True)

    @property
    def loss_words(self) -> str:
        """For the methods of a report."""
        return "cross-entropy"

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the cross-entropy, of soft targets too, the mean over the known labels; 0 without any."""
        soft = target.is_floating_point()
        known = ((target[:, 0] if soft else target) != UNKNOWN).to(logits.dtype)
        answers = target.clamp(min=0).to(logits.dtype) if soft else target.clamp(min=0)
        each = F.cross_entropy(logits, answers, reduction="none")
        return (each * known).sum() / known.sum().clamp(min=1)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return the softmax, shape ``(B, K)``."""
        return logits.softmax(dim=-1)

    def calls(self, probability: NDArray[np.float64], point: Thresholds) -> NDArray[np.str_]:
        """Return the most probable class."""
        return self.target_names(probability.argmax(axis=1))

    def watched(self, cases: Cases) -> dict[str, float]:
        """Return the macro AUROC over the classes that are defined, and each class's."""
        macro, each = macro_auroc(cases.probability, cases.target)
        by_class = {f"auroc/{name}": float(value) for name, value in zip(self.names, each, strict=True)}
        return {"auroc": macro, **by_class}

    def headline(self, cases: Cases) -> Figure:
        """Return the macro AUROC."""
        return macro_auroc_interval(cases.probability, cases.target, cases.patients)

    def temperature(self, predictions: Predictions) -> Temperature:
        """Return one temperature for all classes."""
        return Temperature((softmax_temperature(self.stored_logits(predictions.logits), predictions.target),))

    def calibration(self, cases: Cases) -> dict[str, float]:
        """Return log-loss and Brier score of all classes, and what else there is of each."""
        found = {
            "brier": brier(cases.probability, cases.target),
            "log_loss": log_loss(cases.probability, cases.target),
        }
        for k, name in enumerate(self.names):
            each = calibration_of(cases.probability[:, k], cases.target == k)
            found |= {f"{key}/{name}": value for key, value in each.items() if key not in found}
        return found

    def figures(
        self, cases: Cases, point: Thresholds, prevalence: Mapping[str, float] | None = None
    ) -> dict[str, Figure]:
        """Return the figures of `rn50med.evaluation.figures.multiclass_figures`."""
        return multiclass_figures(cases.probability, cases.target, cases.patients, self.names)
