"""The charts of a cross-validation's report."""

from __future__ import annotations

import math

import numpy as np

from rn50med.errors import listed
from rn50med.evaluation.report.charts import Drawing
from rn50med.evaluation.report.folds_facts import Folds
from rn50med.evaluation.report.plots import MUTED, Frame, Line, Row, chart, forest, series
from rn50med.evaluation.report.wording import NOTHING, number

MOST_CHARTS = 6
"""Classes or labels whose ROC curves are drawn, a chart each."""


def aurocs(folds: Folds) -> Drawing | None:
    """Return the forest plot of the figure that is watched, mostly the AUROC; None where none is defined.

    Args:
        folds: Of the cross-validation.
    """
    key, name = folds.first.watched, folds.first.plain_name(folds.first.watched)
    mean = folds.mean.get(key)
    if mean is None or math.isnan(mean.value):
        return None
    rows = []
    for fold in range(len(folds.each)):
        figure = folds.figures(fold).get(key)
        ends = (math.nan,) * 3 if figure is None else (figure.value, figure.low, figure.high)
        rows.append(Row(f"fold {fold}", *ends))
    told = "; ".join(f"{row.label} {number(row.value)}" for row in rows)
    frame = Frame(
        "fold-aurocs",
        f"{name} of each fold with its interval: {told}; mean {number(mean.value)}.",
        name,
        "",
        chosen=(mean.value, f"mean {number(mean.value)}"),
    )
    caption = (
        f"{name} of what each fold held out, with its 95 % interval for that one model. Dashed: the mean of "
        "the folds, which has none."
    )
    return Drawing(forest(frame, rows), caption)


def rocs(folds: Folds) -> tuple[Drawing, ...]:
    """Return the ROC curves of the folds, a chart for each class or label, or one of two classes.

    Args:
        folds: Of the cross-validation.
    """
    first = folds.first
    if first.positive is not None:
        shown = [(first.classes.index(first.positive), "")]
    else:
        shown = [(index, f"/{name}") for index, name in enumerate(first.classes)]
    drawn = (_roc(folds, index, end) for index, end in shown[:MOST_CHARTS])
    return tuple(drawing for drawing in drawn if drawing is not None)


def _roc(folds: Folds, index: int, end: str) -> Drawing | None:
    lines = []
    for fold in range(len(folds.each)):
        points, figure = folds.roc(fold, index), folds.figures(fold).get(f"auroc{end}")
        if points is not None:
            area = NOTHING if figure is None else number(figure.value)
            lines.append(Line(f"fold {fold}  {area}", *points, series(fold)))
    if not lines:
        return None
    name, told = folds.first.classes[index], listed([line.label for line in lines])
    frame = Frame(
        f"fold-roc-{index}",
        f"ROC curves of {len(lines)} folds, {name} against the rest: {told}.",
        "1 - specificity",
        "sensitivity",
        unit=True,
    )
    chance = Line("", np.array([0.0, 1.0]), np.array([0.0, 1.0]), MUTED)
    caption = f"ROC of {name}, a curve for each fold with its AUROC. Dashed: chance."
    if len(lines) < len(folds.each):
        caption += f" {len(folds.each) - len(lines)} of {len(folds.each)} folds have no curve."
    return Drawing(chart(frame, [*lines, chance]), caption)


def not_drawn(folds: Folds) -> str:
    """Return which classes or labels have no chart, a sentence; nothing where all have one.

    Args:
        folds: Of the cross-validation.
    """
    kind = "labels" if folds.first.multilabel else "classes"
    number_of = 1 if folds.first.positive is not None else len(folds.first.classes)
    return f"Of {number_of} {kind} the first {MOST_CHARTS} are drawn." if number_of > MOST_CHARTS else ""
