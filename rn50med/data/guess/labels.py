"""Which task a table's columns are of, and which class is which."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from rn50med.data.guess.words import ABOUT_THE_PERSON, LABEL, NEGATIVE, named, plain
from rn50med.errors import DataError, listed, nearest

MOST_CLASSES = 20
"""Values of a column that can be classes; more are names or measurements."""

_PRESENT, _ABSENT, _UNKNOWN = {"1", "1.0"}, {"0", "0.0"}, {"-1", "-1.0", "", "nan"}
_NUMBERS = re.compile(r"[0-9]+[a-z]?(?![a-z])|[0-9]+|(?<![a-z])(?:[ivx]+|[a-z])(?![a-z])")
_TYPO_SHARE = 0.01  # of the rows: a rarer value that is like a commoner one is taken for a typing error


@dataclass(frozen=True)
class Labels:
    """A task, and why.

    Args:
        kind: `Binary`, `MultiClass` or `MultiLabel`.
        options: Of the task.
        reasons: A sentence for the task, under its empty name, and for options of it.
    """

    kind: str
    options: Mapping[str, Any]
    reasons: Mapping[str, str]


def guess_labels(table: pd.DataFrame, taken: Sequence[str], source: str) -> Labels:
    """Return the task that a table's columns look like.

    Args:
        table: All text.
        taken: Columns that hold something else.
        source: Name of the table, for the message.

    Raises:
        DataError: If no column looks like a label.
    """
    free = [
        str(name) for name in table.columns if name not in taken and plain(str(name)) not in ABOUT_THE_PERSON
    ]
    found = {name: classes_of(table[name].tolist()) for name in free}
    classes = {name: kept for name, (kept, _) in found.items()}
    fitting = [name for name in free if 2 <= len(classes[name]) <= MOST_CLASSES]
    marked = [name for name in fitting if _is_marked(table[name])]
    by_name = named([name for name in fitting if not _sounds_empty(table[name])], LABEL)
    if by_name is not None:
        return _but(found[by_name], by_name, f"the column {by_name!r} is named like a label")
    findings = [name for name in free if _is_marked(table[name]) and _PRESENT & set(_stripped(table[name]))]
    if len(findings) > 1:
        return _several(table, findings)
    if marked:
        return _but(found[marked[0]], marked[0], f"the column {marked[0]!r} holds 0 and 1")
    if fitting:
        fewest = min(fitting, key=lambda name: len(classes[name]))
        reason = f"of the columns that are left, {fewest!r} has the fewest values"
        return _but(found[fewest], fewest, reason)
    raise DataError(
        f"{source}: no column looks like a label (2 to {MOST_CLASSES} values that repeat); write a recipe "
        f"that names the task (`rn50med recipes copy chest_xray FILE`). The columns "
        f"are {listed(table.columns)}."
    )


def _but(found: tuple[Sequence[str], Mapping[str, int]], column: str, why: str) -> Labels:
    """Return a task of the classes of one column, and say which of its values are taken for slips."""
    classes, slips = found
    labels = one_column(column, classes, why)
    if not slips:
        return labels
    told = listed(f"{value!r} of {count} row{'s' if count > 1 else ''}" for value, count in slips.items())
    said = f"{labels.reasons['']}; taken for a typing error and left out: {told}: CHECK"
    return replace(labels, reasons={**labels.reasons, "": said})


def one_column(column: str, classes: Sequence[str], why: str) -> Labels:
    """Return a task of the classes of one column.

    Args:
        column: That holds them.
        classes: Without typing errors.
        why: The column was chosen.
    """
    ordered = in_order(classes)
    first = ordered[0]
    known = plain(first) in NEGATIVE
    order = (
        f"{first!r} is first because it sounds like the absence of a finding"
        if known
        else f"{first!r} is first by {'number' if _numeric(ordered) else 'alphabet'} alone: CHECK"
    )
    if len(ordered) == 2:
        options = {"negative": first, "positive": ordered[1], "column": column}
        return Labels("Binary", options, {"": f"{why} and has two values", "negative": order})
    several = {"names": list(ordered), "column": column}
    return Labels("MultiClass", several, {"": f"{why} and has {len(ordered)} values", "names": order})


def _several(table: pd.DataFrame, findings: Sequence[str]) -> Labels:
    cells = pd.DataFrame({name: _stripped(table[name]) for name in findings})
    why = f"{len(findings)} columns hold 1, 0, -1 or nothing"
    if (cells.isin(_PRESENT).sum(axis=1) == 1).all():
        why += (
            "; each row has exactly one 1, so that one column of classes (MultiClass) says it better: CHECK"
        )
    reasons = {"": why}
    unknown = int(cells.isin(_UNKNOWN).sum().sum())
    if unknown:
        reasons["unknown"] = (
            f"{unknown} of {cells.size} cells are -1 or empty: ignore leaves them out, "
            "negative takes them for 0"
        )
    return Labels("MultiLabel", {"labels": list(findings), "unknown": "ignore"}, reasons)


def classes_of(cells: Sequence[str]) -> tuple[list[str], dict[str, int]]:
    """Return the values of a column that are classes, in their commonest spelling, and those left out.

    Rare values that are like a common one are left out, as typing errors, with the number of their rows.
    Values of other numbers are other classes, such as ``stage II`` and ``stage III``.

    Args:
        cells: Of one column.

    Example:
        >>> classes_of(["stage II"] * 200 + ["stage III", "stage IV"] * 50 + ["stage V", "stgae II"])
        (['stage II', 'stage III', 'stage IV', 'stage V'], {'stgae II': 1})
    """
    counts = Counter(cell.strip() for cell in cells if cell.strip())
    spelt: dict[str, str] = {}
    for value, _ in counts.most_common():
        spelt.setdefault(value.casefold(), value)
    kept: list[str] = []
    slips: dict[str, int] = {}
    few = max(1, int(_TYPO_SHARE * sum(counts.values())))
    for value in sorted(spelt.values(), key=lambda each: -counts[each]):
        if counts[value] > few or not _like_one_of(value, kept):
            kept.append(value)
        else:
            slips[value] = counts[value]
    repeats = sum(counts.values()) >= 2 * len(kept)  # values that do not repeat are names
    return (kept, slips) if repeats else ([], {})


def _like_one_of(value: str, kept: Sequence[str]) -> bool:
    own = _numbers(value)
    return nearest(value, [each for each in kept if _numbers(each) == own]) is not None


def _numbers(value: str) -> list[str]:
    """Return the digits, Roman numbers and single letters of a class, which tell it from its like."""
    return _NUMBERS.findall(value.casefold())


def in_order(classes: Sequence[str]) -> list[str]:
    """Return classes, the one without the finding first, the others by number or alphabet.

    Args:
        classes: In any order.

    Example:
        >>> in_order(["virus", "bacteria", "None"]), in_order(["10", "9"])
        (['None', 'bacteria', 'virus'], ['9', '10'])
    """
    if _numeric(classes):
        return sorted(classes, key=float)
    rank = {word: place for place, word in enumerate(NEGATIVE)}
    return sorted(classes, key=lambda name: (rank.get(plain(name), len(rank)), name.casefold()))


def _numeric(classes: Sequence[str]) -> bool:
    return all(name.replace(".", "", 1).isdigit() for name in classes)


def _stripped(column: pd.Series) -> list[str]:
    return [str(cell).strip().casefold() for cell in column.tolist()]


def _is_marked(column: pd.Series) -> bool:
    """Return whether a column holds nothing but marks of presence and absence."""
    return set(_stripped(column)) <= _PRESENT | _ABSENT | _UNKNOWN


def _sounds_empty(column: pd.Series) -> bool:
    """Return whether most cells are empty, as of a column of findings that name only what is there."""
    cells = _stripped(column)
    return sum(not cell for cell in cells) > len(cells) / 2
