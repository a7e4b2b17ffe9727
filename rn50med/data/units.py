"""Which images make a case: whose they are, and whether their labels agree."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rn50med.data.manifest import Manifest
from rn50med.errors import DataError
from rn50med.evaluation.cases import Unit, UnitName, grouped, uneven
from rn50med.tasks import Task


def owners(manifest: Manifest, rows: NDArray[np.int64]) -> tuple[NDArray[np.str_], NDArray[np.str_] | None]:
    """Return patient and study of images; None where studies are not known.

    Args:
        manifest: Of all images.
        rows: Of the images wanted.
    """
    patients = np.asarray(manifest.column("patient"), str)[rows]
    studies = np.asarray(manifest.column("study"), str)[rows] if "study" in manifest.table else None
    return patients, studies


def decided_unit(
    manifest: Manifest, task: Task, asked: Literal["auto", "image", "study", "patient"]
) -> UnitName:
    """Return what a case is: what was asked for, or the patient where all of its images have one label.

    Args:
        manifest: Of all images.
        task: Knows the labels.
        asked: What a case shall be.

    Raises:
        DataError: If images of a study or patient have different labels, or studies are not known.
    """
    if asked == "image":
        return "image"
    unit: UnitName = "patient" if asked == "auto" else asked
    patients, studies = owners(manifest, np.arange(len(manifest)))
    mixed = uneven(task.targets(manifest.rows()), grouped(unit, patients, studies))
    if not mixed:
        return "image" if manifest.patients_are_images else unit
    if asked == "auto":
        return "image"
    has = "has" if mixed == 1 else "have"
    raise DataError(
        f"{manifest.name}: {mixed} {Unit(unit).word(mixed)} {has} images of different labels, so that a "
        f"{unit} has none; give --evaluation.unit image in a new run."
    )
