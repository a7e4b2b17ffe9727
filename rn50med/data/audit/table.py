"""The table itself: who is in which split, and columns that do not hold what they seem to."""

from __future__ import annotations

import posixpath
from typing import Any

from rn50med.data.audit.counting import MOST_DETAILS, groups, lines_of, many, names_of, studies
from rn50med.data.audit.labels import splits_of
from rn50med.data.findings import Finding
from rn50med.data.manifest import Manifest
from rn50med.tasks import Task


def split_table(manifest: Manifest, task: Task) -> dict[str, dict[str, Any]]:
    """Count patients, images and images of each class, by split.

    Args:
        manifest: With its splits.
        task: Knows the classes.
    """
    rows = manifest.rows()
    counted: dict[str, dict[str, Any]] = {}
    for split in splits_of(manifest):
        inside = [row for row in rows if row["split"] == split]
        counted[split] = {
            "patients": len({row["patient"] for row in inside}),
            "images": len(inside),
            **task.counts(inside),
        }
    return counted


def duplicate_rows(manifest: Manifest) -> list[Finding]:
    """Report rows that name one file in different words, such as ``a.png`` and ``./a.png``.

    Args:
        manifest: The images.
    """
    plain = [posixpath.normpath(name.strip().replace("\\", "/")) for name in manifest.column("image")]
    found = [rows for rows in groups(plain).values() if len(rows) > 1]
    if not found:
        return []
    return [
        Finding(
            "duplicate-row",
            "error",
            f"{many(len(found), 'image')} {'stands' if len(found) == 1 else 'stand'} there in several rows.",
            "keep one of the rows",
            lines_of(manifest, (row for rows in found for row in rows)),
            tuple(f"{names_of(manifest, rows)} are one file" for rows in found[:MOST_DETAILS]),
        )
    ]


def patients_unique(manifest: Manifest) -> list[Finding]:
    """Report a patient column that has another value in every row, and may be a number of the row.

    Args:
        manifest: The images.
    """
    if manifest.patients_are_images or len(manifest) < 20:
        return []
    patients = manifest.column("patient")
    if len(set(patients)) < len(patients):
        return []
    message = "Every image has a patient of its own."
    remedy = "make sure that the column holds patients, and does not number images or rows"
    return [Finding("patients-unique", "info", message, remedy)]


def studies_of_two_patients(manifest: Manifest) -> list[Finding]:
    """Report studies that belong to two patients, one of whom is probably the other.

    Args:
        manifest: The images.
    """
    patients = manifest.column("patient")
    members = groups(studies(manifest))
    found = {key: rows for key, rows in members.items() if len({patients[row] for row in rows}) > 1}
    if not found:
        return []
    return [
        Finding(
            "study-two-patients",
            "warning",
            f"{many(len(found), 'study', 'studies')} {'belongs' if len(found) == 1 else 'belong'} to two or "
            "more patients.",
            "if they are one person, give them one name in the patient column",
            lines_of(manifest, (row for rows in found.values() for row in rows)),
            tuple(
                f"study {key!r} has the patients {', '.join(sorted({repr(patients[row]) for row in rows}))}"
                for key, rows in list(found.items())[:MOST_DETAILS]
            ),
        )
    ]
