"""The tables and sentences of a report."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rn50med.errors import listed
from rn50med.evaluation.figure import Figure
from rn50med.evaluation.operating_point import OperatingPoint
from rn50med.evaluation.report.facts import SPLITS, Facts
from rn50med.evaluation.report.predicted import Predicted
from rn50med.evaluation.report.predicted_values import Values
from rn50med.evaluation.report.wording import (
    NOTHING,
    Cell,
    cell,
    interval,
    number,
    ordered,
    percent,
)


@dataclass(frozen=True)
class Headline:
    """The one figure that stands first.

    Args:
        name: Of the figure.
        split: Where it was computed.
        value: The figure.
        interval: Its 95 % interval, or nothing.
        meaning: What it says, a sentence, or why it is undefined.
        basis: Images and patients behind it.
    """

    name: str
    split: str
    value: str
    interval: str
    meaning: str
    basis: str


@dataclass(frozen=True)
class Point:
    """The operating point and what it reached.

    Args:
        positive: The class that is called.
        threshold: In [0, 1].
        sensitivity: On the headline's split.
        specificity: On the headline's split.
        chosen: What it reached on val, where it was chosen, a clause.
    """

    positive: str
    threshold: str
    sensitivity: Cell
    specificity: Cell
    chosen: str


@dataclass(frozen=True)
class Confusion:
    """True classes against called ones.

    Args:
        split: Whose images.
        classes: Names, rows and columns alike.
        rows: Of each true class its number of cases, and for each call the count, the share in percent
            and the share in [0, 1].
    """

    split: str
    classes: tuple[str, ...]
    rows: tuple[tuple[int, tuple[tuple[int, str, float], ...]], ...]


def main_split(facts: Facts) -> str | None:
    """Return the split the headline is of: test where it was opened, else val.

    Args:
        facts: Of the run.
    """
    return next((split for split in ("test", "val") if split in facts.figures), None)


def title(facts: Facts) -> str:
    """Return what the model tells apart.

    Args:
        facts: Of the run.
    """
    if facts.positive is not None and len(facts.classes) == 2:
        other = next(name for name in facts.classes if name != facts.positive)
        return f"{facts.positive} against {other}"
    if facts.multilabel and len(facts.classes) > 5:
        return listed(facts.classes, 3)
    return ", ".join(facts.classes) or facts.number or "Classification of images"


def headline(facts: Facts) -> Headline | None:
    """Return the headline, never accuracy; None without figures.

    Args:
        facts: Of the run.
    """
    split = main_split(facts)
    figure = facts.figures[split].get(facts.watched) if split else None
    if split is None or figure is None:
        return None
    basis = f"{figure.n} {facts.unit.word(figure.n)}"
    if facts.audit.get("patients_are_images"):
        basis += ", each taken for its own patient"
    elif (found := facts.predicted.get(split) or facts.values.get(split)) is not None:
        basis += _behind(facts, found)
    value, meaning = number(figure.value), _meaning(facts, figure)
    if facts.scale and math.isfinite(figure.value):
        value += f" {facts.scale}"
    return Headline(facts.plain_name(facts.watched), split, value, interval(figure), meaning, basis)


EXPLAINED = {"auroc", "auroc_above", "mae"}
"""Figures of which the headline can say what they tell."""


def _meaning(facts: Facts, figure: Figure) -> str:
    """Return what the headline says, or why it is undefined."""
    if not math.isfinite(figure.value):
        return f"It is undefined: {figure.reason or 'the classes do not occur'}."
    if facts.headline_words or facts.watched not in EXPLAINED:
        return facts.headline_words
    if facts.positive is not None:
        return (
            f"Of a random {facts.unit.of} of class {facts.positive} and one of the other class, the first is "
            f"given the higher probability in {100 * figure.value:.1f} % of such pairs."
        )
    if facts.values:
        return "How far what was said is from what is true, in the mean."
    if figure.reason:
        return f"The {figure.reason}."
    meaning = "The mean over the classes, each told apart from all others."
    if facts.multilabel:
        meaning = f"The mean over the labels, each on the {facts.unit.word()} where it is known."
    if facts.ordered:
        meaning = "How well more than a grade is told from no more than it: the mean over the grades."
    return meaning


def _behind(facts: Facts, predicted: Predicted | Values) -> str:
    """Return how many patients the images of a split are of, or how many images its cases have."""
    if facts.unit.of == "image":
        return f" of {predicted.patients} patient{'' if predicted.patients == 1 else 's'}"
    images = int(predicted.images.sum())
    which = "mean" if facts.unit.images == "mean" else "largest"
    what = "value" if isinstance(predicted, Values) else "probability"
    return (
        f" with {images} image{'' if images == 1 else 's'} together; the {what} of a {facts.unit.of} is "
        f"the {which} of those of its images"
    )


def point(facts: Facts) -> Point | None:
    """Return the operating point with what it reached; None where there is none.

    Args:
        facts: Of the run.
    """
    split = main_split(facts)
    if not isinstance(facts.point, OperatingPoint) or split is None or facts.positive is None:
        return None
    figures = facts.figures[split]
    return Point(
        facts.positive,
        f"{facts.point.threshold:.4g}",
        cell("sensitivity", figures.get("sensitivity"), facts.unit),
        cell("specificity", figures.get("specificity"), facts.unit),
        f"sensitivity and specificity on val, where it was chosen: {reached(facts.point)}",
    )


def reached(chosen: OperatingPoint) -> str:
    """Return sensitivity and specificity on the images that a point was chosen on, a clause.

    Args:
        chosen: The point.

    Example:
        >>> reached(OperatingPoint(0.5, "sensitivity", 0.9, 0.8, limit=0.7, reason="no threshold reaches it"))
        '0.900 and 0.800; lower limit 0.700; no threshold reaches it'
    """
    parts = [f"{number(chosen.sensitivity)} and {number(chosen.specificity)}"]
    parts += [] if chosen.limit is None else [f"lower limit {number(chosen.limit)}"]
    return "; ".join([*parts, *filter(None, [chosen.reason])])


def figure_rows(facts: Facts) -> tuple[tuple[str, ...], tuple[tuple[str, tuple[Cell, ...]], ...]]:
    """Return the evaluated splits, test first, and for each figure its name and a cell per split.

    Args:
        facts: Of the run.
    """
    splits = tuple(split for split in ("test", "val") if split in facts.figures)
    keys = ordered(facts.figures[split] for split in splits)
    names = {key: facts.label(key) for key in keys}
    if facts.positive is None and "auroc" in names:
        names["auroc"] += f", mean over the {'labels' if facts.multilabel else 'classes'}"
    rows = (
        (names[key], tuple(cell(key, facts.figures[split].get(key), facts.unit) for split in splits))
        for key in keys
    )
    return splits, tuple(rows)


def split_names(facts: Facts) -> tuple[str, ...]:
    """Return the names of the splits that the audit counts, in their usual order.

    Args:
        facts: Of the run.
    """
    found: Mapping[str, Any] = facts.audit.get("splits") or {}
    return (*(name for name in SPLITS if name in found), *(name for name in found if name not in SPLITS))


def data_rows(facts: Facts) -> tuple[tuple[str, ...], ...]:
    """Return a row per split: its name, patients, images, then count and prevalence of each class.

    Labels that may occur together have a table of their own, and no columns here.

    Args:
        facts: Of the run.
    """
    splits: Mapping[str, Any] = facts.audit.get("splits") or {}
    classes = () if facts.multilabel else facts.classes
    rows = []
    for name in split_names(facts):
        images, counts = int(splits[name].get("images", 0)), splits[name].get("classes") or {}
        shares = (f"{counts.get(each, 0)} ({percent(counts.get(each, 0), images)})" for each in classes)
        rows.append((name, str(splits[name].get("patients", NOTHING)), str(images), *shares))
    return tuple(rows)


def findings(facts: Facts) -> tuple[tuple[str, str], ...]:
    """Return severity and message of what the audit found, errors first.

    Args:
        facts: Of the run.
    """
    places = {"error": 0, "warning": 1, "info": 2}
    found = [(str(each["severity"]), str(each["message"])) for each in facts.audit.get("findings") or ()]
    return tuple(sorted(found, key=lambda each: places.get(each[0], 3)))


def confusion(facts: Facts) -> Confusion | None:
    """Return the confusion matrix of the headline's split; None without calls.

    Args:
        facts: Of the run.
    """
    split = main_split(facts) or "test"
    predicted = facts.predicted.get(split)
    if predicted is None or facts.multilabel or (predicted.called < 0).any():
        return None
    counts = _counts(predicted, len(facts.classes))
    rows = tuple(
        (int(row.sum()), tuple((int(n), percent(n, row.sum()), float(n / max(1, row.sum()))) for n in row))
        for row in counts
    )
    return Confusion(split, facts.classes, rows)


def _counts(predicted: Predicted, classes: int) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    flat = np.bincount(predicted.target * classes + predicted.called, minlength=classes * classes)
    return flat.reshape(classes, classes).astype(np.int64)
