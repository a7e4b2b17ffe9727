"""A methods section in the past tense, from what a run folder says; what it does not say is left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rn50med.evaluation.bootstrap import RESAMPLES
from rn50med.evaluation.operating_point import OperatingPoint, OperatingPoints
from rn50med.evaluation.report.conduct import software
from rn50med.evaluation.report.facts import Facts
from rn50med.evaluation.report.flow import flow_of
from rn50med.evaluation.report.kit import drawn_back, finetuning, head_alone, kit, pretrained
from rn50med.evaluation.report.record import Record
from rn50med.evaluation.report.wording import ordinal

Sentence = Callable[[Facts, Record], str]

_OURS = "rn50med."  # only of our own classes is it known what they do
_WEIGHTS = {
    "none": ", classes not weighted",
    "pos_weight": ", positives weighted by the negatives that there are for each",
    "class_balanced": ", classes weighted by the effective number of their images",
}


def methods(facts: Facts, record: Record) -> tuple[str, ...]:
    """Return paragraphs for the methods section of a paper: data, training, evaluation.

    Args:
        facts: Of the run.
        record: How it was set up.
    """
    paragraphs = (
        (purpose, synthetic, images, splits, preparation),
        (start, loss, finetuning, optimiser, schedule, kit, epochs),
        (unit, temperature, calls, opened, intervals, arithmetic, made_with),
    )
    written = (" ".join(filter(None, (each(facts, record) for each in parts))) for parts in paragraphs)
    return tuple(filter(None, written))


def purpose(facts: Facts, record: Record) -> str:
    """Return what was fine-tuned, and to tell what apart."""
    if not facts.classes:
        return ""
    aim = f"to tell {enumerated(facts.classes)} apart"
    if facts.multilabel:
        aim = f"to find, each present or absent, {enumerated(facts.classes)}"
    elif facts.positive is not None:
        others = [name for name in facts.classes if name != facts.positive]
        aim = f"to tell {facts.positive} from {enumerated(others)}"
    return f"A ResNet-50 was fine-tuned {aim}."


def enumerated(names: Sequence[str]) -> str:
    """Join names as a sentence does.

    Args:
        names: One or more.

    Example:
        >>> enumerated(["none", "mild", "severe"])
        'none, mild and severe'
    """
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def synthetic(facts: Facts, record: Record) -> str:
    """Return that no patient was involved, where the images are synthetic."""
    return "The images were synthetic, drawn by a computer program." if facts.synthetic else ""


def images(facts: Facts, record: Record) -> str:
    """Return how many images there were, and how many were left out."""
    flow = flow_of(facts)
    if flow is None:
        return ""
    left = ", ".join(f"{step.images} ({step.why})" for step in flow.steps)
    start = f"Of {flow.found} files or images, these were left out: {left}. " if left else ""
    own = " Each image was taken for its own patient." if facts.audit.get("patients_are_images") else ""
    verb = "was" if flow.used == 1 else "were"
    return f"{start}{flow.told} {verb} used.{own}"


def splits(facts: Facts, record: Record) -> str:
    """Return what each split held, and where the splits came from."""
    flow = flow_of(facts)
    if flow is None:
        return ""
    parts = [part.told for part in flow.parts]
    origin = str(facts.audit.get("split_origin") or "").strip()
    ours = "The splits were those of the source." if origin == "As the source gives them." else origin
    text = enumerated(parts)
    return f"{text[:1].upper()}{text[1:]}. {ours}".strip()


def preparation(facts: Facts, record: Record) -> str:
    """Return how images were prepared, and whether they were changed at random."""
    found = record.named("data", "transforms")
    if not found:
        return ""
    options = record.numbers("data", "transforms")
    own = str(record.part("data", "transforms", "class_path")).startswith(_OURS)
    size = (
        f"resized to {options['size']:g} by {options['size']:g} pixels and "
        if own and "size" in options
        else ""
    )
    changed = ""
    if own and "strength" in options:
        changed = " In training, the same transforms changed them at random."
        if not options["strength"]:
            changed = " They were not changed at random in training."
    return f"Images were {size}prepared by the transforms {found}.{changed}"


def start(facts: Facts, record: Record) -> str:
    """Return the parameters that training started from, and the head."""
    weights: Mapping[str, Any] = facts.environment.get("weights") or {}
    statement = str(weights.get("statement") or "").strip().removeprefix("Starts from ")
    told = [f"Training started from {statement}"] if statement else []
    if weights.get("used") == "none":
        told = ["Training started from random parameters."]
    head = record.named("model", "head")
    return " ".join([*told, *([f"The head was {head}."] if head else [])])


def loss(facts: Facts, record: Record) -> str:
    """Return the loss: the one that was asked for, with its numbers, else that of the task, in its words."""
    if record.part("model", "loss"):
        found, weights = record.named("model", "loss"), record.part("model", "loss", "init_args", "weights")
        return f"The loss was {found}{_WEIGHTS.get(str(weights), '')}." if found else ""
    own = facts.task.get("loss")
    return f"The loss was the {own}." if own else ""


def optimiser(facts: Facts, record: Record) -> str:
    """Return the optimiser with its rate, and the size of a batch."""
    path = record.part("model", "optimizer", "class_path")
    if not isinstance(path, str):
        return ""
    options = record.numbers("model", "optimizer")
    text = f"Parameters were fitted by {path.rpartition('.')[2]}"
    if "lr" in options:
        text += f" at a highest learning rate of {options['lr']:g}{_factor(facts, record)}{_search(facts)}"
    if options.get("weight_decay"):
        spared = ", nor of the weights that L2-SP drew back" if drawn_back(facts, record) else ""
        text += f", with a weight decay of {options['weight_decay']:g} but none of norms and biases{spared}"
    batch, devices = record.part("data", "batch_size"), facts.environment.get("devices") or 1
    if isinstance(batch, int):
        text += f", in batches of {batch} images" + (f" on each of {devices} devices" if devices > 1 else "")
    clip = record.part("trainer", "gradient_clip_val")
    return f"{text}, gradients clipped at {clip:g}." if isinstance(clip, int | float) and clip else f"{text}."


def _search(facts: Facts) -> str:
    """Return how the rate was found, where it was searched for."""
    found = (facts.environment.get("training") or {}).get("learning_rate") or {}
    how = " (found by a range test of {steps} steps on images of train, from {low:g} to {high:g})"
    return how.format(**found) if found.get("used") else ""


def _factor(facts: Facts, record: Record) -> str:
    """Return what became of the rate because the weights were pretrained."""
    factor = record.part("model", "pretrained_lr_factor")
    applies = pretrained(facts) and not head_alone(record)
    known = isinstance(factor, int | float) and factor != 1
    return f" times {factor:g}, as the weights were pretrained" if applies and known else ""


def schedule(facts: Facts, record: Record) -> str:
    """Return how the learning rate went."""
    path = str(record.part("model", "schedule", "class_path") or "")
    options = record.numbers("model", "schedule")
    if path.startswith(_OURS) and path.endswith(".WarmupCosine") and {"warmup", "floor"} <= set(options):
        return (
            f"The rate rose over the first {100 * options['warmup']:g} % of the steps and then fell along "
            f"half a cosine to {100 * options['floor']:g} % of its highest value."
        )
    found = record.named("model", "schedule")
    return f"The rate followed the schedule {found}." if found else ""


def epochs(facts: Facts, record: Record) -> str:
    """Return how long was trained, and which epoch was kept."""
    found: Mapping[str, Any] = facts.environment.get("training") or {}
    done, planned = found.get("epochs_run"), found.get("epochs_planned")
    if done is None:
        return ""
    text = f"Training took {done} epoch{'' if done == 1 else 's'}"
    text += f" of {planned} planned" if planned and found.get("stopped_early") else ""
    text += _limit(record)
    if found.get("best_epoch") is None or not found.get("monitor"):
        return f"{text}."
    name = facts.plain_name(str(found["monitor"]).removeprefix("val/"))
    if facts.never_watched:
        return f"{text}; the last was kept, since the {name} on val was never defined."
    return f"{text}; epoch {found['best_epoch']}, counted from 0, was kept for its {name} on val."


def _limit(record: Record) -> str:
    """Return how much of train an epoch took, where not all; Lightning knows a share by its type."""
    limit = record.part("trainer", "limit_train_batches")
    if isinstance(limit, float) and limit < 1.0:
        return f", each of {100 * limit:g} % of the batches of train"
    return f", each of {limit} batches at most" if isinstance(limit, int) and limit else ""


def unit(facts: Facts, record: Record) -> str:
    """Return what a case is, and how its images were put together."""
    protocol: Mapping[str, Any] = facts.metrics.get("protocol") or {}
    of, together = protocol.get("unit"), protocol.get("images")
    if of is None:
        return ""
    text = f"The unit of analysis was the {of}"
    if of == "image":
        return f"{text}."
    how = {"mean": "averaged", "max": "put together by their largest"}.get(str(together))
    what = "values" if facts.values else "probabilities"
    return f"{text}, the {what} of whose images were {how}." if how else f"{text}."


def temperature(facts: Facts, record: Record) -> str:
    """Return whether probabilities were recalibrated."""
    found = facts.metrics.get("temperature")
    if found is None:
        return "Probabilities were not recalibrated." if facts.figures and facts.classes else ""
    if isinstance(found, Mapping):
        ends = min(found.values(), default=1.0), max(found.values(), default=1.0)
        none = "; 1 where val has none that is best" if 1.0 in found.values() else ""
        return (
            "The logits of each label were divided by a temperature fitted on the images of val "
            f"({ends[0]:.3g} to {ends[1]:.3g}{none})."
        )
    if found == 1.0:  # no fit ends there to the last digit
        return "Logits were left as they are, since val has no temperature that is best."
    return f"Logits were divided by a temperature of {found:.3g}, fitted on the images of val."


def calls(facts: Facts, record: Record) -> str:
    """Return how probabilities became calls."""
    if isinstance(facts.point, OperatingPoint):
        return (
            f"A case was called positive from a probability of {facts.point.threshold:.4g}, chosen on val "
            f"{_by(facts.point)} and then frozen."
        )
    if isinstance(facts.point, OperatingPoints):
        points = [point for point in facts.point.by_name.values() if point is not None]
        ways = {_by(point) for point in points}
        return f"Each label had a threshold of its own, chosen on val {ways.pop()}." if len(ways) == 1 else ""
    known = facts.positive is None and not facts.multilabel and facts.figures and facts.classes
    which = "median grade" if facts.ordered else "most probable class"
    return f"The {which} was called." if known else ""


def _by(point: OperatingPoint) -> str:
    named = "by Youden's index" if point.rule == "youden" else f"by the rule {point.rule}"
    return f"for {point.asked}" if point.asked else named


def opened(facts: Facts, record: Record) -> str:
    """Return that test steered nothing, and how often it was opened."""
    if "test" not in facts.figures:
        return f"{facts.closed.capitalize()}." if facts.figures else ""
    if record.held_out:
        return "The fold that was held out was evaluated after all choices of this run had been made."
    count = facts.environment.get("test_openings")
    which = "first" if count == 1 else ordinal(count or 0)
    often = "" if count is None else f"; they were opened for the {which} time"
    return f"The test images were evaluated after all choices of this run had been made{often}."


def intervals(facts: Facts, record: Record) -> str:
    """Return how the 95 % intervals were computed."""
    if not facts.figures:
        return ""
    if facts.values:
        return f"All 95 % intervals are of {RESAMPLES:,} resamples of patients."
    return (
        "All 95 % intervals count patients, not images: that of the AUROC by DeLong's variance clustered by "
        "patient, on the logit scale; those of proportions by Wilson's method on the effective number of "
        f"cases; others by {RESAMPLES:,} resamples of patients or from the ends of their parts."
    )


def arithmetic(facts: Facts, record: Record) -> str:
    """Return how exact training and figures were computed."""
    found: Mapping[str, Any] = facts.environment.get("precision") or {}
    if not found.get("training") or not found.get("tables"):
        return ""
    return f"Precision was {found['training']} in training and {found['tables']} for all figures."


def made_with(facts: Facts, record: Record) -> str:
    """Return software and seed."""
    versions, seed = software(facts.environment), facts.environment.get("seed")
    told = [f"Software: {versions}."] if versions else []
    told += [] if seed is None else [f"The seed was {seed}."]
    return " ".join(told)
