"""The tables of labels that may occur together: a row for each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rn50med.evaluation.arrays import UNKNOWN
from rn50med.evaluation.report.content import main_split, reached, split_names
from rn50med.evaluation.report.facts import Facts
from rn50med.evaluation.report.wording import NOTHING, Cell, cell, percent

_TAKEN = {"ignore": "left out", "negative": "taken as negative", "positive": "taken as positive"}


@dataclass(frozen=True)
class Label:
    """A label on the headline's split.

    Args:
        name: The label.
        counts: Its positive, negative and unknown cases.
        auroc: On its known images.
        auprc: Likewise.
        threshold: Of its operating point, or a dash.
        sensitivity: At that point.
        specificity: Likewise.
        chosen: Sensitivity and specificity on val, where it was chosen, or a dash.
        calls: Positive cases that were called and missed, negative ones that were called and not; empty
            without calls.
    """

    name: str
    counts: tuple[str, str, str]
    auroc: Cell
    auprc: Cell
    threshold: str
    sensitivity: Cell
    specificity: Cell
    chosen: str
    calls: tuple[int, ...]


@dataclass(frozen=True)
class Labels:
    """Everything a report says of single labels.

    Args:
        split: The headline's, whose figures these are.
        rows: One of each label.
        rules: How the operating points were chosen.
        asked: What the rule had to reach, empty for Youden's.
        splits: Names of the splits that the data are counted in.
        data: Of each label its name, what became of unknown cells, and for each split the positive ones
            with their share of the known ones, and a note on the others.
    """

    split: str
    rows: tuple[Label, ...]
    rules: tuple[str, ...]
    asked: str
    splits: tuple[str, ...]
    data: tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...]


def labels(facts: Facts) -> Labels | None:
    """Return the tables of single labels; None where classes exclude each other.

    Args:
        facts: Of the run.
    """
    if not facts.multilabel:
        return None
    split = main_split(facts) or "test"
    points = [facts.point_of(name) for name in facts.classes]
    rules = tuple(sorted({point.rule for point in points if point is not None}))
    asked = next((point.asked for point in points if point is not None), "")
    rows = tuple(_label(facts, split, place, name) for place, name in enumerate(facts.classes))
    return Labels(split, rows, rules, asked, split_names(facts), _data(facts))


def _label(facts: Facts, split: str, place: int, name: str) -> Label:
    figures, point = facts.figures.get(split, {}), facts.point_of(name)
    cells = {
        key: cell(key, figures.get(f"{key}/{name}"), facts.unit)
        for key in ("auroc", "auprc", "sensitivity", "specificity")
    }
    return Label(
        name=name,
        counts=_counts(facts, split, place),
        threshold=NOTHING if point is None else f"{point.threshold:.4g}",
        chosen=NOTHING if point is None else reached(point),
        calls=_calls(facts, split, place),
        **cells,
    )


def _counts(facts: Facts, split: str, place: int) -> tuple[str, str, str]:
    if split not in facts.predicted:
        return (NOTHING, NOTHING, NOTHING)
    target = facts.predicted[split].target[:, place]
    positive, negative, unknown = (str(int((target == value).sum())) for value in (1, 0, UNKNOWN))
    return positive, negative, unknown


def _calls(facts: Facts, split: str, place: int) -> tuple[int, ...]:
    predicted = facts.predicted.get(split)
    if predicted is None or (predicted.called < 0).any():
        return ()
    target, called = predicted.target[:, place], predicted.called[:, place]
    return tuple(int(((target == truth) & (called == call)).sum()) for truth in (1, 0) for call in (1, 0))


def _data(facts: Facts) -> tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...]:
    splits: Mapping[str, Any] = facts.audit.get("splits") or {}
    counted = [splits[name].get("labels") or {} for name in split_names(facts)]
    rows = []
    for name in facts.classes:
        found = [split.get(name) or {} for split in counted]
        taken = next((str(each["unknown_is"]) for each in found if "unknown_is" in each), "")
        rows.append((name, _TAKEN.get(taken, NOTHING), tuple(_cell(each) for each in found)))
    return tuple(rows) if any(counted) else ()


def _cell(counts: Mapping[str, Any]) -> tuple[str, str]:
    if not counts:
        return NOTHING, ""
    positive, negative, unknown = (int(counts.get(key, 0)) for key in ("positive", "negative", "unknown"))
    share = percent(positive, positive + negative)
    return f"{positive} ({share})", f"{negative} negative, {unknown} unknown"
