"""What the run folder tells of the matters that reporting guidelines ask for."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from rn50med.evaluation.operating_point import OperatingPoint
from rn50med.evaluation.report import answers_data, methods
from rn50med.evaluation.report.checklist_items import Answer
from rn50med.evaluation.report.conduct import software
from rn50med.evaluation.report.content import headline, main_split
from rn50med.evaluation.report.facts import Facts
from rn50med.evaluation.report.record import Record
from rn50med.evaluation.report.wording import interval, number


def answers(facts: Facts, record: Record) -> dict[str, Answer]:
    """Return what is told of each topic of the checklists.

    Args:
        facts: Of the run.
        record: How it was set up.
    """
    told = {name: Answer(_joined(facts, record, *parts)) for name, parts in _SENTENCES.items()}
    told |= {name: Answer(text if facts.figures else "") for name, text in _FIXED.items()}
    return told | {name: each(facts, record) for name, each in _OTHERS.items()}


def _joined(facts: Facts, record: Record, *parts: methods.Sentence) -> str:
    return " ".join(filter(None, (each(facts, record) for each in parts)))


def _goal(facts: Facts, record: Record) -> Answer:
    if not facts.figures:
        return Answer("")
    opened = "test" in facts.figures
    return Answer(
        f"A model was made, and {'tested on images put aside' if opened else 'judged on val alone'}."
    )


def _measures(facts: Facts, record: Record) -> Answer:
    split = main_split(facts)
    keys = [key for key in facts.figures[split] if "/" not in key] if split else []
    names = [facts.plain_name(key) for key in keys]
    return Answer(f"{methods.enumerated(names)}, and the charts of the report." if names else "")


def _result(facts: Facts, record: Record) -> Answer:
    found = headline(facts)
    if found is None:
        return Answer("")
    ends = f", 95 % interval {found.interval}" if found.interval else ""
    return Answer(f"{found.name} on {found.split}: {found.value}{ends}; {found.basis}.")


def _accuracy(facts: Facts, record: Record) -> Answer:
    split = main_split(facts)
    if split is None:
        return Answer("")
    figures = facts.figures[split]
    shown = [
        f"{key} {number(figures[key].value)} ({interval(figures[key]) or 'no interval'})"
        for key in ("sensitivity", "specificity")
        if key in figures
    ]
    start = f"On {split}, {' and '.join(shown)}. " if shown else ""
    return Answer(f"{start}All figures with 95 % intervals are in the report.")


def _kept(name: str, told: str, absent: str) -> Callable[[Facts, Record], Answer]:
    """Return what tells whether one of the checks beside the figures was made."""

    def answer(facts: Facts, record: Record) -> Answer:
        return Answer(told) if record.checks.get(name) else Answer(absent, done=False)

    return answer


def _external(facts: Facts, record: Record) -> Answer:
    count = record.elsewhere
    if not count:
        return Answer("The run was not evaluated on images other than its own.", done=False)
    times = "once" if count == 1 else f"{count} times"
    return Answer(
        f"The run was evaluated {times} on images other than its own; their tables are in its folder."
    )


def _internal(facts: Facts, record: Record) -> Answer:
    if "test" not in facts.figures:
        return Answer(methods.opened(facts, record), done=False)
    return Answer(f"{methods.opened(facts, record)} {methods.splits(facts, record)}".strip())


def _columns(facts: Facts) -> list[str]:
    return sorted({name for predicted in facts.predicted.values() for name in predicted.columns})


def _groups(facts: Facts, record: Record) -> Answer:
    names = _columns(facts)
    if not names:
        return Answer("Figures of subgroups were not computed.", done=False)
    return Answer(f"Figures of subgroups by {methods.enumerated(names)} are in the report.")


_CLUSTERS = re.compile("site|scanner|manufacturer|institution|hospital|cent(re|er)", re.IGNORECASE)


def _clusters(facts: Facts, record: Record) -> Answer:
    names = [name for name in _columns(facts) if _CLUSTERS.search(name)]
    if not names:
        return Answer("Figures by site or scanner were not computed.", done=False)
    return Answer(f"Figures by {methods.enumerated(names)} are among the subgroups of the report.")


def _errors(facts: Facts, record: Record) -> Answer:
    called = any((predicted.called >= 0).any() for predicted in facts.predicted.values())
    known = any(predicted.lines.size for predicted in facts.predicted.values())
    told = ["how often each class was called rightly and wrongly"] if called else []
    told += ["the hardest errors, by their line of the manifest"] if known and called else []
    return Answer(f"In the report: {methods.enumerated(told)}." if told else "")


def _updating(facts: Facts, record: Record) -> Answer:
    if facts.metrics.get("temperature") is None:
        return Answer("The model was not updated in this run." if facts.figures else "", done=False)
    return Answer(f"{methods.temperature(facts, record)} Nothing was updated on test.")


def _imbalance(facts: Facts, record: Record) -> Answer:
    known = methods.loss(facts, record)
    if facts.number:
        return Answer("Does not apply: a number is predicted, not a class.")
    loss, balanced = record.part("model", "loss"), record.part("data", "sampler") == "balanced"
    drawn = " Each class was drawn as often in training." if balanced else ""
    drawn = drawn or ("" if loss else " Classes were neither weighted nor resampled.")
    return Answer(f"{known}{drawn}" if known else "")


def _output(facts: Facts, record: Record) -> Answer:
    if facts.number:
        return Answer(f"A number: {facts.number}.")
    what = "Probabilities of each label" if facts.multilabel else "Probabilities of the classes"
    point = isinstance(facts.point, OperatingPoint) and facts.point.rule == "youden"
    default = " This is a default, not a clinical choice." if point else ""
    called = methods.calls(facts, record)
    return Answer(f"{what}. {called}{default}".strip() if called else "")


def _repeat(facts: Facts, record: Record) -> Answer:
    if not facts.environment and not record.recipe:
        return Answer("")
    found = facts.environment.get("rn50med")
    made = f"Made with rn50med{f' {found}' if found else ''}. "
    return Answer(f"{made}recipe.yaml of the run repeats it; its checkpoint holds the whole model.")


def _software(facts: Facts, record: Record) -> Answer:
    versions = software(facts.environment)
    return Answer(f"{versions}." if versions else "")


_SENTENCES: Mapping[str, tuple[methods.Sentence, ...]] = {
    "kind": (methods.purpose,),
    "preparation": (methods.preparation,),
    "splits": (methods.splits,),
    "model": (methods.purpose, methods.start, methods.loss),
    "initial": (methods.start,),
    "training": (methods.optimiser, methods.schedule),
    "epochs": (methods.epochs,),
    "point": (methods.temperature, methods.calls),
    "intervals": (methods.intervals,),
}

_FIXED = {
    "ensemble": "One network, no ensemble.",
    "predictors": "The pixels of the image alone; none was chosen beforehand.",
    "computed": "By the network of the checkpoint; the command predict does it for new images.",
    "limits": "What was not done is listed in the report.",
    "details": "recipe.yaml, audit.json and environment.json of the run.",
    "input": "The command predict gives images that it cannot read no probability, and says why.",
}

_NOT_CHANGED = "Figures under noise, blur, other contrast or lower resolution were not computed."

_OTHERS: Mapping[str, Callable[[Facts, Record], Answer]] = {
    "goal": _goal,
    "source": answers_data.source,
    "exclusions": answers_data.exclusions,
    "subset": answers_data.exclusions,
    "flow": answers_data.way,
    "disjoint": answers_data.disjoint,
    "classes": answers_data.classes,
    "missing": answers_data.missing,
    "acquisition": answers_data.acquisition,
    "findings": answers_data.findings,
    "width": answers_data.width,
    "measures": _measures,
    "result": _result,
    "accuracy": _accuracy,
    "robustness": _kept("robustness", "AUROC of changed images is in the report.", _NOT_CHANGED),
    "explanations": lambda facts, record: Answer("The report shows no heat maps.", done=False),
    "internal": _internal,
    "external": _external,
    "clusters": _clusters,
    "groups": _groups,
    "patients": answers_data.patients,
    "errors": _errors,
    "updating": _updating,
    "imbalance": _imbalance,
    "output": _output,
    "repeat": _repeat,
    "software": _software,
}
