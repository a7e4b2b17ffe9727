"""One of several grades, from the least to the most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from rn50med.evaluation.cases import Cases
from rn50med.evaluation.figure import Figure
from rn50med.evaluation.figures_ordinal import (
    auroc_above,
    auroc_above_interval,
    median_grade,
    ordinal_figures,
)
from rn50med.evaluation.operating_point import Thresholds
from rn50med.losses import ClassCounts
from rn50med.tasks.base import UNKNOWN, Row
from rn50med.tasks.multiclass import MultiClass


@dataclass(frozen=True)
class Ordinal(MultiClass):
    """One of several grades, from the least to the most: a logit for each step up, learnt as in CORN.

    The k-th logit asks whether a case that has reached grade k goes beyond it. Probabilities of the grades
    follow and never contradict each other. The call is the median grade, with no more than one half of the
    probability on either side: it is off by the fewest grades.

    Args:
        names: The grades, the least first. The phantom draws another finding for each step up.
        column: Manifest column of the label.

    Source:
        Shi, Cao and Raschka, *Deep neural networks for rank-consistent ordinal regression based on
        conditional probabilities*, Pattern Analysis and Applications 2023; arXiv:2111.08851.

    Example:
        >>> import torch
        >>> task = Ordinal(names=("none", "mild", "severe"))
        >>> task.probabilities(torch.zeros(1, 2)).tolist()
        [[0.5, 0.25, 0.25]]
    """

    monitor: ClassVar[str] = "auroc_above"

    @property
    def blends(self) -> bool:
        """No: between two grades lie others, of which neither image is."""
        return False

    def facts(self) -> dict[str, Any]:
        """Return that the classes have an order."""
        return {"ordered": True}

    @property
    def num_outputs(self) -> int:
        """One for each step up."""
        return len(self.names) - 1

    def imagine(self, draw: float) -> tuple[dict[str, str], tuple[int, ...]]:
        """Return grades in equal shares; grade k has the phantom's first k findings."""
        chosen = int(draw * len(self.names))
        return {self.column: self.names[chosen]}, tuple(range(chosen))

    def questions(self, targets: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return whether a case goes beyond each grade but the last; `UNKNOWN` where it did not reach it."""
        grades = np.arange(self.num_outputs)
        reached = targets[:, None] >= grades
        return np.where(reached, targets[:, None] > grades, UNKNOWN).astype(np.int64)

    def class_counts(self, rows: Sequence[Row]) -> ClassCounts | None:
        """Return None: the losses of `rn50med.losses` know no order."""
        return None

    @property
    def loss_words(self) -> str:
        """For the methods of a report."""
        return "binary cross-entropy of the steps from grade to grade (CORN)"

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the binary cross-entropy of the steps, the mean over all that cases of the batch come to."""
        steps = torch.arange(self.num_outputs, device=target.device)
        reached = (target[:, None] >= steps).to(logits.dtype)
        goes_on = (target[:, None] > steps).to(logits.dtype)
        total = F.binary_cross_entropy_with_logits(logits, goes_on, weight=reached, reduction="sum")
        return total / reached.sum().clamp(min=1)

    def terms(self, target: Tensor) -> Tensor:
        """Return how many steps the cases of a batch come to."""
        return (target[:, None] >= torch.arange(self.num_outputs, device=target.device)).sum()

    def class_logits(self, logits: Tensor) -> Tensor:
        """Return the logarithm of each grade's probability, exact where the probability is tiny.

        Shape:
            - logits: ``(B, K - 1)``.
            - output: ``(B, K)``.
        """
        reached = F.pad(F.logsigmoid(logits).cumsum(dim=-1), (1, 0))
        stays = F.pad(F.logsigmoid(-logits), (0, 1))  # who has reached the last grade stays there
        return reached + stays

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return each grade's probability, shape ``(B, K)``."""
        return self.of_class_logits(self.class_logits(logits))

    def of_class_logits(self, logits: Tensor) -> Tensor:
        """Return the softmax, which takes no more than exponentials of logarithms; shape ``(B, K)``."""
        return logits.softmax(dim=-1)

    def calls(self, probability: NDArray[np.float64], point: Thresholds) -> NDArray[np.str_]:
        """Return the median grade."""
        return self.target_names(median_grade(probability))

    def watched(self, cases: Cases) -> dict[str, float]:
        """Return the mean AUROC of more than each grade, over those that are defined, and each of them."""
        mean, each = auroc_above(cases.probability, cases.target)
        by_cut = {
            f"auroc_above/{name}": float(value) for name, value in zip(self.names[:-1], each, strict=True)
        }
        return {"auroc_above": mean, **by_cut}

    def headline(self, cases: Cases) -> Figure:
        """Return the mean AUROC of more than each grade."""
        return auroc_above_interval(cases.probability, cases.target, cases.patients, self.names)

    def figures(
        self, cases: Cases, point: Thresholds, prevalence: Mapping[str, float] | None = None
    ) -> dict[str, Figure]:
        """Return the figures of `rn50med.evaluation.figures_ordinal.ordinal_figures`."""
        return ordinal_figures(cases.probability, cases.target, cases.patients, self.names)
