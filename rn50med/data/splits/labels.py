"""Folds that keep the shares of labels that may occur together, some of them unknown."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_Numbers = NDArray[np.int64]

_SCALE = 2**44
"""Weights are whole parts of this: folds x columns x this stays below 2**63 for 20 folds of 10,000 labels."""

_MOST_SWEEPS = 10
"""Later ones move next to nothing: 100,000 images in 30,000 groups settle in three or four."""


def deal_labels(labels: _Numbers, groups: _Numbers, folds: int, seed: int) -> _Numbers:
    """Return the fold of each group, so that each label is spread over the folds as evenly as can be.

    Iterative stratification with groups as its units: the label that the fewest remaining groups have is
    dealt first, since later there would be no groups left to mend its shares with. What is spread is a
    label's positives and its known negatives, each as a column of its own, for AUROC needs both; and images.

    Two things are not the paper's. A group goes to the fold that lacks most of all that it holds, each by its
    share, not of the rarest label alone: a patient has many. And at the end groups move for as long as that
    evens the shares out.

    Everything is counted in integers, and chance comes from raw PCG64 numbers, which numpy promises never to
    change: the folds are the same on every machine.

    Args:
        labels: 1, 0, or anything else where it is unknown, shape ``(N, L)``.
        groups: Group of each image, numbered from 0 without a gap.
        folds: Number of folds.
        seed: Another seed gives other folds.

    Source:
        Sechidis, Tsoumakas, Vlahavas, *On the stratification of multi-label data*, ECML PKDD 2011,
        section 3.2. https://doi.org/10.1007/978-3-642-23808-6_10
    """
    counts = _count(labels, groups)
    size = len(counts)
    raw = np.random.PCG64(seed).random_raw(2 * size)
    draws = (raw[size:] >> np.uint64(32)).astype(np.int64)
    order = _rarest_first(counts, raw[:size])
    totals = counts.sum(axis=0)
    weights = np.maximum(_SCALE // np.maximum(totals, 1) ** 2, 1)
    wanted = np.repeat(totals[None], folds, axis=0)  # in parts of 1 / folds of an image
    fold = np.empty(size, dtype=np.int64)
    for group in order.tolist():
        lacks = wanted @ (counts[group] * weights)
        most = np.flatnonzero(lacks == lacks.max())
        fold[group] = most[draws[group] % len(most)]
        wanted[fold[group]] -= folds * counts[group]
    for _ in range(_MOST_SWEEPS):
        if not _sweep(order, counts, weights, wanted, fold):
            break
    return fold


def _count(labels: _Numbers, groups: _Numbers) -> _Numbers:
    """Count each group's positives and known negatives of each label, and last its images."""
    size = int(groups.max()) + 1
    columns = [
        np.bincount(groups[labels[:, k] == v], minlength=size) for v in (1, 0) for k in range(labels.shape[1])
    ]
    return np.stack([*columns, np.bincount(groups, minlength=size)], axis=1)


def _rarest_first(counts: _Numbers, keys: NDArray[np.uint64]) -> _Numbers:
    """Return the groups in the order to deal them in: rarest remaining column first, then largest."""
    left = np.ones(len(counts), dtype=bool)
    order = []
    while left.any():
        remaining = counts[left]
        groups, images = (remaining > 0).sum(axis=0).tolist(), remaining.sum(axis=0).tolist()
        _, _, rarest = min((groups[k], images[k], k) for k in range(len(groups)) if groups[k])
        rows = np.flatnonzero(left & (counts[:, rarest] > 0))
        order.append(rows[np.lexsort((keys[rows], -counts[rows, rarest]))])
        left[rows] = False
    return np.concatenate(order)


def _sweep(order: _Numbers, counts: _Numbers, weights: _Numbers, wanted: _Numbers, fold: _Numbers) -> int:
    """Move each group to the fold that lacks more of it than its own, in place; return how many moved."""
    folds, moved = len(wanted), 0
    for group in order.tolist():
        own, has = int(fold[group]), counts[group]
        wanted[own] += folds * has
        lacks = wanted @ (has * weights)
        best = int(lacks.argmax())
        if lacks[best] > lacks[own]:
            moved += 1
        else:
            best = own
        fold[group] = best
        wanted[best] -= folds * has
    return moved
