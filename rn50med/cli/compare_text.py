"""How figures of several runs are written on the console."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from rn50med.cli.crossval import spread_cell
from rn50med.evaluation.figure import Figure

MOST_ROWS = 40
"""Rows of a table beyond which figures of single labels, but for their AUROC, are left to ``--json``."""


class Apart(Protocol):
    """A figure of two recipes, and their difference."""

    @property
    def one(self) -> float:
        """Of the first."""

    @property
    def other(self) -> float:
        """Of the second."""

    @property
    def difference(self) -> Figure:
        """The second less the first, with its interval."""


def differences(found: Mapping[str, Apart]) -> str:
    """Return differences as text, a row per figure.

    Args:
        found: By name.
    """
    names = (
        [n for n in found if "/" not in n or n.startswith("auroc/")] if len(found) > MOST_ROWS else [*found]
    )
    width = max(map(len, names))
    lines = [f"{'':<{width}}  {'A':<9}  {'B':<9}  B - A (95 % interval)"]
    for name in names:
        cells = [number(value) for value in (found[name].one, found[name].other)]
        figure = found[name].difference
        said = number(figure.value, "+")
        if not math.isnan(figure.value):
            said += f" ({number(figure.low, '+')} to {number(figure.high, '+')})"
            said += f", {figure.reason}" if figure.reason else ""
        lines.append(f"{name:<{width}}  {cells[0]:<9}  {cells[1]:<9}  {said}")
    if len(names) < len(found):
        lines.append(f"... and {len(found) - len(names)} more figures with --json FILE")
    return "\n".join(lines) + "\n"


def spreads(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Return means, standard deviations and ranges as text, a row per figure.

    Args:
        found: By name, as `Spread.as_json` gives them.
    """
    width = max(map(len, found))
    lines = [f"{'':<{width}}  mean ± standard deviation (range)"]
    lines += [f"{name:<{width}}  {spread_cell(figure)}" for name, figure in found.items()]
    return "\n".join(lines) + "\n"


def number(value: float, sign: str = "") -> str:
    """Return a number as text.

    Args:
        value: ``nan`` reads "undefined".
        sign: A plus, where that is to be written too.

    Example:
        >>> number(0.5), number(-1e-9, "+"), number(math.nan)
        ('0.500', '+0.000', 'undefined')
    """
    # adding 0 makes a zero of minus zero
    return "undefined" if math.isnan(value) else f"{round(value, 3) + 0.0:{sign}.3f}"


def numbered(values: Sequence[float]) -> str:
    """Return signed numbers as text, in their order.

    Args:
        values: Such as a difference in each fold.

    Example:
        >>> numbered([0.01, -0.25])
        '+0.010, -0.250'
    """
    return ", ".join(number(value, "+") for value in values)
