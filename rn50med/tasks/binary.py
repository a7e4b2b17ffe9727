"""One finding, present or absent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from rn50med.evaluation.figure import Figure
from rn50med.evaluation.figures import binary_figures
from rn50med.evaluation.metrics import auroc
from rn50med.evaluation.operating_point import OperatingPoint, Thresholds
from rn50med.evaluation.operating_rule import YOUDEN, Rule, choose
from rn50med.evaluation.predictions import Predictions
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

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the binary cross-entropy."""
        return F.binary_cross_entropy_with_logits(logits[:, 0], target.to(logits.dtype))

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return the positive class's probability, shape ``(B, 1)``."""
        return logits.sigmoid()

    def calls(self, probability: NDArray[np.float64], point: Thresholds) -> NDArray[np.str_]:
        """Return positive at or above the operating point, at one half where there is none."""
        threshold = point.threshold if isinstance(point, OperatingPoint) else 0.5
        return np.where(probability[:, 0] >= threshold, self.positive, self.negative)

    def watched(self, predictions: Predictions) -> dict[str, float]:
        """Return the AUROC."""
        return {"auroc": auroc(self.stored_probabilities(predictions.logits)[:, 0], predictions.target)}

    def operating_point(
        self, predictions: Predictions, rule: Rule = YOUDEN, patients: NDArray[np.str_] | None = None
    ) -> OperatingPoint | None:
        """Return the point of the rule, or None where val lacks a class."""
        if len(np.unique(predictions.target)) < 2:
            return None
        probability = self.stored_probabilities(predictions.logits)[:, 0]
        return choose(probability, predictions.target, rule, patients)

    def figures(
        self, predictions: Predictions, patients: NDArray[np.str_], point: Thresholds
    ) -> dict[str, Figure]:
        """Return the figures of `rn50med.evaluation.figures.binary_figures`."""
        probability = self.stored_probabilities(predictions.logits)[:, 0]
        threshold = point.threshold if isinstance(point, OperatingPoint) else None
        return binary_figures(probability, predictions.target, patients, threshold, self.classes)
