"""Figures that count calls: what was called positive, and what was."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from rn50med.evaluation.arrays import Bools, indices


def _called(calls: ArrayLike, target: ArrayLike) -> tuple[Bools, Bools]:
    called = np.asarray(calls).astype(np.bool_)
    return called, indices(target, 2, called.shape[0]) == 1


def _share(hits: Bools) -> float:
    return float(hits.mean()) if hits.size else float("nan")


def sensitivity(calls: ArrayLike, target: ArrayLike) -> float:
    """Return the share of positive images that were called positive.

    Args:
        calls: True or 1 where called positive, shape ``(N,)``.
        target: 0 or 1, shape ``(N,)``; ``nan`` is returned without a positive.

    Example:
        >>> sensitivity([1, 0, 1], [1, 1, 0])
        0.5
    """
    called, positive = _called(calls, target)
    return _share(called[positive])


def specificity(calls: ArrayLike, target: ArrayLike) -> float:
    """Return the share of negative images that were called negative.

    Args:
        calls: True or 1 where called positive, shape ``(N,)``.
        target: 0 or 1, shape ``(N,)``; ``nan`` is returned without a negative.

    Example:
        >>> specificity([1, 0, 1], [1, 0, 0])
        0.5
    """
    called, positive = _called(calls, target)
    return _share(~called[~positive])


def positive_predictive_value(calls: ArrayLike, target: ArrayLike) -> float:
    """Return the share of positive calls that were right; it moves with the prevalence.

    Args:
        calls: True or 1 where called positive, shape ``(N,)``; ``nan`` is returned without one.
        target: 0 or 1, shape ``(N,)``.

    Example:
        >>> positive_predictive_value([1, 0, 1], [1, 1, 0])
        0.5
    """
    called, positive = _called(calls, target)
    return _share(positive[called])


def negative_predictive_value(calls: ArrayLike, target: ArrayLike) -> float:
    """Return the share of negative calls that were right; it moves with the prevalence.

    Args:
        calls: True or 1 where called positive, shape ``(N,)``; ``nan`` is returned if all are.
        target: 0 or 1, shape ``(N,)``.

    Example:
        >>> negative_predictive_value([1, 0, 0], [1, 1, 0])
        0.5
    """
    called, positive = _called(calls, target)
    return _share(~positive[~called])


def accuracy(calls: ArrayLike, target: ArrayLike) -> float:
    """Return the share of right calls; always calling the commonest class scores its prevalence.

    Args:
        calls: Called class indices, shape ``(N,)``.
        target: Class indices, shape ``(N,)``.

    Example:
        >>> accuracy([0, 2, 1, 1], [0, 2, 1, 0])
        0.75
    """
    called = np.asarray(calls).astype(np.int64)
    return _share(called == indices(target, np.iinfo(np.int64).max, called.shape[0]))


def balanced_accuracy(calls: ArrayLike, target: ArrayLike) -> float:
    """Return the mean of the shares called right within each class that occurs.

    Args:
        calls: Called class indices, shape ``(N,)``.
        target: Class indices, shape ``(N,)``; ``nan`` is returned unless two classes occur.

    Source:
        Brodersen et al., ICPR 2010, 10.1109/ICPR.2010.764.

    Example:
        >>> balanced_accuracy([0, 1, 1, 1], [0, 0, 1, 1])
        0.75
    """
    called = np.asarray(calls).astype(np.int64)
    index = indices(target, np.iinfo(np.int64).max, called.shape[0])
    occurring = np.unique(index)
    if occurring.size < 2:
        return float("nan")
    return float(np.mean([(called[index == k] == k).mean() for k in occurring]))


def positive_likelihood_ratio(calls: ArrayLike, target: ArrayLike) -> float:
    """Return how many times as often positive images are called positive as negative ones (LR+).

    Args:
        calls: True or 1 where called positive, shape ``(N,)``.
        target: 0 or 1, shape ``(N,)``; ``nan`` is returned unless both occur, infinity without a false
            alarm.

    Source:
        Deeks and Altman, BMJ 2004, 10.1136/bmj.329.7458.168.

    Example:
        >>> positive_likelihood_ratio([1, 1, 1, 0], [1, 1, 0, 0])
        2.0
    """
    return _ratio(sensitivity(calls, target), 1.0 - specificity(calls, target))


def negative_likelihood_ratio(calls: ArrayLike, target: ArrayLike) -> float:
    """Return how many times as often positive images are called negative as negative ones (LR-).

    Args:
        calls: True or 1 where called positive, shape ``(N,)``.
        target: 0 or 1, shape ``(N,)``; ``nan`` is returned unless both occur, infinity where no negative
            image is called negative.

    Source:
        Deeks and Altman, BMJ 2004, 10.1136/bmj.329.7458.168.

    Example:
        >>> negative_likelihood_ratio([1, 0, 0, 0], [1, 1, 0, 0])
        0.5
    """
    return _ratio(1.0 - sensitivity(calls, target), specificity(calls, target))


def _ratio(part: float, whole: float) -> float:
    if whole:
        return part / whole
    return float("inf") if part > 0 else float("nan")


def matthews_correlation(calls: ArrayLike, target: ArrayLike) -> float:
    """Return the correlation between calls and truth (MCC), of two classes or more.

    Args:
        calls: Called class indices, shape ``(N,)``.
        target: Class indices, shape ``(N,)``; ``nan`` is returned where only one class occurs, or is called.

    Source:
        Matthews, BBA 1975, 10.1016/0005-2795(75)90109-9; of several classes: Gorodkin, Computational
        Biology and Chemistry 2004, 10.1016/j.compbiolchem.2004.09.006.

    Example:
        >>> matthews_correlation([1, 1, 0, 0], [1, 1, 1, 0])
        0.57735...
    """
    called = np.asarray(calls).astype(np.int64)
    index = indices(target, np.iinfo(np.int64).max, called.shape[0])
    names = np.union1d(called, index)
    made, true = (np.array([(each == name).sum() for name in names], float) for each in (called, index))
    every, right = float(index.size), float((called == index).sum())
    scale = np.sqrt((every**2 - made @ made) * (every**2 - true @ true))
    return float((every * right - made @ true) / scale) if scale else float("nan")
