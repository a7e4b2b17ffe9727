"""The gate before training: leakage, identical images, single classes; and the facts for the report."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rn50med.data.faults import MOST_SHOWN
from rn50med.data.manifest import Manifest
from rn50med.data.splits import SPLITS
from rn50med.errors import DataError, listed
from rn50med.tasks import Task


@dataclass(frozen=True)
class Finding:
    """Something about the data that a reader of the report has to know.

    Args:
        code: Stable name of the kind of finding.
        severity: "info", "warning" or "error".
        message: A sentence without image names or patients.
    """

    code: str
    severity: str
    message: str


def leaks(manifest: Manifest, contents: Sequence[str]) -> list[str]:
    """Return a sentence for each patient and each identical image that stands in two splits.

    Args:
        manifest: With its splits.
        contents: Hash of each image's bytes.
    """
    splits = manifest.column("split")
    found = [
        f"patient {patient!r} is in splits {', '.join(sorted(seen))}"
        for patient, seen in _splits_of(manifest.column("patient"), splits).items()
        if len(seen) > 1
    ]
    images: dict[str, list[str]] = defaultdict(list)
    for image, content in zip(manifest.column("image"), contents, strict=True):
        images[content].append(image)
    return found + [
        f"images {listed(images[content], 4)} are identical and in splits {', '.join(sorted(seen))}"
        for content, seen in _splits_of(contents, splits).items()
        if len(seen) > 1
    ]


def _splits_of(keys: Sequence[str], splits: Sequence[str]) -> dict[str, set[str]]:
    seen: dict[str, set[str]] = defaultdict(set)
    for key, split in zip(keys, splits, strict=True):
        if split:
            seen[key].add(split)
    return seen


def stop_on_leaks(manifest: Manifest, contents: Sequence[str], allow: bool) -> list[Finding]:
    """Stop where a patient or an identical image is in two splits, unless that is allowed.

    Args:
        manifest: With the splits of its source.
        contents: Hash of each image's bytes.
        allow: Go on all the same; the finding goes into the report.

    Raises:
        DataError: If there is a leak and it is not allowed.
    """
    found = leaks(manifest, contents)
    if not found:
        return []
    if not allow:
        copies = " and all copies of an image" if any(text.startswith("images ") for text in found) else ""
        remedy = (
            f"put all images of a patient{copies} in one split, "
            "or the test score is of patients seen in training."
        )
        if len(found) == 1:
            raise DataError(f"{manifest.name}: {found[0]}; {remedy}")
        more = [f"... and {len(found) - MOST_SHOWN} more"] if len(found) > MOST_SHOWN else []
        lines = "\n  ".join(found[:MOST_SHOWN] + more)
        raise DataError(f"{manifest.name}: {len(found)} leaks between splits; {remedy}\n  {lines}")
    message = f"{len(found)} patients or identical images stand in more than one split; this was allowed."
    return [Finding("leakage", "error", message)]


def stop_on_single_class(manifest: Manifest, task: Task) -> None:
    """Stop where there is nothing to tell apart.

    Args:
        manifest: Its splits do not matter.
        task: Knows the classes.

    Raises:
        DataError: If only one class is there.
    """
    have = {task.stratum(row) for row in manifest.rows()}
    if len(have) == 1:
        raise DataError(
            f"{manifest.name}: only class {listed(map(repr, have))} found in column "
            f"{listed(map(repr, task.columns))}; a model needs images of {', '.join(task.classes)}."
        )


def stop_on_untrained_class(manifest: Manifest, task: Task) -> None:
    """Stop where train has no image of a class.

    Args:
        manifest: With its splits.
        task: Knows the classes.

    Raises:
        DataError: If train lacks a class.
    """
    trained = {task.stratum(row) for row in manifest.rows() if row["split"] == "train"}
    if missing := listed(name for name in task.classes if name not in trained):
        raise DataError(
            f"{manifest.name}: train has no image of class {missing}; add some, or take the class out."
        )


def identical_images(manifest: Manifest, contents: Sequence[str], given: Sequence[str]) -> list[Finding]:
    """Report groups of byte-identical images, by the split that the source gives.

    Args:
        manifest: The images.
        contents: Hash of each image's bytes.
        given: Split of each image as the source gives it, or the made one where it gives none.
    """
    members: dict[str, list[int]] = defaultdict(list)
    for position, content in enumerate(contents):
        members[content].append(position)
    groups = [rows for rows in members.values() if len(rows) > 1]
    if not groups:
        return []
    patients = manifest.column("patient")
    inside = Counter(split for rows in groups for split in {given[row] for row in rows})
    joined = sum(len({patients[row] for row in rows}) > 1 for rows in groups)
    where = ", ".join(f"{inside[split]} inside {split}" for split in SPLITS if inside[split])
    apart = any(len({given[row] for row in rows}) > 1 for rows in groups)
    message = (
        f"{len(groups)} groups of byte-identical images: {where}; {joined} of them "
        f"{'joins' if joined == 1 else 'join'} different patients."
        f"{'' if apart else ' Each group is kept in one split.'}"
    )
    return [Finding("identical-images", "warning", message)]


def missing_classes(manifest: Manifest, task: Task) -> list[Finding]:
    """Report classes that val or test lacks, so that figures of them are undefined.

    Args:
        manifest: With its splits.
        task: Knows the classes.
    """
    table = split_table(manifest, task)
    return [
        Finding(
            "class-absent", "warning", f"{split} has no image of class {name}; its figures are undefined."
        )
        for split in ("val", "test")
        for name in task.classes
        if split in table and not table[split]["classes"][name]
    ]


def split_table(manifest: Manifest, task: Task) -> dict[str, dict[str, Any]]:
    """Count patients, images and images of each class, by split.

    Args:
        manifest: With its splits.
        task: Knows the classes.
    """
    classes = [task.stratum(row) for row in manifest.rows()]
    splits, patients = manifest.column("split"), manifest.column("patient")
    counted: dict[str, dict[str, Any]] = {}
    for split in SPLITS:
        rows = [i for i, name in enumerate(splits) if name == split]
        if rows:
            counts = Counter(classes[i] for i in rows)
            counted[split] = {
                "patients": len({patients[i] for i in rows}),
                "images": len(rows),
                "classes": {name: counts[name] for name in task.classes},
            }
    return counted


def audit(
    manifest: Manifest, task: Task, findings: Sequence[Finding], origin: str, digest: str
) -> dict[str, Any]:
    """Return the facts on the data that the run folder keeps, without names of images or patients.

    Args:
        manifest: With its splits.
        task: Knows the classes.
        findings: What the gate found.
        origin: Where the splits come from, a sentence.
        digest: The manifest's hash.
    """
    notes = [Finding("assumed", "info", f"{note[0].upper()}{note[1:]}.") for note in manifest.notes]
    return {
        "source": manifest.kind,
        "synthetic": manifest.synthetic,
        "classes": list(task.classes),
        "manifest_sha256": digest,
        "split_origin": origin,
        "patients_are_images": manifest.patients_are_images,
        "splits": split_table(manifest, task),
        "findings": [asdict(finding) for finding in [*findings, *notes]],
    }
