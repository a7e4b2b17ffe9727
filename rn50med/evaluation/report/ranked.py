"""ROC and precision-recall of one of several classes or labels, with its band."""

from __future__ import annotations

import numpy as np

from rn50med.evaluation.metrics import precision_recall_points, roc_points
from rn50med.evaluation.report.charts import Drawing
from rn50med.evaluation.report.plots import MUTED, Frame, Line, chart
from rn50med.evaluation.report.pointwise import GRID, RESAMPLES, precision_recall_band, roc_band
from rn50med.evaluation.report.subjects import Subject
from rn50med.evaluation.report.wording import interval, number

_BAND = f" Band: 95 % at each point of the horizontal axis, from {RESAMPLES} draws of patients."


def ranked(subject: Subject) -> tuple[Drawing, Drawing]:
    """Return both curves, with bands where several patients can be drawn.

    Args:
        subject: With cases of both outcomes.
    """
    share = subject.prevalence
    chance = {"roc": (0.0, 1.0), "precision-recall": (share, share)}
    return (
        _drawn(subject, "roc", "auroc", chance["roc"]),
        _drawn(subject, "precision-recall", "auprc", chance["precision-recall"]),
    )


def _drawn(subject: Subject, kind: str, key: str, chance: tuple[float, float]) -> Drawing:
    roc = kind == "roc"
    x, y = (roc_points if roc else precision_recall_points)(subject.said, subject.positive)
    ends = None
    if np.unique(subject.groups).size > 1:
        ends = (roc_band if roc else precision_recall_band)(subject.said, subject.positive, subject.groups)
    lines = [Line("", x, y, 1, steps=not roc)]
    if ends is not None:
        lines.append(Line("", GRID, np.full(GRID.size, np.nan), 1, ends=ends))
    lines.append(Line("", np.array([0.0, 1.0]), np.array(chance), MUTED))
    figure = subject.figures.get(key)
    value = "" if figure is None else f"{key.upper()} {number(figure.value)}"
    said = value + (f" ({interval(figure)})" if figure is not None and interval(figure) else "")
    name = "ROC" if roc else "Precision-recall"
    dashed = "chance" if roc else f"the prevalence, {number(subject.prevalence)}"
    axes = ("1 - specificity", "sensitivity") if roc else ("sensitivity", "positive predictive value")
    frame = Frame(
        f"{kind}-{subject.place}",
        f"{name} curve of {subject.name} on {subject.split}; {value}.",
        *axes,
        unit=True,
    )
    caption = f"{name} on {subject.split}: {said}. Dashed: {dashed}.{_BAND if ends is not None else ''}"
    return Drawing(chart(frame, lines), caption)
