"""A table of labels, and a tree of images whose headers or names say which row is theirs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from rn50med.data.faults import Faults
from rn50med.data.findings import Finding
from rn50med.data.images import Files
from rn50med.data.manifest import ROW, Columns, Step, find_columns, folded
from rn50med.data.sources.base import Found, Place, Source
from rn50med.data.sources.headers import (
    TAGS,
    Header,
    columns_of,
    is_keyword,
    keywords,
    read_headers,
    unread_of,
)
from rn50med.data.sources.joining import by_file, rows_of
from rn50med.data.sources.keeping import holds
from rn50med.data.sources.listing import has_image_name, list_images
from rn50med.data.sources.table import image_folder, is_table
from rn50med.data.sources.tables import table_and_notes
from rn50med.data.where import Where
from rn50med.errors import DataError, RecipeError, listed, nearest
from rn50med.tasks import Task

FILE = "file"
"""The word of ``data.join`` for a file's own name."""


@dataclass(frozen=True)
class _Tree:
    """The images below the root.

    Args:
        names: Relative to the root.
        headers: What each one's header says; nothing for an image that is no DICOM file.
        damaged: Further files, whose headers cannot be read.
        flow: What was left out.
    """

    names: list[str]
    headers: list[Header]
    damaged: tuple[str, ...]
    flow: tuple[Step, ...]


class DicomTreeSource(Source):
    """A table of labels joined to the images below a folder.

    One row may own many images, such as all of a study. What the headers say of view, device and patient
    become columns.

    Args:
        place: The table, the root of the tree, and what joins them.
    """

    kind = "dicom"
    about = "a table with --data.root and --data.join for a tree of DICOM files"
    joins = True

    @classmethod
    def opens(cls, place: Place) -> bool:
        """Return whether it is a table to be joined."""
        return place.join is not None and is_table(place.source)

    @property
    def name(self) -> str:
        """The table's file name."""
        return Path(self.place.source).name

    def find(self, task: Task, columns: Columns, faults: Faults) -> Found:
        """Read the table and all headers, and join them."""
        root, join = self._checked()
        labels, notes = table_and_notes(Path(self.place.source))
        if labels.empty:
            raise DataError(f"{faults.source}: has no rows; write one row per {join}.")
        have = [str(name) for name in labels.columns if name != ROW]
        outside = _outside(columns, have, join)
        inside = replace(columns, **{role: getattr(Columns(), role) for role in outside})
        roles = find_columns(inside, have, faults.source, (), task.columns)
        key = _key_column(join, roles, have, faults.source)
        asked_for = (name for name in outside.values() if is_keyword(name))
        tags = tuple(dict.fromkeys((*asked_for, *(() if "patient" in roles else ("PatientID",)), *TAGS)))
        tree = self._tree(root, tags, join)
        asked = self._asked(labels)
        rows = rows_of(labels, key, asked, faults)
        lines = [int(line) for line in labels[ROW].tolist()]
        owners = _by_tag(tree, join, rows)
        if join == FILE:
            owners = by_file(tree.names, rows, list(zip(lines, asked.tolist(), strict=True)), faults)
        found = _joined(labels, tree, owners, tags)
        if not len(found):
            raise DataError(f"{faults.source}: no image has a row; {_unlike(tree, join, rows)}")
        owned = {row for row in owners if row is not None}
        alone = {key: lines[row] for key, row in rows.items() if row not in owned and asked.iloc[row]}
        findings = (_damaged(tree), _without_row(owners, tree), _without_image(alone, len(rows), tree, join))
        strange = owners.count(None)
        flow = (*tree.flow, *([Step("images without a row in the table", strange)] if strange else ()))
        used = _used(columns, roles, found)
        images = Files(root, self.place.reader)
        unread = unread_of(tree.names, tree.headers)
        return Found(found, images, used, notes, flow, tuple(f for f in findings if f is not None), unread)

    def _checked(self) -> tuple[Path, str]:
        """Return root and keyword, once they are seen to be usable."""
        join = str(self.place.join)
        if self.place.root is None:
            raise RecipeError("data.join: needs the folder of the images too; give it with --data.root DIR.")
        if join != FILE and not is_keyword(join):
            guess = nearest(join, [*keywords(), FILE])
            hint = f"did you mean {guess!r}? " if guess else ""
            raise RecipeError(
                f"data.join: {join!r} is no DICOM keyword; {hint}Give one such as AccessionNumber, or {FILE}."
            )
        return image_folder(self.place.root), join

    def _asked(self, labels: pd.DataFrame) -> pd.Series:
        """Return which rows the condition keeps, as far as the table alone can tell."""
        where = Where.parse(self.place.where) if self.place.where is not None else None
        if where is None or not set(where.columns) <= set(labels.columns):
            return pd.Series(True, index=labels.index)
        return holds(labels, where)

    @staticmethod
    def _tree(root: Path, tags: tuple[str, ...], join: str) -> _Tree:
        """Read the headers of all files below the root."""
        listing = list_images(root)
        wanted = tags if join == FILE else (*tags, join)
        read = read_headers([root / name for name in listing.names], wanted)
        pairs = list(zip(listing.names, read, strict=True))
        kept = [(n, h) for n, h in pairs if h.kind == "image" or (join == FILE and has_image_name(n))]
        names = [name for name, _ in kept]
        have = frozenset(names)
        damaged = tuple(n for n, header in pairs if header.kind == "damaged" and n not in have)
        if not names:
            many = f", and {len(damaged)} that cannot be read" if damaged else ""
            raise DataError(f"{root}: holds no DICOM images{many}; give their folder with --data.root.")
        left = {
            f"files that are no {'images' if join == FILE else 'DICOM images'}": (
                listing.others + len(pairs) - len(names) - len(damaged)
            ),
            "files whose DICOM header cannot be read": len(damaged),
        }
        flow = tuple(Step(what, count) for what, count in left.items() if count)
        return _Tree(names, [header for _, header in kept], damaged, flow)


