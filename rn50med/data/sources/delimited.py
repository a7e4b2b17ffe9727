"""Text tables: which characters the bytes are, which of them parts the cells, and the cells."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice

from rn50med.errors import DataError

_SEPARATORS = (",", ";", "\t")
_SAMPLE = 50
"""Lines that a separator is judged by."""


def text_of(content: bytes) -> tuple[str, str | None]:
    """Return the text that bytes are, and a note where that had to be guessed.

    Args:
        content: UTF-8 with or without its mark, UTF-16 with its mark, else cp1252.

    Raises:
        DataError: If they are no text.
    """
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            return content.decode("utf-16"), None
        except UnicodeDecodeError as error:
            raise DataError("is UTF-16 text that was cut off or damaged; save it as CSV UTF-8.") from error
    if b"\0" in content:
        raise DataError("is no table, since it holds zero bytes; save it as CSV UTF-8 or .xlsx.")
    try:
        return content.decode("utf-8-sig"), None
    except UnicodeDecodeError:
        pass
    try:
        return content.decode("cp1252"), "the table is no UTF-8 text and was read as Windows text (cp1252)"
    except UnicodeDecodeError as error:
        raise DataError(
            f"is neither UTF-8 nor Windows text ({error.reason}); save it as CSV UTF-8."
        ) from error


def delimited_rows(text: str, usual: str) -> Iterator[tuple[int, list[str]]]:
    """Yield each line's number and cells; a line break inside of quotes is none.

    Args:
        text: The table.
        usual: The separator to take where the text does not tell.

    Raises:
        DataError: If a quote is not closed or stands where it cannot.
    """
    said = re.match(r"sep=(.)\r?\n", text)  # a line for Excel, which does not count it
    text = text[said.end() :] if said else text
    reader = _reader(text, said[1] if said else _separator(text, usual))
    number = 0
    try:
        for number, cells in enumerate(reader, start=1):
            yield number, cells
    except csv.Error as error:
        what = "a quote is opened and never closed" if "end of data" in str(error) else str(error)
        raise DataError(
            f"row {number + 1} cannot be read: {what}; write a quote inside of a cell twice."
        ) from error


def _reader(text: str, separator: str) -> Iterator[list[str]]:
    return csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)


def _separator(text: str, usual: str) -> str:
    """Return the separator that parts the first lines into the same number of cells, and into the most."""
    return max(_SEPARATORS, key=lambda separator: (*_fit(text, separator), separator == usual))


def _fit(text: str, separator: str) -> tuple[float, int]:
    """Return how well a separator fits: the share of lines with as many cells as the first, and these."""
    lines: list[list[str]] = []
    with suppress(csv.Error):  # it is told where the table is read
        lines.extend(line for line in islice(_reader(text, separator), _SAMPLE) if line)
    cells = len(lines[0]) if lines else 0
    if cells < 2:
        return 0.0, cells
    return sum(len(line) == cells for line in lines) / len(lines), cells
