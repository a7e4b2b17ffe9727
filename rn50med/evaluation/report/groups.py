"""Tables and forest plots of subgroups: sex, age, site, scanner and view, where the manifest has them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rn50med.errors import listed
from rn50med.evaluation.bands import banded
from rn50med.evaluation.cases import Unit
from rn50med.evaluation.report.charts import Drawing
from rn50med.evaluation.report.plots import Frame, Row, forest
from rn50med.evaluation.report.subjects import Subject
from rn50med.evaluation.report.wording import NOTHING, Cell, cell, interval, number
from rn50med.evaluation.subgroups import Subgroup, subgroups

_MOST_VALUES = 12
# What a category reads like: words, and numbers too short to be somebody's.
_WORDS = re.compile(r"(?!.*\d{5})[\w .,&+()/:'-]{1,30}")
_LONGEST = 20
_KEYS = {"auroc": "AUROC", "sensitivity": "Sensitivity", "specificity": "Specificity"}


@dataclass(frozen=True)
class GroupRow:
    """A group as a table shows it.

    Args:
        name: Its value or band.
        size: Cases and patients, or that it is not shown.
        cells: AUROC, sensitivity and specificity; empty where it is not shown.
        differences: Of each from all other cases, with its interval, or a dash.
        note: What has to be known to read it.
    """

    name: str
    size: str
    cells: tuple[Cell, ...]
    differences: tuple[str, ...]
    note: str


@dataclass(frozen=True)
class Groups:
    """Everything a report says of the subgroups of one finding.

    Args:
        columns: Of each column its name and rows.
        keys: Names of the figures in the rows' cells.
        drawings: Forest plots.
        sentences: On columns that are not shown.
    """

    columns: tuple[tuple[str, tuple[GroupRow, ...]], ...]
    keys: tuple[str, ...]
    drawings: tuple[Drawing, ...]
    sentences: tuple[str, ...]


def groups(subject: Subject, only: tuple[str, ...] = tuple(_KEYS)) -> Groups | None:
    """Return the subgroups of a finding; None where the manifest has none of the columns.

    Args:
        subject: With images of both outcomes.
        only: Figures that are drawn.
    """
    if not subject.columns:
        return None

    def of(values: Sequence[str], column: str) -> list[Subgroup]:
        return subgroups(values, subject.said, subject.positive, subject.groups, subject.threshold, column)

    shown, refused = shown_columns(subject.columns, of)
    keys = tuple(_KEYS) if subject.threshold is not None else ("auroc",)
    tables = tuple(
        (name, tuple(group_row(each, keys, subject.unit) for each in rows)) for name, rows in shown.items()
    )
    drawings = (_forest(subject, key, shown) for key in keys if key in only)
    return Groups(
        tables,
        tuple(map(_KEYS.__getitem__, keys)),
        tuple(d for d in drawings if d is not None),
        refused,
    )


def shown_columns(
    columns: Mapping[str, Sequence[str]], of: Callable[[Sequence[str], str], list[Subgroup]]
) -> tuple[dict[str, list[Subgroup]], tuple[str, ...]]:
    """Return the groups of the columns that can be shown, and a sentence on each of the others.

    Args:
        columns: Cells of each.
        of: Gives the groups of a column's cells and its name.
    """
    shown: dict[str, list[Subgroup]] = {}
    refused = []
    for column, values in columns.items():
        names, _ = banded(values, column)
        if len(names) > _MOST_VALUES:
            refused.append(f"Column {column} has more than {_MOST_VALUES} values and is not shown.")
        elif not all(_WORDS.fullmatch(name) for name in names):
            refused.append(f"Column {column} holds more than words of a category and is not shown.")
        else:
            shown[column] = of(values, column)
    for column in [name for name, rows in shown.items() if all(each.suppressed for each in rows)]:
        refused.append(f"Column {column}: no group has patients enough to be shown.")
        del shown[column]
    return shown, tuple(refused)


def group_row(group: Subgroup, keys: tuple[str, ...], unit: Unit) -> GroupRow:
    """Return a group as a table shows it.

    Args:
        group: Any.
        keys: Of the figures shown.
        unit: What a case is.
    """
    if group.suppressed:
        return GroupRow(group.value, "not shown", (), (), "")
    differences = []
    for key in keys:
        apart = group.differences[key]
        ends = interval(apart)
        differences.append(
            NOTHING if math.isnan(apart.value) else f"{apart.value:+z.3f}" + (f" ({ends})" if ends else "")
        )
    images, patients = group.images, group.patients
    size = (
        f"{patients} patients"
        if unit.of == "patient"
        else f"{images} {unit.word(images or 0)}, {patients} patients"
    )
    cells = tuple(cell(key, group.figures[key], unit) for key in keys)
    return GroupRow(group.value, size, cells, tuple(differences), group.note)


def _forest(subject: Subject, key: str, shown: dict[str, list[Subgroup]]) -> Drawing | None:
    rows, told = [], []
    for column, found in shown.items():
        drawn = [
            (each.value, each.figures[key])
            for each in found
            if not each.suppressed and math.isfinite(each.figures[key].value)
        ]
        if not drawn:
            continue
        rows.append(Row(_short(column) + ":"))
        rows += [Row(_short(name), figure.value, figure.low, figure.high) for name, figure in drawn]
        told.append(
            f"{column}: " + listed([f"{name} {number(figure.value)}" for name, figure in drawn], _MOST_VALUES)
        )
    if not rows:
        return None
    whole = subject.figures.get(key)
    every = None if whole is None or not math.isfinite(whole.value) else whole.value
    name = _KEYS[key]
    frame = Frame(
        f"groups-{key}-{subject.place}",
        f"{name} of {subject.name} in subgroups of {subject.split}. {'. '.join(told)}.",
        name,
        "",
        chosen=None if every is None else (every, "all"),
    )
    caption = f"{name} by subgroup on {subject.split}, with 95 % intervals."
    return Drawing(
        forest(frame, rows), caption + ("" if every is None else f" Dashed: all, {number(every)}.")
    )


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"
