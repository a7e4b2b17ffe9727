"""Keeping the rows that meet a condition, before their cells are checked."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from rn50med.data.images import Files, Images
from rn50med.data.manifest import ROW, Columns, Step, find_columns
from rn50med.data.sources.headers import is_keyword, read_headers
from rn50med.data.where import Where, misspelt
from rn50med.errors import DataError, listed, nearest


@dataclass(frozen=True)
class Kept:
    """What a condition left.

    Args:
        table: The rows that meet it.
        step: How many do not.
        notes: On values that no row has.
    """

    table: pd.DataFrame
    step: Step
    notes: tuple[str, ...]


def keep_rows(table: pd.DataFrame, text: str, images: Images, columns: Columns, source: str) -> Kept:
    """Leave out the rows that do not meet a condition.

    A column that the table does not have, and that is a DICOM keyword, is read from the images' headers.

    Args:
        table: One row per image.
        text: The condition.
        images: Where the images are.
        columns: Names of the table's columns.
        source: Name of the source, for messages.

    Raises:
        RecipeError: If the condition cannot be understood.
        DataError: If it asks for a column that is not there, or no row meets it.
    """
    where = Where.parse(text)
    have = [str(name) for name in table.columns if name != ROW]
    asked = table.assign(**_from_headers(where, table, have, images, columns, source))
    kept = asked.loc[holds(asked, where).to_numpy(dtype=bool), list(table.columns)].reset_index(drop=True)
    notes = tuple(_notes(where, asked))
    if kept.empty and len(table):
        raise DataError(f"{source}: data.where keeps none of its {len(table)} images{_why(notes)}; mend it.")
    roles = _roles(columns, have, source)
    # a patient's number may stand in the condition, and the flow diagram is for everybody
    private = {roles.get(role) for role in ("image", "patient", "study")} & set(where.columns)
    said = f"a condition on {listed(where.columns)}" if private else text.strip()
    return Kept(kept, Step(f"left out by data.where: {said}", len(table) - len(kept)), notes)


def holds(table: pd.DataFrame, where: Where) -> pd.Series:
    """Return whether each row meets a condition, asking once for each combination of its cells.

    Args:
        table: With the condition's columns.
        where: The condition.
    """
    judged: dict[tuple[str, ...], bool] = {}
    answers = []
    for cells in zip(*(table[name].tolist() for name in where.columns), strict=True):
        if cells not in judged:
            judged[cells] = where.keep(dict(zip(where.columns, map(str, cells), strict=True)))
        answers.append(judged[cells])
    return pd.Series(answers, index=table.index, dtype=bool)


def _from_headers(
    where: Where, table: pd.DataFrame, have: list[str], images: Images, columns: Columns, source: str
) -> dict[str, list[str]]:
    """Return the columns that the table lacks, from the headers of its images."""
    missing = [name for name in where.columns if name not in have]
    if not missing:
        return {}
    image = _roles(columns, have, source).get("image")
    strange = [name for name in missing if not is_keyword(name)]
    if strange or image is None or not isinstance(images, Files):
        name = (strange or missing)[0]
        guess = nearest(name, have)
        hint = f"; did you mean {guess!r}? It" if guess else "; it"
        raise DataError(f"{source}: data.where asks for a column {name!r}{hint} has {', '.join(have)}.")
    paths = [images.root / str(cell) for cell in table[image]]
    headers = [header or {} for header in read_headers(paths, missing)]
    return {name: [header.get(name, "") for header in headers] for name in missing}


def _roles(columns: Columns, have: list[str], source: str) -> dict[str, str]:
    """Return which column is what, as far as that can be told before anything is checked."""
    try:
        return find_columns(columns, have, source, needed=())
    except DataError:
        return {}


def _notes(where: Where, table: pd.DataFrame) -> list[str]:
    cells = {name: table[name].unique().tolist() for name in where.columns}
    found = []
    for name, value in misspelt(where, cells):
        guess = nearest(value, cells[name])
        hint = f"; did you mean {guess!r}?" if guess else ""
        found.append(f"data.where asks for {name} {value!r}, which no row has{hint}")
    return found


def _why(notes: tuple[str, ...]) -> str:
    return f" ({'; '.join(note.removeprefix('data.where ') for note in notes)})" if notes else ""
