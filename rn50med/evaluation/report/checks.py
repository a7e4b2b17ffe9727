"""What a report says of robustness, baselines and shortcuts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rn50med.evaluation.cases import Unit
from rn50med.evaluation.figure import Figure
from rn50med.evaluation.report.charts import Drawing
from rn50med.evaluation.report.facts import Facts
from rn50med.evaluation.report.plots import Frame, Row, forest
from rn50med.evaluation.report.wording import Cell, cell, interval, number, percent

_CHANGES = {
    "noise": "Noise",
    "blur": "Blur",
    "contrast": "Less contrast",
    "resolution": "Lower resolution",
    "gamma": "Darker (gamma)",
}
_MODELS = {
    "network": "The network",
    "linear": "Linear model",
    "prevalence": "Prevalence of train, said of all",
}
_FEATURES = {
    "border": "Border of the image",
    "file_size": "Size of the file",
    "resolution": "Height, width and their ratio",
    "site": "Site or device",
}


@dataclass(frozen=True)
class ChangedRow:
    """A change as a table shows it.

    Args:
        name: Of its kind and strength.
        amount: In its unit.
        auroc: On changed images.
        difference: From the unchanged ones, with its interval.
    """

    name: str
    amount: str
    auroc: Cell
    difference: Cell


@dataclass(frozen=True)
class Robustness:
    """What changed images cost.

    Args:
        basis: Which cases, a sentence.
        unchanged: AUROC on the same cases.
        rows: A change each.
        drawing: All of them.
    """

    basis: str
    unchanged: Cell
    rows: tuple[ChangedRow, ...]
    drawing: Drawing | None


@dataclass(frozen=True)
class Checks:
    """Everything a report says of the checks.

    Args:
        split: Whose images.
        robustness: None where it was not looked at.
        models: Of the network and of simpler models the name, AUROC, log-loss and Brier score.
        sentences: What the table of models means.
        shortcuts: Of each feature its name, the AUROC of it alone, and whether that is a finding.
        findings: Sentences on those that are.
    """

    split: str
    robustness: Robustness | None
    models: tuple[tuple[str, Cell, str, str], ...]
    sentences: tuple[str, ...]
    shortcuts: tuple[tuple[str, Cell, bool], ...]
    findings: tuple[str, ...]


def checks(plain: Mapping[str, Any], facts: Facts) -> Checks | None:
    """Return what is said of the checks; None where there were none.

    Args:
        plain: The parsed ``checks.json``, empty where there is none.
        facts: Of the run.
    """
    if not plain:
        return None
    split, unit = str(plain["split"]), Unit(plain["unit"])
    found, models, shortcuts = (plain.get(key) or {} for key in ("robustness", "baselines", "shortcuts"))
    return Checks(
        split,
        _robustness(found, split, unit) if found else None,
        tuple(_model(name, models[name], unit) for name in _MODELS if name in models),
        _meaning(models, facts, split, unit) if models else (),
        tuple(_shortcut(name, each, unit) for name, each in shortcuts.items()),
        tuple(message for _, message in findings(plain)),
    )


def findings(plain: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return severity and message of what was found, to stand among the findings of the data.

    Args:
        plain: The parsed ``checks.json``, empty where there is none.
    """
    return tuple((str(each["severity"]), str(each["message"])) for each in plain.get("findings") or ())


def _figure(plain: Mapping[str, Any]) -> Figure:
    value, low, high = (
        math.nan if plain[key] is None else float(plain[key]) for key in ("value", "low", "high")
    )
    return Figure(value, low, high, int(plain["n"]), str(plain.get("reason", "")))


def _signed(figure: Figure) -> Cell:
    value = "undefined" if math.isnan(figure.value) else f"{figure.value:+z.3f}"
    ends = f"{figure.low:+z.3f} to {figure.high:+z.3f}" if math.isfinite(figure.low + figure.high) else ""
    return Cell(value, ends, "", figure.reason)


