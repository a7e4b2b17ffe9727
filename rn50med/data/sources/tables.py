"""Table files, known by their bytes: every cell as the text that it shows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path

import pandas as pd

from rn50med.data.cells import ROW
from rn50med.data.sources.delimited import delimited_rows, text_of
from rn50med.data.sources.libraries import library
from rn50med.data.sources.workbook import plain_text, workbook_rows
from rn50med.errors import DataError, listed

TABLE_SUFFIXES = frozenset({".csv", ".tsv", ".txt", ".xlsx", ".xlsm", ".xls", ".parquet", ".pq"})
"""How the name of a table may end, in lower case; ``.xls`` for what only calls itself so."""

Rows = Iterable[tuple[int, list[str]]]
"""Lines with their numbers, the first that is not empty being the header."""


def read_table(path: Path) -> pd.DataFrame:
    """Read a table, every cell as text, with the line of each row in column ``source_row``.

    Args:
        path: The table, as `table_and_notes` takes it.

    Raises:
        DataError: If it cannot be read as such a table.
    """
    return table_and_notes(path)[0]


def table_and_notes(path: Path) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Read a table, every cell as text, and say what was taken for granted.

    Args:
        path: Comma-, semicolon- or tab-separated text (UTF-8, UTF-16, else cp1252), the first sheet of an
            Excel workbook, or a Parquet file.

    Raises:
        DataError: If it cannot be read as such a table.
    """
    notes: list[str] = []
    try:
        content = path.read_bytes()
        table = _frame(_rows(path, content, notes), path.name)
    except DataError as error:
        raise DataError(f"{path.name}: {error}") from error.__cause__
    except OSError as error:
        raise DataError(
            f"{path.name}: cannot be read ({error.strerror}); check its access rights."
        ) from error
    return table, tuple(notes)


def _rows(path: Path, content: bytes, notes: list[str]) -> Rows:
    """Return the lines of a file, by what its bytes are and not by its name."""
    if content.startswith(b"PK\x03\x04"):
        return workbook_rows(content, notes)
    if content.startswith(b"PAR1"):
        return _parquet_rows(content)
    _refuse_other_files(content)
    text, note = text_of(content)
    notes += [note] if note else []
    return delimited_rows(text, "\t" if path.suffix.lower() == ".tsv" else ",")


def _refuse_other_files(content: bytes) -> None:
    """Refuse what is often mistaken for a table, each by its name."""
    if content.startswith(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):  # Microsoft's older container
        if "EncryptedPackage".encode("utf-16-le") in content:
            raise DataError("is protected by a password; save it without one.")
        raise DataError("is an Excel file of the old kind (.xls); save it as .xlsx or CSV UTF-8.")
    start = content[:1024].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<head", b"<body", b"<table", b"<meta")):
        raise DataError("is a web page, not a table; it may be a log-in page: download the table itself.")
    if start.startswith(b"<?xml"):
        raise DataError("is an XML file, not a table; save it as .xlsx or CSV UTF-8.")
    if start.startswith(b"version https://git-lfs"):
        raise DataError("is a Git LFS pointer, not the table; run `git lfs pull`.")


def _frame(rows: Rows, source: str) -> pd.DataFrame:
    """Return lines as a table; lines without any text are left out, but counted."""
    lines = iter(rows)
    header = next(((n, cells) for n, cells in lines if any(cell.strip() for cell in cells)), None)
    if header is None:
        raise DataError("is empty; write a header and one row per image.")
    names = [cell.strip() for cell in header[1]]
    while not names[-1]:
        names.pop()
    numbers: list[str] = []
    kept: list[list[str]] = []
    width = len(names)
    for number, cells in lines:
        if len(cells) != width:
            cells = _fitted(cells, width, number)  # noqa: PLW2901 - the line as the header has it
        if any(cells):
            numbers.append(str(number))
            kept.append(cells)
    columns = list(zip(*kept, strict=True)) if kept else [()] * width
    filled = [
        (name or f"column {i + 1}", columns[i]) for i, name in enumerate(names) if name or any(columns[i])
    ]
    if twice := sorted({name for name, _ in filled if [n for n, _ in filled].count(name) > 1}):
        raise DataError(f"has several columns named {listed(map(repr, twice))}; rename all but one of each.")
    data = {name: list(cells) for name, cells in filled if name != ROW}
    return pd.DataFrame(data | {ROW: numbers}, dtype=str)


def _fitted(cells: list[str], width: int, number: int) -> list[str]:
    if any(cells[width:]):
        raise DataError(
            f"row {number} has more cells than the header; quote a cell that holds the separator, "
            "or take out what is too much."
        )
    return cells[:width] + [""] * (width - len(cells))


def _parquet_rows(content: bytes) -> Iterator[tuple[int, list[str]]]:
    """Yield the lines of a Parquet file."""
    parquet = library("pyarrow.parquet", "reads .parquet tables")
    try:
        table = parquet.read_table(BytesIO(content))
        names = [name for name in table.column_names if not name.startswith("__index_level_")]  # pandas' own
        columns = [[plain_text(cell) for cell in table.column(name).to_pylist()] for name in names]
    except Exception as error:  # the library raises many kinds for a damaged file
        raise DataError(f"is a damaged Parquet file ({type(error).__name__}); copy it again.") from error
    yield 1, names
    for number, cells in enumerate(zip(*columns, strict=True), start=2):
        yield number, list(cells)
