"""The methods of a run: what trained, and what was done against overfitting."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rn50med.evaluation.report.facts import Facts
from rn50med.evaluation.report.record import Record

_SCHEDULES = {
    "LinearProbe": "Only the head was trained; the backbone stayed as its weights were.",
    "Staged": "The head was trained first, then the stages of the backbone from the top, one by one.",
    "Layerwise": "Learning rates decreased from the head to the stem.",
}


def pretrained(facts: Facts) -> bool:
    """Return whether the backbone started from weights that were learnt."""
    return (facts.environment.get("weights") or {}).get("used") not in {None, "none"}


def head_alone(record: Record) -> bool:
    """Return whether nothing of the backbone was trained."""
    return _scheduled(record) == "LinearProbe"


def drawn_back(facts: Facts, record: Record) -> float:
    """Return how strongly L2-SP drew weights back; 0 where it was left out."""
    strength = record.part("model", "regularisation", "l2_sp")
    acts = pretrained(facts) and not head_alone(record)
    return float(strength) if acts and isinstance(strength, int | float) else 0.0


def finetuning(facts: Facts, record: Record) -> str:
    """Return which parts were trained, where not all were at one rate."""
    return _SCHEDULES.get(_scheduled(record), "")


def _scheduled(record: Record) -> str:
    path = str(record.part("model", "finetuning", "class_path") or "")
    return path.rpartition(".")[2] if path.startswith("rn50med.") else ""


def kit(facts: Facts, record: Record) -> str:
    """Return what was done against overfitting besides dropout, decay and random changes."""
    found = record.part("model", "regularisation")
    options: Mapping[str, Any] = found if isinstance(found, Mapping) else {}
    told = []
    if decay := options.get("ema_decay"):
        told.append(
            "A moving average of the weights was validated, kept and judged; its decay rose with the steps, "
            f"to at most {decay:g}."
        )
    for key, name in (("mixup", "mixup"), ("cutmix", "CutMix")):
        if alpha := options.get(key):
            told.append(f"Pairs of images and their targets were blended by {name}, with alpha {alpha:g}.")
    skipped = record.part("model", "backbone", "init_args", "drop_path")
    if isinstance(skipped, int | float) and skipped and not head_alone(record):
        told.append(
            "In training residual blocks were skipped at random, the last with a probability of "
            f"{skipped:g}, those before it with less."
        )
    if strength := drawn_back(facts, record):
        told.append(f"Pretrained weights were drawn back to their start (L2-SP), by {strength:g}.")
    if record.part("data", "sampler") == "balanced":
        told.append("In training each class was drawn as often as the others.")
    return " ".join(told)
