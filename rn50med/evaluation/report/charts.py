"""The charts of a report: curves of the figures and of the training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rn50med.evaluation.arrays import Floats
from rn50med.evaluation.metrics import precision_recall_points, roc_points
from rn50med.evaluation.report.content import main_split
from rn50med.evaluation.report.facts import Facts
from rn50med.evaluation.report.plots import MUTED, Frame, Line, chart, series
from rn50med.evaluation.report.pointwise import GRID, RESAMPLES, precision_recall_band, roc_band
from rn50med.evaluation.report.wording import NOTHING, number


@dataclass(frozen=True)
class Drawing:
    """A chart with its caption.

    Args:
        svg: An ``<svg>`` element.
        caption: A sentence or two.
    """

    svg: str
    caption: str


def _value(facts: Facts, split: str, key: str) -> str:
    figure = facts.figures.get(split, {}).get(key)
    return number(figure.value) if figure is not None else NOTHING


MOST_CURVES = 15
"""Curves in one chart; more could not be told apart."""


def _columns(facts: Facts) -> list[tuple[int, str, str]]:
    """Return class index, name and end of the keys of each curve: one if binary, else one per class."""
    if facts.positive is not None:
        return [(facts.classes.index(facts.positive), facts.positive, "")]
    return [(index, name, f"/{name}") for index, name in enumerate(facts.classes)][:MOST_CURVES]


def _not_drawn(facts: Facts) -> str:
    """Return the sentence that says which curves a chart leaves out."""
    more = len(facts.classes) - MOST_CURVES
    if more <= 0:
        return ""
    kind = "labels" if facts.multilabel else "classes"
    return f" Of {len(facts.classes)} {kind} the first {MOST_CURVES} are drawn."


def drawn_split(facts: Facts) -> str:
    """Return the split whose curves are drawn: the headline's, where its predictions have two classes.

    Args:
        facts: Of the run.
    """
    drawable = [
        split
        for split, found in facts.predicted.items()
        if any(np.unique(found.against_the_rest(index)[1]).size > 1 for index, _, _ in _columns(facts))
    ]
    wanted = (main_split(facts) or "test", "test", "val")
    return next((split for split in wanted if split in drawable), "test")


def _curves(facts: Facts, kind: str) -> list[Line]:
    """Return the curves of the headline's split, and lightly val's where the task is binary."""
    points = roc_points if kind == "roc" else precision_recall_points
    main = drawn_split(facts)
    shown = [main] if facts.positive is None or main == "val" else ["test", "val"]
    lines = []
    for split in (split for split in shown if split in facts.predicted):
        predicted = facts.predicted[split]
        for place, (index, name, end) in enumerate(_columns(facts)):
            x, y = points(*predicted.against_the_rest(index))
            if not x.size:
                continue
            text = name if facts.positive is None else split
            if kind == "roc" or facts.positive is not None or facts.multilabel:
                text += f" {_value(facts, split, ('auroc' if kind == 'roc' else 'auprc') + end)}"
            colour = MUTED if split != main else series(place)
            lines.append(Line(text, x, y, colour, steps=kind != "roc"))
    return [*lines, *_band(facts, kind)]


def _band(facts: Facts, kind: str) -> list[Line]:
    """Return the band of a binary task's curve, where patients can be drawn; several would overlap."""
    split = drawn_split(facts)
    if facts.positive is None or split not in facts.predicted:
        return []
    predicted, place = facts.predicted[split], facts.classes.index(facts.positive)
    said, positive = predicted.against_the_rest(place)
    if predicted.patients < 2 or positive.all() or not positive.any():
        return []
    ends = (roc_band if kind == "roc" else precision_recall_band)(said, positive, predicted.groups)
    return [Line("", GRID, np.full(GRID.size, np.nan), series(0), ends=ends)]


def _on_band(lines: list[Line]) -> str:
    """Return the sentence that says what a band is; nothing without one."""
    if all(line.ends is None for line in lines):
        return ""
    return (
        f" Band: 95 % at each point of the horizontal axis, from {RESAMPLES} draws of patients; "
        "not for the whole curve."
    )


def _chance(y: tuple[float, float]) -> Line:
    return Line("", np.array([0.0, 1.0]), np.array(y), MUTED)


