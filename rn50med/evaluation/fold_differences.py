"""Two cross-validations on the same folds: the paired difference of each figure, fold by fold."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rn50med.evaluation.arrays import Floats, patients_of
from rn50med.evaluation.bootstrap import RESAMPLES, draws
from rn50med.evaluation.comparable import Comparable, comparable
from rn50med.evaluation.comparison import difference_figure, drawn_alike, spread
from rn50med.evaluation.figure import Figure, undefined
from rn50med.evaluation.prediction_file import PredictionFile

COVERS = (
    "The intervals are of other patients, for the models as they are: patients were drawn within each fold. "
    "The models of the folds share most of the images that they were trained on, so that the spread over "
    "other training images and other seeds is not in them."
)
"""What an interval of such a difference says."""


@dataclass(frozen=True)
class FoldDifference:
    """A figure of two recipes on the same folds.

    Args:
        one: Of the first, the mean over the folds where it is defined.
        other: Of the second, likewise.
        difference: The mean over the folds of the second less the first, with its 95 % interval.
        by_fold: The difference in each fold, ``nan`` where it is undefined.
    """

    one: float
    other: float
    difference: Figure
    by_fold: tuple[float, ...]

    def as_json(self) -> dict[str, object]:
        """Return plain types for ``json``, which has no ``nan``."""
        one, other = (value if math.isfinite(value) else None for value in (self.one, self.other))
        each = [value if math.isfinite(value) else None for value in self.by_fold]
        sd = spread(self.by_fold).as_json()["sd"]
        return {
            "one": one,
            "other": other,
            "difference": self.difference.as_json(),
            "by_fold": each,
            "sd_of_folds": sd,
        }


def fold_differences(
    one: Sequence[PredictionFile],
    other: Sequence[PredictionFile],
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, FoldDifference]:
    """Return every figure of two cross-validations, and the mean difference with its interval.

    A figure is computed in each fold, where one model ranks and calls, and its difference is averaged over
    the folds: what models of several folds said is never ranked together. Each resample draws patients
    within every fold, the same for both. `COVERS` says what such an interval covers.

    Args:
        one: Held-out predictions of the first, a fold each.
        other: Of the second, the same folds with the same rows.
        resamples: Resamples to draw.
        seed: Of the draws, so that a figure can be computed again.

    Source:
        Nadeau and Bengio, *Inference for the generalization error*, Machine Learning 2003,
        10.1023/A:1024068626366: folds share training data, so that their spread is no standard error.

    Example:
        >>> names, truth = np.array(["a", "b", "c", "d"]), np.array([0, 0, 1, 1])
        >>> def run(scores):
        ...     said = np.stack([1 - scores, scores], axis=1)
        ...     called = said.argmax(axis=1)
        ...     return PredictionFile(names, names, ("no", "yes"), 1, said, said[:, 1:], truth, called)
        >>> bad, good = run(np.array([0.1, 0.4, 0.3, 0.8])), run(np.array([0.1, 0.2, 0.3, 0.8]))
        >>> found = fold_differences([bad, bad], [good, bad])["auroc"]
        >>> found.one, found.other, found.difference.value, found.by_fold
        (0.75, 0.875, 0.125, (0.25, 0.0))
    """
    sides = [[comparable(run) for run in side] for side in (one, other)]
    patients = [patients_of(run.patients)[1] for run in one]
    pairs = list(zip(*sides, strict=True))
    parts = [_drawn(pair, patients[fold], seed + fold, resamples) for fold, pair in enumerate(pairs)]
    found = {}
    for key in sides[0][0]:
        values = np.array(
            [[_plain(each[key], n) for each, n in zip(s, patients, strict=True)] for s in sides]
        )
        figures = [figures[key] for figures in sides[0]]
        drawn = [part.get(key) for part in parts]
        found[key] = _of_folds(values, figures, drawn)
    return found


def _plain(figure: Comparable, patients: int) -> float:
    return float(figure.statistic(np.ones((patients, 1)))[0])


def _drawn(
    pair: Sequence[Mapping[str, Comparable]], patients: int, seed: int, resamples: int
) -> dict[str, Floats]:
    """Return the differences in one fold under each draw of its patients; nothing of a single patient."""
    one, other = pair
    if patients < 2:
        return {}
    found = {}
    for keys in drawn_alike(one):
        blocks = list(draws(patients, seed, one[keys[0]].strata, resamples))
        for key in keys:
            apart = [other[key].statistic(counts) - one[key].statistic(counts) for counts in blocks]
            found[key] = np.concatenate(apart)
    return found


def _of_folds(
    values: Floats, figures: Sequence[Comparable], drawn: Sequence[Floats | None]
) -> FoldDifference:
    """Put the folds of a figure together.

    Args:
        values: Of both recipes, ``(2, folds)``.
        figures: Of the first recipe, one for each fold.
        drawn: Differences under each draw, ``(R,)`` for each fold; None of a fold with a single patient.
    """
    by_fold = values[1] - values[0]
    there = np.flatnonzero(~np.isnan(by_fold)).tolist()
    each = tuple(by_fold.tolist())
    if not there:
        number = sum(figure.n for figure in figures)
        return FoldDifference(math.nan, math.nan, undefined("not defined in any fold", number), each)
    # A fold with one patient would not vary, and the interval be too narrow.
    kept = [array for array in (drawn[fold] for fold in there) if array is not None]
    figure = difference_figure(
        float(by_fold[there].mean()),
        _mean(kept) if len(kept) == len(there) else None,
        sum(figures[fold].n for fold in there),
        sum(figures[fold].patients for fold in there),
    )
    if len(there) < len(each):
        reason = f"undefined in {len(each) - len(there)} of {len(each)} folds"
        figure = Figure(
            figure.value, figure.low, figure.high, figure.n, "; ".join(filter(None, (figure.reason, reason)))
        )
    one, other = values[:, there].mean(axis=1).tolist()
    return FoldDifference(one, other, figure, each)


def _mean(drawn: Sequence[Floats]) -> Floats:
    """Return the mean over the folds that are defined in a resample, ``nan`` where none is."""
    table = np.stack(drawn)
    defined = ~np.isnan(table)
    total, number = np.where(defined, table, 0.0).sum(axis=0), defined.sum(axis=0)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)
