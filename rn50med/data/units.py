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

    Labels of train and val decide, so that those of test steer nothing; a test that then does not fit is
    refused.

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
    if asked == "auto" and _mixed(manifest, task, unit, learnt=True):
        return "image"
    mixed = _mixed(manifest, task, unit, learnt=False)
    if not mixed:
        return "image" if manifest.patients_are_images else unit
    has = "has" if mixed == 1 else "have"
    raise DataError(
        f"{manifest.name}: {mixed} {Unit(unit).word(mixed)} {has} images of different labels, so that a "
        f"{unit} has none; give --evaluation.unit image in a new run."
    )


def _mixed(manifest: Manifest, task: Task, unit: UnitName, learnt: bool) -> int:
    """Return the number of cases with images of different labels: of train and val alone, or of all."""
    rows = np.arange(len(manifest))
    if learnt:
        rows = rows[np.asarray(manifest.column("split")) != "test"]
    every = manifest.rows()
    patients, studies = owners(manifest, rows)
    return uneven(task.targets([every[row] for row in rows.tolist()]), grouped(unit, patients, studies))
