"""The keys of a table of labels, and the images that they mean by name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import pandas as pd

from rn50med.data.faults import Faults
from rn50med.data.manifest import ROW
from rn50med.data.sources.listing import has_image_name


def rows_of(labels: pd.DataFrame, key: str, asked: pd.Series, faults: Faults) -> dict[str, int]:
    """Return the position of each key's row; empty keys, and keys of two rows, are noted.

    Args:
        labels: The table.
        key: Its column of keys.
        asked: Whether each row is kept; what is wrong with others is no matter.
        faults: Where faults are noted.
    """
    rows: dict[str, int] = {}
    first_row: dict[str, str] = {}
    cells = zip(labels[key].str.strip().tolist(), labels[ROW].tolist(), asked.tolist(), strict=True)
    for position, (cell, row, kept) in enumerate(cells):
        if not cell and kept:
            faults.add(f"empty cell in column {key!r}, which joins; fill it in", int(row), code="empty-cell")
        elif cell in first_row and kept:
            text = f"{key} {cell!r} stands in row {first_row[cell]} too; keep one of the rows"
            faults.add(text, int(row), code="duplicate-key")
        elif cell and (kept or cell not in rows):
            rows[cell] = position
            first_row |= {cell: str(row)} if kept else {}
    return rows


def by_file(
    names: Sequence[str], rows: Mapping[str, int], lines: Sequence[tuple[int, bool]], faults: Faults
) -> list[int | None]:
    """Return the row of each image, by its path below the root or its name, with or without its ending.

    Args:
        names: Of the images.
        rows: Position of each key's row.
        lines: Of each row, its line of the table, and whether it is kept.
        faults: Where keys of several images, and images of several keys, are noted.
    """
    owners: list[int | None] = [None] * len(names)
    ways: list[dict[str, list[int]]] = [defaultdict(list) for _ in range(4)]
    for i, name in enumerate(names):
        last = name.rpartition("/")[2]
        for way, said in zip(ways, (name, _bare(name), last, _bare(last)), strict=True):
            way[said].append(i)
    for key, row in sorted(
        rows.items(), key=lambda item: not lines[item[1]][1]
    ):  # what is dropped comes last
        line, kept = lines[row]
        said = key.replace("\\", "/").removeprefix("./")
        images = next((way[said] for way in ways if said in way), [])
        if len(images) > 1:
            text = f"{key!r} is the name of {len(images)} images below the root; write the path from there"
            faults.add(text, line, code="ambiguous-file")
        for i in images:
            if (owner := owners[i]) is None:
                owners[i] = row
            elif kept:
                text = f"{key!r} means {names[i]!r}, as row {lines[owner][0]} does; keep one of the rows"
                faults.add(text, line, code="duplicate-key")
    return owners


def _bare(name: str) -> str:
    """Return a name without the ending that says which kind of image it is."""
    if not has_image_name(name):
        return name
    stem = name[: -len(".gz")] if name.casefold().endswith(".nii.gz") else name
    return stem[: stem.rindex(".")]
