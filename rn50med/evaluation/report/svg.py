"""Drawings as inline SVG that follows the page's colours, the same bytes every time."""

from __future__ import annotations

import html
import io
import re
from dataclasses import dataclass

from matplotlib.figure import Figure as Canvas

# Colours no chart would use otherwise; each becomes a CSS variable, so that dark pages have their own.
_SENTINEL = "#0a0b{:02d}"
INK, GRID, MUTED = 0, 90, 91
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "rn50med",
    "text.parse_math": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "font.size": 10,
    "legend.frameon": False,
    "legend.columnspacing": 1.2,
    "legend.fontsize": 9,
}


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


def hue(index: int) -> str:
    """Return the sentinel that `inline` makes a colour of the page.

    Args:
        index: 1 to 8 for a series, or ``INK``, ``GRID`` or ``MUTED``.
    """
    return _SENTINEL.format(index)


def written(canvas: Canvas) -> str:
    """Return a drawing as an SVG document, without its date.

    Args:
        canvas: The drawing.
    """
    buffer = io.StringIO()
    canvas.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def inline(svg: str, frame: Frame) -> str:
    """Make a stand-alone SVG fit into a page: no header, no addresses, ids of its own, CSS colours.

    Args:
        svg: As `written` gives it.
        frame: Gives the alternative text, and the ids their name.
    """
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    view = re.search(r'viewBox="[^"]*"', body)
    opening = f'<svg role="img" aria-label="{html.escape(frame.alternative)}" {view.group() if view else ""}>'
    body = re.sub(r"<svg[^>]*>", lambda _: opening, body, count=1)
    body = re.sub(r'\bid="', f'id="{frame.name}-', body)
    body = body.replace("url(#", f"url(#{frame.name}-").replace('href="#', f'href="#{frame.name}-')
    return re.sub(r"#0a0b(\d\d)", lambda found: f"var(--c{found.group(1)})", body).strip()
