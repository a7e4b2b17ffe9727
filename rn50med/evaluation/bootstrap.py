"""Intervals of any figure, by drawing patients again."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from rn50med.evaluation.arrays import Floats, patients_of
from rn50med.evaluation.figure import CONFIDENCE, Figure, undefined

# Weights held at once while resampling; 32 MB of float64.
_CHUNK = 4_000_000


def _redrawn(patients: int, resamples: int, random: np.random.Generator) -> Floats:
    """Return how often each patient is drawn, shape ``(resamples, patients)``."""
    drawn = random.integers(patients, size=(resamples, patients))
    drawn += np.arange(resamples)[:, None] * patients
    counts = np.bincount(drawn.ravel(), minlength=resamples * patients)
    return counts.reshape(resamples, patients).astype(np.float64)


def bootstrap_interval(
    statistic: Callable[..., Floats],
    arrays: Sequence[Floats],
    groups: ArrayLike,
    resamples: int = 2000,
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
        return undefined("no images" if not index.size else "not defined on these images", index.size)
    if patients < 2:
        return Figure(value, math.nan, math.nan, index.size, "no interval from a single patient")
    random = np.random.default_rng(seed)
    rows = max(1, _CHUNK // index.size)
    parts = [
        statistic(*arrays, _redrawn(patients, min(rows, resamples - start), random)[:, index])
        for start in range(0, resamples, rows)
    ]
    drawn = np.concatenate(parts)
    drawn = drawn[~np.isnan(drawn)]
    if not drawn.size:
        return Figure(value, math.nan, math.nan, index.size, "not defined on any resample")
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    # A percentile interval of a skewed figure can miss its own estimate; widen it, never move it.
    return Figure(value, min(float(low), value), max(float(high), value), index.size)
