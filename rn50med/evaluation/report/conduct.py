"""How a run was conducted, and what was not done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rn50med.errors import listed
from rn50med.evaluation.report.facts import Facts
from rn50med.evaluation.report.record import Record
from rn50med.evaluation.report.wording import ordinal
from rn50med.evaluation.verdict import in_words


def training_rows(facts: Facts) -> tuple[tuple[str, str], ...]:
    """Return how the model was trained, a name and a sentence or number each.

    Args:
        facts: Of the run.
    """
    found = facts.environment
    if not found:
        return ()
    weights, precision = found.get("weights") or {}, found.get("precision") or {}
    rows = [
        ("Network", "ResNet-50"),
        ("Starting weights", weights.get("statement")),
        ("SHA-256 of the weights", weights.get("sha256")),
        ("Epochs", _epochs(found.get("training") or {}, facts.never_watched)),
        ("Precision of the training", precision.get("training")),
        ("Precision of the figures", precision.get("tables")),
        ("Seed", found.get("seed")),
        ("Test", _openings(found.get("test_openings"))),
        ("Machine", _machine(found)),
        ("Training speed", _speed(found.get("images_per_second"))),
        ("Software", software(found)),
    ]
    return tuple((name, str(text)) for name, text in rows if text not in (None, ""))


def overfitting_rows(facts: Facts) -> tuple[tuple[str, str], ...]:
    """Return whether the training images were learnt by heart, a name and a sentence each.

    Args:
        facts: Of the run; of an older one there is nothing to tell.
    """
    verdict = (facts.environment.get("training") or {}).get("verdict")
    return in_words(verdict) if verdict else ()


def _epochs(training: Mapping[str, Any], never_watched: bool) -> str:
    if not training:
        return ""
    planned = training.get("epochs_planned")
    text = f"{training.get('epochs_run')}" + (f" of {planned} planned" if planned else "")
    if training.get("stopped_early"):
        text += ", stopped early"
    kept = f"epoch {training.get('best_epoch')} (counted from 0) was kept"
    monitor = training.get("monitor")
    way = f"the last, since {monitor} was never defined" if never_watched else f"the best by {monitor}"
    return f"{text}; {kept}, {way}"


def _openings(count: int | None) -> str:
    if count is None:
        return ""
    text = f"The test images were opened for the {ordinal(count)} time."
    return text if count == 1 else f"{text} Each look that leads to a change flatters the figures."


def _machine(found: Mapping[str, Any]) -> str:
    devices, threads = found.get("devices"), found.get("threads")
    parts = [str(found["accelerator"])] if found.get("accelerator") else []
    parts += [f"{devices} device{'' if devices == 1 else 's'}"] if devices else []
    parts += [f"{threads} thread{'' if threads == 1 else 's'}"] if threads else []
    return ", ".join(parts)


def _speed(rate: float | None) -> str:
    return "" if rate is None else f"{rate:.3g} images per second"


def software(found: Mapping[str, Any]) -> str:
    """Return each package with its version.

    Args:
        found: The parsed ``environment.json``.
    """
    versions = {
        "rn50med": found.get("rn50med"),
        "Python": found.get("python"),
        **(found.get("packages") or {}),
    }
    return ", ".join(f"{name} {version}" for name, version in versions.items() if version)


_NO_STUDY = (
    "No description of the study: intended use, population, reference standard and ethics are for its "
    "authors to give, under study in the recipe."
)
_NOT_ELSEWHERE = (
    "No external validation: unless the splits say otherwise, test comes from the same source as train."
)
_NOT_CALIBRATED = "No calibration: the probabilities were not adjusted, and should not be read as risks."
_CALIBRATED_ON_VAL = (
    "No calibration but a temperature fitted on val: elsewhere, or at another prevalence, the probabilities "
    "may be off, and should not be read as risks."
)
_ONE_TRAINING = (
    "One training: another seed gives another model; the intervals know of patients, not of seeds."
)
_NO_BASELINES = "No comparison with readers, with a simpler model or with published results."
_NO_READERS = "No comparison with readers or with published results."
_NOT_ROBUST = (
    "No robustness check: figures under noise, blur, other contrast or lower resolution were not computed."
)
_NO_SHORTCUTS = (
    "No probe for shortcuts: what film border, file size, resolution or site alone tell is not known."
)
_NO_REVIEW = "No review of the images that were called wrongly: nobody looked at them."

_NOT_COUNTED = (
    "No count of how often the test set was opened: each look that leads to a change flatters its figures."
)

_NO_GROUPS = (
    "No subgroups: figures by sex, age, site or scanner were not computed and may be worse than the mean."
)
_NO_LINES = "No list of the hardest errors: manifest.csv is not in the run folder, or is of other images."

_BY_FILE = {
    "metrics.json": "No figures: metrics.json is not in the run folder.",
    "metrics.csv": "No learning curves: metrics.csv is not in the run folder.",
    "audit.json": "No account of the data: audit.json is not in the run folder.",
    "environment.json": "No account of the training: environment.json is not in the run folder.",
    "predictions/val.csv": "No curves of val: its predictions are not in the run folder.",
    "predictions/test.csv": "No curves of test: its predictions are not in the run folder.",
}


def _without_point(facts: Facts) -> list[str]:
    names = [name for name in facts.classes if facts.point_of(name) is None]
    if not names:
        return []
    return [
        f"No operating point for {listed(names)}, of which val lacks an outcome: called from "
        "a probability of 0.5, and the figures of the calls are undefined."
    ]


def _usual(facts: Facts, record: Record) -> list[str]:
    """Return what few runs do, as far as this one did not."""
    absent = [] if record.study.given() else [_NO_STUDY]
    absent += [] if record.elsewhere else [_NOT_ELSEWHERE]
    calibrated = _NOT_CALIBRATED if facts.metrics.get("temperature") is None else _CALIBRATED_ON_VAL
    absent += [] if facts.values else [calibrated]
    absent += [
        _ONE_TRAINING,
        _NO_READERS if record.checks.get("baselines") else _NO_BASELINES,
    ]
    absent += [] if record.checks.get("robustness") else [_NOT_ROBUST]
    absent += [] if record.checks.get("shortcuts") else [_NO_SHORTCUTS]
    return [*absent, _NO_REVIEW]


def not_done(facts: Facts, record: Record) -> tuple[str, ...]:
    """Return what a reader might expect and was not done, a sentence each.

    Args:
        facts: Of the run.
        record: How it was set up.
    """
    absent = []
    if facts.synthetic:
        absent.append("No real image was seen: the images are synthetic, and nothing here is about patients.")
    if facts.figures and "test" not in facts.figures:
        absent.append(
            f"{facts.closed.capitalize()}: the figures are of val, which chose the {facts.chosen}, and "
            "flatter the model."
        )
    if facts.positive is not None and facts.figures and facts.point is None:
        absent.append(
            "No operating point was chosen: called from a probability of 0.5, and the figures of the calls "
            "are undefined."
        )
    if facts.multilabel and facts.figures:
        absent += _without_point(facts)
    if facts.audit.get("patients_are_images"):
        absent.append(
            "Images were not tied to patients: each counts as its own. Where a patient has several, the "
            "intervals are too narrow and the splits may share patients."
        )
    absent += [_BY_FILE[name] for name in facts.missing]
    beside = [each.columns for each in facts.predicted.values()]
    if not any(beside + [each.columns for each in facts.values.values()]):
        absent.append(_NO_GROUPS)
    if facts.predicted and not any(predicted.lines.size for predicted in facts.predicted.values()):
        absent.append(_NO_LINES)
    counted = facts.environment.get("test_openings") is not None or "test" not in facts.figures
    counted = counted or bool(record.held_out)
    return (*absent, *_usual(facts, record), *(() if counted else (_NOT_COUNTED,)))
