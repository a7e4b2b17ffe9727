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
