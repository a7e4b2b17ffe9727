"""Line charts as inline SVG that follows the page's colours, the same bytes every time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from rn50med.evaluation.arrays import Floats
from rn50med.evaluation.report.svg import GRID, INK, MUTED, STYLE, Frame, hue, inline, written

__all__ = ["GRID", "INK", "MUTED", "STYLE", "Frame", "Line", "Row", "chart", "forest", "hue", "inline"]
__all__ += ["series", "written"]

# Inches, without the legend below: at this width letters have 7 points on half a page of paper.
_WIDTH, _HEIGHT = 4.6, 3.8
_KEY, _LETTER = 0.52, 0.072  # inches: a legend's line and gaps, and a letter of it
_LONGEST, _LONGEST_ROW = 50, 26  # letters of a label that find room, and of one beside a forest plot
_SERIES, _DASHES = 8, ("-", (0, (5, 2)), (0, (6, 2, 1, 2)), (0, (1, 1.5)))


@dataclass(frozen=True, eq=False)
class Line:
    """One line of a chart.

    Args:
        label: In the legend; empty for none.
        x: Shape ``(points,)``.
        y: Shape ``(points,)``; a gap where ``nan``.
        colour: 1 to 8 for a series, or ``MUTED``.
        steps: Drawn as a staircase, level to the right end of each step.
        marker: A dot at each point.
        filled: The area below it is filled.
        ends: Lower and upper end of each point's interval: a band, or at each dot a bar.
        dots: Dots alone, light where many lie.
    """

    label: str
    x: Floats
    y: Floats
    colour: int
    steps: bool = False
    marker: bool = False
    filled: bool = False
    ends: tuple[Floats, Floats] | None = None
    dots: bool = False


def series(number: int) -> int:
    """Return the colour of the n-th line, from 0; they come round again after eight.

    Args:
        number: Place of the line.

    Example:
        >>> [series(0), series(7), series(8)]
        [1, 8, 1]
    """
    return number % _SERIES + 1


def _label(text: str, most: int = _LONGEST) -> str:
    """Return a label that finds room: of a longer one the middle is left out."""
    kept = text if len(text) <= most else f"{text[: most - 11]}\N{HORIZONTAL ELLIPSIS}{text[-10:]}"
    # Matplotlib leaves labels with a leading underscore out of legends; a class may be called `_x`.
    return f"\u200b{kept}" if kept.startswith("_") else kept


def _draw_ends(axes: Axes, line: Line) -> None:
    colour = hue(line.colour)
    step: Literal["post"] | None = "post" if line.steps else None
    if line.filled:
        axes.fill_between(line.x, line.y, step=step, color=colour, alpha=0.25, linewidth=0)
    if line.ends is None:
        return
    if line.marker:
        axes.vlines(line.x, *line.ends, color=colour, linewidth=1.2)
    else:
        axes.fill_between(line.x, *line.ends, step=step, color=colour, alpha=0.18, linewidth=0)


def _draw_line(axes: Axes, line: Line, dash: object) -> None:
    _draw_ends(axes, line)
    (artist,) = axes.plot(
        line.x,
        line.y,
        color=hue(line.colour),
        linestyle="" if line.dots else dash,
        alpha=0.45 if line.dots else None,
        linewidth=1.2 if line.colour == MUTED else 1.8,
        drawstyle="steps-post" if line.steps else "default",
        marker="o" if line.marker or line.dots else "",
        markersize=3.5,
    )
    artist.set_label(_label(line.label) if line.label else "_")


def _draw_frame(axes: Axes, frame: Frame) -> None:
    axes.set_xlabel(_label(frame.x), color=hue(INK))
    axes.set_ylabel(_label(frame.y), color=hue(INK))
    axes.grid(color=hue(GRID), linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(color=hue(MUTED), labelcolor=hue(INK))
    for spine in axes.spines.values():
        spine.set_color(hue(MUTED))
    if frame.log:
        axes.set_yscale("symlog", linthresh=1)
        # Powers of ten as Matplotlib writes them need its parser, which would mangle names of classes.
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    if frame.unit:
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    elif frame.limits is not None:
        axes.set(xlim=frame.limits[:2], ylim=frame.limits[2:])
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if frame.chosen is not None:
        axes.axvline(
            frame.chosen[0], color=hue(INK), linewidth=1, linestyle=(0, (2, 2)), label=frame.chosen[1]
        )
    for x, y, label in frame.points:
        axes.plot([x], [y], "o", color=hue(INK), markersize=6, label=_label(label), clip_on=False)


def _dashes(lines: Sequence[Line]) -> list[object]:
    """Return a dash for each line, another one when its colour comes round again."""
    looks: list[tuple[int, int]] = []
    for index, line in enumerate(lines):
        turns = [(line.colour, (index + turn) % len(_DASHES)) for turn in range(len(_DASHES))]
        looks.append(next((look for look in turns if look not in looks), turns[0]))
    return [_DASHES[dash] for _, dash in looks]


def _columns(names: Sequence[str]) -> int:
    """Return the most columns, up to three, in which the names of a legend find room."""

    def width(columns: int) -> float:
        parts = [part.tolist() for part in np.array_split(np.array(names), columns)]
        return sum(_KEY + _LETTER * max(map(len, part)) for part in parts if part)

    return next((columns for columns in (3, 2) if width(columns) <= _WIDTH), 1)


def _legend(canvas: Canvas, axes: Axes) -> float:
    """Draw the legend below the axes, where it covers nothing, and return its height in inches."""
    handles, names = axes.get_legend_handles_labels()
    if not names:
        return 0.0
    columns = _columns(names)
    canvas.legend(handles, names, labelcolor=hue(INK), loc="lower center", ncols=columns)
    return 0.25 + 0.19 * math.ceil(len(names) / columns)


def chart(frame: Frame, lines: Sequence[Line]) -> str:
    """Return a line chart as an ``<svg>`` element for a page that defines its colours.

    Args:
        frame: Axes, marks and the alternative text.
        lines: Drawn in their order; the first is on top.

    Example:
        >>> import numpy as np
        >>> line = Line("val", np.array([0.0, 1.0]), np.array([0.0, 1.0]), 1)
        >>> chart(Frame("roc", "A curve.", "x", "y"), [line])[:49]
        '<svg role="img" aria-label="A curve." viewBox="0 '
    """
    with matplotlib.style.context(["default", STYLE]):
        canvas = Canvas()
        canvas.patch.set_visible(False)
        axes = canvas.add_subplot()
        axes.patch.set_visible(False)
        for line, dash in zip(lines, _dashes(lines), strict=True):
            _draw_line(axes, line, (0, (3, 3)) if line.colour == MUTED and not line.label else dash)
        _draw_frame(axes, frame)
        room = _legend(canvas, axes)
        height = _HEIGHT + room
        canvas.set_size_inches(_WIDTH, height)
        # Room in inches for both labels; to measure it would take half the time of the drawing.
        bottom, top = (room + 0.525) / height, 1 - 0.085 / height
        # Numbers other than 0.2 to 1.0 may be long.
        left = 0.2 if frame.limits is not None else 0.155
        canvas.subplots_adjust(left=left, right=0.97, bottom=bottom, top=top)
        return inline(written(canvas), frame)


@dataclass(frozen=True)
class Row:
    """A row of a forest plot.

    Args:
        label: Before it; a row of nothing else is a heading.
        value: The estimate, ``nan`` for none.
        low: Lower end of its interval, ``nan`` for none.
        high: Upper end likewise.
    """

    label: str
    value: float = math.nan
    low: float = math.nan
    high: float = math.nan


def forest(frame: Frame, rows: Sequence[Row]) -> str:
    """Return a forest plot as an ``<svg>`` element: a dot with its interval in each row.

    Args:
        frame: Its ``x`` names the figure, ``chosen`` is that of all images; ``y`` is not used.
        rows: From top to bottom.

    Example:
        >>> forest(Frame("sex", "AUROC by sex.", "AUROC", ""), [Row("f", 0.9, 0.8, 0.95)])[:54]
        '<svg role="img" aria-label="AUROC by sex." viewBox="0 '
    """
    with matplotlib.style.context(["default", STYLE]):
        height = 0.75 + 0.26 * len(rows)  # inches
        canvas = Canvas(figsize=(_WIDTH, height))
        names = [_label(row.label, _LONGEST_ROW) for row in rows]
        widest = max(map(len, names), default=0)
        left = min(0.5, 0.05 + 0.0165 * widest)
        canvas.subplots_adjust(left=left, right=0.97, bottom=0.5 / height, top=1 - 0.25 / height)
        canvas.patch.set_visible(False)
        axes = canvas.add_subplot()
        axes.patch.set_visible(False)
        places = np.arange(len(rows), dtype=np.float64)
        values, low, high = (
            np.array([getattr(row, key) for row in rows]) for key in ("value", "low", "high")
        )
        axes.hlines(places, low, high, color=hue(1), linewidth=1.6)
        axes.plot(values, places, "s", color=hue(1), markersize=5)
        _draw_frame(axes, frame)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.set_yticks(places, names)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        return inline(written(canvas), frame)
