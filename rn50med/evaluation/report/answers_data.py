"""What a run's ``audit.json`` tells of the data that reporting guidelines ask for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rn50med.evaluation.report.checklist_items import Answer
from rn50med.evaluation.report.facts import Facts
from rn50med.evaluation.report.flow import flow_of
from rn50med.evaluation.report.methods import enumerated
from rn50med.evaluation.report.record import Record

_SOURCES = {
    "table": "Images named in a table.",
    "folder": "Images in a folder of class folders.",
    "dicom": "DICOM files in a folder.",
    "medmnist": "A set of MedMNIST.",
}


def source(facts: Facts, record: Record) -> Answer:
    """Return where the images came from."""
    if facts.synthetic:
        return Answer("Synthetic images, drawn by rn50med.")
    return Answer(_SOURCES.get(str(facts.audit.get("source")), ""))


def exclusions(facts: Facts, record: Record) -> Answer:
    """Return what was left out, and why."""
    flow = flow_of(facts)
    if flow is None:
        return Answer("")
    left = "; ".join(f"{step.images}: {step.why}" for step in flow.steps)
    return Answer(f"Not used: {left}." if left else "All images that were found were used.")


def way(facts: Facts, record: Record) -> Answer:
    """Return the flow diagram in words."""
    flow = flow_of(facts)
    return Answer("" if flow is None else f"There is a flow diagram in the report. {flow.words}")


def disjoint(facts: Facts, record: Record) -> Answer:
    """Return by what the splits are disjoint."""
    if not facts.audit.get("splits"):
        return Answer("")
    found = facts.audit.get("findings") or ()
    leaks = [str(each.get("message")) for each in found if "leak" in str(each.get("code"))]
    if leaks:
        return Answer(f"They are not: {' '.join(leaks)}", done=False)
    if facts.audit.get("patients_are_images"):
        return Answer("By image: each was taken for its own patient. No identical image is in two splits.")
    return Answer("By patient: no patient and no identical image is in two splits.")


def classes(facts: Facts, record: Record) -> Answer:
    """Return what is told apart."""
    if not facts.classes:
        return Answer(f"A number: {facts.number}." if facts.number else "")
    kind = "Labels, each present or absent" if facts.multilabel else "Classes"
    positive = f"; positive is {facts.positive}" if facts.positive is not None else ""
    return Answer(f"{kind}: {enumerated(facts.classes)}{positive}.")


def missing(facts: Facts, record: Record) -> Answer:
    """Return what was missing."""
    told = []
    if (facts.audit.get("images") or {}).get("unreadable") == 0:
        labelled = "" if facts.multilabel else " and had a label"
        told.append(f"Every image that was used could be read{labelled}.")
    for name, split in (facts.audit.get("splits") or {}).items():
        cells: Mapping[str, Any] = split.get("labels") or {}
        unknown = sum(int(each.get("unknown", 0)) for each in cells.values())
        told += [f"Unknown labels in {name}: {unknown}."] if unknown else []
    return Answer(" ".join(told))


def acquisition(facts: Facts, record: Record) -> Answer:
    """Return what the files say of how images were acquired."""
    found: Mapping[str, Any] = facts.audit.get("images") or {}
    told = [
        f"{name}: {', '.join(f'{kind} ({count})' for kind, count in found[key].items())}."
        for name, key in (("File formats", "format"), ("Modalities", "modality"), ("Bits", "bits"))
        if found.get(key)
    ]
    sides = [(name, found[name]) for name in ("height", "width") if found.get(name)]
    told += [f"Image {name} {_range(each['min'], each['max'])} pixels." for name, each in sides]
    return Answer(" ".join(told))


def _range(least: float, most: float) -> str:
    return f"{least:g}" if least == most else f"{least:g} to {most:g}"


def findings(facts: Facts, record: Record) -> Answer:
    """Return how many findings the check of the data had."""
    if not facts.audit:
        return Answer("")
    count = len(facts.audit.get("findings") or ())
    return Answer(f"The check of the data told of {count or 'no'} finding{'' if count == 1 else 's'}.")


def width(facts: Facts, record: Record) -> Answer:
    """Return how wide the intervals of the test set had to be expected."""
    found = facts.audit.get("findings") or ()
    return Answer(" ".join(str(each["message"]) for each in found if each.get("code") == "expected-interval"))


def patients(facts: Facts, record: Record) -> Answer:
    """Return where the patients of each split are counted."""
    return Answer(
        "Patients, images and prevalence of each split are in the report." if flow_of(facts) else ""
    )
