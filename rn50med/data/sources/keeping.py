"""Keeping the rows that meet a condition, before their cells are checked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from rn50med.data.conditions import refuse_unlike, without_order
from rn50med.data.findings import Finding
from rn50med.data.images import Files, Images
from rn50med.data.manifest import ROW, Columns, Step, find_columns
from rn50med.data.sources.headers import UNREAD, is_keyword, read_headers
from rn50med.data.where import Where, misspelt
from rn50med.errors import DataError, listed, nearest

CODED = frozenset(
    {
        "BodyPartExamined", "BurnedInAnnotation", "ImageLaterality", "Laterality", "Manufacturer", "Modality",
        "PatientAge", "PatientSex", "PhotometricInterpretation", "PresentationIntentType", "ViewPosition",
    }
)  # fmt: skip
"""Columns whose values name nobody, so that a condition on them can be quoted in the flow diagram."""


@dataclass(frozen=True)
class Kept:
    """What a condition left.

    Args:
        table: The rows that meet it.
        step: How many do not.
        findings: On values that no row has.
    """

    table: pd.DataFrame
    step: Step
    findings: tuple[Finding, ...]


def keep_rows(
    table: pd.DataFrame,
    text: str,
    images: Images,
    columns: Columns,
    source: str,
    unread: frozenset[str] = frozenset(),
) -> Kept:
    """Leave out the rows that do not meet a condition.

    A column that the table does not have, and that is a DICOM keyword, is read from the images' headers.
    What they say is not known of a file that cannot be read: its row is kept, unless the other cells settle
    it, so that the check of the images tells what is wrong with it.

    Args:
        table: One row per image.
        text: The condition.
        images: Where the images are.
        columns: Names of the table's columns.
        source: Name of the source, for messages.
        unread: Images whose empty cells of keywords are not known.

    Raises:
        RecipeError: If the condition cannot be understood.
        DataError: If it asks for a column that is not there, or no row meets it.
    """
    where = Where.parse(text)
    have = [str(name) for name in table.columns if name != ROW]
    asked = table.assign(**_from_headers(where, table, have, images, columns, source))
    for name in (name for name in where.columns if name in have and unread and is_keyword(name)):
        pairs = zip(asked[columns.image].tolist(), asked[name].tolist(), strict=True)
        cells = [None if image in unread and not cell else cell for image, cell in pairs]
        asked[name] = pd.Series(cells, index=asked.index, dtype=object)
    kept = asked.loc[holds(asked, where).to_numpy(dtype=bool), list(table.columns)].reset_index(drop=True)
    notes = tuple(_notes(where, asked))
    if kept.empty and len(table):
        raise DataError(f"{source}: data.where keeps none of its {len(table)} images{_why(notes)}; mend it.")
    said = text.strip() if set(where.columns) <= CODED else f"a condition on {listed(where.columns)}"
    step = Step(f"left out by data.where: {said}", len(table) - len(kept))
    return Kept(kept, step, (*([_misspelt(notes)] if notes else []), *_without_order(where, asked)))


def holds(table: pd.DataFrame, where: Where) -> pd.Series:
    """Return whether each row meets a condition, asking once for each combination of its cells.

    Args:
        table: With the condition's columns; a cell that is not known is None.
        where: The condition.

    Raises:
        RecipeError: If it puts in order what is unlike.
    """
    for test in where.tests:
        refuse_unlike(test, _known(table[test.column].unique()))
    judged: dict[tuple[str | None, ...], bool] = {}
    answers = []
    for cells in zip(*(table[name].tolist() for name in where.columns), strict=True):
        if cells not in judged:
            judged[cells] = where.keep(dict(zip(where.columns, cells, strict=True)))
        answers.append(judged[cells])
    return pd.Series(answers, index=table.index, dtype=bool)


def _known(cells: Iterable[str | None]) -> list[str]:
    return [str(cell) for cell in cells if cell is not None]


def _from_headers(
    where: Where, table: pd.DataFrame, have: list[str], images: Images, columns: Columns, source: str
) -> dict[str, pd.Series]:
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
    headers = read_headers(paths, missing)
    told = {name: [None if h.kind in UNREAD else h.said.get(name, "") for h in headers] for name in missing}
    return {name: pd.Series(cells, index=table.index, dtype=object) for name, cells in told.items()}


def _roles(columns: Columns, have: list[str], source: str) -> dict[str, str]:
    """Return which column is what, as far as that can be told before anything is checked."""
    try:
        return find_columns(columns, have, source, needed=())
    except DataError:
        return {}


def _notes(where: Where, table: pd.DataFrame) -> list[str]:
    cells = {name: _known(table[name].unique()) for name in where.columns}
    found = []
    for name, value in misspelt(where, cells):
        guess = nearest(value, cells[name])
        hint = f"; did you mean {guess!r}?" if guess else ""
        found.append(f"data.where asks for {name} {value!r}, which no row has{hint}")
    return found


def _misspelt(notes: tuple[str, ...]) -> Finding:
    many = len(notes) > 1
    message = f"data.where asks for {len(notes)} value{'s' if many else ''} that no row has."
    remedy = "mend the condition, if it is a slip"
    return Finding("where-value", "warning", message, remedy, details=notes)


def _without_order(where: Where, table: pd.DataFrame) -> list[Finding]:
    """Tell how many cells have no order and so do not meet a comparison."""
    found = []
    for test in where.tests:
        count = without_order(test, _known(table[test.column]))
        if count:
            message = (
                f"{count} of {len(table)} cells of column {test.column!r} have no order, and do not meet a "
                "comparison by data.where."
            )
            remedy = "mend these cells, or empty them"
            found.append(Finding("where-order", "warning", message, remedy))
    return found


def _why(notes: tuple[str, ...]) -> str:
    return f" ({'; '.join(note.removeprefix('data.where ') for note in notes)})" if notes else ""