def _robustness(plain: Mapping[str, Any], split: str, unit: Unit) -> Robustness:
    unchanged = _figure(plain["unchanged"])
    rows = tuple(
        ChangedRow(
            f"{_CHANGES.get(each['kind'], each['kind'])}, {each['strength']}",
            f"{each['amount']:g} {each['unit']}",
            cell("auroc", _figure(each["auroc"]), unit),
            _signed(_figure(each["difference"])),
        )
        for each in plain["changes"]
    )
    cases, every, images = (int(plain[key]) for key in ("cases", "of_cases", "images"))
    whole = f"All {every} {unit.word(every)} of {split}"
    part = f"{cases} of {every} {unit.word(every)} of {split}, drawn at random in the proportions of all"
    basis = f"{part if cases < every else whole}: {images} image{'' if images == 1 else 's'}."
    drawn = _drawing(plain["changes"], unchanged, split)
    return Robustness(basis, cell("auroc", unchanged, unit), rows, drawn)


def _drawing(changes: Sequence[Mapping[str, Any]], unchanged: Figure, split: str) -> Drawing | None:
    if math.isnan(unchanged.value):
        return None
    rows, told, before = [], [], None
    for each in changes:
        figure, name = _figure(each["auroc"]), _CHANGES.get(each["kind"], each["kind"])
        rows += [] if name == before else [Row(f"{name}:")]
        before = name
        rows.append(Row(f"{each['strength']}, {each['amount']:g}", figure.value, figure.low, figure.high))
        told.append(f"{name} {each['strength']} {number(figure.value)}")
    frame = Frame(
        "robustness",
        f"AUROC on changed images of {split}: {', '.join(told)}; unchanged {number(unchanged.value)}.",
        "AUROC",
        "",
        chosen=(unchanged.value, "unchanged"),
    )
    caption = f"AUROC on changed images of {split}, with 95 % intervals."
    return Drawing(forest(frame, rows), f"{caption} Dashed: unchanged, {number(unchanged.value)}.")


def _model(name: str, plain: Mapping[str, Any], unit: Unit) -> tuple[str, Cell, str, str]:
    figure = _figure(plain["auroc"])
    shown = cell("auroc", figure, unit)
    if name == "prevalence":
        shown = Cell(shown.value, "", "", figure.reason)
    words = _MODELS[name] + (f" on {plain['side']} by {plain['side']} pixels" if name == "linear" else "")
    return words, shown, number(plain["log_loss"]), number(plain["brier"])


def _meaning(models: Mapping[str, Any], facts: Facts, split: str, unit: Unit) -> tuple[str, ...]:
    linear, prevalence = models["linear"], models["prevalence"]
    apart = _figure(linear["network_less_linear"])
    learnt, every = int(linear["learnt_from"]), int(linear["of_train"])
    from_what = f"all {every} images" if learnt == every else f"{learnt} of {every} images, drawn at random,"
    sentences = [
        f"The linear model is a logistic regression on grey thumbnails, learnt from {from_what} of train "
        f"(inputs standardised, L2 penalty with C = {linear['inverse_penalty']:g}, not tuned)."
    ]
    if math.isfinite(apart.value):
        ends = interval(apart)
        known = f" (95 % interval of the difference, paired by patient: {ends})" if ends else ""
        way = "above" if apart.value >= 0 else "below"
        sentences.append(
            f"The AUROC of the network is {abs(apart.value):.3f} {way} that of the linear model{known}."
        )
    right = percent(prevalence["accuracy"], 1.0)
    kind = "for each label what holds for most" if facts.multilabel else "the most frequent class"
    sentence = f"Calling {kind} of train, whatever is seen, is right in {right} of calls on {split}"
    own = facts.figures.get(split, {}).get("accuracy")
    if own is not None and math.isfinite(own.value):
        sentence += f"; those of the network are right in {percent(own.value, 1.0)}"
    return (*sentences, f"{sentence}.")


def _shortcut(name: str, plain: Mapping[str, Any], unit: Unit) -> tuple[str, Cell, bool]:
    if "auroc" not in plain:
        return _FEATURES.get(name, name), Cell("not tried", "", "", str(plain["reason"])), False
    return _FEATURES.get(name, name), cell("auroc", _figure(plain["auroc"]), unit), bool(plain["finding"])
