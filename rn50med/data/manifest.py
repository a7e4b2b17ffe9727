"""The manifest: the table of images, every cell text, with the columns that rn50med needs by one name."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

import pandas as pd

from rn50med.data.cells import ROW, SPLIT_WORDS, check_cells, holds_split, read_splits
from rn50med.data.faults import Faults
from rn50med.data.findings import Finding
from rn50med.data.images import Images, Reading
from rn50med.errors import DataError, nearest
from rn50med.tasks import Task

__all__ = [
    "OWN_COLUMNS", "ROW", "SPLIT_WORDS", "Columns", "Manifest", "Step", "find_columns", "folded",
    "standardise",
]  # fmt: skip

OWN_COLUMNS = ("image", "patient", "study", "split", ROW, "sha256", "pixels_sha256")
"""Columns that every manifest has besides its labels."""

_ALIASES: Mapping[str, tuple[str, ...]] = {
    "image": (
        "image", "path", "file", "filename", "file_name", "filepath", "file_path", "image_path", "image_id",
        "image_index", "img",
    ),
    "patient": ("patient_id", "patient", "mrn", "subject", "subject_id", "pid"),
    "study": (
        "study", "study_id", "study_uid", "study_instance_uid", "accession", "accession_number", "exam",
        "exam_id",
    ),
    "split": ("split", "set", "subset", "partition"),
}  # fmt: skip


@dataclass(frozen=True)
class Columns:
    """Names of the columns in the source.

    Args:
        image: Path of the image, relative to the table or to the root.
        patient: Patient; `image` says that each image is a patient of its own.
        study: Study; a usual name of it is found where this is not given, and it may be absent.
        split: train, val or test; may be absent. None takes no column for it. A column by another usual
            name, such as ``set``, is taken where it holds such words.
    """

    image: str = "image"
    patient: str = "patient_id"
    study: str | None = None
    split: str | None = "split"


@dataclass(frozen=True)
class Step:
    """Images that were left out before the rest, for the flow diagram.

    Args:
        what: Why, without names of images or patients.
        images: How many.
    """

    what: str
    images: int


@dataclass(frozen=True)
class Manifest:
    """Images with their patients, splits and labels.

    Args:
        name: Name of the source without its path, for messages.
        kind: ``table``, ``folder``, ``dicom``, ``medmnist``, ``phantom``, or a plug-in's own word.
        table: One row per image, all text: ``image``, ``patient``, ``split``, ``source_row``, the labels,
            ``study`` where it is known, and whatever else the source has.
        images: Where the pixels are.
        notes: What was taken for granted, in sentences without names of images or patients.
        flow: What was left out, in order.
        findings: What the source itself found, such as labels without an image.
    """

    name: str
    kind: str
    table: pd.DataFrame
    images: Images
    notes: tuple[str, ...] = ()
    flow: tuple[Step, ...] = ()
    findings: tuple[Finding, ...] = ()

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

    def read(self, name: str) -> Reading:
        """Read one image.

        Args:
            name: As the table calls it.

        Raises:
            ImageFault: If it cannot be used; the message does not name it.
        """
        return self.images.read(name)

    def column(self, name: str) -> list[str]:
        """Return a column as a list of text.

        Args:
            name: Name of the column.
        """
        return list(map(str, self.table[name].tolist()))

    def rows(self) -> list[dict[str, str]]:
        """Return the rows as dictionaries."""
        names = [str(name) for name in self.table.columns]
        cells = zip(*(self.column(name) for name in names), strict=True)
        return [dict(zip(names, row, strict=True)) for row in cells]

    def with_splits(self, splits: Sequence[str]) -> Manifest:
        """Return the same manifest with these splits.

        Args:
            splits: One for each image.
        """
        return replace(self, table=self.table.assign(split=list(splits)))

    def with_hashes(self, contents: Sequence[str], pixels: Sequence[str]) -> Manifest:
        """Return the same manifest with hashes of its images beside them.

        Args:
            contents: SHA-256 of each image's bytes.
            pixels: SHA-256 of each image's values, whatever file format holds them.
        """
        return replace(self, table=self.table.assign(sha256=list(contents), pixels_sha256=list(pixels)))

    def take(self, positions: Sequence[int], step: Step) -> Manifest:
        """Return some of the images.

        Args:
            positions: Of those to keep.
            step: Says what became of the others.
        """
        table = self.table.iloc[list(positions)].reset_index(drop=True)
        return replace(self, table=table, flow=(*self.flow, step))

    def digest(self, contents: Sequence[str], labels: Sequence[str] = ()) -> str:
        """Return a SHA-256 of name, patient, split, bytes and labels of the images; their order is no matter.

        Args:
            contents: SHA-256 of each image's bytes.
            labels: Columns of the labels.
        """
        columns = [self.column(name) for name in ("image", "patient", "split", *labels)]
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
    strange = _drop_strange_split(found, table, columns, task.columns)
    roles = ("image", "patient", "split", *(["study"] if "study" in found else []))
    taken = {role: table[found[role]].tolist() for role in roles if role != "split"}
    taken["split"] = read_splits(table, found.get("split"), faults)
    standard = table.drop(columns=list(roles), errors="ignore").assign(**taken)
    check_cells(standard, task.columns, task.fault, faults)
    first = [*roles, *task.columns]
    ordered = standard[[*first, *(name for name in standard.columns if name not in first)]]
    return ordered, (*_assumed(columns, found), *strange)


def _drop_strange_split(
    found: dict[str, str], table: pd.DataFrame, columns: Columns, labels: Sequence[str]
) -> list[str]:
    """Take columns that are named like the split, but hold no split at all, for what they are; say so."""
    free = [str(name) for name in table.columns if name not in labels]
    said = []
    while (name := found.get("split", columns.split)) != columns.split and not holds_split(table[name]):
        said.append(f"column {name!r} is not taken for the split, as it names none of train, val and test")
        free.remove(found.pop("split"))
        found |= {"split": alias} if (alias := _alias("split", free)) else {}
    return said


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
    for role in ("image", "patient", "study", "split"):
        wanted = getattr(columns, role)
        if role == "split" and wanted is None:
            continue
        if wanted in have:
            found[role] = wanted
        elif wanted == defaults[role] and (alias := _alias(role, free)):
            found[role] = alias
        elif role == "patient" and wanted == defaults["image"] and "image" in found:
            found[role] = found["image"]  # each image its own patient, whatever its column is called
        elif role in needed or wanted != defaults[role]:
            missing.append(_missing_column(role, wanted, have))
    missing += [_missing_column("label", name, have) for name in labels if name not in have]
    if missing:
        raise DataError(f"{source}: {'; '.join(missing)}; it has the columns {', '.join(have)}.")
    return found


def _assumed(columns: Columns, found: Mapping[str, str]) -> tuple[str, ...]:
    """Return sentences on what was taken for granted."""
    notes = [
        f"column {name!r} is taken for the {role}"
        for role, name in found.items()
        if name != (getattr(columns, role) or role) and not (role == "patient" and name == found["image"])
    ]
    if found["patient"] == found["image"]:
        notes.append("each image is taken for a patient of its own, as asked")
    return tuple(notes)


def folded(name: str) -> str:
    """Return a column's name without case, blanks and the signs that stand for them.

    Args:
        name: As it is written.

    Example:
        >>> folded("Accession Number") == folded("AccessionNumber") == folded("accession_number")
        True
    """
    return "".join(character for character in name.casefold() if character not in " _-.")


def _alias(role: str, have: Sequence[str]) -> str | None:
    by_folded = {folded(name): name for name in reversed(have)}
    return next((by_folded[folded(a)] for a in _ALIASES[role] if folded(a) in by_folded), None)


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
