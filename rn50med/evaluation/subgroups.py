"""Figures of the groups that a column of the manifest makes: sex, age, site, scanner, view, cause."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike

from rn50med.evaluation.arrays import Bools, Floats, Ints, finite, indices, patients_of
from rn50med.evaluation.bands import MISSING, banded
from rn50med.evaluation.delong import clustered_influence
from rn50med.evaluation.figure import Figure, undefined
from rn50med.evaluation.intervals import auroc_interval
from rn50med.evaluation.proportions import difference, proportion_interval

FEWEST = 10
"""Patients below which a group is not shown."""

_ALL_POSITIVE = "the column fixes the label: AUROC against all negative cases, no specificity"
_ALL_NEGATIVE = "the column fixes the label: AUROC against all positive cases, no sensitivity"


@dataclass(frozen=True)
class Subgroup:
    """A group of images, and how it differs from all others.

    Args:
        value: What the column says, or the band it lies in.
        images: Number of images; None where the group is not shown.
        patients: Number of patients; None where the group is not shown.
        figures: AUROC, sensitivity and specificity; empty where the group is not shown.
        differences: Of each, the group's less that of all other images.
        note: What has to be known to read the row; mostly nothing.
    """

    value: str
    images: int | None
    patients: int | None
    figures: dict[str, Figure] = field(default_factory=dict)
    differences: dict[str, Figure] = field(default_factory=dict)
    note: str = ""

    @property
    def suppressed(self) -> bool:
        """Whether the group is not shown: it has too few patients, or would give away one that has."""
        return self.images is None


@dataclass(frozen=True, eq=False)
class _Table:
    said: Floats
    positive: Bools
    index: Ints
    threshold: float | None

    def __getitem__(self, rows: Bools) -> _Table:
        return _Table(self.said[rows], self.positive[rows], self.index[rows], self.threshold)


def subgroups(
    values: Sequence[str],
    probability: ArrayLike,
    target: ArrayLike,
    patients: ArrayLike,
    threshold: float | None,
    column: str = "",
    bands: bool = True,
) -> list[Subgroup]:
    """Return a row for each value of a column, or for each band of its numbers.

    A group of fewer than 10 patients is not shown, and as many other small ones with it as it takes that
    two groups or more, of 10 patients or more together, are hidden: none can then be found by subtraction.
    A column each of whose values has one outcome alone (a cause of the finding) fixes the label: a group
    then is held against all images of the other outcome, and its note says so. No group is tested against
    another, and the intervals are not widened for their number.

    Args:
        values: The column's cell of each image, shape ``(N,)``; empty where it is missing.
        probability: Of the positive class, shape ``(N,)``.
        target: 0 or 1, shape ``(N,)``. Leave unknown labels out.
        patients: Patient of each image, shape ``(N,)``; one may be in several groups.
        threshold: An image at or above it is called positive; None leaves sensitivity and specificity
            undefined.
        column: Its name: the numbers of ``age`` are cut at 18, 40 and 65 years, others into quarters.
        bands: Whether numbers are cut into bands.

    Raises:
        NumericalError: If a probability is not finite.
        ValueError: If a target is not 0 or 1, or the lengths differ.

    Example:
        >>> sex, truth = ["f", "m"] * 20, [0, 0, 1, 1] * 10
        >>> rows = subgroups(sex, np.linspace(0, 1, 40), truth, np.arange(40), 0.5, "sex")
        >>> [(row.value, row.images, row.figures["sensitivity"].value) for row in rows]
        [('f', 20, 0.5), ('m', 20, 0.5)]
    """
    said = finite(probability, "probabilities")
    positive = indices(target, 2, said.shape[0]) == 1
    index, _ = patients_of(patients)
    if not len(values) == said.size == index.size:
        raise ValueError(f"values: {len(values)} for {said.size} images; give one for each.")
    names, group = banded(values, column, bands)
    table = _Table(said, positive, index, threshold)
    sizes = [np.unique(index[group == k]).size for k in range(len(names))]
    hidden, fixed = hidden_groups(sizes), _fixes(names, group, positive)
    return [
        Subgroup(name, None, None) if k in hidden else _row(name, sizes[k], table, group == k, fixed)
        for k, name in enumerate(names)
    ]


def hidden_groups(sizes: Sequence[int]) -> set[int]:
    """Return the groups that are not shown, given their numbers of patients.

    Args:
        sizes: Patients of each group.

    Example:
        >>> hidden_groups([30, 4, 12])
        {1, 2}
    """
    order = sorted(range(len(sizes)), key=lambda k: sizes[k])
    hidden = [k for k in order if sizes[k] < FEWEST]
    if not hidden:
        return set()
    for k in order[len(hidden) :]:
        if len(hidden) > 1 and sum(sizes[each] for each in hidden) >= FEWEST:
            break
        hidden.append(k)
    return set(hidden)


def _fixes(names: Sequence[str], group: Ints, positive: Bools) -> bool:
    """Return whether each value that is given has one outcome, although both occur."""
    shares = [positive[group == k].mean() for k, name in enumerate(names) if name != MISSING]
    return set(shares) == {0.0, 1.0}


def _row(name: str, patients: int, table: _Table, inside: Bools, fixed: bool) -> Subgroup:
    own, rest, note = table[inside], table[~inside], ""
    ranked_own, ranked_rest = own, rest
    if fixed and (own.positive.all() or not own.positive.any()):
        outcome = bool(own.positive.all())
        against = table.positive != outcome
        ranked_own = table[inside | against]
        ranked_rest = table[~inside | against]
        note = _ALL_POSITIVE if outcome else _ALL_NEGATIVE
    area, others = _auroc(ranked_own), _auroc(ranked_rest)
    shared = _together(_influences(ranked_own), _influences(ranked_rest))
    figures, differences = {"auroc": area}, {"auroc": _apart(area, others, shared)}
    for key, outcome in (("sensitivity", True), ("specificity", False)):
        share, others = _share(own, outcome), _share(rest, outcome)
        shared = _together(_excess(own, outcome), _excess(rest, outcome))
        figures[key], differences[key] = share, _apart(share, others, shared)
    return Subgroup(name, own.said.size, patients, figures, differences, note)


def _auroc(part: _Table) -> Figure:
    return auroc_interval(part.said, part.positive, part.index)


def _share(part: _Table, outcome: bool) -> Figure:
    rows = part.positive == outcome
    if part.threshold is None:
        return undefined("no operating point", rows.size)
    if not rows.any():
        return undefined(f"no {'positive' if outcome else 'negative'} case", 0)
    return proportion_interval((part.said >= part.threshold)[rows] == outcome, part.index[rows])


def _apart(own: Figure, rest: Figure, correlation: float) -> Figure:
    for figure, where in ((own, ""), (rest, " in the others")):
        if math.isnan(figure.value):
            return undefined(figure.reason + where, own.n)
    return replace(difference(own, rest, correlation), n=own.n)


def _influences(part: _Table) -> dict[int, float]:
    """Return what each patient adds to an AUROC's departure from its mean; nothing where undefined."""
    if part.positive.all() or not part.positive.any():
        return {}
    names, index = np.unique(part.index, return_inverse=True)
    found = clustered_influence(part.said, part.positive, index.astype(np.int64), names.size)
    return dict(zip(names.tolist(), (found.positive + found.negative).tolist(), strict=True))


def _excess(part: _Table, outcome: bool) -> dict[int, float]:
    """Return what each patient adds to a proportion's departure from its mean."""
    rows = part.positive == outcome
    if part.threshold is None or not rows.any():
        return {}
    hits = ((part.said >= part.threshold)[rows] == outcome).astype(np.float64)
    names, index = np.unique(part.index[rows], return_inverse=True)
    sums = np.bincount(index, weights=hits - hits.mean())
    return dict(zip(names.tolist(), sums.tolist(), strict=True))


def _together(own: dict[int, float], rest: dict[int, float]) -> float:
    """Return the correlation of two figures that patients in both of them make."""
    scale = math.sqrt(math.fsum(v * v for v in own.values()) * math.fsum(v * v for v in rest.values()))
    shared = math.fsum(own[name] * rest[name] for name in own.keys() & rest.keys())
    return shared / scale if scale else 0.0