def _outside(columns: Columns, have: Sequence[str], join: str) -> dict[str, str]:
    """Return the columns that were asked for and that not the table has, but the images."""
    asked = {role: str(getattr(columns, role)) for role in ("patient", "study")}
    own = {role: name for role, name in asked.items() if name not in have}
    found = {role: name for role, name in own.items() if name == Columns().image or is_keyword(name)}
    return found if join == FILE else found | {"image": columns.image}


def _used(columns: Columns, roles: Mapping[str, str], found: pd.DataFrame) -> Columns:
    """Return the columns of what was joined: patient and study from the headers unless the table has them."""
    study = columns.study or ("StudyInstanceUID" if "StudyInstanceUID" in found else None)
    said = "patient" in roles or columns.patient != Columns().patient
    return replace(columns, image="image", study=study, patient=columns.patient if said else "PatientID")


def _key_column(join: str, roles: Mapping[str, str], have: Sequence[str], source: str) -> str:
    """Return the table's column that says which images a row is about."""
    if join == FILE and "image" in roles:
        return roles["image"]
    by_folded = {folded(name): name for name in reversed(have)}
    if (name := by_folded.get(folded(join))) is not None:
        return name
    guess = nearest(join, have)
    hint = f"; did you mean to join by another, {guess!r}?" if guess else "; name one so."
    raise DataError(f"{source}: has no column {join!r} to join by{hint} It has {', '.join(have)}.")


def _by_tag(tree: _Tree, join: str, rows: Mapping[str, int]) -> list[int | None]:
    """Return the row of each image, by what its header says."""
    return [rows.get(header.said.get(join, "")) for header in tree.headers]


def _joined(
    labels: pd.DataFrame, tree: _Tree, owners: Sequence[int | None], tags: Sequence[str]
) -> pd.DataFrame:
    """Return one row per image that has one, with the cells of the table and what the headers say."""
    kept = [i for i, row in enumerate(owners) if row is not None]
    table = labels.iloc[[row for row in owners if row is not None]].reset_index(drop=True)
    told = columns_of([tree.headers[i] for i in kept], tags)
    told = {tag: cells for tag, cells in told.items() if tag not in table}
    return table.assign(**told, image=[tree.names[i] for i in kept])


def _damaged(tree: _Tree) -> Finding | None:
    """Return the files that are named like DICOM, or start so, and cannot be joined to any row."""
    if not tree.damaged:
        return None
    many = f"{len(tree.damaged)} files" if len(tree.damaged) > 1 else "1 file"
    message = f"{many} below the root cannot be read, though named like DICOM or starting so."
    remedy = "copy the files again, or take them out"
    return Finding("damaged-header", "error", message, remedy, details=tree.damaged)


def _without_row(owners: Sequence[int | None], tree: _Tree) -> Finding | None:
    """Return the images that no row is about."""
    images = tuple(name for name, row in zip(tree.names, owners, strict=True) if row is None)
    if not images:
        return None
    message = f"{len(images)} of {len(owners)} images below the root have no row in the table."
    remedy = "Add rows for those that belong to the study."
    return Finding("image-without-row", "warning", message, remedy, details=images)


def _without_image(alone: Mapping[str, int], count: int, tree: _Tree, join: str) -> Finding | None:
    """Return the rows that have no image."""
    if not alone:
        return None
    lines = tuple(sorted(alone.values()))
    message = f"{len(alone)} of {count} rows have no image: {listed(f'row {line}' for line in lines)}."
    remedy = f"Check their {join}, and whether all images were copied."
    zeros = {key.lstrip("0") for key in _keys(tree, join)} & {key.lstrip("0") for key in alone}
    if zeros:
        remedy += f" {len(zeros)} would have one but for leading zeros: format that column as text."
    return Finding("row-without-image", "warning", message, remedy, lines)


def _keys(tree: _Tree, join: str) -> list[str]:
    """Return what the images say to be joined by."""
    if join == FILE:
        return tree.names
    return [header.said[join] for header in tree.headers if join in header.said]


def _unlike(tree: _Tree, join: str, rows: Mapping[str, int]) -> str:
    """Say how the keys of table and images differ, by an example of each."""
    keys = _keys(tree, join)
    if not keys:
        return f"no header below the root has {join}; join by another keyword, or by {FILE}."
    return f"{join} is such as {next(iter(rows), '')!r} in the table, and such as {keys[0]!r} in the images."
