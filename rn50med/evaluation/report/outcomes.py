"""Charts of one finding's probabilities: calibration, spread, decisions, predictive values."""

from __future__ import annotations

import math

import numpy as np

from rn50med.evaluation.arrays import Floats
from rn50med.evaluation.calibration import Recalibration, calibration_error, log_odds, reliability
from rn50med.evaluation.decision import decision_curve, predictive_values
from rn50med.evaluation.report.charts import Drawing
from rn50med.evaluation.report.plots import MUTED, Frame, Line, chart
from rn50med.evaluation.report.subjects import Subject
from rn50med.evaluation.report.wording import number

_BARS = 20
_THRESHOLDS = np.arange(1, 100) / 100
_PREVALENCES = np.concatenate([[0.001, 0.002, 0.005], np.arange(1, 100) / 100, [0.995, 0.998, 0.999]])
_SHOWN = (0.01, 0.1)


def calibration(subject: Subject) -> Drawing:
    """Return the reliability chart, with what sums it up in its caption; before the temperature lightly.

    Args:
        subject: With cases of both outcomes.
    """
    x, y, low, high, sizes = _reliable(subject.said, subject)
    span = f"{min(sizes)} to {max(sizes)}" if min(sizes) < max(sizes) else str(sizes[0])
    after = subject.raw is not None
    lines = [Line("after" if after else "", x, y, 1, marker=True, ends=(low, high))]
    summed = _summed(subject.said, subject)
    told = f"{summed[0].upper()}{summed[1:]}; best are ECE 0, slope 1 and intercept 0."
    if subject.raw is not None:
        before = _reliable(subject.raw, subject)
        lines.append(Line("before temperature", before[0], before[1], 2, marker=True))
        told += f" Before the temperature, which was chosen on val: {_summed(subject.raw, subject)}."
    lines.append(Line("", np.array([0.0, 1.0]), np.array([0.0, 1.0]), MUTED))
    word = subject.unit.word()
    frame = Frame(
        f"calibration-{subject.place}",
        f"Calibration of {subject.name} on {subject.split}: share of positive {word} against their "
        f"probability; {summed}.",
        "mean probability",
        f"share of positive {word}",
        unit=True,
    )
    return Drawing(
        chart(frame, lines),
        f"Calibration on {subject.split}, in {len(x)} bin{'' if len(x) == 1 else 's'} of {span} "
        f"{word} with 95 % intervals by patient. Dashed: as it should be. {told}",
    )


def _reliable(said: Floats, subject: Subject) -> tuple[Floats, Floats, Floats, Floats, list[int]]:
    """Return probability, share, its ends and number of cases of each bin."""
    curve = reliability(said, subject.positive, subject.groups)
    x, y, low, high = np.array(
        [(each.probability, each.share.value, each.share.low, each.share.high) for each in curve]
    ).T
    return x, y, low, high, [each.share.n for each in curve]


def _summed(said: Floats, subject: Subject) -> str:
    """Return ECE, slope and intercept, a clause."""
    fit = Recalibration(log_odds(said), subject.positive, subject.groups, int(subject.groups.max()) + 1)
    slope, intercept = fit.estimate()
    summed = f"ECE {number(calibration_error(said, subject.positive))}, slope {number(slope)}"
    summed += f" ({fit.fault()})" if math.isnan(slope) and fit.fault() else ""
    return f"{summed}, intercept {number(intercept)}"


