"""Intervals of proportions, and of their means, by patient."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from rn50med.evaluation.arrays import Floats, Ints, patients_of
from rn50med.evaluation.figure import QUANTILE, Figure, undefined


def wilson(share: float, number: float) -> tuple[float, float]:
    """Return Wilson's interval of a proportion, which is never of width 0.

    Args:
        share: The proportion, in [0, 1].
        number: Independent trials behind it, above 0; a fraction will do.

    Source:
        Wilson, JASA 1927, 10.1080/01621459.1927.10502953.

    Example:
        >>> [round(end, 3) for end in wilson(1.0, 42)]
        [0.916, 1.0]
    """
    squared = QUANTILE**2
    centre = (share + squared / (2 * number)) / (1 + squared / number)
    spread = math.sqrt(share * (1 - share) / number + squared / (4 * number**2)) * QUANTILE
    half = spread / (1 + squared / number)
    # At 0 and 1 the ends meet the value; rounding must not put them a bit inside.
    low = 0.0 if share == 0 else max(0.0, centre - half)
    high = 1.0 if share == 1 else min(1.0, centre + half)
    return low, high


def effective_number(hits: Floats, index: Ints) -> float:
    """Return how many independent images a proportion's images are worth.

    Args:
        hits: 0 or 1, shape ``(N,)``, N at least 1.
        index: Patient of each image, shape ``(N,)``, from 0.

    Source:
        Ratio estimator of a cluster sample, Rao and Scott, Biometrics 1992, 10.2307/2532311. The
        design effect is kept at 1 or more: images of a patient are not worth more than as many
        patients. Where it cannot be estimated (one patient, or all hits alike) a patient's images
        count as full copies of each other, the cautious end.

    Example:
        >>> effective_number(np.array([1.0, 1.0, 0.0, 0.0]), np.array([0, 0, 1, 1]))
        2.0
    """
    share = hits.mean()
    sizes = np.bincount(index)
    sizes = sizes[sizes > 0]
    copies = float(hits.size**2 / np.square(sizes, dtype=np.float64).sum())
    if sizes.size < 2 or share in (0.0, 1.0):
        return copies
    excess = np.bincount(index, weights=hits - share)
    effect = float(np.square(excess).sum() / (hits.size * share * (1 - share)))
    return hits.size / max(effect, 1.0)


def proportion_interval(successes: ArrayLike, groups: ArrayLike) -> Figure:
    """Return a proportion with Wilson's interval on the effective number of images.

    With one image per patient it is Wilson's interval itself; 42 of 42 is [0.916, 1], not [1, 1].

    Args:
        successes: True or 1 where it holds, shape ``(N,)``.
        groups: Patient of each image, shape ``(N,)``.

    Example:
        >>> figure = proportion_interval([True] * 42, [str(n) for n in range(42)])
        >>> figure.value, round(figure.low, 3), figure.high, figure.n
        (1.0, 0.916, 1.0, 42)
    """
    hits = np.asarray(successes).astype(np.float64)
    if hits.size == 0:
        return undefined("no cases", 0)
    index, _ = patients_of(groups)
    share = float(hits.mean())
    low, high = wilson(share, effective_number(hits, index))
    return Figure(share, min(low, share), max(high, share), hits.size)


def recovered(figures: Sequence[Figure], correlation: Floats) -> tuple[float, float, float]:
    """Return the mean of figures and its interval from theirs: variance recovered from the ends.

    Args:
        figures: At least one, each with its interval.
        correlation: Between the figures, shape ``(K, K)``; the identity where they are independent.

    Source:
        Zou and Donner, Statistics in Medicine 2008, 10.1002/sim.3095.

    Example:
        >>> parts = [Figure(1.0, 0.7, 1.0, 9), Figure(0.5, 0.1, 0.9, 9)]
        >>> [round(end, 3) for end in recovered(parts, np.eye(2))]
        [0.75, 0.5, 0.95]
    """
    value = math.fsum(figure.value for figure in figures) / len(figures)
    below = np.array([figure.value - figure.low for figure in figures])
    above = np.array([figure.high - figure.value for figure in figures])
    low = value - math.sqrt(max(0.0, float(below @ correlation @ below))) / len(figures)
    high = value + math.sqrt(max(0.0, float(above @ correlation @ above))) / len(figures)
    return value, max(0.0, low), min(1.0, high)


def difference(one: Figure, other: Figure, correlation: float = 0.0) -> Figure:
    """Return the difference of two figures, the first less the second, its interval recovered from theirs.

    Args:
        one: With its interval.
        other: Likewise.
        correlation: Between the two, in [-1, 1]; 0 where no patient is in both.

    Source:
        Zou and Donner, Statistics in Medicine 2008, 10.1002/sim.3095.

    Example:
        >>> figure = difference(Figure(1.0, 0.7, 1.0, 9), Figure(0.5, 0.1, 0.9, 7))
        >>> figure.value, figure.low, round(figure.high, 3), figure.n
        (0.5, 0.0, 0.9, 16)
    """
    value, both = one.value - other.value, 2.0 * correlation
    below, above = one.value - one.low, other.high - other.value
    low = value - math.sqrt(max(0.0, below**2 + above**2 - both * below * above))
    below, above = one.high - one.value, other.value - other.low
    high = value + math.sqrt(max(0.0, below**2 + above**2 - both * below * above))
    return Figure(value, low, high, one.n + other.n)


def _correlation(influence: Floats) -> Floats:
    """Return the correlation between the columns of ``(patients, K)``; 0 for a constant column."""
    product = influence.T @ influence
    scale = np.sqrt(np.diag(product))
    scale[scale == 0] = 1.0
    result = product / np.outer(scale, scale)
    np.fill_diagonal(result, 1.0)
    return np.asarray(result, dtype=np.float64)


def mean_proportion_interval(successes: ArrayLike, strata: ArrayLike, groups: ArrayLike) -> Figure:
    """Return the mean of the strata's proportions, such as balanced accuracy, with its interval.

    Args:
        successes: True or 1 where the call is right, shape ``(N,)``.
        strata: Class of each image, shape ``(N,)``; those that occur are averaged.
        groups: Patient of each image, shape ``(N,)``; one with images of several strata ties them.

    Source:
        Zou and Donner, Statistics in Medicine 2008, 10.1002/sim.3095: ends from the ends of the parts.

    Example:
        >>> figure = mean_proportion_interval([1, 1, 1, 0], [0, 0, 1, 1], ["a", "b", "c", "d"])
        >>> figure.value, round(figure.low, 2), round(figure.high, 2)
        (0.75, 0.36, 0.95)
    """
    hits = np.asarray(successes).astype(np.float64)
    stratum = np.asarray(strata)
    index, number = patients_of(groups)
    figures, columns = [], []
    for name in np.unique(stratum):
        inside = stratum == name
        figure = proportion_interval(hits[inside], index[inside])
        figures.append(figure)
        columns.append(np.bincount(index[inside], weights=hits[inside] - figure.value, minlength=number))
    if not figures:
        return undefined("no cases", 0)
    value, low, high = recovered(figures, _correlation(np.stack(columns, axis=1)))
    return Figure(value, low, high, hits.size)
