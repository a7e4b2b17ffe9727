"""The numbers that were predicted of the cases of a split, as its file and the manifest say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rn50med.errors import StorageError
from rn50med.evaluation.arrays import Floats, Ints, patients_of, stored
from rn50med.evaluation.cases import case_targets, combined, grouped
from rn50med.evaluation.report.beside import beside
from rn50med.evaluation.report.predicted import Told, shared_cells


@dataclass(frozen=True, eq=False)
class Values:
    """The numbers of a split, a row per case, without names of images and patients.

    Args:
        said: Shape ``(N,)``.
        target: True ones, shape ``(N,)``.
        patients: Number of patients.
        groups: Patient of each case as a number from 0, shape ``(N,)``.
        images: Number of images of each case, shape ``(N,)``.
        columns: Cells of columns of the manifest, such as sex and site, a tuple of N each.
    """

    said: Floats
    target: Floats
    patients: int
    groups: Ints
    images: Ints
    columns: Mapping[str, tuple[str, ...]]


def values_of(table: pd.DataFrame, told: Told, name: str) -> Values:
    """Return the cases of a prediction file of numbers.

    Args:
        table: Its rows, text.
        told: Of the run.
        name: Of the file, for messages.

    Raises:
        StorageError: If columns are missing, or do not hold numbers.
    """
    needed = ["patient", "target", "value", *(["study"] if told.unit.of == "study" else [])]
    if absent := [column for column in needed if column not in table]:
        raise StorageError(f"{name}: no column {', '.join(absent)}; restore it or run again.")
    try:
        numbers = np.asarray(table[["value", "target"]].astype(float), dtype=np.float64)
    except ValueError as error:
        raise StorageError(f"{name}: {error}; restore it or run again.") from error
    groups, patients = patients_of(table["patient"])
    cases = grouped(told.unit.of, table["patient"], table.get("study"))
    columns = beside(table, told.manifest)["columns"]
    return Values(
        said=stored(combined(numbers[:, :1], cases, told.unit.images))[:, 0],
        target=case_targets(numbers[:, 1], cases).astype(np.float64),
        patients=patients,
        groups=groups[cases.first],
        images=cases.images(),
        columns={column: shared_cells(cells, cases, column) for column, cells in columns.items()},
    )
