"""Errors of a number in the groups that a column of the manifest makes, or that the number itself makes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from rn50med.evaluation.arrays import Bools, Floats, finite, patients_of
from rn50med.evaluation.bands import banded
from rn50med.evaluation.bootstrap import draws, percentile_figure
from rn50med.evaluation.figure import Figure, undefined
from rn50med.evaluation.figures_regression import regression_figures
from rn50med.evaluation.resamples import quotient
from rn50med.evaluation.subgroups import Subgroup, hidden_groups

_KEYS = ("mae", "bias")


def value_subgroups(
    values: Sequence[str],
    said: ArrayLike,
    target: ArrayLike,
    patients: ArrayLike,
    column: str = "",
    bands: bool = True,
) -> list[Subgroup]:
    """Return a row for each value of a column: how far off, and in which direction, with the differences.

    Small groups are not shown, as in `rn50med.evaluation.subgroups.subgroups`. No group is tested against
    another, and the intervals are not widened for their number.

    Args:
        values: The column's cell of each image, shape ``(N,)``; empty where it is missing.
        said: Numbers, shape ``(N,)``.
        target: True ones, shape ``(N,)``.
        patients: Patient of each image, shape ``(N,)``; one may be in several groups.
        column: Its name: the numbers of ``age`` are cut at 18, 40 and 65 years, others into quarters.
        bands: Whether numbers are cut into bands.

    Raises:
        NumericalError: If a number is not finite.
        ValueError: If the lengths differ.

    Example:
        >>> rows = value_subgroups(["f", "m"] * 20, np.arange(40.0), np.arange(40.0) + 1, np.arange(40))
        >>> [(row.value, row.images, row.figures["mae"].value, row.figures["bias"].value) for row in rows]
        [('f', 20, 1.0, -1.0), ('m', 20, 1.0, -1.0)]
    """
    number, truth, index = finite(said, "values"), finite(target, "target"), patients_of(patients)[0]
    if not len(values) == number.size == truth.size == index.size:
        raise ValueError(f"values: {len(values)} for {number.size} images; give one for each.")
    names, group = banded(values, column, bands)
    sizes = [np.unique(index[group == k]).size for k in range(len(names))]
    hidden = hidden_groups(sizes)
    rows = []
    for k, name in enumerate(names):
        if k in hidden:
            rows.append(Subgroup(name, None, None))
            continue
        inside = group == k
        figures = regression_figures(number[inside], truth[inside], index[inside])
        apart = {key: _apart(number - truth, inside, index, key) for key in _KEYS}
        own = {key: figures[key] for key in _KEYS}
        rows.append(Subgroup(name, int(inside.sum()), sizes[k], own, apart))
    return rows


def _apart(error: Floats, inside: Bools, patients: ArrayLike, key: str) -> Figure:
    """Return a mean inside a group less that outside, with an interval by drawing patients."""
    index, number = patients_of(patients)
    off = np.abs(error) if key == "mae" else error
    n = int(inside.sum())
    if inside.all():
        return undefined("there are no others", n)
    columns = [off * inside, inside, off * ~inside, ~inside]
    sums = np.stack([np.bincount(index, weights=each, minlength=number) for each in columns])

    def apart(counts: Floats) -> Floats:
        total = sums @ counts
        return quotient(total[0], total[1]) - quotient(total[2], total[3])

    drawn = np.concatenate([apart(counts) for counts in draws(number)])
    return percentile_figure(float(apart(np.ones((number, 1)))[0]), drawn, n)
