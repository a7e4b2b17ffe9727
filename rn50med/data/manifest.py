"""The manifest: the table of images, every cell text, with the columns that rn50med needs by one name."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace

import pandas as pd

from rn50med.data.faults import Faults
from rn50med.data.pixels import Pixels
from rn50med.errors import DataError, nearest
from rn50med.tasks import Task

Read = Callable[[str], tuple[Pixels, str]]
"""Image name to its pixels and the SHA-256 of its bytes."""

ROW = "source_row"
"""Manifest column: the image's line in the source, the header being line 1."""

OWN_COLUMNS = ("image", "patient", "split", ROW, "sha256")
"""Columns that every manifest has besides its labels."""

_ALIASES: Mapping[str, tuple[str, ...]] = {
    "image": (
        "image", "path", "file", "filename", "file_name", "filepath", "file_path", "image_path", "image_id",
        "image_index", "img",
    ),
    "patient": ("patient_id", "patient", "patientid", "mrn", "subject", "subject_id", "subjectid", "pid"),
    "split": ("split", "set", "subset", "partition"),
}  # fmt: skip
SPLIT_WORDS = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
"""What a source may call a split, in lower case."""


@dataclass(frozen=True)
class Columns:
    """Names of the columns in the source.

    Args:
        image: Path of the image, relative to the table or to the root.
        patient: Patient; `image` says that each image is a patient of its own.
        study: Study, where there is one.
        split: train, val or test; may be absent.
    """

    image: str = "image"
    patient: str = "patient_id"
    study: str | None = None
    split: str = "split"


