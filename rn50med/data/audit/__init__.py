"""What is wrong with images, labels and splits, and the facts on them: pure checks that the gate runs.

Each check returns findings and raises nothing. A finding's message names no image and no patient; its details
may, and are never kept.
"""

from __future__ import annotations

from rn50med.data.audit.codes import CODES, LEAKS
from rn50med.data.audit.counting import study_keys
from rn50med.data.audit.facts import audit, images
from rn50med.data.audit.labels import (
    class_balance,
    conflicting_labels,
    missing_classes,
    patients_of_several_classes,
)
from rn50med.data.audit.leakage import copies, leakage
from rn50med.data.audit.near import near_findings
from rn50med.data.audit.pixels import faults_found, image_findings, rows_found
from rn50med.data.audit.strength import expected_interval
from rn50med.data.audit.table import duplicate_rows, patients_unique, split_table, studies_of_two_patients
from rn50med.data.findings import Finding

__all__ = [
    "CODES", "LEAKS", "Finding", "audit", "class_balance", "conflicting_labels", "copies", "duplicate_rows",
    "expected_interval", "faults_found", "image_findings", "images", "leakage", "missing_classes",
    "near_findings", "patients_of_several_classes", "patients_unique", "rows_found", "split_table",
    "studies_of_two_patients", "study_keys",
]  # fmt: skip
