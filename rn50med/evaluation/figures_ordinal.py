"""Figures of grades: classes that exclude each other and have an order."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from rn50med.evaluation.arrays import Floats, Ints, finite, indices, patients_of, stored
from rn50med.evaluation.bootstrap import draws, resampled
from rn50med.evaluation.figure import Figure, undefined
from rn50med.evaluation.figures_multiclass import multiclass_figures
from rn50med.evaluation.finding import with_ends
from rn50med.evaluation.intervals import auroc_interval, label_auroc_interval
from rn50med.evaluation.ranking import label_auroc
from rn50med.evaluation.resamples import quotient

_GRADE_KEYS = ("kappa_quadratic", "mae_grades")
KEYS = ("auroc_above", *_GRADE_KEYS)
"""Figures of grades that classes without an order do not have."""


def median_grade(probabilities: ArrayLike) -> Ints:
    """Return the grade that lies in the middle of what is said: at most one half is said of lower ones.

    Args:
        probabilities: Of every grade, in their order, shape ``(N, K)``.

    Example:
        >>> median_grade([[0.4, 0.2, 0.4], [0.5, 0.1, 0.4]]).tolist()
        [1, 0]
    """
    together = np.cumsum(np.asarray(probabilities, dtype=np.float64), axis=1)
    return np.asarray((together >= 0.5).argmax(axis=1), dtype=np.int64)


def above(probabilities: ArrayLike) -> Floats:
    """Return the probability of more than each grade but the last, rounded as a prediction file holds it.

    Args:
        probabilities: Of every grade, in their order, shape ``(N, K)``.

    Shape:
        - output: ``(N, K - 1)``.

    Example:
        >>> above([[0.5, 0.25, 0.25]]).tolist()
        [[0.5, 0.25]]
    """
    said = finite(probabilities, "probabilities")
    return stored(np.cumsum(said[:, :0:-1], axis=1)[:, ::-1])


def _truly_above(target: Ints, grades: int) -> Ints:
    return (target[:, None] > np.arange(grades - 1)).astype(np.int64)


def auroc_above(probabilities: ArrayLike, target: ArrayLike) -> tuple[float, Floats]:
    """Return the mean of the AUROCs of more than each grade that are defined, and each of them.

    Args:
        probabilities: Of every grade, in their order, shape ``(N, K)``.
        target: Grades as numbers from 0, shape ``(N,)``.

    Example:
        >>> auroc_above([[0.8, 0.1, 0.1], [0.3, 0.4, 0.3]], [0, 1])
        (1.0, array([ 1., nan]))
    """
    cuts = above(probabilities)
    grades = cuts.shape[1] + 1
    return label_auroc(cuts, _truly_above(indices(target, grades, len(cuts)), grades))


def auroc_above_interval(
    probabilities: ArrayLike, target: ArrayLike, patients: ArrayLike, classes: Sequence[str]
) -> Figure:
    """Return the mean of the AUROCs of more than each grade that are defined, with its interval by patient.

    Args:
        probabilities: Of every grade, in their order, shape ``(N, K)``.
        target: Grades as numbers from 0, shape ``(N,)``.
        patients: Patient of each image, shape ``(N,)``.
        classes: Names of the K grades.

    Source:
        As `rn50med.evaluation.intervals.label_auroc_interval`.
    """
    cuts = above(probabilities)
    index = indices(target, len(classes), len(cuts))
    truth = _truly_above(index, len(classes))
    lacking = [_lacks(truth[:, k], name) for k, name in enumerate(classes[:-1])]
    left_out = [reason for reason in lacking if reason]
    if len(left_out) == len(lacking):
        return undefined(left_out[0] if index.size else "no cases", index.size)
    figure = label_auroc_interval(cuts, truth, patients)
    if not left_out:
        return figure
    kept = len(lacking) - len(left_out)
    reason = f"mean of {kept} of {len(lacking)} cuts: {', '.join(left_out)}"
    return Figure(figure.value, figure.low, figure.high, figure.n, reason)


def _lacks(above_it: Ints, name: str) -> str:
    """Return which side of a cut no case is on, a clause; nothing where both have some."""
    if above_it.all():
        return f"no case up to class {name!r}"
    return "" if above_it.any() else f"no case above class {name!r}"


def ordinal_figures(
    probabilities: ArrayLike, target: ArrayLike, patients: ArrayLike, classes: Sequence[str]
) -> dict[str, Figure]:
    """Return the figures of grades; the median grade is the call.

    Beside those of classes: the AUROC of more than each grade and its mean, quadratic-weighted kappa, and by
    how many grades a call is off in the mean.

    Args:
        probabilities: Of every grade, in their order, shape ``(N, K)``.
        target: Grades as numbers from 0, shape ``(N,)``. Leave unknown labels out.
        patients: Patient of each image, shape ``(N,)``.
        classes: Names of the K grades, in their order.

    Raises:
        NumericalError: If a probability is not finite.
        ValueError: If a target is no grade, or the columns are not one per grade.

    Source:
        Cohen, *Weighted kappa*, Psychological Bulletin 1968, 10.1037/h0026256.

    Example:
        >>> said = [[0.7, 0.2, 0.1], [0.2, 0.7, 0.1], [0.6, 0.3, 0.1], [0.1, 0.2, 0.7]]
        >>> figures = ordinal_figures(said, [0, 1, 1, 2], ["a", "b", "c", "d"], ["no", "mild", "severe"])
        >>> round(figures["kappa_quadratic"].value, 3), figures["mae_grades"].value
        (0.8, 0.25)
    """
    said = finite(probabilities, "probabilities")
    called = median_grade(said) if said.ndim == 2 else None
    figures = multiclass_figures(said, target, patients, classes, called)
    index = indices(target, len(classes), len(said))
    found = {"auroc_above": auroc_above_interval(said, index, patients, classes)}
    cuts, truth = above(said), _truly_above(index, len(classes))
    for k, name in enumerate(classes[:-1]):
        beyond = truth[:, k]
        lacking = _lacks(beyond, name) if index.size else "no cases"
        figure = undefined(lacking, index.size) if lacking else auroc_interval(cuts[:, k], beyond, patients)
        found[f"auroc_above/{name}"] = figure
    return found | _grades_apart(index, median_grade(said), patients, figures) | figures


def _grades_apart(
    index: Ints, called: Ints, patients: ArrayLike, figures: dict[str, Figure]
) -> dict[str, Figure]:
    """Return quadratic-weighted kappa and the mean distance in grades; patients are drawn alike."""
    if not index.size:
        return {key: undefined("no cases", 0) for key in _GRADE_KEYS}
    group, number = patients_of(patients)
    off = np.abs(called - index).astype(np.float64)
    columns = [np.ones(index.size), off, off**2, index, called, index**2, called**2]
    sums = np.stack([np.bincount(group, weights=column, minlength=number) for column in columns])

    def statistics(counts: Floats) -> dict[str, Floats]:
        total = sums @ counts
        distance, squared, true, made, true_squared, made_squared = (quotient(t, total[0]) for t in total[1:])
        # What independent graders with the same shares of grades would be off by, squared.
        by_chance = true_squared + made_squared - 2.0 * true * made
        return {"kappa_quadratic": 1.0 - quotient(squared, by_chance), "mae_grades": distance}

    values = {key: float(each[0]) for key, each in statistics(np.ones((number, 1))).items()}
    drawn = resampled([statistics], draws(number)) if number > 1 else {}
    found = {key: with_ends(key, value, index.size, drawn) for key, value in values.items()}
    if not off.any():
        # Every resample says so too. The cautious ends: as for the correlation, and as if the calls that
        # may be wrong by the accuracy's interval were wrong by a grade.
        found["kappa_quadratic"] = figures["mcc"]
        found["mae_grades"] = Figure(0.0, 0.0, 1.0 - figures["accuracy"].low, index.size)
    if math.isnan(values["kappa_quadratic"]):
        found["kappa_quadratic"] = undefined("only one class occurs and is called", index.size)
    return found
