"""Two scores of the same cases: the difference of their AUROCs, whatever is told apart."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from rn50med.evaluation.arrays import UNKNOWN, Bools, Floats, Ints, patients_of
from rn50med.evaluation.cases import Cases
from rn50med.evaluation.delong import Influence, clustered_influence, variance
from rn50med.evaluation.figure import QUANTILE, Figure
from rn50med.evaluation.proportions import difference


@dataclass(frozen=True, eq=False)
class Column:
    """One class or label, told apart from the rest on the cases where it is known.

    Args:
        place: Its place among the probabilities.
        rows: The cases where it is known, shape ``(M,)``.
        positive: Whether it is there, shape ``(M,)``.
    """

    place: int
    rows: Ints
    positive: Bools


def told_apart(cases: Cases) -> list[Column]:
    """Return the classes or labels of which there are cases with and without; their AUROCs are defined.

    Args:
        cases: Of any task.

    Example:
        >>> cases = Cases(np.full((3, 2), 0.5), np.array([[0, 1], [1, 1], [-100, 0]]), np.array(list("abc")))
        >>> [(column.place, column.positive.tolist()) for column in told_apart(cases)]
        [(0, [False, True]), (1, [True, True, False])]
    """
    columns, target = [], cases.target
    single = cases.probability.shape[1] == 1
    for place in range(cases.probability.shape[1]):
        if target.ndim == 2:
            known = target[:, place] != UNKNOWN
            positive = target[known, place] == 1
        else:
            known = target != UNKNOWN
            positive = target[known] == (1 if single else place)
        if positive.any() and not positive.all():
            columns.append(Column(place, np.flatnonzero(known), positive))
    return columns


def paired_headline(one: Cases, other: Cases, headline: Callable[[Cases], Figure]) -> Figure:
    """Return the difference of the AUROCs of two scores of the same cases, the first less the second.

    Of several classes or labels it is that of the means. The variance is that of the difference of each
    patient's influences. Where the data show none although the scores rank differently (both are perfect),
    the ends are recovered from those of the two AUROCs.

    Args:
        one: Cases as the first score has them.
        other: The same cases, in the same order, as the second has them.
        headline: Gives the AUROC of cases.

    Raises:
        ValueError: If they are not the same cases.

    Source:
        DeLong et al., Biometrics 1988, 10.2307/2531595; clustered: Obuchowski, Biometrics 1997,
        10.2307/2533958.

    Example:
        >>> from rn50med.evaluation.intervals import auroc_interval
        >>> truth, patients = np.array([0, 0, 1, 1]), np.array(list("abcd"))
        >>> one, other = (
        ...     Cases(np.array(said)[:, None], truth, patients)
        ...     for said in ([0.1, 0.4, 0.3, 0.8], [0.1, 0.2, 0.3, 0.8])
        ... )
        >>> paired_headline(one, other, lambda c: auroc_interval(c.probability[:, 0], c.target, c.patients))
        Figure(value=-0.25, low=-0.94..., high=0.44..., n=4, reason='')
    """
    if not np.array_equal(one.target, other.target) or not np.array_equal(one.patients, other.patients):
        raise ValueError("cases: the two are not the same ones in the same order; pair them first.")
    alone = headline(one), headline(other)
    columns = told_apart(one)
    if not columns or any(math.isnan(each.value) for each in alone):
        return next(each for each in alone if math.isnan(each.value))
    if all(_ranked_alike(one, other, column) for column in columns):
        return Figure(0.0, 0.0, 0.0, alone[0].n)
    inside = np.unique(np.concatenate([column.rows for column in columns]))
    index, number = patients_of(one.patients[inside])
    whose = np.zeros(len(one.patients), dtype=np.int64)
    whose[inside] = index
    parts = [_apart(one, other, column, whose, number) for column in columns]
    squared_error = variance(parts, number)
    value = math.fsum(part.value for part in parts) / len(parts)
    if squared_error > 0.0:
        half = QUANTILE * math.sqrt(squared_error)
        return Figure(value, max(-1.0, value - half), min(1.0, value + half), alone[0].n)
    recovered = difference(*alone)
    return Figure(recovered.value, recovered.low, recovered.high, alone[0].n)


def _ranked_alike(one: Cases, other: Cases, column: Column) -> bool:
    first, second = (rankdata(each.probability[column.rows, column.place]) for each in (one, other))
    return np.array_equal(first, second)


def _apart(one: Cases, other: Cases, column: Column, whose: Ints, number: int) -> Influence:
    """Return each patient's influence on the difference of two AUROCs."""
    owners = whose[column.rows]
    first, second = (
        clustered_influence(_scores(each, column), column.positive, owners, number) for each in (one, other)
    )
    return Influence(
        first.value - second.value,
        first.positive - second.positive,
        first.negative - second.negative,
        first.positive_patients,
        first.negative_patients,
    )


def _scores(cases: Cases, column: Column) -> Floats:
    return np.asarray(cases.probability[column.rows, column.place], dtype=np.float64)