def spread(subject: Subject) -> Drawing:
    """Return how the probabilities of images with and without the finding are spread.

    Args:
        subject: With cases of both outcomes.
    """
    edges = np.linspace(0.0, 1.0, _BARS + 1)
    counts = [np.histogram(subject.said[each], edges)[0] for each in (~subject.positive, subject.positive)]
    most = max(int(each.max()) for each in counts)
    log = most > 20 * min(int(each.max()) for each in counts)
    images, word = [int(each.sum()) for each in counts], subject.unit.word()
    lines = [
        Line(
            f"{name}: {total}", edges, np.append(each, each[-1]).astype(np.float64), colour, True, filled=True
        )
        for name, total, each, colour in zip(("negative", "positive"), images, counts, (1, 2), strict=True)
    ]
    top = 3.0 * most if log else 1.05 * most
    point = subject.threshold
    frame = Frame(
        f"spread-{subject.place}",
        f"Histogram of the probability of {subject.name} on {subject.split}: {images[0]} negative and "
        f"{images[1]} positive {subject.unit.word()}.",
        f"probability of {subject.name}" if len(subject.name) <= 40 else "probability",
        f"{word}, in powers of ten" if log else word,
        chosen=None if point is None else (point, f"called from {point:.4g}"),
        limits=(-0.02, 1.02, 0.0, top),
        log=log,
    )
    caption = f"Probabilities on {subject.split} by outcome, in {_BARS} bins of one width; {word} counted."
    return Drawing(chart(frame, lines), caption)


def decisions(subject: Subject) -> Drawing:
    """Return the decision curve, beside calling all and none.

    Args:
        subject: With cases of both outcomes.
    """
    curve = decision_curve(subject.said, subject.positive, _THRESHOLDS.tolist())
    top = 1.1 * max(float(curve.model.max()), subject.prevalence)
    lines = [
        Line("by the model", curve.thresholds, curve.model, 1),
        Line("all called positive", curve.thresholds, curve.treat_all, 2),
        Line("none called positive", curve.thresholds, curve.treat_none, MUTED),
    ]
    first, last = float(_THRESHOLDS[0]), float(_THRESHOLDS[-1])
    middle = float(curve.model[np.searchsorted(_THRESHOLDS, 0.5)])
    frame = Frame(
        f"decision-{subject.place}",
        f"Decision curve of {subject.name} on {subject.split}: net benefit by threshold probability; "
        f"{number(middle)} at 0.5.",
        "threshold probability",
        "net benefit",
        limits=(-0.02, 1.02, -0.2 * top, top),
    )
    caption = (
        f"Decision curve on {subject.split}, thresholds {first:g} to {last:g}: true positives per "
        f"{subject.unit.of}, less false alarms at the odds of the threshold. It holds where the "
        "probabilities are calibrated; which thresholds matter is for the clinic to say. What is far below 0 "
        "is cut off."
    )
    return Drawing(chart(frame, lines), caption)


def predictive(subject: Subject) -> Drawing | None:
    """Return the predictive values over prevalence; None unless sensitivity and specificity are defined.

    Args:
        subject: Any.
    """
    reached = [subject.figures.get(key) for key in ("sensitivity", "specificity")]
    found, spared = (math.nan if each is None else each.value for each in reached)
    if math.isnan(found) or math.isnan(spared):
        return None
    curves = predictive_values(found, spared, _PREVALENCES)
    share = subject.prevalence
    frame = Frame(
        f"predictive-{subject.place}",
        f"Predictive values of {subject.name} against prevalence; "
        f"{_pair(found, spared, share)} at that of {subject.split}, {number(share)}.",
        "prevalence",
        "predictive value",
        unit=True,
        chosen=(share, f"{subject.split}: {number(share)}"),
    )
    lines = [
        Line(name, _PREVALENCES, values, colour)
        for name, values, colour in zip(("positive (PPV)", "negative (NPV)"), curves, (1, 2), strict=True)
    ]
    told = "; ".join(f"at {100 * each:g} %, {_pair(found, spared, each)}" for each in _SHOWN)
    way = "" if subject.threshold is None else f" at the threshold {subject.threshold:.4g}"
    caption = (
        f"Predictive values by Bayes\N{RIGHT SINGLE QUOTATION MARK} rule from sensitivity {number(found)} "
        f"and specificity {number(spared)} of {subject.split}{way}, as if both held elsewhere. "
        f"At its prevalence of {number(share)}, {_pair(found, spared, share)}; {told}."
    )
    return Drawing(chart(frame, lines), caption)


def _pair(found: float, spared: float, share: float) -> str:
    positive, negative = predictive_values(found, spared, share)
    return f"PPV {number(float(positive))} and NPV {number(float(negative))}"
