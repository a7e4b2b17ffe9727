"""Intervals of any figure, by drawing patients again."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from rn50med.evaluation.arrays import Bools, Floats, Ints, patients_of
from rn50med.evaluation.figure import CONFIDENCE, Figure, undefined

RESAMPLES = 2000
"""Resamples of an interval; they move a 95 % end by about 2 % of the width."""

# Weights held at once while resampling; 32 MB of float64.
_CHUNK = 4_000_000

Statistic = Callable[[Floats], Mapping[str, Floats]]
"""Figures of resamples, each ``(R,)``, from how often each patient was drawn, ``(P, R)``."""


def outcome_pattern(positive: Bools, index: Ints, patients: int) -> Ints:
    """Return whether each patient's images are all negative (0), mixed (1) or all positive (2).

    Args:
        positive: Whether each image is positive, ``(N,)``.
        index: Patient of each image, ``(N,)``, from 0.
        patients: Number of patients.

    Example:
        >>> outcome_pattern(np.array([False, True, True]), np.array([0, 0, 1]), 2).tolist()
        [1, 2]
    """
    found = np.bincount(index, weights=positive, minlength=patients)
    every = np.bincount(index, minlength=patients)
    return np.asarray((found > 0).astype(np.int64) + (found == every), dtype=np.int64)


def draws(
    patients: int, seed: int = 0, strata: Ints | None = None, resamples: int = RESAMPLES, images: int = 0
) -> Iterator[Floats]:
    """Yield how often each patient is drawn, blocks of ``(patients, R)`` that are the resamples together.

    Args:
        patients: Number of patients, P.
        seed: Of the draw, so that a figure can be computed again.
        strata: Group of each patient, ``(P,)``, whose number of patients every resample keeps.
        resamples: Resamples to draw.
        images: Rows of the largest array that the caller makes of a block, to keep that one small too.

    Example:
        >>> blocks = list(draws(3, strata=np.array([0, 0, 1]), resamples=5))
        >>> np.concatenate(blocks, axis=1).shape, blocks[0][2].tolist()
        ((3, 5), [1.0, 1.0, 1.0, 1.0, 1.0])
    """
    random = np.random.default_rng(seed)
    groups = [np.flatnonzero(strata == each) for each in np.unique(strata)] if strata is not None else []
    step = max(1, _CHUNK // max(patients, images))
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        if strata is None:
            drawn = random.integers(patients, size=(size, patients))
        else:
            parts = [group[random.integers(group.size, size=(size, group.size))] for group in groups]
            drawn = np.concatenate(parts, axis=1)
        drawn += np.arange(size)[:, None] * patients
        counts = np.bincount(drawn.ravel(), minlength=size * patients).reshape(size, patients)
        yield np.ascontiguousarray(counts.T, dtype=np.float64)


def resampled(statistics: Sequence[Statistic], blocks: Iterator[Floats]) -> dict[str, Floats]:
    """Return the figures of all resamples.

    Args:
        statistics: Each gives some of the figures; all are computed on the same resamples.
        blocks: As `draws` gives them.

    Example:
        >>> both = lambda counts: {"first": counts[0], "second": counts[1]}
        >>> resampled([both], iter([np.eye(2), np.ones((2, 1))]))["second"].tolist()
        [0.0, 1.0, 1.0]
    """
    found: dict[str, list[Floats]] = {}
    for counts in blocks:
        for statistic in statistics:
            for key, values in statistic(counts).items():
                found.setdefault(key, []).append(values)
    return {key: np.concatenate(parts) for key, parts in found.items()}


def percentiles(drawn: Floats) -> tuple[float, float]:
    """Return the ends of a percentile interval, ``nan`` or infinite where it has none.

    Args:
        drawn: A figure of every resample; ``nan``, where it is undefined, is left out.

    Source:
        Efron and Tibshirani, *An introduction to the bootstrap*, 1993, section 13.3.

    Example:
        >>> [round(end, 3) for end in percentiles(np.arange(101.0))]
        [2.5, 97.5]
        >>> percentiles(np.array([1.0, 2.0, np.inf]))
        (1.05, inf)
    """
    defined = drawn[~np.isnan(drawn)]
    if not defined.size:
        return math.nan, math.nan
    tail = (1 - CONFIDENCE) / 2
    with np.errstate(invalid="ignore"):
        low, high = (float(end) for end in np.quantile(defined, [tail, 1 - tail]))
    # Between a number and infinity, or two infinities, there is no quantile but infinity.
    return (-math.inf if math.isnan(low) else low), (math.inf if math.isnan(high) else high)


def percentile_figure(value: float, drawn: Floats, n: int) -> Figure:
    """Return a figure with the percentile interval of its resamples.

    Args:
        value: The estimate.
        drawn: The figure of every resample, ``nan`` where undefined, infinite where it grows without limit.
        n: Images it was computed from.

    Example:
        >>> percentile_figure(1.5, np.array([1.0, 2.0, np.inf]), 9).reason
        'no upper end: it has no limit in some resamples'
    """
    low, high = percentiles(drawn)
    if math.isnan(low):
        return Figure(value, math.nan, math.nan, n, "not defined on any resample")
    # A percentile interval of a skewed figure can miss its own estimate; widen it, never move it.
    low, high = min(low, value), max(high, value)
    lacking = [name for name, end in (("lower", low), ("upper", high)) if math.isinf(end)]
    if not lacking:
        return Figure(value, low, high, n)
    reason = f"no {' and no '.join(lacking)} end: it has no limit in some resamples"
    return Figure(
        value, math.nan if math.isinf(low) else low, math.nan if math.isinf(high) else high, n, reason
    )


def bootstrap_interval(
    statistic: Callable[..., Floats],
    arrays: Sequence[Floats],
    groups: ArrayLike,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Figure:
    """Return a statistic with the percentile interval of a bootstrap that draws patients.

    Args:
        statistic: Called as ``statistic(*arrays, weights)`` with weights ``(R, N)``, how often each image
            counts in each of R resamples; returns ``(R,)``, ``nan`` where undefined.
        arrays: Arrays whose first axis is the images.
        groups: Patient of each image, shape ``(N,)``.
        resamples: Resamples to draw; 2,000 moves a 95 % end by about 2 % of the width.
        seed: Of the draw, so that a figure can be computed again.

    Source:
        Efron and Tibshirani, *An introduction to the bootstrap*, 1993, sections 13.3 and 8.3.

    Example:
        >>> def mean(values, weights):
        ...     return weights @ values / weights.sum(axis=1)
        >>> figure = bootstrap_interval(mean, [np.arange(100.0)], np.arange(100), resamples=500)
        >>> figure.value, round(figure.low), round(figure.high)
        (49.5, 44, 55)
    """
    index, patients = patients_of(groups)
    value = float(statistic(*arrays, np.ones((1, index.size)))[0]) if index.size else math.nan
    if math.isnan(value):
        return undefined("no cases" if not index.size else "not defined on these cases", index.size)
    if patients < 2:
        return Figure(value, math.nan, math.nan, index.size, "no interval from a single patient")
    blocks = draws(patients, seed, resamples=resamples, images=index.size)
    drawn = [statistic(*arrays, np.ascontiguousarray(counts[index].T)) for counts in blocks]
    return percentile_figure(value, np.concatenate(drawn), index.size)
