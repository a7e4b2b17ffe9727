"""Pointwise 95 % bands of ROC and precision-recall curves, by drawing patients."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array

from rn50med.evaluation.arrays import Bools, Floats, Ints
from rn50med.evaluation.bootstrap import draws, outcome_pattern
from rn50med.evaluation.figure import CONFIDENCE

RESAMPLES = 500
"""Of a band: fewer than of a figure's interval, since a line of a chart is thicker than the difference."""

GRID = np.linspace(0.0, 1.0, 101)
"""Where a band is computed, on the horizontal axis."""

Band = tuple[Floats, Floats]


def roc_band(said: Floats, positive: Bools, groups: Ints) -> Band:
    """Return the ends of the sensitivity at each 1 - specificity of `GRID`.

    Patients are drawn within those whose images are all negative, mixed and all positive. Where ties let
    the curve pass between two steps, the band is of the lower one.

    Args:
        said: Probability, shape ``(N,)``.
        positive: Whether the finding is there, shape ``(N,)``, with both outcomes.
        groups: Patient of each image, shape ``(N,)``.

    Example:
        >>> low, high = roc_band(np.linspace(0, 1, 40), np.arange(40) >= 20, np.arange(40))
        >>> bool(low.min() == high.max() == 1.0)
        True
    """
    index, patients = _numbered(groups)
    found, alarms = _levels(said, positive, index, patients)
    strata = outcome_pattern(positive, index, patients)
    drawn = []
    for counts in draws(patients, strata=strata, resamples=RESAMPLES, images=found.shape[0]):
        reached, called = (np.cumsum(each @ counts, axis=0) for each in (found, alarms))
        for hits, false in zip(reached.T, called.T, strict=True):
            # The last level that calls no more of the negative images than this.
            level = np.searchsorted(false, GRID * false[-1] + 1e-9, side="right")
            drawn.append(np.concatenate([[0.0], hits])[level] / hits[-1])
    return _ends(np.array(drawn))


def precision_recall_band(said: Floats, positive: Bools, groups: Ints) -> Band:
    """Return the ends of the positive predictive value at each sensitivity of `GRID`.

    Args:
        said: Probability, shape ``(N,)``.
        positive: Whether the finding is there, shape ``(N,)``, with both outcomes.
        groups: Patient of each image, shape ``(N,)``.

    Example:
        >>> low, high = precision_recall_band(np.linspace(0, 1, 40), np.arange(40) >= 20, np.arange(40))
        >>> bool(low.min() == high.max() == 1.0)
        True
    """
    index, patients = _numbered(groups)
    found, alarms = _levels(said, positive, index, patients)
    drawn = []
    for counts in draws(patients, resamples=RESAMPLES, images=found.shape[0]):
        reached, called = (np.cumsum(each @ counts, axis=0) for each in (found, alarms))
        for hits, false in zip(reached.T, called.T, strict=True):
            if hits[-1]:
                # The first level that finds this share, and at least one image.
                level = np.searchsorted(hits, np.maximum(GRID * hits[-1] - 1e-9, 0.5))
                drawn.append(hits[level] / (hits[level] + false[level]))
    return _ends(np.array(drawn))


def _numbered(groups: Ints) -> tuple[Ints, int]:
    names, index = np.unique(groups, return_inverse=True)
    return index.astype(np.int64), names.size


def _levels(said: Floats, positive: Bools, index: Ints, patients: int) -> tuple[csr_array, csr_array]:
    """Return each patient's positive and negative images at each probability, the highest first."""
    values, level = np.unique(-said, return_inverse=True)
    parts = []
    for rows in (positive, ~positive):
        entries = np.ones(int(rows.sum())), (level[rows], index[rows])
        parts.append(csr_array(entries, shape=(values.size, patients)))
    return parts[0], parts[1]


def _ends(drawn: Floats) -> Band:
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail], axis=0)
    return low, high
