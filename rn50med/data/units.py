"""Which images make a case: whose they are, and whether their labels agree."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rn50med.data.audit.counting import lines_of
from rn50med.data.manifest import Manifest
from rn50med.errors import DataError, listed
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
    manifest: Manifest, task: Task, asked: Literal["auto", "image", "study", "patient"], learns: bool = True
) -> UnitName:
    """Return what a case is: what was asked for, or the patient where all of its images have one label.

    Labels of train and val decide, so that those of test steer nothing; a test that then does not fit is
    refused.

    Args:
        manifest: Of all images.
        task: Knows the labels.
        asked: What a case shall be.
        learns: Whether a model is about to be trained, which may be judged otherwise; not only judged.

    Raises:
        DataError: If images of a study or patient have different labels, or studies are not known.
    """
    if asked == "image":
        return "image"
    unit: UnitName = "patient" if asked == "auto" else asked
    learnt = np.flatnonzero(np.asarray(manifest.column("split")) != "test")
    if asked == "auto" and len(_mixed(manifest, task, unit, learnt)):
        return "image"
    every = np.arange(len(manifest))
    if not len(mixed := _mixed(manifest, task, unit, every)):
        return "image" if manifest.patients_are_images else unit
    grouping = grouped(unit, *owners(manifest, every))
    number, lines = len(mixed), lines_of(manifest, np.flatnonzero(np.isin(grouping.index, mixed)).tolist())
    has = "has" if number == 1 else "have"
    remedy = (
        "give --evaluation.unit image in a new run."
        if learns
        else f"this run is judged by {unit}: give each of them one label, leave them out, or train a run "
        "with --evaluation.unit image."
    )
    raise DataError(
        f"{manifest.name}: {number} {Unit(unit).word(number)} {has} images of different labels (rows "
        f"{listed(lines)}), so that a {unit} has none; {remedy}"
    )


def _mixed(manifest: Manifest, task: Task, unit: UnitName, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the cases of these images whose images have different labels."""
    every = manifest.rows()
    patients, studies = owners(manifest, rows)
    return uneven(task.targets([every[row] for row in rows.tolist()]), grouped(unit, patients, studies))
