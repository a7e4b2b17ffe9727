"""DeLong's variance of an AUROC, by patient."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from rn50med.evaluation.arrays import Bools, Floats, Ints


@dataclass(frozen=True, eq=False)
class Influence:
    """What each patient adds to an AUROC's departure from its mean.

    Args:
        value: The AUROC.
        positive: Part of each patient's positive images, shape ``(patients,)``.
        negative: Part of each patient's negative images, shape ``(patients,)``.
        positive_patients: Patients with a positive image.
        negative_patients: Patients with a negative image.
    """

    value: float
    positive: Floats
    negative: Floats
    positive_patients: int
    negative_patients: int


def _by_patient(placements: Floats, value: float, index: Ints, patients: int) -> Floats:
    excess = np.bincount(index, weights=placements - value, minlength=patients)
    return np.asarray(excess / placements.size, dtype=np.float64)


def clustered_influence(scores: Floats, positive: Bools, index: Ints, patients: int) -> Influence:
    """Return an AUROC and each patient's influence on it.

    Args:
        scores: Higher is more likely positive; both outcomes occur.
        positive: Whether each image is positive.
        index: Patient of each image, from 0.
        patients: Number of patients.

    Shape:
        - scores, positive, index: ``(N,)``.

    Source:
        DeLong et al., Biometrics 1988, 10.2307/2531595: the placement of an image is the share of the
        other outcome's images that it ranks rightly against.

    Example:
        >>> scores, positive = np.array([0.1, 0.4, 0.4, 0.8]), np.array([False, False, True, True])
        >>> found = clustered_influence(scores, positive, np.arange(4), 4)
        >>> found.value, found.positive.tolist()
        (0.875, [0.0, 0.0, -0.0625, 0.0625])
    """
    ranks = rankdata(scores)
    count, others = int(positive.sum()), int((~positive).sum())
    above = (ranks[positive] - rankdata(scores[positive])) / others
    below = 1.0 - (ranks[~positive] - rankdata(scores[~positive])) / count
    value = float(above.mean())
    return Influence(
        value,
        _by_patient(above, value, index[positive], patients),
        _by_patient(below, value, index[~positive], patients),
        np.unique(index[positive]).size,
        np.unique(index[~positive]).size,
    )


def variance(influences: Sequence[Influence], patients: int) -> float:
    """Return the variance of the mean of AUROCs, ``nan`` where a part of it has fewer than two patients.

    Args:
        influences: One of a binary AUROC, or one per class of a one-versus-rest mean.
        patients: Number of patients.

    Source:
        Obuchowski, Biometrics 1997, 10.2307/2533958, equation of the clustered variance. It is DeLong's
        where each patient has one image, and does not change when every image is repeated.

    Example:
        >>> scores, positive = np.array([0.1, 0.4, 0.4, 0.8]), np.array([False, False, True, True])
        >>> round(variance([clustered_influence(scores, positive, np.arange(4), 4)], 4), 6)
        0.03125
    """
    if any(min(each.positive_patients, each.negative_patients) < 2 for each in influences):
        return math.nan
    total = np.mean([_scaled(each) for each in influences], axis=0)
    # Within a class Obuchowski divides the product of both outcomes by all patients, less one.
    shared = sum(
        (patients / (patients - 1) - _scale(each.positive_patients) * _scale(each.negative_patients))
        * float(each.positive @ each.negative)
        for each in influences
    )
    return float(total @ total + 2.0 * shared / len(influences) ** 2)


def _scale(number: int) -> float:
    """Return the factor that gives a sum of squares the divisor ``number - 1``."""
    return math.sqrt(number / (number - 1))


def _scaled(each: Influence) -> Floats:
    positive = each.positive * _scale(each.positive_patients)
    return positive + each.negative * _scale(each.negative_patients)