def roc(facts: Facts) -> Drawing | None:
    """Return the ROC curves; None without predictions of both outcomes.

    Args:
        facts: Of the run.
    """
    lines = _curves(facts, "roc")
    if not lines:
        return None
    split = drawn_split(facts)
    points: tuple[tuple[float, float, str], ...] = ()
    figures = facts.figures.get(split, {})
    if facts.positive and facts.point and {"sensitivity", "specificity"} <= set(figures):
        reached = (1.0 - figures["specificity"].value, figures["sensitivity"].value)
        points = ((*reached, "operating point"),) if np.isfinite(reached).all() else ()
    area = _value(facts, split, "auroc")
    frame = Frame(
        "roc",
        f"ROC curve on {split}: sensitivity against 1 - specificity; AUROC {area}.",
        "1 - specificity",
        "sensitivity",
        unit=True,
        points=points,
    )
    caption = f"ROC on {split}, AUROC in the legend. Dashed: chance.{_on_band(lines)}{_not_drawn(facts)}"
    return Drawing(chart(frame, [*lines, _chance((0.0, 1.0))]), caption)


def precision_recall(facts: Facts) -> Drawing | None:
    """Return the precision-recall curves; None without predictions of both outcomes.

    Args:
        facts: Of the run.
    """
    lines = _curves(facts, "precision-recall")
    if not lines:
        return None
    split = drawn_split(facts)
    caption = f"Precision-recall on {split}: positive predictive value against sensitivity"
    if facts.positive is not None:
        index = facts.classes.index(facts.positive)
        prevalence = float((facts.predicted[split].target == index).mean())
        lines.append(_chance((prevalence, prevalence)))
        caption += (
            f", AUPRC in the legend. Dashed: the prevalence, {number(prevalence)}, which chance would reach"
        )
    elif facts.multilabel:
        caption += ", AUPRC in the legend; chance would reach a label's prevalence"
    frame = Frame(
        "precision-recall",
        f"Precision-recall curve on {split}; AUPRC {_value(facts, split, 'auprc')}."
        if facts.positive is not None
        else f"Precision-recall curve of each {'label' if facts.multilabel else 'class'} on {split}.",
        "sensitivity",
        "positive predictive value",
        unit=True,
    )
    return Drawing(chart(frame, lines), f"{caption}.{_on_band(lines)}{_not_drawn(facts)}")


def _epochs(facts: Facts, column: str) -> Floats | None:
    if column not in facts.epochs or "epoch" not in facts.epochs:
        return None
    values = facts.epochs[column].to_numpy(dtype=np.float64)
    return values if np.isfinite(values).any() else None


def _learning(facts: Facts, name: str, y: str, columns: dict[str, str]) -> Drawing | None:
    found = {label: _epochs(facts, column) for label, column in columns.items()}
    drawn = {label: values for label, values in found.items() if values is not None}
    if not drawn:
        return None
    epochs = facts.epochs["epoch"].to_numpy(dtype=np.float64)
    lines = [
        Line(text, epochs, values, series(place), marker=True)
        for place, (text, values) in enumerate(drawn.items())
    ]
    best = (facts.environment.get("training") or {}).get("best_epoch")
    chosen = None if best is None else (float(best), f"kept: epoch {best}")
    last = ", ".join(f"{text} ends at {number(values[-1])}" for text, values in drawn.items())
    frame = Frame(name, f"{y} by epoch: {last}.", "epoch, from 0", y, chosen=chosen)
    caption = f"{y[0].upper()}{y[1:]} by epoch" + ("." if best is None else f"; epoch {best} was kept.")
    return Drawing(chart(frame, lines), caption)


def learning(facts: Facts) -> tuple[Drawing, ...]:
    """Return the learning curves: the losses, and the figure of val that chose the epoch.

    Args:
        facts: Of the run.
    """
    monitor = str((facts.environment.get("training") or {}).get("monitor") or "val/auroc")
    name = monitor.removeprefix("val/")
    shown = f"{facts.label(name)} on val"
    drawings = (
        _learning(facts, "loss", "loss", {"train": "train/loss", "val": "val/loss"}),
        _learning(facts, "monitor", shown, {"val": monitor}),
    )
    return tuple(drawing for drawing in drawings if drawing is not None)
