"""What a run's manifest says of predicted images besides their labels: sex, age, site, scanner, view."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TypedDict

import numpy as np
import pandas as pd

from rn50med.evaluation.arrays import Ints
from rn50med.evaluation.prediction_file import read_rows

_USUAL = {"sex", "patientsex", "gender", "age", "patientage", "site", "scanner", "manufacturer"} | {
    "view",
    "viewposition",
}


class Beside(TypedDict):
    """Fields of `Predicted` that come from the manifest."""

    lines: Ints
    columns: dict[str, tuple[str, ...]]


def usual(column: str) -> bool:
    """Return whether a column is one whose groups are told apart: no other is read, so none is shown.

    Args:
        column: Its name; case, spaces, dashes and underscores do not count.

    Example:
        >>> usual("Patient_Sex"), usual("PatientName")
        (True, False)
    """
    return re.sub(r"[\s_-]", "", column).lower() in _USUAL


def read_manifest(path: Path, wanted: frozenset[str] | None = None) -> pd.DataFrame:
    """Return line and columns of each image of a manifest, by image; empty without the file.

    Args:
        path: The run's ``manifest.csv``.
        wanted: Names of the columns; the usual ones where None.

    Raises:
        StorageError: If it cannot be read.
    """
    if not path.is_file():
        return pd.DataFrame()
    table = read_rows(path)
    if "image" not in table or table["image"].duplicated().any():
        return pd.DataFrame()  # lines could not be told by their images
    names = [name for name in table if (usual(str(name)) if wanted is None else str(name) in wanted)]
    kept = table[names].set_index(table["image"])
    # Line 1 is the header.
    return kept.assign(**{"": np.arange(len(table)) + 2})


def beside(predicted: pd.DataFrame, manifest: pd.DataFrame) -> Beside:
    """Return what a manifest says of predicted images; nothing unless it lists them all.

    Args:
        predicted: Rows of a prediction file.
        manifest: As `read_manifest` gives it.
    """
    if "image" not in predicted or manifest.empty or not predicted["image"].isin(manifest.index).all():
        return Beside(lines=np.empty(0, dtype=np.int64), columns={})
    found = manifest.loc[predicted["image"]]
    columns = {str(name): tuple(found[name]) for name in manifest if name}
    return Beside(lines=found[""].to_numpy(dtype=np.int64), columns=columns)
