"""Conditions on the cells of a row, as a tree; `rn50med.data.where` reads them from text."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rn50med.errors import RecipeError

ORDER: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
"""What compares by order."""

Cells = Mapping[str, str | None]
"""Cells of a row by their column; None for one that could not be read."""

_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})(?:[ T]([0-9]{2}):([0-9]{2})(?::([0-9]{2}))?)?")
_DICOM_DATE = re.compile(r"[0-9]{4}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])")
_DICOM_AGE = re.compile(r"([0-9]{1,3})([DWMY])")
_GROUPED = re.compile(r"[-+]?[1-9][0-9]{0,2},[0-9]{3}")  # 1,234: a thousand and more, or one and a bit
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
        text: A number, an ISO date, or a DICOM age (in years here) or date.

    Example:
        >>> measure("2024-01-31") == measure("20240131"), measure("018M"), measure("65Y"), measure("PA")
        (True, 1.5, 65.0, None)
    """
    if date := _DATE.fullmatch(text):
        hours, minutes, seconds = (int(part or 0) for part in date.groups()[3:])
        return float("".join(date.groups()[:3])) + (hours * 3600 + minutes * 60 + seconds) / 86400
    if age := _DICOM_AGE.fullmatch(text):
        return int(age[1]) * _YEARS[age[2]]
    return number(text)


def kinds(text: str) -> frozenset[str]:
    """Return what a cell can be: only cells that can be the same have an order.

    Args:
        text: The cell.

    Example:
        >>> sorted(kinds("20240131")), sorted(kinds("2024-01-31")), sorted(kinds("018M")), sorted(kinds("PA"))
        (['date', 'number'], ['date'], ['number'], [])
    """
    if _DATE.fullmatch(text):
        return frozenset({"date"})
    if _DICOM_DATE.fullmatch(text):
        return frozenset({"date", "number"})
    return frozenset({"number"} if measure(text) is not None else ())


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

    def keep(self, row: Cells) -> bool | None:
        """Return whether it holds for a row; None where its cell is not known."""
        found = row[self.column]
        if found is None:
            return None
        cell = found.strip()
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
    return left is not None and bool(kinds(cell) & kinds(value)) and compare(left, right)


@dataclass(frozen=True)
class Not:
    """What holds where another condition does not.

    Args:
        inner: The other.
    """

    inner: Node

    def keep(self, row: Cells) -> bool | None:
        """Return whether it holds for a row; None where that hangs on a cell that is not known."""
        inner = self.inner.keep(row)
        return None if inner is None else not inner

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

    def keep(self, row: Cells) -> bool | None:
        """Return whether it holds for a row; None where that hangs on a cell that is not known."""
        decides = self.word == "or"  # the answer that settles it, whatever the others say
        answers = {node.keep(row) for node in self.inner}
        if decides in answers:
            return decides
        return None if None in answers else not decides

    def parts(self) -> Iterator[Comparison]:
        """Yield its comparisons, from left to right."""
        for node in self.inner:
            yield from node.parts()


Node = Comparison | Not | Join
"""Any condition."""


def refuse_unlike(test: Comparison, cells: Collection[str]) -> None:
    """Refuse to put in order what has no order, or one that nobody can be sure of.

    A cell such as ``1,234`` is 1.234 where the column writes other numbers with a decimal comma too, such
    as ``0,5``; in any other column it may be a thousand.

    Args:
        test: A comparison.
        cells: All that its column holds.

    Raises:
        RecipeError: If the column is no number, date or age where the value is one, or the other way round.
    """
    have = {cell.strip() for cell in cells} - {""}
    if test.sign not in ORDER or not have:
        return
    value = test.values[0]
    if unlike := _unlike(value, [kinds(cell) for cell in have]):
        raise RecipeError(f"data.where: {test.column} {test.sign} {value!r} compares {unlike}.")
    grouped = sorted(cell for cell in {*have, value} if _GROUPED.fullmatch(cell))
    commas = any("," in cell and number(cell) is not None and not _GROUPED.fullmatch(cell) for cell in have)
    if grouped and kinds(value) and not commas:
        raise RecipeError(
            f"data.where: column {test.column!r} has numbers such as {grouped[0]!r}, which may mean "
            f"{grouped[0].replace(',', '')} or {grouped[0].replace(',', '.')}; write them without a comma."
        )


def _unlike(value: str, have: Sequence[frozenset[str]]) -> str | None:
    """Say how a value and the cells of a column are unlike, or nothing."""
    wanted = kinds(value)
    if not wanted:
        write = "write a number, a day such as 2024-01-31, or an age such as 065Y"
        return f"numbers or dates with text; {write}" if all(have) else None
    if "date" not in wanted and all("date" in each for each in have):
        day = f"{value}-01-01" if re.fullmatch("[0-9]{4}", value) else "2024-01-31"
        return f"dates with a number; write the day, such as {day}"
    if not any(each & wanted for each in have):
        found = "numbers" if all(have) else "text"
        return f"a {'number' if 'number' in wanted else 'date'} with a column of {found}; mend the condition"
    return None


def without_order(test: Comparison, cells: Sequence[str]) -> int:
    """Return how many cells cannot be put in order with the value of a comparison; empty ones do not count.

    Args:
        test: A comparison.
        cells: Of its column.
    """
    wanted = kinds(test.values[0]) if test.sign in ORDER else frozenset()
    return sum(bool(wanted and cell.strip()) and not kinds(cell.strip()) & wanted for cell in cells)
