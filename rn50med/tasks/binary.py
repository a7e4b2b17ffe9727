"""One finding, present or absent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from rn50med.evaluation.calibration import calibration_of
from rn50med.evaluation.cases import Cases
from rn50med.evaluation.figure import Figure, undefined
from rn50med.evaluation.figures import binary_figures
from rn50med.evaluation.intervals import auroc_interval
from rn50med.evaluation.metrics import auroc
from rn50med.evaluation.operating_point import OperatingPoint, Thresholds
from rn50med.evaluation.operating_rule import YOUDEN, Rule, choose
from rn50med.evaluation.predictions import Predictions
from rn50med.evaluation.temperature import Temperature, sigmoid_temperature
from rn50med.losses import ClassCounts
from rn50med.tasks.base import Row
from rn50med.tasks.known import masked_bce
from rn50med.tasks.one_column import OneColumn, check_names


@dataclass(frozen=True)
class Binary(OneColumn):
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
        check_names(self.classes, "classes", 2)

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

    def class_counts(self, rows: Sequence[Row]) -> ClassCounts | None:
        """Return how many rows are negative and positive."""
        return ClassCounts.of(self.strata(rows), 1, exclusive=False)

    @property
    def loss_words(self) -> str:
        """For the methods of a report."""
        return "binary cross-entropy"

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the binary cross-entropy, the mean over the known labels of the batch; 0 without any."""
        return masked_bce(logits[:, 0], target)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return the positive class's probability, shape ``(B, 1)``."""
        return logits.sigmoid()

    def calls(self, probability: NDArray[np.float64], point: Thresholds) -> NDArray[np.str_]:
        """Return positive at or above the operating point, at one half where there is none."""
        threshold = point.threshold if isinstance(point, OperatingPoint) else 0.5
        return np.where(probability[:, 0] >= threshold, self.positive, self.negative)

    def watched(self, cases: Cases) -> dict[str, float]:
        """Return the AUROC."""
        return {"auroc": auroc(cases.probability[:, 0], cases.target)}

    def headline(self, cases: Cases) -> Figure:
        """Return the AUROC."""
        if len(np.unique(cases.target)) < 2:
            return undefined("only one class occurs", len(cases.target))
        return auroc_interval(cases.probability[:, 0], cases.target, cases.patients)

    def operating_point(self, cases: Cases, rule: Rule = YOUDEN) -> OperatingPoint | None:
        """Return the point of the rule, or None where val lacks a class."""
        if len(np.unique(cases.target)) < 2:
            return None
        return choose(cases.probability[:, 0], cases.target, rule, cases.patients)

    def temperature(self, predictions: Predictions) -> Temperature:
        """Return one temperature."""
        return Temperature((sigmoid_temperature(predictions.logits[:, 0], predictions.target),))

    def calibration(self, cases: Cases) -> dict[str, float]:
        """Return the figures of the positive class."""
        return calibration_of(cases.probability[:, 0], cases.target == 1)

    @property
    def prevalence_names(self) -> tuple[str, ...]:
        """The positive class."""
        return (self.positive,)

    def figures(
        self, cases: Cases, point: Thresholds, prevalence: Mapping[str, float] | None = None
    ) -> dict[str, Figure]:
        """Return the figures of `rn50med.evaluation.figures.binary_figures`."""
        threshold = point.threshold if isinstance(point, OperatingPoint) else None
        stated = (prevalence or {}).get(self.positive)
        return binary_figures(
            cases.probability[:, 0], cases.target, cases.patients, threshold, self.classes, stated
        )
