"""The flow diagram: what was found, what was left out and why, and what each split holds."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.patches import FancyBboxPatch

from rn50med.evaluation.report.charts import Drawing
from rn50med.evaluation.report.content import split_names
from rn50med.evaluation.report.facts import Facts
from rn50med.evaluation.report.plots import INK, MUTED, STYLE, Frame, hue, inline, written

_WIDTH = 374.4  # points, as wide as the other charts
_SIZE, _LINE, _PAD, _GAP = 9.5, 12.5, 7.0, 16.0  # points: letters, lines, inside and between boxes
_LETTER = 5.3  # points: a wide guess, since the reader's font is not known
_MAIN, _ASIDE = (2.0, 160.0), (190.0, 182.0)  # points: left end and width
_ACROSS = 3  # split boxes beside each other


@dataclass(frozen=True)
class Step:
    """What was left out for one reason.

    Args:
        why: The reason, without names.
        images: How many files or images.
    """

    why: str
    images: int


@dataclass(frozen=True)
class Part:
    """What a split holds.

    Args:
        name: Of the split.
        images: How many.
        patients: How many; None where images were not tied to patients.
        positive: Images of the positive class with its name; None where there is no such class.
    """

    name: str
    images: int
    patients: int | None
    positive: tuple[int, str] | None

    def lines(self) -> tuple[str, ...]:
        """Return what stands below the name."""
        told = [_many(self.images, "image")]
        told += [] if self.patients is None else [_many(self.patients, "patient")]
        return (
            *told,
            *([] if self.positive is None else [f"{self.positive[1]}: {_many(self.positive[0], 'image')}"]),
        )

    @property
    def told(self) -> str:
        """What it held, a clause in the past tense."""
        images, *others = self.lines()
        whose = f" of {others.pop(0)}" if self.patients is not None else ""
        return f"{self.name} held {images}{whose}{''.join(f' ({other})' for other in others)}"


@dataclass(frozen=True)
class Flow:
    """The way of the images, from what was found to the splits.

    Args:
        steps: What was left out, in the order in which it was.
        parts: The splits.
        patients: Of all splits together; None where they cannot be added up.
    """

    steps: tuple[Step, ...]
    parts: tuple[Part, ...]
    patients: int | None

    @property
    def used(self) -> int:
        """Images that have a split."""
        return sum(part.images for part in self.parts)

    @property
    def found(self) -> int:
        """Files or images before anything was left out."""
        return self.used + sum(step.images for step in self.steps)

    @property
    def told(self) -> str:
        """What was used, a clause."""
        whose = "" if self.patients is None else f" of {_many(self.patients, 'patient')}"
        return f"{_many(self.used, 'image')}{whose}"

    @property
    def words(self) -> str:
        """The whole diagram in a sentence."""
        start = f"{self.found} files or images found; " if self.steps else ""
        left = "".join(f"{step.images} not used: {step.why}; " for step in self.steps)
        parts = "; ".join(f"{part.name}: {', '.join(part.lines())}" for part in self.parts)
        return f"{start}{left}{self.told} used; {parts}."


def _many(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def flow_of(facts: Facts) -> Flow | None:
    """Return the way of the images; None where the run folder does not tell it.

    Args:
        facts: Of the run.
    """
    splits: Mapping[str, Any] = facts.audit.get("splits") or {}
    parts = tuple(_part(facts, name, splits[name]) for name in split_names(facts))
    if not sum(part.images for part in parts):
        return None
    steps = tuple(Step(str(each["what"]), int(each["images"])) for each in facts.audit.get("flow") or ())
    # A patient in two splits would count twice.
    leaks = any(finding.get("severity") == "error" for finding in facts.audit.get("findings") or ())
    counts = [part.patients for part in parts]
    patients = None if leaks or None in counts else sum(count or 0 for count in counts)
    return Flow(steps, parts, patients)


def _part(facts: Facts, name: str, split: Mapping[str, Any]) -> Part:
    known = "patients" in split and not facts.audit.get("patients_are_images")
    classes, positive = split.get("classes") or {}, facts.positive
    counted = positive is not None and positive in classes
    return Part(
        name,
        int(split.get("images", 0)),
        int(split["patients"]) if known else None,
        (int(classes[positive]), str(positive)) if counted else None,
    )


def drawing(facts: Facts) -> Drawing | None:
    """Return the flow diagram; None where the run folder does not tell what became of the images.

    Args:
        facts: Of the run.
    """
    flow = flow_of(facts)
    if flow is None:
        return None
    caption = "From what was found to the splits; aside, what was not used, and why."
    if not flow.steps:
        caption = "All images that were found were used."
    if flow.patients is None and not facts.audit.get("patients_are_images"):
        caption += " Patients are not added up, since some stand in several splits."
    with matplotlib.style.context(["default", STYLE]):
        boxes, height = _boxes(flow)
        canvas = Canvas(figsize=(_WIDTH / 72, height / 72))
        canvas.patch.set_visible(False)
        axes = canvas.add_axes((0.0, 0.0, 1.0, 1.0))
        axes.set(xlim=(0, _WIDTH), ylim=(height, 0))  # downwards, in points
        axes.axis("off")
        _draw(axes, boxes, bool(flow.steps))
        frame = Frame("flow", f"Flow diagram: {flow.words}", "", "")
        return Drawing(inline(written(canvas), frame), caption)


@dataclass(frozen=True)
class _Box:
    kind: str  # found, aside, used or split
    left: float
    top: float
    width: float
    lines: tuple[str, ...]

    @property
    def height(self) -> float:
        return len(self.lines) * _LINE + 2 * _PAD

    @property
    def bottom(self) -> float:
        return self.top + self.height

    @property
    def centre(self) -> float:
        return self.left + self.width / 2


def _wrapped(lines: Sequence[str], width: float) -> tuple[str, ...]:
    most = max(8, int((width - 2 * _PAD) / _LETTER))
    return tuple(part for line in lines for part in textwrap.wrap(line, most) or [""])


def _boxes(flow: Flow) -> tuple[list[_Box], float]:
    """Return all boxes from top to bottom, and where the last one ends."""
    boxes, top = [], 2.0
    left, width = _MAIN if flow.steps else ((_WIDTH - 200.0) / 2, 200.0)
    if flow.steps:
        boxes.append(_Box("found", left, top, width, _wrapped([f"{flow.found} files or images"], width)))
        top = boxes[-1].bottom + _GAP / 2
        for step in flow.steps:
            text = f"n = {step.images}: {step.why}"
            boxes.append(_Box("aside", _ASIDE[0], top, _ASIDE[1], _wrapped([text], _ASIDE[1])))
            top = boxes[-1].bottom + _GAP / 2
    boxes.append(_Box("used", left, top, width, _wrapped([flow.told], width)))
    top = boxes[-1].bottom + 2 * _GAP
    across = min(_ACROSS, len(flow.parts))
    each = (_WIDTH - 4.0 - (across - 1) * _GAP / 2) / across
    for row in range(0, len(flow.parts), across):
        beside = [
            _Box("split", 2.0 + k * (each + _GAP / 2), top, each, (part.name, *_wrapped(part.lines(), each)))
            for k, part in enumerate(flow.parts[row : row + across])
        ]
        boxes += beside
        top = max(box.bottom for box in beside) + _GAP
    return boxes, top - _GAP + 2.0


def _draw(axes: Axes, boxes: Sequence[_Box], aside: bool) -> None:
    for box in boxes:
        _draw_box(axes, box)
    used = next(box for box in boxes if box.kind == "used")
    if aside:
        _arrow(axes, (used.centre, boxes[0].bottom), (used.centre, used.top))
        for box in (box for box in boxes if box.kind == "aside"):
            middle = box.top + box.height / 2
            _arrow(axes, (used.centre, middle), (box.left, middle))
    splits = [box for box in boxes if box.kind == "split"]
    first = [box for box in splits if box.top == splits[0].top]
    fork = used.bottom + _GAP
    ends = [used.centre, *(box.centre for box in first)]
    line = {"color": hue(MUTED), "linewidth": 1.0, "solid_capstyle": "butt"}
    axes.plot([used.centre, used.centre], [used.bottom, fork], **line)  # type: ignore[arg-type]
    axes.plot([min(ends), max(ends)], [fork, fork], **line)  # type: ignore[arg-type]
    for box in first:
        _arrow(axes, (box.centre, fork), (box.centre, box.top))


def _draw_box(axes: Axes, box: _Box) -> None:
    style = "round,pad=0,rounding_size=3"
    axes.add_patch(
        FancyBboxPatch(
            (box.left, box.top), box.width, box.height, boxstyle=style,
            facecolor="none", edgecolor=hue(MUTED), linewidth=1.0,
        )
    )  # fmt: skip
    left = box.kind == "aside"
    for number, line in enumerate(box.lines):
        axes.text(
            box.left + _PAD if left else box.centre,
            box.top + _PAD + (number + 0.5) * _LINE,
            line,
            color=hue(INK),
            fontsize=_SIZE,
            fontweight="bold" if box.kind == "split" and number == 0 else "normal",
            ha="left" if left else "center",
            va="center",
        )


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    look = {"arrowstyle": "-|>", "color": hue(MUTED), "linewidth": 1.0, "shrinkA": 0.0, "shrinkB": 0.0}
    axes.annotate("", xy=end, xytext=start, arrowprops=look)
