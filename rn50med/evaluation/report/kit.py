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


def finetuning(facts: Facts, record: Record) -> str:
    """Return which parts were trained, where not all were at one rate."""
    path = str(record.part("model", "finetuning", "class_path") or "")
    name = path.rpartition(".")[2]
    return _SCHEDULES.get(name, "") if path.startswith("rn50med.") else ""


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
    if strength := options.get("l2_sp"):
        told.append(f"Pretrained weights were drawn back to their start (L2-SP), by {strength:g}.")
    if record.part("data", "sampler") == "balanced":
        told.append("In training each class was drawn as often as the others.")
    return " ".join(told)
