"""Cells of a manifest: each that cannot be used is noted with its row, whatever else is wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from rn50med.data.faults import Faults

ROW = "source_row"
"""Manifest column: the image's line in the source, the header being line 1."""

SPLIT_WORDS = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
"""What a source may call a split, in lower case."""


def holds_split(column: pd.Series) -> bool:
    """Return whether any cell is a word for a split.

    Args:
        column: Of text.
    """
    return any(str(cell).strip().casefold() in SPLIT_WORDS for cell in column.unique())


def read_splits(table: pd.DataFrame, column: str | None, faults: Faults) -> list[str]:
    """Return each row's split in our words; empty where there is none, or none that can be understood.

    Args:
        table: With a ``source_row`` column.
        column: Column of the split; None where there is none.
        faults: Where cells that name no split are noted.
    """
    if column is None:
        return [""] * len(table)
    cells = table[column].astype(str)
    word_of = {cell: SPLIT_WORDS.get(cell.strip().casefold(), "") for cell in cells.unique()}
    # who named no column for the split may have had something else in mind
    other = ", or --data.columns.split null if the column is no split" if column != "split" else ""
    for row, cell in _rows(table, ~cells.map(word_of).astype(bool), column):
        found = f"split {cell!r}" if cell.strip() else f"empty cell in column {column!r}"
        code = "unknown-split" if cell.strip() else "empty-cell"
        faults.add(f"{found}; write train, val or test{other}", row, code=code)
    return [word_of[cell] for cell in cells.tolist()]


def check_cells(
    table: pd.DataFrame,
    labels: Sequence[str],
    fault_of: Callable[[Mapping[str, str]], str | None],
    faults: Faults,
) -> None:
    """Note empty cells, stray blanks, labels that cannot be used, and images that stand there twice.

    Args:
        table: With columns ``image``, ``patient``, ``source_row`` and the labels.
        labels: Columns of the labels.
        fault_of: What is wrong with a row's labels, or None.
        faults: Where they are noted.
    """
    for role in ("image", "patient"):
        for row, _ in _rows(table, table[role].str.strip() == "", role):
            faults.add(f"empty cell for the {role}; fill it in or take the row out", row, code="empty-cell")
    stray = (table["patient"] != table["patient"].str.strip()) & (table["patient"].str.strip() != "")
    for row, cell in _rows(table, stray, "patient"):
        text = f"patient {cell!r} has a stray blank, which can make two patients of one"
        faults.add(text, row, code="stray-blank")
    _check_labels(table, labels, fault_of, faults)
    _check_repeats(table, faults)


def _check_labels(
    table: pd.DataFrame,
    labels: Sequence[str],
    fault_of: Callable[[Mapping[str, str]], str | None],
    faults: Faults,
) -> None:
    """Ask the task once for each combination of labels: there are few, however many rows.

    A fault that every row has is one fault: nothing in the column can be used, and it may be another column
    that was meant.
    """
    every = list(zip(*[table[name].tolist() for name in labels], strict=True))
    judged = {cells: fault_of(dict(zip(labels, map(str, cells), strict=True))) for cells in set(every)}
    if len(judged) == 1 < table[ROW].nunique() and (text := judged[every[0]]) is not None:
        faults.add(f"every row: {text}; or give the task another column", code=_code_of(text, every[0]))
        return
    told: set[int] = set()  # one row of a label table may own many images
    for number, cells in zip(table[ROW].tolist(), every, strict=True):
        text = judged[cells]
        if text is not None and int(number) not in told:
            told.add(int(number))
            faults.add(text, int(number), code=_code_of(text, cells))


def _code_of(text: str, cells: Sequence[str]) -> str:
    if text.startswith("empty cell"):
        return "empty-cell"
    return "stray-blank" if any(cell != cell.strip() for cell in cells) else "unknown-label"


def _check_repeats(table: pd.DataFrame, faults: Faults) -> None:
    given = table[table["image"].str.strip() != ""]
    first_row = given.drop_duplicates("image").set_index("image")[ROW]
    for row, image in _rows(given, given.duplicated("image"), "image"):
        text = f"image {image!r} stands in row {first_row[image]} too; keep one of the rows"
        faults.add(text, row, code="duplicate-row")


def _rows(table: pd.DataFrame, where: pd.Series, column: str) -> list[tuple[int, str]]:
    """Return number and cell of the rows where a condition holds."""
    found = table.loc[where.to_numpy(dtype=bool), [ROW, column]]
    pairs = zip(found[ROW].tolist(), found[column].tolist(), strict=True)
    return [(int(row), str(cell)) for row, cell in pairs]
