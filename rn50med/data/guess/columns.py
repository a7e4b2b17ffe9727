"""Which column is the image, the patient, the split and the view."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

import pandas as pd

from rn50med.data.guess.words import FRONTAL, GROUP, IMAGE, LATERAL, SPLIT, STUDY, VIEW, named, plain
from rn50med.data.manifest import SPLIT_WORDS, Columns
from rn50med.data.sources import has_image_name
from rn50med.errors import DataError, listed


@dataclass(frozen=True)
class Roles:
    """Columns by what they hold, and why.

    Args:
        columns: Role to name; a role without a column is left out.
        reasons: A sentence for each role that was not given.
        where: Condition that keeps one kind of view; None for all.
        others: Further columns that hold no label.
    """

    columns: Mapping[str, str]
    reasons: Mapping[str, str]
    where: str | None
    others: tuple[str, ...]


def guess_columns(table: pd.DataFrame, given: Mapping[str, str], source: str) -> Roles:
    """Return which column is which.

    Args:
        table: All text.
        given: Role to name, as the user has it.
        source: Name of the table, for the message.

    Raises:
        DataError: If no column looks like the image.
    """
    names = [str(name) for name in table.columns]
    columns, reasons = dict(given), {}
    if "image" not in columns:
        columns["image"], reasons["image"] = _image(table, names, source)
    if "patient" not in columns:
        columns["patient"], reasons["patient"] = _patient(names, columns["image"])
    for role, words in (("study", STUDY), ("split", SPLIT)):
        found = named(names, words)
        if role not in columns and found is not None and (role == "study" or _holds_splits(table[found])):
            columns[role] = found
            reasons[role] = f"the column {found!r} is named like it"
    where, why, views = _view(table, names)
    if where is not None:
        reasons["where"] = why
    return Roles(columns, reasons, where, (*columns.values(), *views))


def default_columns() -> dict[str, str]:
    """Return the names that need not be written."""
    return {role: name for role, name in vars(Columns()).items() if name is not None}


def _image(table: pd.DataFrame, names: list[str], source: str) -> tuple[str, str]:
    for name in names:
        cells = [cell for cell in table[name].head(50).tolist() if cell.strip()]
        if cells and sum(map(has_image_name, cells)) > len(cells) / 2:
            ending = PurePosixPath(cells[0].replace("\\", "/")).suffix
            return name, f"cells of {name!r} end like image files ({ending})"
    found = named(names, IMAGE)
    if found is None:
        raise DataError(
            f"{source}: no column looks like image files; name it with --data.columns.image NAME. "
            f"The columns are {listed(names)}."
        )
    return (
        found,
        f"the column {found!r} is named like it, though its cells do not end like image files: CHECK",
    )


def _patient(names: list[str], image: str) -> tuple[str, str]:
    found = named([name for name in names if name != image], GROUP)
    if found is None:
        return "image", (
            "no column is named like a patient, so that each image is taken for a patient of its own: CHECK, "
            "or images of one person can be in train and test"
        )
    kind = "a lesion, whose images stay together" if "lesion" in plain(found) else "a patient"
    return found, f"the column {found!r} is named like {kind}"


def _holds_splits(column: pd.Series) -> bool:
    return {str(cell).strip().casefold() for cell in column.tolist()} <= set(SPLIT_WORDS)


def _view(table: pd.DataFrame, names: list[str]) -> tuple[str | None, str, list[str]]:
    """Return a condition that keeps frontal films where there are lateral ones too."""
    views = [name for name in names if plain(name) in VIEW]
    for name in views:
        cells = {str(cell).strip() for cell in table[name].tolist()}
        frontal = sorted(cell for cell in cells if plain(cell) in FRONTAL)
        if frontal and any(plain(cell) in LATERAL for cell in cells):
            listing = ", ".join(_quoted(cell) for cell in frontal)
            return (
                f"{_quoted(name)} in ({listing})",
                f"{name!r} tells frontal from lateral films: what a network learns of one is of no use for "
                "the other",
                views,
            )
    return None, "", views


def frontal_of(views: Iterable[str]) -> str | None:
    """Return a condition that keeps frontal DICOM films where there are lateral ones too, else None.

    Args:
        views: ViewPosition of some files.

    Example:
        >>> frontal_of(["PA", "LL"]), frontal_of(["PA", "AP", ""])
        ('ViewPosition in (AP, PA)', None)
    """
    found = {plain(view) for view in views}
    return "ViewPosition in (AP, PA)" if found & FRONTAL and found & LATERAL else None


def _quoted(text: str) -> str:
    return (
        text if text.isidentifier() and text not in {"and", "or", "not", "in", "is", "empty"} else f'"{text}"'
    )
