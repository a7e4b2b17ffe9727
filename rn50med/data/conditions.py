"""Conditions on the cells of a row, as a tree; `rn50med.data.where` reads them from text."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

ORDER: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
"""What compares by order."""

_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})(?:[ T]([0-9]{2}):([0-9]{2})(?::([0-9]{2}))?)?")
_YEARS = {"D": 1 / 365.25, "W": 7 / 365.25, "M": 1 / 12, "Y": 1.0}


def number(text: str) -> float | None:
    """Return the number that a cell holds, or None; the decimal sign may be a comma.

    Args:
        text: The cell.

    Example:
        >>> number(" 3,5 "), number("1e-3"), number("1.234,5"), number("nan"), number("0012")
        (3.5, 0.001, None, None, 12.0)
    """
    found = re.fullmatch(r"\s*([-+]?(?:[0-9]+[.,]?[0-9]*|[.,][0-9]+)(?:[eE][-+]?[0-9]+)?)\s*", text)
    return float(found[1].replace(",", ".")) if found else None


def measure(text: str) -> float | None:
    """Return what the order of a cell goes by, or None where it has none but the alphabet's.

    Args:
        text: A number, an ISO date, or a DICOM age or date.

    Example:
        >>> measure("2024-01-31") == measure("20240131"), measure("018M"), measure("PA")
        (True, 1.5, None)
    """
    if date := _DATE.fullmatch(text):
        hours, minutes, seconds = (int(part or 0) for part in date.groups()[3:])
        return float("".join(date.groups()[:3])) + (hours * 3600 + minutes * 60 + seconds) / 86400
    if re.fullmatch(r"[0-9]{3}[DWMY]", text):
        return int(text[:3]) * _YEARS[text[3]]
    return number(text)


@dataclass(frozen=True)
class Comparison:
    """One comparison of a column with values.

    Args:
        column: Its name.
        sign: ``in``, or one of `ORDER`.
        values: One of these, or the one to compare with.
        wanted: False turns ``in`` into ``not in``.
    """

    column: str
    sign: str
    values: tuple[str, ...]
    wanted: bool = True

    def keep(self, row: Mapping[str, str]) -> bool:
        """Return whether it holds for a row."""
        cell = row[self.column].strip()
        if self.sign == "in":
            return (cell in self.values) == self.wanted
        return _in_order(cell, self.sign, self.values[0])

    def parts(self) -> Iterator[Comparison]:
        """Yield its comparisons, from left to right."""
        yield self


def _in_order(cell: str, sign: str, value: str) -> bool:
    """Compare numbers as numbers, and text as text where the value is none; an empty cell has no order."""
    compare = ORDER[sign]
    left, right = measure(cell), measure(value)
    if right is None:
        return bool(cell) and compare(cell, value)
    return left is not None and compare(left, right)


@dataclass(frozen=True)
class Not:
    """What holds where another condition does not.

    Args:
        inner: The other.
    """

    inner: Node

    def keep(self, row: Mapping[str, str]) -> bool:
        """Return whether it holds for a row."""
        return not self.inner.keep(row)

    def parts(self) -> Iterator[Comparison]:
        """Yield its comparisons, from left to right."""
        return self.inner.parts()


@dataclass(frozen=True)
class Join:
    """Conditions that hold all, or of which one holds.

    Args:
        word: ``and`` or ``or``.
        inner: The conditions.
    """

    word: str
    inner: tuple[Node, ...]

    def keep(self, row: Mapping[str, str]) -> bool:
        """Return whether it holds for a row."""
        return (all if self.word == "and" else any)(node.keep(row) for node in self.inner)

    def parts(self) -> Iterator[Comparison]:
        """Yield its comparisons, from left to right."""
        for node in self.inner:
            yield from node.parts()


Node = Comparison | Not | Join
"""Any condition."""
