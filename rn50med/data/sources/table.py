"""A table whose rows name their images."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from rn50med.data.faults import Faults
from rn50med.data.images import Files
from rn50med.data.manifest import ROW, Columns, find_columns
from rn50med.data.sources.base import Found, Place, Source
from rn50med.data.sources.tables import TABLE_SUFFIXES, table_and_notes
from rn50med.errors import DataError
from rn50med.tasks import Task


class TableSource(Source):
    """A CSV, TSV, Excel or Parquet table, every cell read as text.

    Args:
        place: The table; image paths are relative to its folder, or to the root where one is given.
    """

    kind = "table"
    about = "a .csv, .tsv, .xlsx or .parquet table"

    @classmethod
    def opens(cls, place: Place) -> bool:
        """Return whether it is a file whose name is a table's, and nothing is to be joined to it."""
        return place.join is None and is_table(place.source)

    @property
    def name(self) -> str:
        """The file's name."""
        return Path(self.place.source).name

    def find(self, task: Task, columns: Columns, faults: Faults) -> Found:
        """Read the table."""
        path = Path(self.place.source)
        root = path.parent if self.place.root is None else image_folder(self.place.root)
        table, notes = table_and_notes(path)
        image = _image_column(table, columns)
        if image is not None:
            table[image], said = image_paths(table[image].tolist(), root)
            notes += said
        return Found(table, Files(root, self.place.reader), columns, notes)


def _image_column(table: pd.DataFrame, columns: Columns) -> str | None:
    """Return the column of the images; None where the manifest's check will have to say what is wrong."""
    try:
        return find_columns(columns, [str(name) for name in table.columns if name != ROW], "")["image"]
    except DataError:
        return None


def is_table(source: str) -> bool:
    """Return whether a source is a file whose name is a table's.

    Args:
        source: Its path.
    """
    path = Path(source)
    return path.suffix.casefold() in TABLE_SUFFIXES and path.is_file()


def image_folder(root: str) -> Path:
    """Return the folder of the images, once it is seen to be there.

    Args:
        root: As `data.root` says it.

    Raises:
        DataError: If there is no such folder.
    """
    path = Path(root)
    if not path.is_dir():
        raise DataError(f"{root}: no such folder; give the folder of the images with --data.root.")
    return path


def image_paths(names: Sequence[str], root: Path) -> tuple[list[str], tuple[str, ...]]:
    """Return the images of a table as paths of this system, and sentences on what was taken for granted.

    Args:
        names: As the table has them; absolute, or relative to the root.
        root: Folder of the images.

    Example:
        >>> image_paths(["a/1.png"], Path("."))
        (['a/1.png'], ())
    """
    odd = next((name for name in names if "\\" in name), None) if os.sep == "/" else None
    if odd is None or (root / odd).exists():  # a letter like any other, on systems that are not Windows
        return list(names), ()
    return [name.replace("\\", "/") for name in names], ("backslashes in image paths are read as slashes",)


def numbered(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose rows are counted from 1, for a source that is no table.

    Args:
        table: Without a ``source_row`` column.
    """
    return table.assign(**{ROW: [str(number) for number in range(1, len(table) + 1)]})
