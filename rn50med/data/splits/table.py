"""The table of splits that is printed: patients, images, and images of each class or label."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rn50med.data.splits.plan import SPLITS

Table = Mapping[str, Mapping[str, Any]]
"""By split: ``patients`` and ``images``, numbers; ``classes``, numbers by name; and where they are there,
``unknown``, numbers by name, and ``labels``, numbers ``positive``, ``negative`` and ``unknown`` by name, with
``unknown_is``, what a policy makes of the last."""

_RULED = ("positive", "negative", "unknown")


def split_lines(table: Table) -> list[str]:
    """Return the table as aligned text, a column for each split.

    Args:
        table: Counts by split, as the audit has them.

    Example:
        >>> counts = {"patients": 30, "images": 45, "classes": {"normal": 20, "pneumonia": 25}}
        >>> for line in split_lines({"train": counts, "test": counts}):
        ...     print(line)
                      train       test
        patients         30         30
        images           45         45
        normal     20 (44 %)  20 (44 %)
        pneumonia  25 (56 %)  25 (56 %)
    """
    splits = [split for split in SPLITS if split in table]
    rows = [["", *splits], *_rows([table[split] for split in splits])]
    widths = [max(len(row[column]) for row in rows) for column in range(len(splits) + 1)]
    lines = [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]
    return [line.rstrip() for line in lines]


def _rows(counts: list[Mapping[str, Any]]) -> Iterator[list[str]]:
    """Yield a row's name and its cells."""
    for what in ("patients", "images"):
        yield [what, *(str(split[what]) for split in counts)]
    labels = _names(counts, "labels")
    if labels:
        yield ["/".join(_RULED), *("" for _ in counts)]
    for name in labels:
        ruled = [split.get("labels", {}).get(name, {}) for split in counts]
        yield [
            _labelled(name, ruled),
            *("/".join(str(label.get(key, 0)) for key in _RULED) for label in ruled),
        ]
    for name in _names(counts, "classes"):
        if name not in labels:
            yield [name, *(_held(split, name) for split in counts)]


def _names(counts: list[Mapping[str, Any]], what: str) -> list[str]:
    """Return the names that any split has, in their order."""
    return list(dict.fromkeys(name for split in counts for name in split.get(what, {})))


def _labelled(name: str, ruled: list[Mapping[str, Any]]) -> str:
    """Return a label's name, and what its unknown cells are taken for where they are not left out."""
    policy = next((label["unknown_is"] for label in ruled if "unknown_is" in label), "ignore")
    return f"  {name}" if policy == "ignore" else f"  {name} (unknown taken as {policy})"


def _held(split: Mapping[str, Any], name: str) -> str:
    """Return how many images are of a class, their share, and of how many nobody knows."""
    number, unknown = split["classes"].get(name, 0), split.get("unknown", {}).get(name, 0)
    share = f"{number} ({100 * number / max(1, split['images']):.0f} %)"
    return share + (f", {unknown} unknown" if unknown else "")
