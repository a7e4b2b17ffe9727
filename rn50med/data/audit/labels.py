"""Labels: what cannot be learnt or judged, what contradicts itself, and how much there is of each class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rn50med.data.audit.counting import MOST_DETAILS, Hashed, groups, lines_of, many, names_of, shares
from rn50med.data.findings import Finding
from rn50med.data.manifest import Manifest
from rn50med.data.splits import SPLITS
from rn50med.evaluation.arrays import Targets
from rn50med.tasks import UNKNOWN, Task


def missing_classes(manifest: Manifest, task: Task) -> list[Finding]:
    """Report classes that val or test lacks, so that figures of them are undefined.

    Args:
        manifest: With its splits.
        task: Knows the classes.
    """
    found = []
    for split in ("val", "test"):
        rows = _of_split(manifest, split)
        for clause in task.absent(rows).values() if rows else ():
            message = f"{split} has {clause}; its figures are undefined."
            found.append(Finding("class-absent", "warning", message))
    return found


def _of_split(manifest: Manifest, split: str) -> list[dict[str, str]]:
    return [row for row in manifest.rows() if row["split"] == split]


def conflicting_labels(manifest: Manifest, seen: Sequence[Hashed | None], task: Task) -> list[Finding]:
    """Report images of equal pixels whose labels contradict each other.

    A label that nobody ruled on contradicts none.

    Args:
        manifest: The images.
        seen: What was seen of each; None where it cannot be read.
        task: Knows the labels. Rows that it finds a fault with are left out.
    """
    rows = manifest.rows()
    told: list[list[int]] = []
    for copies in groups(each and each.pixels for each in seen).values():
        sound = [i for i in copies if task.fault(rows[i]) is None] if len(copies) > 1 else []
        if len(sound) > 1 and _contradict([np.atleast_1d(task.ruled(rows[i])) for i in sound]):
            told.append(sound)
    if not told:
        return []
    message = (
        f"{many(len(told), 'image')} {'stands' if len(told) == 1 else 'stand'} there with different labels."
    )
    details = tuple(
        f"{names_of(manifest, group)} are one image, labelled "
        f"{' and '.join(sorted({repr(task.stratum(rows[i])) for i in group}))}"
        for group in told[:MOST_DETAILS]
    )
    remedy = "find out which label is right, and keep one row of each image"
    lines = lines_of(manifest, (i for group in told for i in group))
    return [Finding("conflicting-labels", "error", message, remedy, lines, details)]


def _contradict(targets: Sequence[Targets]) -> bool:
    stacked = np.stack(targets)
    known = np.isfinite(stacked) if stacked.dtype.kind == "f" else stacked != UNKNOWN
    most = np.where(known, stacked, np.iinfo(np.int64).min).max(axis=0)
    least = np.where(known, stacked, np.iinfo(np.int64).max).min(axis=0)
    return bool((most > least).any())


def patients_of_classes(
    manifest: Manifest, task: Task, split: str | None = None
) -> dict[str, tuple[set[str], set[str]]]:
    """Return, for each class or label, the patients with images that have it and with images that do not.

    Args:
        manifest: Rows without fault.
        task: Knows the classes.
        split: Only this one.
    """
    rows = [row for row in manifest.rows() if split in {None, row["split"]}]
    found: dict[str, tuple[set[str], set[str]]] = {name: (set(), set()) for name in task.classes}
    if not rows:
        return found
    targets = task.strata(rows)
    patients = np.array([row["patient"] for row in rows], dtype=str)
    for number, name in enumerate(task.classes):
        several = targets.ndim == 2
        has = targets[:, number] == 1 if several else targets == number
        lacks = targets[:, number] == 0 if several else targets != number
        found[name] = (set(patients[has].tolist()), set(patients[lacks].tolist()))
    return found


def class_balance(manifest: Manifest, task: Task) -> list[Finding]:
    """Report how many images each class has where the rarest is under a tenth of the commonest.

    Args:
        manifest: Rows without fault.
        task: Knows the classes.
    """
    counts = {str(name): int(n) for name, n in task.counts(manifest.rows())["classes"].items()}
    if not counts or min(counts.values()) * 10 >= max(counts.values()):
        return []
    message = f"The classes differ in size: {shares(counts)}."
    return [Finding("class-balance", "info", message, "judge by AUROC and by class, not by accuracy")]


def patients_of_several_classes(manifest: Manifest, task: Task) -> list[Finding]:
    """Report how many patients hold images of several classes.

    Args:
        manifest: Rows without fault.
        task: Knows the classes.
    """
    if task.target_shape != () or task.continuous:
        return []  # findings come and go, and exclude nothing; a patient grows
    strata: dict[str, set[str]] = {}
    for row in manifest.rows():
        strata.setdefault(row["patient"], set()).add(task.stratum(row))
    several = sum(len(names) > 1 for names in strata.values())
    if not several:
        return []
    message = (
        f"{many(several, 'patient')} {'holds' if several == 1 else 'hold'} images of several classes. All "
        "images of a patient go into one split, and classes keep their shares of images, not of patients."
    )
    return [Finding("patients-several-classes", "info", message)]


def splits_of(manifest: Manifest) -> list[str]:
    """Return the splits that have images, in their usual order.

    Args:
        manifest: With its splits.
    """
    have = set(manifest.column("split"))
    return [split for split in SPLITS if split in have]
