"""Figures of how well scores put positive images above negative ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from rn50med.evaluation.arrays import UNKNOWN, Bools, Floats, finite, indices, labels
from rn50med.evaluation.resamples import weighted_average_precision


def _ranked(scores: ArrayLike, target: ArrayLike) -> tuple[Floats, Bools]:
    ranked = finite(scores, "scores")
    return ranked, indices(target, 2, ranked.shape[0]) == 1


def auroc(scores: ArrayLike, target: ArrayLike) -> float:
    """Return the probability that a positive image scores above a negative one, ties counting half.

    Args:
        scores: Higher is more likely positive, shape ``(N,)``; the order alone matters.
        target: 0 or 1, shape ``(N,)``; ``nan`` is returned unless both occur.

    Raises:
        NumericalError: If a score is not finite.
        ValueError: If a target is not 0 or 1.

    Source:
        Hanley and McNeil, Radiology 1982, 10.1148/radiology.143.1.7063747.

    Example:
        >>> auroc([0.1, 0.4, 0.4, 0.8], [0, 0, 1, 1])
        0.875
    """
    ranked, positive = _ranked(scores, target)
    positives, negatives = int(positive.sum()), int((~positive).sum())
    if positives == 0 or negatives == 0:
        return float("nan")
    above = rankdata(ranked)[positive].sum() - positives * (positives + 1) / 2
    return float(above / (positives * negatives))


def average_precision(scores: ArrayLike, target: ArrayLike) -> float:
    """Return the area under the precision-recall curve as a step function (AUPRC).

    Args:
        scores: Higher is more likely positive, shape ``(N,)``; the order alone matters.
        target: 0 or 1, shape ``(N,)``; ``nan`` is returned unless both occur.

    Raises:
        NumericalError: If a score is not finite.
        ValueError: If a target is not 0 or 1.

    Source:
        Davis and Goadrich, ICML 2006, 10.1145/1143844.1143874: no straight line between points.

    Example:
        >>> average_precision([0.1, 0.4, 0.6, 0.8], [0, 1, 0, 1])
        0.8333333333333333
    """
    ranked, positive = _ranked(scores, target)
    every = np.ones((1, ranked.shape[0]))
    return float(weighted_average_precision(ranked, positive.astype(np.float64), every)[0])


def macro_auroc(probabilities: ArrayLike, target: ArrayLike) -> tuple[float, Floats]:
    """Return the mean of the one-versus-rest AUROCs that are defined, and each of them.

    Args:
        probabilities: Of every class, shape ``(N, K)``.
        target: Class indices, shape ``(N,)``; a class that does not occur has ``nan`` and is not
            averaged in.

    Raises:
        NumericalError: If a probability is not finite.

    Example:
        >>> macro_auroc([[0.8, 0.1, 0.1], [0.3, 0.4, 0.3]], [0, 1])
        (1.0, array([ 1.,  1., nan]))
    """
    said = finite(probabilities, "probabilities")
    index = indices(target, said.shape[1], said.shape[0])
    each = np.array([auroc(said[:, k], index == k) for k in range(said.shape[1])])
    defined = each[~np.isnan(each)]
    return (float(defined.mean()) if defined.size else float("nan")), each


def label_auroc(probabilities: ArrayLike, target: ArrayLike) -> tuple[float, Floats]:
    """Return the mean of the labels' AUROCs that are defined, and each of them, on its known images.

    Args:
        probabilities: Of every label, shape ``(N, L)``.
        target: 0, 1, or -100 where unknown, shape ``(N, L)``; a label without both outcomes has ``nan``
            and is not averaged in.

    Raises:
        NumericalError: If a probability is not finite.

    Example:
        >>> label_auroc([[0.2, 0.1], [0.9, 0.3], [0.1, 0.2]], [[0, 1], [1, -100], [-100, 1]])
        (1.0, array([ 1., nan]))
    """
    said = finite(probabilities, "probabilities")
    truth = labels(target, said.shape)
    known = truth != UNKNOWN
    each = np.array([auroc(said[known[:, k], k], truth[known[:, k], k]) for k in range(said.shape[1])])
    defined = each[~np.isnan(each)]
    return (float(defined.mean()) if defined.size else float("nan")), each


def roc_points(scores: ArrayLike, target: ArrayLike) -> tuple[Floats, Floats]:
    """Return the ROC curve: 1 - specificity, and sensitivity, both rising.

    Args:
        scores: Higher is more likely positive, shape ``(N,)``.
        target: 0 or 1, shape ``(N,)``; without both, two empty arrays are returned.

    Example:
        >>> [points.tolist() for points in roc_points([0.1, 0.9], [0, 1])]
        [[0.0, 0.0, 1.0], [0.0, 1.0, 1.0]]
    """
    from sklearn.metrics import roc_curve  # noqa: PLC0415 - a second of import, for a drawing alone

    ranked, positive = _ranked(scores, target)
    if positive.all() or not positive.any():
        return np.empty(0), np.empty(0)
    false_alarms, found, _ = roc_curve(positive, ranked)
    return np.asarray(false_alarms), np.asarray(found)


def precision_recall_points(scores: ArrayLike, target: ArrayLike) -> tuple[Floats, Floats]:
    """Return the precision-recall curve: sensitivity, falling, and positive predictive value.

    Args:
        scores: Higher is more likely positive, shape ``(N,)``.
        target: 0 or 1, shape ``(N,)``; without both, two empty arrays are returned.

    Example:
        >>> [points.tolist() for points in precision_recall_points([0.1, 0.9], [0, 1])]
        [[1.0, 1.0, 0.0], [0.5, 1.0, 1.0]]
    """
    from sklearn.metrics import precision_recall_curve  # noqa: PLC0415 - as above

    ranked, positive = _ranked(scores, target)
    if positive.all() or not positive.any():
        return np.empty(0), np.empty(0)
    precision, found, _ = precision_recall_curve(positive, ranked)
    return np.asarray(found), np.asarray(precision)
