"""What each chart of one finding is drawn from: a class told apart from the rest, or a label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rn50med.evaluation.arrays import Bools, Floats, Ints
from rn50med.evaluation.cases import Unit
from rn50med.evaluation.figure import Figure
from rn50med.evaluation.report.charts import drawn_split
from rn50med.evaluation.report.facts import Facts
from rn50med.evaluation.report.predicted import Predicted

MOST_SUBJECTS = 6
"""Classes or labels with charts of their own; a page of more would not be read."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A class or label on the cases of one split where it is known.

    Args:
        name: Of the class or label.
        place: Among those of the run, from 0.
        split: Whose images.
        said: Its probability, ``(N,)``.
        positive: Whether it is there, ``(N,)``.
        called: Whether it was called, ``(N,)``; None without calls.
        threshold: From which it is called; None where that is not decided by a threshold.
        groups: Patient of each case, ``(N,)``.
        images: Number of images of each case, ``(N,)``.
        lines: Line of ``manifest.csv`` of each case's first image, ``(N,)``; empty where it is not known.
        unit: What a case is.
        raw: The probability before the temperature, ``(N,)``; None where it is not known or there was none.
        columns: Cells of usual columns of the manifest, N each.
        figures: By their names without the class or label.
    """

    name: str
    place: int
    split: str
    said: Floats
    positive: Bools
    called: Bools | None
    threshold: float | None
    groups: Ints
    images: Ints
    lines: Ints
    unit: Unit
    raw: Floats | None
    columns: Mapping[str, tuple[str, ...]]
    figures: Mapping[str, Figure]

    @property
    def lacks(self) -> str:
        """Which outcome does not occur, a clause; nothing where both do."""
        if self.positive.any() and not self.positive.all():
            return ""
        return f"{self.split} has no {'negative' if self.positive.any() else 'positive'} {self.unit.of}"

    @property
    def prevalence(self) -> float:
        """Share of positive cases."""
        return float(self.positive.mean())


def subjects(facts: Facts) -> tuple[Subject, ...]:
    """Return the positive class of a binary task, else the first classes or labels; none unpredicted.

    Args:
        facts: Of the run.
    """
    split = drawn_split(facts)
    if split not in facts.predicted:
        return ()
    places = range(len(facts.classes))
    if facts.positive is not None:
        places = range(facts.classes.index(facts.positive), facts.classes.index(facts.positive) + 1)
    return tuple(_subject(facts, split, place) for place in places[:MOST_SUBJECTS])


def _subject(facts: Facts, split: str, place: int) -> Subject:
    predicted, name = facts.predicted[split], facts.classes[place]
    known, point = predicted.known(place), facts.point_of(name)
    said, positive = predicted.against_the_rest(place)
    end = "" if facts.positive is not None else f"/{name}"
    figures = facts.figures.get(split, {})
    cells = {column: np.array(values, dtype=object)[known] for column, values in predicted.columns.items()}
    return Subject(
        name=name,
        place=place,
        split=split,
        said=said,
        positive=positive,
        called=_called(predicted, place, known),
        threshold=None if point is None else point.threshold,
        groups=predicted.groups[known],
        images=predicted.images[known],
        unit=facts.unit,
        raw=_before(facts, predicted, place, known),
        lines=predicted.lines[known] if predicted.lines.size else predicted.lines,
        columns={column: tuple(values) for column, values in cells.items()},
        figures={key.removesuffix(end): each for key, each in figures.items() if key.endswith(end)},
    )


def _before(facts: Facts, predicted: Predicted, place: int, known: Bools) -> Floats | None:
    if predicted.raw is None or facts.metrics.get("temperature") is None:
        return None
    return np.asarray(predicted.raw[known, place])


def _called(predicted: Predicted, place: int, known: Bools) -> Bools | None:
    if (predicted.called < 0).any():
        return None
    if predicted.target.ndim == 1:
        return np.asarray(predicted.called == place)
    return np.asarray(predicted.called[known, place] == 1)