@dataclass(frozen=True)
class Manifest:
    """Images with their patients, splits and labels.

    Args:
        name: Name of the source without its path, for messages.
        kind: "table", "folder" or "phantom".
        table: One row per image, all text: ``image``, ``patient``, ``split``, ``source_row``, the labels, and
            whatever else the source has.
        read: Reads an image by its name.
        notes: What was taken for granted, in sentences.
    """

    name: str
    kind: str
    table: pd.DataFrame
    read: Read
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.table)

    @property
    def synthetic(self) -> bool:
        """Whether the images were drawn by the phantom."""
        return self.kind == "phantom"

    @property
    def patients_are_images(self) -> bool:
        """Whether each image was declared a patient of its own."""
        return bool((self.table["patient"] == self.table["image"]).all())

    def column(self, name: str) -> list[str]:
        """Return a column as a list of text.

        Args:
            name: Name of the column.
        """
        return [str(cell) for cell in self.table[name]]

    def rows(self) -> list[dict[str, str]]:
        """Return the rows as dictionaries."""
        return [{str(k): str(v) for k, v in row.items()} for row in self.table.to_dict("records")]

    def with_splits(self, splits: Sequence[str], contents: Sequence[str] | None = None) -> Manifest:
        """Return the same manifest with these splits.

        Args:
            splits: One for each image.
            contents: SHA-256 of each image's bytes, to be kept beside them.
        """
        table = self.table.assign(split=list(splits))
        return replace(self, table=table if contents is None else table.assign(sha256=list(contents)))

    def digest(self, contents: Sequence[str]) -> str:
        """Return a SHA-256 of what the images are: name, patient, split and bytes; their order is no matter.

        Args:
            contents: SHA-256 of each image's bytes.
        """
        columns = [self.column(name) for name in ("image", "patient", "split")]
        lines = sorted("\t".join(line) for line in zip(*columns, contents, strict=True))
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def standardise(
    table: pd.DataFrame, columns: Columns, task: Task, faults: Faults
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Give a source's columns their one name, and note every cell that cannot be used.

    Args:
        table: As the source has it, all text, with a ``source_row`` column.
        columns: Names of the columns.
        task: Knows the label columns and their values.
        faults: Where faults are noted.

    Returns:
        The table, and sentences on what was taken for granted.

    Raises:
        DataError: If a column is missing, or there are no rows.
    """
    if table.empty:
        raise DataError(f"{faults.source}: has no rows; write one row per image.")
    have = [str(column) for column in table.columns if column != ROW]
    found = find_columns(columns, have, faults.source, labels=task.columns)
    standard = table.drop(columns=["image", "patient", "split"], errors="ignore")
    standard = standard.assign(
        image=table[found["image"]],
        patient=table[found["patient"]],
        split=_splits(table, found.get("split"), faults),
    )
    _check_cells(standard, task, faults)
    first = ["image", "patient", "split", *task.columns]
    return standard[[*first, *(c for c in standard.columns if c not in first)]], _assumed(columns, found)


def find_columns(
    columns: Columns,
    have: Sequence[str],
    source: str,
    needed: Sequence[str] = ("image", "patient"),
    labels: Sequence[str] = (),
) -> dict[str, str]:
    """Find each column by its name, or by a usual alias of a name that was left at its default.

    Args:
        columns: Names that were asked for.
        have: Columns that are there.
        source: Name of the table, for the message.
        needed: Roles without which nothing can be done.
        labels: Label columns, which have to be there by their name.

    Raises:
        DataError: If a needed column, or one that was asked for by another name, is not there.
    """
    defaults = {field.name: field.default for field in fields(Columns)}
    free = [name for name in have if name not in labels]
    found: dict[str, str] = {}
    missing: list[str] = []
    for role in ("image", "patient", "split"):
        wanted = str(getattr(columns, role))
        if wanted in have:
            found[role] = wanted
        elif wanted == defaults[role] and (alias := _alias(role, free)):
            found[role] = alias
        elif role == "patient" and wanted == defaults["image"] and "image" in found:
            found[role] = found["image"]  # each image its own patient, whatever its column is called
        elif role in needed or wanted != defaults[role]:
            missing.append(_missing_column(role, wanted, have))
    if columns.study is not None and columns.study not in have:
        missing.append(_missing_column("study", columns.study, have))
    missing += [_missing_column("label", name, have) for name in labels if name not in have]
    if missing:
        raise DataError(f"{source}: {'; '.join(missing)}; it has the columns {', '.join(have)}.")
    return found


def _assumed(columns: Columns, found: Mapping[str, str]) -> tuple[str, ...]:
    """Return sentences on what was taken for granted."""
    notes = [
        f"column {name!r} is taken for the {role}"
        for role, name in found.items()
        if name != getattr(columns, role) and not (role == "patient" and name == found["image"])
    ]
    if found["patient"] == found["image"]:
        notes.append("each image is taken for a patient of its own, as asked")
    return tuple(notes)


def _alias(role: str, have: Sequence[str]) -> str | None:
    folded = {name.casefold().replace(" ", "_"): name for name in reversed(have)}
    return next((folded[alias] for alias in _ALIASES[role] if alias in folded), None)


def _missing_column(role: str, wanted: str, have: Sequence[str]) -> str:
    text = f"no {role} column {wanted!r}"
    if role == "patient":
        guess = nearest(wanted, have)
        hint = f" (such as --data.columns.patient {guess})" if guess else ""
        return (
            f"{text}; name it with --data.columns.patient NAME{hint}, "
            "or write --data.columns.patient image if each image is its own patient"
        )
    guess = nearest(wanted, have)
    hint = f"did you mean {guess!r}? " if guess else ""
    option = f"--data.columns.{role} NAME" if role != "label" else "--task.column NAME"
    return f"{text}; {hint}name it with {option}"


def _splits(table: pd.DataFrame, column: str | None, faults: Faults) -> list[str]:
    if column is None:
        return [""] * len(table)
    splits = []
    for row, cell in zip(table[ROW], table[column], strict=True):
        word = SPLIT_WORDS.get(str(cell).strip().casefold())
        if word is None:
            found = f"split {cell!r}" if str(cell).strip() else f"empty cell in column {column!r}"
            faults.add(f"{found}; write train, val or test", int(row))
        splits.append(word or "")
    return splits


def _check_cells(table: pd.DataFrame, task: Task, faults: Faults) -> None:
    """Note empty cells, labels that are no class, and images that stand there twice."""
    first_row: dict[str, str] = {}
    for row in table.to_dict("records"):
        number = int(row[ROW])
        for role in ("image", "patient"):
            if not str(row[role]).strip():
                faults.add(f"empty cell for the {role}; fill it in or take the row out", number)
        if (patient := str(row["patient"])) != patient.strip():
            faults.add(f"patient {patient!r} has a stray blank, which can make two patients of one", number)
        if fault := task.fault({str(key): str(value) for key, value in row.items()}):
            faults.add(fault, number)
        image = str(row["image"])
        if image.strip() and image in first_row:
            faults.add(f"image {image!r} stands in row {first_row[image]} too; keep one of the rows", number)
        first_row.setdefault(image, str(row[ROW]))
