"""The facts on the data that a run folder keeps, without names of images or patients."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from rn50med.data.audit.codes import CODES
from rn50med.data.audit.table import split_table
from rn50med.data.findings import Finding
from rn50med.data.manifest import Manifest
from rn50med.data.seen import Seen
from rn50med.tasks import Task


def audit(
    manifest: Manifest,
    task: Task,
    findings: Sequence[Finding],
    origin: str,
    digest: str,
    seen: Sequence[Seen | None] = (),
    allowed: Iterable[str] = (),
) -> dict[str, Any]:
    """Return the facts on the data that the run folder keeps, without names of images or patients.

    Args:
        manifest: With its splits.
        task: Knows the classes.
        findings: What the gate found.
        origin: Where the splits come from, a sentence.
        digest: The manifest's hash.
        seen: What was seen of each image; None where it cannot be read.
        allowed: Codes of findings that do not stop.
    """
    notes = [Finding("assumed", "info", f"{note[0].upper()}{note[1:]}.") for note in manifest.notes]
    told = [*findings, *notes]
    return {
        "source": manifest.kind,
        "synthetic": manifest.synthetic,
        "classes": list(task.classes),
        "manifest_sha256": digest,
        "split_origin": origin,
        "patients_are_images": manifest.patients_are_images,
        "splits": split_table(manifest, task),
        "flow": [{"what": step.what, "images": step.images} for step in manifest.flow],
        "images": images(seen),
        "findings": [finding.plain() for finding in told],
        "allowed": sorted(allowed),
        "codes": {code: CODES.get(code, "") for code in sorted({finding.code for finding in told})},
    }


def images(seen: Sequence[Seen | None]) -> dict[str, Any]:
    """Count what the files say of themselves.

    Args:
        seen: What was seen of each image; None where it cannot be read.
    """
    facts = [each.facts for each in seen if each is not None]
    return {
        "read": len(facts),
        "unreadable": len(seen) - len(facts),
        "coloured": sum(each.coloured for each in seen if each is not None),
        "format": _counted(fact.format for fact in facts),
        "mode": _counted(fact.mode for fact in facts),
        "bits": _counted(str(fact.bits) for fact in facts),
        "modality": _counted(fact.modality for fact in facts),
        "view": _counted(fact.view for fact in facts),
        "height": _range(fact.height for fact in facts),
        "width": _range(fact.width for fact in facts),
    }


def _counted(names: Iterable[str]) -> dict[str, int]:
    """Count names, the commonest first; an empty one says nothing."""
    counts = Counter(name for name in names if name)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _range(values: Iterable[int]) -> dict[str, float] | None:
    numbers = list(values)
    if not numbers:
        return None
    return {"min": min(numbers), "median": statistics.median(numbers), "max": max(numbers)}
