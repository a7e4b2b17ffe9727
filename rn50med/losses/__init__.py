"""Losses: what training minimises, where the task's own will not do.

Every loss takes hard targets, soft ones as mixup makes them, and labels that nobody ruled on. What it has
to know of the classes, their weights and priors, it learns from the training images alone, see
`ClassCounts`.
"""

from __future__ import annotations

from rn50med.losses.asymmetric import Asymmetric
from rn50med.losses.base import Loss, PreparedLoss
from rn50med.losses.counts import ClassCounts, Weighting
from rn50med.losses.cross_entropy import CrossEntropy
from rn50med.losses.focal import Focal
from rn50med.losses.logit_adjusted import LogitAdjusted

__all__ = [
    "Asymmetric",
    "ClassCounts",
    "CrossEntropy",
    "Focal",
    "LogitAdjusted",
    "Loss",
    "PreparedLoss",
    "Weighting",
]

# Recipes and checkpoints name a class by this package, wherever in it the class is written.
for _loss in (Loss, CrossEntropy, Focal, Asymmetric, LogitAdjusted):
    _loss.__module__ = __name__
