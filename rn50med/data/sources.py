"""Sources: where images and labels come from. Each kind is one class with one method."""

from __future__ import annotations

import hashlib
import re
import warnings
from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np
import pandas as pd

from rn50med.data.faults import Faults
from rn50med.data.manifest import ROW, SPLIT_WORDS, Columns, Manifest, Read, standardise
from rn50med.data.phantom import PhantomRow, cohort, draw_film
from rn50med.data.pixels import Pixels, read_image
from rn50med.errors import DataError, nearest
from rn50med.tasks import Task

SEPARATORS = {".csv": ",", ".tsv": "\t"}
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg"})


class Source(ABC):
    """A place that images and labels come from."""

    @abstractmethod
    def manifest(self, task: Task, columns: Columns, faults: Faults) -> Manifest:
        """Return the manifest; faults of single rows are noted, not raised.

        Args:
            task: Knows the label columns and their values.
            columns: Names of the columns.
            faults: Where faults are noted.

        Raises:
            DataError: If there is nothing to make a manifest of.
        """


class TableSource(Source):
    """A CSV or TSV table, every cell read as text.

    Args:
        path: The table.
        root: Folder that image paths are relative to; the table's own where it is None.
    """

    def __init__(self, path: Path, root: Path | None = None) -> None:
        self.path = path
        self.root = path.parent if root is None else root

    def manifest(self, task: Task, columns: Columns, faults: Faults) -> Manifest:
        """Read the table."""
        table, notes = standardise(read_table(self.path), columns, task, faults)
        return Manifest(self.path.name, "table", table, file_reader(self.root), notes)


class FolderSource(Source):
    """A folder of class folders, with or without train, val and test above them.

    Args:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.resolve().name  # the working folder's, too

    def manifest(self, task: Task, columns: Columns, faults: Faults) -> Manifest:
        """List the folder."""
        names = sorted(
            path.relative_to(self.path).as_posix()
            for path in self.path.rglob("*")
            if path.suffix.lower() in IMAGE_SUFFIXES
        )
        if not names:
            raise DataError(f"{self.name}: holds no PNG or JPEG images; give a folder of class folders.")
        parts = [name.split("/") for name in names]
        columns = Columns(patient=columns.patient)  # the others are made here
        table = pd.DataFrame({"image": names, ROW: [str(i) for i in range(1, len(names) + 1)]})
        if all(part[0].casefold() in SPLIT_WORDS for part in parts):
            table["split"] = [part[0] for part in parts]
            parts = [part[1:] for part in parts]
        if loose := [name for name, part in zip(names, parts, strict=True) if len(part) == 1]:
            raise DataError(
                f"{self.name}: {len(loose)} images lie in no class folder, such as {loose[0]}; put them "
                f"into folders named {', '.join(task.classes)}, or give a table."
            )
        table[task.columns[0]] = [part[0] for part in parts]
        table, notes = standardise(table, columns, task, faults)
        return Manifest(self.name, "folder", table, file_reader(self.path), notes)


class PhantomSource(Source):
    """Synthetic films, drawn from a seed; the task says what they show.

    Args:
        seed: Another seed gives other patients.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def manifest(self, task: Task, columns: Columns, faults: Faults) -> Manifest:
        """Draw the cohort, not yet its films."""
        films = cohort(self.seed)
        drawn = np.random.default_rng([self.seed, 1]).permutation(max(film.patient for film in films) + 1)
        # Evenly spaced draws, shuffled: the classes have the shares that the task asks for.
        shown = {film.patient: task.imagine((drawn[film.patient] + 0.5) / len(drawn)) for film in films}
        named = {f"patient-{f.patient:04d}-film-{f.film}": f for f in films}
        rows = [
            {"image": name, "patient": f"patient-{f.patient:04d}", "split": f.split, **shown[f.patient][0]}
            for name, f in named.items()
        ]
        table = pd.DataFrame(rows, dtype=str).assign(**{ROW: [str(i) for i in range(1, len(rows) + 1)]})
        findings = {name: shown[film.patient][1] for name, film in named.items()}
        return Manifest("phantom", "phantom", table, self._reader(named, findings))

    def _reader(self, films: dict[str, PhantomRow], findings: dict[str, tuple[int, ...]]) -> Read:
        def read(image: str) -> tuple[Pixels, str]:
            film = films[image]
            pixels = draw_film(self.seed, film.patient, film.film, findings[image]).pixels
            return pixels, hashlib.sha256(pixels.tobytes()).hexdigest()

        return read


def open_source(source: str, root: str | None = None, seed: int = 0) -> Source:
    """Return the source that a word or path means.

    Args:
        source: ``phantom``, a ``.csv`` or ``.tsv`` table, or a folder of class folders.
        root: Folder that a table's image paths are relative to.
        seed: Seed of synthetic films.

    Raises:
        DataError: If there is no such source.
    """
    if source == "phantom":
        return PhantomSource(seed)
    path = Path(source)
    if path.is_dir():
        return FolderSource(path)
    if not path.is_file():
        guess = nearest(path.name, (p.name for p in path.parent.glob("*"))) if path.parent.is_dir() else None
        hint = f"did you mean {str(path.parent / guess)!r}? " if guess else ""
        raise DataError(
            f"{source}: no such table or folder; {hint}give a .csv or .tsv table, a folder of class folders, "
            "or the word phantom."
        )
    if path.suffix.lower() not in SEPARATORS:
        raise DataError(f"{source}: is no .csv or .tsv table; save it as one of them.")
    if root is not None and not Path(root).is_dir():
        raise DataError(f"{root}: no such folder; give the folder of the images with --data.root.")
    return TableSource(path, None if root is None else Path(root))


def read_table(path: Path) -> pd.DataFrame:
    """Read a CSV or TSV table, every cell as text, with the line of each row in column ``source_row``.

    Args:
        path: The table; UTF-8, with or without a byte order mark.

    Raises:
        DataError: If it cannot be read as such a table.
    """
    try:
        table = _as_text(path)
    except pd.errors.EmptyDataError:
        raise DataError(f"{path.name}: is empty; write a header and one row per image.") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path.name}: is not UTF-8 text ({error.reason}); save it as CSV UTF-8.") from error
    except (pd.errors.ParserWarning, pd.errors.ParserError) as error:
        found = re.search(r"in line (\d+)", str(error))
        row = f"row {found[1]}" if found else "the first row"
        raise DataError(
            f"{path.name}: {row} has more cells than the header; quote a cell that holds the separator, "
            "or take out what is too much."
        ) from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path.name}: cannot be read as a table ({error}); save it as CSV UTF-8.") from error
    table.columns = [str(column).strip() for column in table.columns]
    table = table.fillna("").assign(**{ROW: [str(line) for line in range(2, len(table) + 2)]})
    empty = (table.drop(columns=ROW) == "").all(axis=1)
    return table[~empty].reset_index(drop=True)


def _as_text(path: Path) -> pd.DataFrame:
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)  # it would drop cells that are too much
        return pd.read_csv(
            path,
            sep=SEPARATORS[path.suffix.lower()],
            dtype=str,
            keep_default_na=False,
            encoding="utf-8-sig",
            skip_blank_lines=False,
            index_col=False,  # else a first row with one cell too many would shift all columns
        )


def file_reader(root: Path) -> Read:
    """Return a reader of files below a folder.

    Args:
        root: Folder that names are relative to; an absolute name stands for itself.
    """

    def read(image: str) -> tuple[Pixels, str]:
        path = root / image
        pixels = read_image(path)
        return pixels, hashlib.sha256(path.read_bytes()).hexdigest()

    return read
