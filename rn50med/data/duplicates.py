"""Near-duplicates: pairs of images whose perceptual hashes differ in few bits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
Rows = NDArray[np.int64]

NEAR = 2
"""Bits in which near-duplicates may differ.

Measured on 5,840 chest films of 224 px. Of 500 that were saved again as JPEG (quality 95, 75, 30), or at
160 or 500 px, 99 % or more stayed within 2 bits; brightened (1.1 x + 10) 99 %, gamma 1.2 86 %. Of 17.0
million pairs of different patients one was within 2 bits by chance, 52 within 4, 465 within 6: at 100,000
films, 4 bits would list 15,000 pairs that are none.
"""

_BITS = 64
_MOST_COMPARISONS = 20_000_000_000  # about a minute of one core
_MOST_PAIRS = 1_000_000  # 25 MB; more than anybody looks at


@dataclass(frozen=True)
class Near:
    """Pairs of near-duplicates.

    Args:
        pairs: Rows of the hashes, shape ``(P, 2)``, the lower first, in order.
        distances: Bits in which each pair differs, shape ``(P,)``.
        complete: Whether these are all; else there were too many that look alike.
    """

    pairs: Rows
    distances: NDArray[np.uint8]
    complete: bool


def near_duplicates(
    looks: Sequence[int] | Hashes,
    distance: int = NEAR,
    most_pairs: int = _MOST_PAIRS,
    most_comparisons: int = _MOST_COMPARISONS,
) -> Near:
    """Return every pair of hashes that differ in no more than so many bits.

    The 64 bits are dealt out to ``distance + 1`` bands. A pair that differs in ``distance`` bits has one
    band without a difference (pigeonhole), so that only hashes with an equal band are compared. Where
    that would be more work than comparing all with all, as with hashes that are much alike, all are.

    Args:
        looks: 64-bit hashes.
        distance: Most bits that may differ, 0 or more.
        most_pairs: Pairs after which the search ends, incomplete.
        most_comparisons: Comparisons that may be made; the fullest buckets beyond are left out, incomplete.

    Source:
        Norouzi, Punjani and Fleet, *Fast search in Hamming space with multi-index hashing*, CVPR 2012,
        arXiv:1307.2982.

    Example:
        >>> near_duplicates([0b0000, 0b0111, 0b1111, 0b0001], distance=1).pairs.tolist()
        [[0, 3], [1, 2]]
    """
    hashes = np.asarray(looks, dtype=np.uint64)
    masks = _masks(distance + 1)
    sizes = [_bucket_sizes(hashes & mask) for mask in masks]
    if sum(map(_comparisons, sizes)) >= len(hashes) * (len(hashes) - 1) // 2:
        masks, sizes = [np.uint64(0)], [np.array([len(hashes)])]
    most = _largest_bucket(sizes, most_comparisons)
    complete = all((size <= most).all() for size in sizes)
    pairs: list[Rows] = []
    found = 0
    for number, mask in enumerate(masks):
        for some in _within(hashes, mask, distance, most):
            new = _first_met(hashes, some, masks[:number])
            pairs.append(new)
            found += len(new)
            if found > most_pairs:
                return _result(hashes, np.concatenate(pairs)[:most_pairs], complete=False)
    return _result(hashes, np.concatenate(pairs) if pairs else np.zeros((0, 2), np.int64), complete)


def _result(hashes: Hashes, pairs: Rows, complete: bool) -> Near:
    pairs = np.sort(pairs, axis=1)
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    return Near(pairs, np.bitwise_count(hashes[pairs[:, 0]] ^ hashes[pairs[:, 1]]), complete)


def _masks(bands: int) -> list[np.uint64]:
    """Deal the bits out in turn: neighbouring frequencies are alike, and would fill a band's buckets."""
    return [np.uint64(sum(1 << bit for bit in range(band, _BITS, bands))) for band in range(bands)]


def _bucket_sizes(keys: Hashes) -> Rows:
    return np.unique(keys, return_counts=True)[1].astype(np.int64)


def _comparisons(sizes: Rows) -> int:
    return int((sizes * (sizes - 1) // 2).sum())


def _largest_bucket(sizes: Sequence[Rows], most_comparisons: int) -> int:
    """Return the size of the largest bucket that can be looked into."""
    size = np.sort(np.concatenate(sizes))
    affordable = np.cumsum(size * (size - 1) // 2) <= most_comparisons
    if affordable.all():
        return int(size.max(initial=0))
    return int(size[~affordable][0]) - 1


def _within(hashes: Hashes, mask: np.uint64, distance: int, most: int) -> Iterator[Rows]:
    """Yield the near pairs of rows that share a bucket, comparing each row with the k-th after it."""
    order = np.argsort(hashes & mask, kind="stable")
    ordered = hashes[order]
    keys = ordered & mask
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))[: len(keys)]
    sizes = np.diff(np.append(starts, len(keys)))
    ends = np.repeat(starts + sizes, sizes)
    left = ends - np.arange(len(keys))  # rows of the bucket from here on
    first = np.flatnonzero((left > 1) & (np.repeat(sizes, sizes) <= most))
    step = 1
    while len(first):
        whole = len(first) == len(keys) - step  # one bucket: slices, which are faster than indices
        differing = np.bitwise_count(
            ordered[:-step] ^ ordered[step:] if whole else ordered[first] ^ ordered[first + step]
        )
        if len(hits := first[differing <= distance]):
            yield np.stack([order[hits], order[hits + step]], axis=1)
        step += 1
        first = first[left[first] > step]


def _first_met(hashes: Hashes, pairs: Rows, earlier: Sequence[np.uint64]) -> Rows:
    """Leave out pairs that an earlier band has brought together."""
    differing = hashes[pairs[:, 0]] ^ hashes[pairs[:, 1]]
    new = np.ones(len(pairs), dtype=bool)
    for mask in earlier:
        new &= (differing & mask) != 0
    return pairs[new]
