"""Folds that keep the shares of classes that exclude each other."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

_Counts = NDArray[np.float64]


def deal_classes(
    classes: NDArray[np.int64], groups: NDArray[np.int64], folds: int, seed: int
) -> NDArray[np.int64]:
    """Return the fold of each group, so that each class is spread over the folds as evenly as can be.

    Groups are taken from the most uneven to the most even one, equal ones in the order of the seed; each goes
    to the fold where it makes the classes' shares vary least. These are the folds of scikit-learn's
    `StratifiedGroupKFold` with shuffling, to the last one; that takes eight times as long (100,000 groups:
    18 s), and may change with its version.

    Args:
        classes: Number of each image's class.
        groups: Group of each image, numbered from 0 without a gap.
        folds: Number of folds.
        seed: Another seed gives other folds; below 2**32.

    Source:
        scikit-learn, `sklearn.model_selection.StratifiedGroupKFold`, version 1.9.
    """
    _, number = np.unique(classes, return_inverse=True)
    kinds, size = int(number.max()) + 1, int(groups.max()) + 1
    counts = np.bincount(groups * kinds + number, minlength=size * kinds).reshape(size, kinds).astype(float)
    shuffled = np.arange(size)
    np.random.RandomState(seed).shuffle(shuffled)  # a stream that numpy promises never to change
    order = shuffled[np.argsort(-np.std(counts[shuffled], axis=1), kind="stable")]
    fold = np.empty(size, dtype=np.int64)
    fold[order] = _deal(counts[order], counts.sum(axis=0), folds)
    return fold


def _deal(counts: _Counts, totals: _Counts, folds: int) -> list[int]:
    """Give each group, in turn, to the fold where the shares then vary least; to the emptier of equal ones.

    Every sum is taken in the order in which `np.std` and `np.mean` take it: another order could round
    otherwise, and part folds that are equal.
    """
    kinds = len(totals)
    held = np.zeros((folds, kinds))
    images = [0.0] * folds
    trial = np.empty((folds, folds, kinds))  # shares of each fold, if the group went to the first axis's
    receiving = trial.reshape(folds * folds, kinds)[:: folds + 1]
    dealt = []
    for group, size in zip(counts, counts.sum(axis=1).tolist(), strict=True):
        trial[:] = held / totals
        receiving[:] = (held + group) / totals
        off = trial - np.add.reduce(trial, axis=1, keepdims=True) / folds
        off *= off
        spread = np.sqrt(np.add.reduce(off, axis=1) / folds)
        best = _least((np.add.reduce(spread, axis=1) / kinds).tolist(), images)
        held[best] += group
        images[best] += size
        dealt.append(best)
    return dealt


def _least(spreads: list[float], images: list[float]) -> int:
    """Return the fold with the least spread, and of those as good as equal, the one with fewer images."""
    best, least, fewest = 0, math.inf, math.inf
    for fold, (spread, held) in enumerate(zip(spreads, images, strict=True)):
        as_good = abs(spread - least) <= 1e-8 + 1e-5 * least < math.inf
        if spread < least or (as_good and held < fewest):
            best, least, fewest = fold, spread, held
    return best
