"""What a report shows of a number: said against true, how far off, and for whom."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from rn50med.evaluation.arrays import Floats
from rn50med.evaluation.report.charts import Drawing
from rn50med.evaluation.report.content import main_split, split_names
from rn50med.evaluation.report.facts import Facts
from rn50med.evaluation.report.groups import GroupRow, group_row, shown_columns
from rn50med.evaluation.report.plots import MUTED, Frame, Line, chart
from rn50med.evaluation.report.predicted_values import Values
from rn50med.evaluation.report.wording import NOTHING, number
from rn50med.evaluation.subgroups_values import value_subgroups

_MOST_DOTS = 2000
"""Cases in a chart; more would make the page large and the dots a blot."""

_KEYS = ("mae", "bias")


@dataclass(frozen=True)
class ValuesPart:
    """The part of a report that is of a number.

    Args:
        split: Whose cases.
        unit: Of the number; empty without one.
        drawings: Said against true, and the errors by their means.
        quarters: Errors by quarter of the true number.
        columns: Of each column of the manifest its name and groups.
        sentences: On columns that are not shown.
        data: Of each split its name, mean, standard deviation and quartiles.
    """

    split: str
    unit: str
    drawings: tuple[Drawing, ...]
    quarters: tuple[GroupRow, ...]
    columns: tuple[tuple[str, tuple[GroupRow, ...]], ...]
    sentences: tuple[str, ...]
    data: tuple[tuple[str, ...], ...]


def values_part(facts: Facts) -> ValuesPart | None:
    """Return what is shown of a number; None where classes are predicted, or nothing was.

    Args:
        facts: Of the run.
    """
    split = main_split(facts) or "test"
    found = facts.values.get(split)
    if found is None or not found.said.size:
        return None
    of = partial(_groups, found)
    quarters = of([f"{value:.17g}" for value in found.target], "true value")
    shown, refused = shown_columns(found.columns, of)
    return ValuesPart(
        split=split,
        unit=facts.scale,
        drawings=(_against(facts, split, found), _agreement(facts, split, found)),
        quarters=tuple(group_row(each, _KEYS, facts.unit) for each in quarters),
        columns=tuple(
            (name, tuple(group_row(each, _KEYS, facts.unit) for each in rows)) for name, rows in shown.items()
        ),
        sentences=refused,
        data=tuple(_data_row(facts, name) for name in split_names(facts)),
    )


def _groups(found: Values, cells: Any, column: str) -> Any:
    return value_subgroups(cells, found.said, found.target, found.groups, column)


def _data_row(facts: Facts, split: str) -> tuple[str, ...]:
    counted = (facts.audit.get("splits") or {}).get(split, {}).get("values") or {}
    keys = ("mean", "sd", "q1", "median", "q3")
    return (split, *(f"{counted[key]:g}" if key in counted else NOTHING for key in keys))


def _drawn(found: Values) -> tuple[Floats, Floats, str]:
    """Return true and said numbers of the cases that are drawn, evenly among them, and a sentence on it."""
    size = found.said.size
    if size <= _MOST_DOTS:
        return found.target, found.said, ""
    rows = np.linspace(0, size - 1, _MOST_DOTS).round().astype(np.int64)
    return found.target[rows], found.said[rows], f" Of {size} cases {_MOST_DOTS} are drawn."


def _limits(*arrays: Floats) -> tuple[float, float]:
    """Return the ends of an axis, a little beyond all numbers."""
    low, high = min(float(each.min()) for each in arrays), max(float(each.max()) for each in arrays)
    room = 0.05 * (high - low) or 1.0
    return low - room, high + room


def _named(what: str, unit: str) -> str:
    return f"{what} in {unit}" if unit else what


def _against(facts: Facts, split: str, found: Values) -> Drawing:
    """Return said against true."""
    true, said, left_out = _drawn(found)
    low, high = _limits(true, said)
    figures = facts.figures.get(split, {})
    correlation, r2 = (number(figures[key].value) if key in figures else NOTHING for key in ("pearson", "r2"))
    frame = Frame(
        "said-against-true",
        f"What was said on {split} against what is true; correlation {correlation}.",
        _named("true", facts.scale),
        _named("said", facts.scale),
        limits=(low, high, low, high),
    )
    ends = np.array([low, high])
    lines = [Line("", true, said, 1, dots=True), Line("", ends, ends, MUTED)]
    caption = f"Said against true on {split}. Dashed: as it should be. Correlation {correlation}, R² {r2}."
    return Drawing(chart(frame, lines), caption + left_out)


def _agreement(facts: Facts, split: str, found: Values) -> Drawing:
    """Return errors by the mean of said and true, as Bland and Altman draw them."""
    true, said, left_out = _drawn(found)
    mean, error = (true + said) / 2, said - true
    figures = facts.figures.get(split, {})
    marks = {key: figures[key].value for key in ("bias", "loa_low", "loa_high") if key in figures}
    marks = {key: value for key, value in marks.items() if np.isfinite(value)}
    x, y = _limits(mean), _limits(error, np.array([0.0, *marks.values()]))
    told = ", ".join(number(value) for value in marks.values())
    frame = Frame(
        "agreement",
        f"Bland-Altman chart of {split}: errors by the mean of said and true; mean error and limits {told}.",
        _named("mean of said and true", facts.scale),
        _named("said less true", facts.scale),
        limits=(*x, *y),
    )
    lines = [Line("", mean, error, 1, dots=True)]
    names = {"bias": "mean error", "loa_low": "95 % limits of agreement", "loa_high": ""}
    colours = {"bias": 2, "loa_low": 3, "loa_high": 3}
    lines += [Line(names[key], np.array(x), np.full(2, value), colours[key]) for key, value in marks.items()]
    lines.append(Line("", np.array(x), np.zeros(2), MUTED))
    caption = (
        f"Bland-Altman chart of {split}: error by the mean of said and true; mean error and limits {told}. "
        "The limits hold 95 % of errors that are normally distributed. A slope says that large and small "
        "numbers are drawn to the middle."
    )
    return Drawing(chart(frame, lines), caption + left_out)
