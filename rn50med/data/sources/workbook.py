"""Excel workbooks: the cells of the first sheet, as the sheet shows them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import date, datetime, time
from io import BytesIO
from typing import Any
from zipfile import BadZipFile, ZipFile

from rn50med.data.sources.libraries import library
from rn50med.errors import DataError, listed

_MOST_BYTES = 2**31
"""Of a workbook, unpacked: a larger one is a mistake or a bomb."""

_DIGITS = 15
"""Significant digits that a spreadsheet keeps of a number."""


def workbook_rows(content: bytes, notes: list[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield the lines of a workbook's first sheet, each with its number.

    Args:
        content: The file.
        notes: Gets sentences on what was taken for granted.

    Raises:
        DataError: If it is no workbook, or damaged.
    """
    openpyxl = library("openpyxl", "reads .xlsx tables")
    long: set[int] = set()
    try:
        _check(content)
        book = openpyxl.load_workbook(BytesIO(content), read_only=True, data_only=True, keep_links=False)
        sheet = _first_sheet(book.worksheets, notes)
        names: list[str] = []
        blank: set[int] = set()  # columns of the header without a single value
        for number, row in enumerate(sheet.rows, start=1):
            cells = [_cell_text(cell, long) for cell in row]
            if names:
                blank = {i for i in blank if i >= len(row) or _has_no_value(row[i])}
            elif any(cells):
                names, blank = cells, {i for i, name in enumerate(cells) if name.strip()}
            yield number, cells
        if blank:
            _refuse_formulas(openpyxl.load_workbook(BytesIO(content), read_only=True), names, blank)
    except DataError:
        raise
    except Exception as error:  # the library raises many kinds for a damaged file
        raise DataError(f"is a damaged Excel workbook ({type(error).__name__}); copy it again.") from error
    if long:
        columns = listed(f"column {column}" for column in sorted(long))
        notes.append(
            f"{columns} of the sheet: numbers of more than {_DIGITS} digits, of which a spreadsheet keeps no "
            "others; format such a column as text"
        )


def _check(content: bytes) -> None:
    try:
        with ZipFile(BytesIO(content)) as packed:
            members = packed.infolist()
    except BadZipFile as error:
        raise DataError(
            "is an Excel workbook that was cut off, or a damaged ZIP file; copy it again."
        ) from error
    if not any(member.filename == "xl/workbook.xml" for member in members):
        raise DataError("is a ZIP file, but no Excel workbook; give the table itself.")
    if sum(member.file_size for member in members) > _MOST_BYTES:
        raise DataError("unpacks to more than 2 GiB; save the labels alone, as CSV UTF-8.")


def _first_sheet(sheets: list[Any], notes: list[str]) -> Any:
    if not sheets:
        raise DataError("has no sheet with cells; save the labels in one.")
    if len(sheets) > 1:
        notes.append(f"the workbook's first sheet is read, the other {len(sheets) - 1} are not")
    sheets[0].reset_dimensions()  # some programs write wrong ones
    return sheets[0]


def _has_no_value(cell: Any) -> bool:
    """Return whether a cell is blank; a formula whose value is no text at all is of the kind ``str``."""
    return getattr(cell, "value", None) is None and getattr(cell, "data_type", "n") != "str"


def _refuse_formulas(book: Any, names: list[str], blank: set[int]) -> None:
    """Refuse columns that are blank because no program has worked out their formulas."""
    found = {i for row in book.worksheets[0].rows for i in blank if i < len(row) and row[i].data_type == "f"}
    if found:
        columns = listed(f"column {names[i]!r}" for i in sorted(found))
        raise DataError(
            f"{columns} holds formulas without values; open the file in Excel (or LibreOffice) and save it."
        )


def _cell_text(cell: object, long: set[int]) -> str:
    """Return a cell as the sheet shows it, and note a column whose numbers lost their last digits."""
    value = getattr(cell, "value", None)
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, int | float):
        if abs(value) >= 10**_DIGITS:
            long.add(int(getattr(cell, "column", 0)))
        shown = str(getattr(cell, "number_format", ""))
        if set(shown) == {"0"} and float(value).is_integer():  # such as 0000, which shows 12 as 0012
            return f"{int(value):0{len(shown)}d}"
    return plain_text(value)


def plain_text(value: object) -> str:
    """Return a value as the text that a person would write for it.

    Args:
        value: Of a spreadsheet or a Parquet file.

    Example:
        >>> [plain_text(value) for value in ("0012", 12, 12.0, 0.1 + 0.2, None, date(2024, 1, 31))]
        ['0012', '12', '12', '0.3', '', '2024-01-31']
    """
    if value is None:
        return ""
    if isinstance(value, float):
        if math.isnan(value):
            return ""
        whole = value.is_integer() and abs(value) < 10**_DIGITS
        return str(int(value)) if whole else f"{value:.{_DIGITS}g}"
    if isinstance(value, datetime):
        midnight = value.timetz() == time(tzinfo=value.tzinfo)
        return value.date().isoformat() if midnight else value.isoformat(" ")
    if isinstance(value, date | time):
        return value.isoformat()
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
