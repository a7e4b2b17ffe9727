"""Line charts as inline SVG that follows the page's colours, the same bytes every time."""

from __future__ import annotations

import html
import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from rn50med.evaluation.arrays import Floats

# Colours no chart would use otherwise; each becomes a CSS variable, so that dark pages have their own.
_SENTINEL = "#0a0b{:02d}"
INK, GRID, MUTED = 0, 90, 91
_HEIGHT = 4.2  # inches, without a legend below
_INSIDE, _SHORT = 6, 30  # more lines have their legend below; longer names have a row each
_SERIES, _DASHES = 8, ("-", (0, (5, 2)), (0, (6, 2, 1, 2)), (0, (1, 1.5)))
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "rn50med",
    "text.parse_math": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "font.size": 10,
    "legend.frameon": False,
    "legend.fontsize": 9,
}


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


@dataclass(frozen=True)
class Frame:
    """What surrounds the lines.

    Args:
        name: Unique in the page, letters and dashes: it keeps the ids of two charts apart.
        alternative: What the chart shows, for those who do not see it.
        x: Name of the horizontal axis.
        y: Name of the vertical axis.
        unit: Whether both axes run from 0 to 1.
        chosen: Where a vertical line marks a choice, and its label.
        points: Dots to mark, with a label each.
        limits: Ends of the horizontal and of the vertical axis, in that order.
        log: Whether the vertical axis counts in powers of ten, evenly from 0 to 1.
    """

    name: str
    alternative: str
    x: str
    y: str
    unit: bool = False
    chosen: tuple[float, str] | None = None
    points: tuple[tuple[float, float, str], ...] = ()
    limits: tuple[float, float, float, float] | None = None
    log: bool = False


def series(number: int) -> int:
    """Return the colour of the n-th line, from 0; they come round again after eight.

    Args:
        number: Place of the line.

    Example:
        >>> [series(0), series(7), series(8)]
        [1, 8, 1]
    """
    return number % _SERIES + 1


def _colour(index: int) -> str:
    return _SENTINEL.format(index)


def _label(text: str) -> str:
    # Matplotlib leaves labels with a leading underscore out of legends; a class may be called `_x`.
    return f"\u200b{text}" if text.startswith("_") else text


def _draw_ends(axes: Axes, line: Line) -> None:
    colour = _colour(line.colour)
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
        color=_colour(line.colour),
        linestyle="" if line.dots else dash,
        alpha=0.45 if line.dots else None,
        linewidth=1.2 if line.colour == MUTED else 1.8,
        drawstyle="steps-post" if line.steps else "default",
        marker="o" if line.marker or line.dots else "",
        markersize=3.5,
    )
    artist.set_label(_label(line.label) if line.label else "_")


def _draw_frame(axes: Axes, frame: Frame) -> None:
    axes.set_xlabel(frame.x, color=_colour(INK))
    axes.set_ylabel(frame.y, color=_colour(INK))
    axes.grid(color=_colour(GRID), linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(color=_colour(MUTED), labelcolor=_colour(INK))
    for spine in axes.spines.values():
        spine.set_color(_colour(MUTED))
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
            frame.chosen[0], color=_colour(INK), linewidth=1, linestyle=(0, (2, 2)), label=frame.chosen[1]
        )
    for x, y, label in frame.points:
        axes.plot([x], [y], "o", color=_colour(INK), markersize=6, label=_label(label), clip_on=False)


def _dashes(lines: Sequence[Line]) -> list[object]:
    """Return a dash for each line, another one when its colour comes round again."""
    looks: list[tuple[int, int]] = []
    for index, line in enumerate(lines):
        turns = [(line.colour, (index + turn) % len(_DASHES)) for turn in range(len(_DASHES))]
        looks.append(next((look for look in turns if look not in looks), turns[0]))
    return [_DASHES[dash] for _, dash in looks]


def _columns_below(names: Sequence[str]) -> int:
    """Return the columns of a legend below the axes, 0 where it fits inside them."""
    if len(names) <= _INSIDE:
        return 0
    return 2 if max(map(len, names)) <= _SHORT else 1


def _legend(canvas: Canvas, axes: Axes, columns: int) -> None:
    handles, names = axes.get_legend_handles_labels()
    if columns:
        canvas.legend(handles, names, labelcolor=_colour(INK), loc="lower center", ncols=columns)
    elif names:
        axes.legend(labelcolor=_colour(INK))


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
    with matplotlib.style.context(["default", _STYLE]):
        names = [line.label for line in lines if line.label]
        columns = _columns_below(names)
        room = 0.25 + 0.19 * math.ceil(len(names) / columns) if columns else 0.0  # inches
        height = _HEIGHT + room
        canvas = Canvas(figsize=(5.2, height))
        # Room for both labels; to measure it would take half the time of the drawing.
        bottom, top = (room + 0.125 * _HEIGHT) / height, 1 - 0.02 * _HEIGHT / height
        # Numbers other than 0.2 to 1.0 may be long.
        left = 0.18 if frame.limits is not None else 0.13
        canvas.subplots_adjust(left=left, right=0.97, bottom=bottom, top=top)
        canvas.patch.set_visible(False)
        axes = canvas.add_subplot()
        axes.patch.set_visible(False)
        for line, dash in zip(lines, _dashes(lines), strict=True):
            _draw_line(axes, line, (0, (3, 3)) if line.colour == MUTED and not line.label else dash)
        _draw_frame(axes, frame)
        _legend(canvas, axes, columns)
        return _inline(_written(canvas), frame)


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
    with matplotlib.style.context(["default", _STYLE]):
        height = 0.75 + 0.26 * len(rows)  # inches
        canvas = Canvas(figsize=(5.2, height))
        widest = max((len(row.label) for row in rows), default=0)
        left = min(0.5, 0.05 + 0.0145 * widest)
        canvas.subplots_adjust(left=left, right=0.97, bottom=0.5 / height, top=1 - 0.25 / height)
        canvas.patch.set_visible(False)
        axes = canvas.add_subplot()
        axes.patch.set_visible(False)
        places = np.arange(len(rows), dtype=np.float64)
        values, low, high = (
            np.array([getattr(row, key) for row in rows]) for key in ("value", "low", "high")
        )
        axes.hlines(places, low, high, color=_colour(1), linewidth=1.6)
        axes.plot(values, places, "s", color=_colour(1), markersize=5)
        _draw_frame(axes, frame)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.set_yticks(places, [_label(row.label) for row in rows])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        return _inline(_written(canvas), frame)


def _written(canvas: Canvas) -> str:
    buffer = io.StringIO()
    canvas.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def _inline(svg: str, frame: Frame) -> str:
    """Make a stand-alone SVG fit into a page: no header, no addresses, ids of its own, CSS colours."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    view = re.search(r'viewBox="[^"]*"', body)
    opening = f'<svg role="img" aria-label="{html.escape(frame.alternative)}" {view.group() if view else ""}>'
    body = re.sub(r"<svg[^>]*>", lambda _: opening, body, count=1)
    body = re.sub(r'\bid="', f'id="{frame.name}-', body)
    body = body.replace("url(#", f"url(#{frame.name}-").replace('href="#', f'href="#{frame.name}-')
    return re.sub(r"#0a0b(\d\d)", lambda found: f"var(--c{found.group(1)})", body).strip()
