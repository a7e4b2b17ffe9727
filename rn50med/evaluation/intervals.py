"""95 % intervals that know images of one patient are alike.

Every function takes ``groups``, the patient of each image. Counting a patient's four films as four
patients makes intervals that cover 70 % where they promise 95 %.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, logit

from rn50med.evaluation.arrays import UNKNOWN, finite, indices, labels, patients_of
from rn50med.evaluation.bootstrap import bootstrap_interval
from rn50med.evaluation.delong import Influence, clustered_influence, variance
from rn50med.evaluation.figure import QUANTILE, Figure, undefined
from rn50med.evaluation.proportions import (
    effective_number,
    mean_proportion_interval,
    proportion_interval,
    recovered,
    wilson,
)

__all__ = [
    "Figure",
    "auroc_interval",
    "bootstrap_interval",
    "effective_number",
    "label_auroc_interval",
    "macro_auroc_interval",
    "mean_proportion_interval",
    "proportion_interval",
    "undefined",
    "wilson",
]


def _on_logit(value: float, squared_error: float) -> tuple[float, float]:
    """Return an interval that is symmetric on the logit scale, for a value inside (0, 1)."""
    half = QUANTILE * math.sqrt(squared_error) / (value * (1 - value))
    return float(expit(logit(value) - half)), float(expit(logit(value) + half))


def _auroc_ends(influence: Influence, patients: int) -> tuple[float, float]:
    squared_error = variance([influence], patients)
    if 0.0 < influence.value < 1.0 and squared_error > 0.0:
        return _on_logit(influence.value, squared_error)
    # Ends without an estimate of the variance: no AUROC varies more than A (1 - A) / min(m, n).
    return wilson(influence.value, min(influence.positive_patients, influence.negative_patients))


def auroc_interval(scores: ArrayLike, target: ArrayLike, groups: ArrayLike) -> Figure:
    """Return the AUROC with DeLong's interval, by patient and on the logit scale.

    Where the data show no variance (an AUROC of 0 or 1, all scores alike, one patient with an outcome)
    the interval is Wilson's on the smaller number of patients: wide, and free of any assumption about the
    scores' distribution, since the largest variance an AUROC can have is that of a proportion of so many.

    Args:
        scores: Higher is more likely positive, shape ``(N,)``.
        target: 0 or 1, shape ``(N,)``.
        groups: Patient of each image, shape ``(N,)``; a patient may have both outcomes.

    Raises:
        NumericalError: If a score is not finite.

    Source:
        Obuchowski, Biometrics 1997, 10.2307/2533958; the largest variance: Birnbaum and Klose, Annals of
        Mathematical Statistics 1957, 10.1214/aoms/1177706794.

    Example:
        >>> figure = auroc_interval([0.1, 0.4, 0.3, 0.8], [0, 0, 1, 1], ["a", "b", "c", "d"])
        >>> figure.value, round(figure.low, 3), round(figure.high, 3)
        (0.75, 0.069, 0.992)
    """
    ranked = finite(scores, "scores")
    positive = indices(target, 2, ranked.shape[0]) == 1
    if positive.all() or not positive.any():
        missing = (
            "no cases" if not positive.size else f"no {'negative' if positive.all() else 'positive'} case"
        )
        return undefined(missing, positive.size)
    index, patients = patients_of(groups)
    influence = clustered_influence(ranked, positive, index, patients)
    return Figure(influence.value, *_auroc_ends(influence, patients), positive.size)


def macro_auroc_interval(probabilities: ArrayLike, target: ArrayLike, groups: ArrayLike) -> Figure:
    """Return the mean of the one-versus-rest AUROCs that are defined, with its interval by patient.

    The variance is that of the mean of the classes' influences; where a class shows none, the ends are
    recovered from those of the classes, taken as independent.

    Args:
        probabilities: Of every class, shape ``(N, K)``.
        target: Class indices, shape ``(N,)``.
        groups: Patient of each image, shape ``(N,)``.

    Source:
        As ``auroc_interval``; DeLong's covariance between curves, Biometrics 1988, 10.2307/2531595.

    Example:
        >>> probabilities = [[0.9, 0.1], [0.6, 0.4], [0.7, 0.3], [0.2, 0.8]]
        >>> round(macro_auroc_interval(probabilities, [0, 0, 1, 1], ["a", "b", "c", "d"]).low, 3)
        0.069
    """
    said = finite(probabilities, "probabilities")
    index = indices(target, said.shape[1], said.shape[0])
    present = np.unique(index)
    if present.size < 2:
        return undefined("fewer than two classes occur", index.size)
    patient, patients = patients_of(groups)
    parts = [clustered_influence(said[:, k], index == k, patient, patients) for k in present]
    return _mean_auroc(parts, patients, index.size)


def label_auroc_interval(probabilities: ArrayLike, target: ArrayLike, groups: ArrayLike) -> Figure:
    """Return the mean of the labels' AUROCs that are defined, with its interval by patient.

    Each label is judged on the images where it is known. The variance knows that the labels' AUROCs come
    from the same patients.

    Args:
        probabilities: Of every label, shape ``(N, L)``.
        target: 0, 1, or -100 where unknown, shape ``(N, L)``.
        groups: Patient of each image, shape ``(N,)``.

    Source:
        As ``macro_auroc_interval``.

    Example:
        >>> probabilities = [[0.1, 0.4], [0.4, 0.1], [0.3, 0.8], [0.8, 0.3]]
        >>> target = [[0, 0], [0, 0], [1, 1], [1, 1]]
        >>> figure = label_auroc_interval(probabilities, target, ["a", "b", "c", "d"])
        >>> figure.value, round(figure.low, 3), figure.n
        (0.75, 0.269, 4)
    """
    said = finite(probabilities, "probabilities")
    truth = labels(target, said.shape)
    both = [k for k in range(said.shape[1]) if {0, 1} <= set(truth[:, k].tolist())]
    if not both:
        return undefined("no label has both a positive and a negative case", len(truth))
    inside = (truth[:, both] != UNKNOWN).any(axis=1)
    said, truth = said[inside], truth[inside]
    patient, patients = patients_of(np.asarray(groups)[inside])
    known = truth != UNKNOWN
    parts = [
        clustered_influence(said[known[:, k], k], truth[known[:, k], k] == 1, patient[known[:, k]], patients)
        for k in both
    ]
    return _mean_auroc(parts, patients, len(truth))


def _mean_auroc(parts: Sequence[Influence], patients: int, images: int) -> Figure:
    """Return the mean of AUROCs that share patients."""
    value = math.fsum(part.value for part in parts) / len(parts)
    squared_error = variance(parts, patients)
    if 0.0 < value < 1.0 and squared_error > 0.0:
        return Figure(value, *_on_logit(value, squared_error), images)
    figures = [Figure(part.value, *_auroc_ends(part, patients), images) for part in parts]
    return Figure(*recovered(figures, np.eye(len(figures))), images)
