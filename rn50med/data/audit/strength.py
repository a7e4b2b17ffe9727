"""Strength: how wide the intervals of this test set will be, before anything is trained."""

from __future__ import annotations

import math

from rn50med.data.audit.counting import many
from rn50med.data.audit.labels import patients_of_classes
from rn50med.data.findings import Finding
from rn50med.data.manifest import Manifest
from rn50med.evaluation.proportions import wilson
from rn50med.tasks import Task

ASSUMED = 0.85
"""AUROC, sensitivity and specificity that are assumed: of a useful model, not of a perfect one."""

WIDE = 0.1
"""Half-width of the AUROC's interval from which on a test set says little."""

_QUANTILE = 1.959963984540054  # of the normal distribution, for 95 %


def auroc_half_width(positives: int, negatives: int, auroc: float = ASSUMED) -> float:
    """Return half the width that an AUROC's 95 % interval will have.

    Args:
        positives: Independent cases with the finding, 1 or more.
        negatives: Independent cases without it, 1 or more.
        auroc: That is assumed, in (0, 1).

    Source:
        Hanley and McNeil, *The meaning and use of the area under a ROC curve*, Radiology 1982,
        10.1148/radiology.143.1.7063747, equation 1.

    Example:
        >>> round(auroc_half_width(50, 50), 3)
        0.077
    """
    first = auroc / (2 - auroc)
    second = 2 * auroc**2 / (1 + auroc)
    variance = (
        auroc * (1 - auroc) + (positives - 1) * (first - auroc**2) + (negatives - 1) * (second - auroc**2)
    ) / (positives * negatives)
    return _QUANTILE * math.sqrt(variance)


def proportion_half_width(cases: int, share: float = ASSUMED) -> float:
    """Return half the width that a sensitivity's or specificity's 95 % interval (Wilson's) will have.

    Args:
        cases: Independent cases, 1 or more.
        share: That is assumed, in [0, 1].

    Example:
        >>> round(proportion_half_width(50), 3)
        0.099
    """
    low, high = wilson(share, cases)
    return (high - low) / 2


def expected_interval(manifest: Manifest, task: Task, split: str = "test") -> list[Finding]:
    """Report how wide the intervals of a split's figures will be.

    A patient counts once for each class, however many images there are: the cautious end, as if all
    images of a patient were copies. Of several classes or labels the widest is told.

    Args:
        manifest: With its splits; rows without fault.
        task: Knows the classes.
        split: That will be judged.
    """
    found = patients_of_classes(manifest, task, split)
    if task.positive_class is not None:
        found = {task.positive_class: found[task.positive_class]}
    defined = {name: (len(has), len(lacks)) for name, (has, lacks) in found.items() if has and lacks}
    if not defined:
        return []
    name = max(defined, key=lambda each: auroc_half_width(*defined[each]))
    positives, negatives = defined[name]
    half = auroc_half_width(positives, negatives)
    whose = "" if len(found) == 1 else f" of {name}, the widest,"
    message = (
        f"Expected 95 % intervals{whose} on {split}, with {many(positives, 'patient')} positive and "
        f"{negatives} negative, if the true figures are {ASSUMED}: AUROC ± {half:.2f}, sensitivity "
        f"± {proportion_half_width(positives):.2f}, specificity ± {proportion_half_width(negatives):.2f}."
    )
    remedy = "add patients to test, or use cross-validation, before models are compared"
    wide = half > WIDE
    return [Finding("expected-interval", "warning" if wide else "info", message, remedy if wide else "")]
