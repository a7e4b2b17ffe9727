"""The tables and sentences of a cross-validation's report."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from rn50med.errors import listed
from rn50med.evaluation.comparison import Spread
from rn50med.evaluation.report import content
from rn50med.evaluation.report.conduct import software
from rn50med.evaluation.report.folds_facts import HELD_OUT, Folds
from rn50med.evaluation.report.wording import NOTHING, Cell, cell, number, ordered, percent


@dataclass(frozen=True)
class SpreadCell:
    """A figure over the folds, as a table shows it.

    Args:
        value: Its mean, or "undefined".
        sd: Its standard deviation, or nothing.
        reach: Its range, or nothing.
        reason: What was left out; mostly nothing.
    """

    value: str
    sd: str
    reach: str
    reason: str


def spread_cell(spread: Spread) -> SpreadCell:
    """Return a figure over the folds as a table shows it.

    Args:
        spread: Over the folds.

    Example:
        >>> spread_cell(Spread(0.9, 0.05, 0.85, 0.95, 3))
        SpreadCell(value='0.900', sd='0.050', reach='0.850 to 0.950', reason='')
    """
    reason = f"{spread.reason} folds" if spread.reason else ""
    if math.isnan(spread.value):
        return SpreadCell(number(spread.value), "", "", reason)
    sd = "" if math.isnan(spread.sd) else number(spread.sd)
    return SpreadCell(
        number(spread.value), sd, f"{number(spread.lowest)} to {number(spread.highest)}", reason
    )


def figure_rows(folds: Folds) -> tuple[tuple[str, SpreadCell, Cell], ...]:
    """Return of each figure its name, what it is over the folds, and of all held-out cases together.

    Args:
        folds: Of the cross-validation.
    """
    several = folds.first.multilabel
    rows = []
    for key in ordered(folds.figures(fold) for fold in range(len(folds.each))):
        name = folds.first.label(key)
        if key == "auroc" and folds.first.positive is None:
            name += f", mean over the {'labels' if several else 'classes'}"
        rows.append((name, spread_cell(folds.mean[key]), cell(key, folds.pooled.get(key))))
    return tuple(rows)


def meaning(folds: Folds) -> str:
    """Return what the headline says, a sentence.

    Args:
        folds: Of the cross-validation.
    """
    first, number_of = folds.first, len(folds.each)
    what = f"The mean of {number_of} models, each judged by the {folds.unit.word()} that it never saw"
    if first.headline_words or first.watched not in content.EXPLAINED:
        return f"{what}. {first.headline_words}".strip()
    if first.positive is not None:
        return (
            f"{what}: how often {a_case(folds)} of class {first.positive} is given a higher probability than "
            "one of the other class."
        )
    if first.values:
        return f"{what}: how far what is said is from what is true."
    if first.ordered:
        return f"{what}; in each fold the mean over the grades: how well more than it is told apart."
    if first.multilabel:
        return f"{what}; in each fold the mean over the labels, where they are known."
    return f"{what}; in each fold the mean over the classes, each told apart from all others."


def a_case(folds: Folds) -> str:
    """Return what is judged, one of them.

    Args:
        folds: Of the cross-validation.
    """
    word = folds.unit.word(1)
    return f"an {word}" if word == "image" else f"a {word}"


def fold_rows(folds: Folds) -> tuple[tuple[str, tuple[Cell, ...], str, str], ...]:
    """Return of each fold its name, the headline figures, the epoch that was kept and the temperature.

    Args:
        folds: Of the cross-validation.
    """
    rows = []
    for fold, facts in enumerate(folds.each):
        figures = folds.figures(fold)
        cells = tuple(cell(key, figures.get(key)) for key in headline_keys(folds))
        epoch = (facts.environment.get("training") or {}).get("best_epoch")
        rows.append(
            (f"fold {fold}", cells, NOTHING if epoch is None else str(epoch), _temperature(folds, fold))
        )
    return tuple(rows)


def headline_keys(folds: Folds) -> tuple[str, ...]:
    """Return the keys of the figures that are shown fold by fold.

    Args:
        folds: Of the cross-validation.
    """
    binary = folds.first.positive is not None
    watched = folds.first.watched
    wanted = (watched, "sensitivity", "specificity") if binary else (watched, "accuracy", "bias")
    return tuple(key for key in wanted if key in folds.mean)


def _temperature(folds: Folds, fold: int) -> str:
    told = folds.temperatures[fold] if fold < len(folds.temperatures) else ()
    if not told:
        return NOTHING
    return number(told[0], 2) if len(told) == 1 else f"{number(min(told), 2)} to {number(max(told), 2)}"


def data_rows(folds: Folds) -> tuple[tuple[str, ...], ...]:
    """Return of each fold what it trained on, its val, and what it held out, with the count of each class.

    Args:
        folds: Of the cross-validation.
    """
    rows = []
    for fold, facts in enumerate(folds.each):
        splits = facts.audit.get("splits") or {}
        sizes = [_size(splits.get(split) or {}) for split in ("train", "val", HELD_OUT)]
        held = splits.get(HELD_OUT) or {}
        images, counts = int(held.get("images", 0)), held.get("classes") or {}
        shown = () if facts.multilabel else facts.classes
        shares = (f"{counts.get(each, 0)} ({percent(counts.get(each, 0), images)})" for each in shown)
        rows.append((f"fold {fold}", *sizes, *shares))
    return tuple(rows)


def _size(split: dict[str, object]) -> str:
    return f"{split.get('patients', NOTHING)} / {split.get('images', NOTHING)}"


def conduct_rows(folds: Folds) -> tuple[tuple[str, str], ...]:
    """Return how the folds were trained, a name and a clause each.

    Args:
        folds: Of the cross-validation.
    """
    found = [facts.environment for facts in folds.each]
    trainings = [each.get("training") or {} for each in found]
    number_of = len(folds.each)
    rows = (
        ("Network", "ResNet-50, fine-tuned anew for each fold"),
        ("Folds", f"{number_of}, all images of a patient in one"),
        ("A fold's model", f"trained on {number_of - 2} of the folds; the next one was its val, which chose "
         "epoch, temperature and operating point; judged by the one held out"),
        ("Starting weights", _same((each.get("weights") or {}).get("statement") for each in found)),
        ("Epochs planned", _same(each.get("epochs_planned") for each in trainings)),
        ("Kept by", _same(each.get("monitor") for each in trainings)),
        ("Precision of the training", _same((each.get("precision") or {}).get("training") for each in found)),
        ("Precision of the figures", _same((each.get("precision") or {}).get("tables") for each in found)),
        ("Seed", _same(each.get("seed") for each in found)),
        ("Software", _same(software(each) for each in found if each)),
    )  # fmt: skip
    return tuple((name, text) for name, text in rows if text)


def _same(told: Iterable[object]) -> str:
    """Return what the folds say, once where they agree."""
    return listed(dict.fromkeys(str(each) for each in told if each not in (None, "")))


def not_done(folds: Folds) -> tuple[str, ...]:
    """Return what a reader might expect and was not done, a sentence each.

    Args:
        folds: Of the cross-validation.
    """
    first, sentences = folds.first, []
    if first.synthetic:
        sentences.append("No real image was seen: the images are synthetic.")
    sentences.append(closed(folds))
    if first.audit.get("patients_are_images"):
        sentences.append(
            "Images were not tied to patients: each counts as its own. Where a patient has several, folds "
            "may share patients, which flatters the figures."
        )
    return (
        *sentences,
        "No figure is of the ensemble that predicts by the mean of these models: no image was held out from "
        "all of them.",
        "No interval of the mean: the folds' models share most of their training images, so that the folds' "
        "spread is no standard error (Bengio and Grandvalet, JMLR 2004).",
        "One seed: another one deals other folds and trains other models.",
        "No account of choices: where the recipe was chosen by these figures, they flatter it.",
        "No external validation: all folds come from the same source.",
        "No subgroups, calibration or decision curve of all folds together: the report in each fold's folder "
        "has those of its own images.",
        "No comparison with readers, with a simpler model or with published results.",
    )


def closed(folds: Folds) -> str:
    """Return what became of the test images, a sentence.

    Args:
        folds: Of the cross-validation.
    """
    flow = folds.first.audit.get("flow") or ()
    left = sum(int(step["images"]) for step in flow if str(step["what"]).startswith("test,"))
    if not left:
        return "No test images were put aside: none is left to test a recipe that these figures choose."
    return f"The {left} test images stayed closed: none of them is in any figure here."


def findings(folds: Folds) -> tuple[tuple[str, str], ...]:
    """Return severity and message of what the check of the data found in any fold, errors first.

    Args:
        folds: Of the cross-validation.
    """
    found = dict.fromkeys(each for facts in folds.each for each in content.findings(facts))
    return tuple(sorted(found, key=lambda each: each[0] != "error"))
