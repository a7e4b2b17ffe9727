"""Every figure of one finding with its 95 % interval."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from rn50med.evaluation.arrays import Bools, Floats, Ints, patients_of
from rn50med.evaluation.bootstrap import draws, outcome_pattern, percentile_figure, resampled
from rn50med.evaluation.calibration import Recalibration, calibration_error, log_odds
from rn50med.evaluation.figure import Figure, undefined
from rn50med.evaluation.finding_sums import PatientSums, patient_sums
from rn50med.evaluation.intervals import (
    auroc_interval,
    effective_number,
    mean_proportion_interval,
    proportion_interval,
    wilson,
)
from rn50med.evaluation.likelihood import likelihood_figures
from rn50med.evaluation.resamples import Ranking, weighted_average_precision, weighted_mean
from rn50med.evaluation.scoring import squared_errors, surprises

RANK_KEYS = ("auroc", "auprc")
CALL_KEYS = ("sensitivity", "specificity", "ppv", "npv", "accuracy", "balanced_accuracy")
PROBABILITY_KEYS = ("brier", "log_loss")
RATIO_KEYS = ("lr_positive", "lr_negative")
CALIBRATION_KEYS = ("brier_scaled", "ece", "calibration_slope", "calibration_intercept")
PREVALENCE_KEYS = ("ppv_at_prevalence", "npv_at_prevalence")
KEYS = (*RANK_KEYS, *CALL_KEYS, *PROBABILITY_KEYS, *RATIO_KEYS, "mcc", "net_benefit", *CALIBRATION_KEYS)
"""Figures of a finding, without those at a stated prevalence."""

_SINGLE = "no interval from a single patient"


@dataclass(frozen=True)
class Reasons:
    """Why a figure of a finding is undefined: clauses for the negative outcome and the positive one.

    Args:
        absent: No image has the outcome.
        uncalled: No image was called so.
    """

    absent: tuple[str, str]
    uncalled: tuple[str, str]


@dataclass(frozen=True, eq=False)
class Finding:
    """What was said of a finding, and what was there: at least one image.

    Args:
        said: Probability of it, ``(N,)``.
        positive: Whether it is there, ``(N,)``.
        called: Whether it was called, ``(N,)``; None without an operating point.
        patients: Patient of each image, ``(N,)``.
        reasons: For what is undefined.
        threshold: Threshold probability of the net benefit; None leaves it undefined.
        prevalence: At which predictive values are given as well, in (0, 1); None for the study's alone.
    """

    said: Floats
    positive: Bools
    called: Bools | None
    patients: ArrayLike
    reasons: Reasons
    threshold: float | None = None
    prevalence: float | None = None

    @property
    def lacking(self) -> str:
        """Why a figure that needs both outcomes is undefined; nothing where both occur."""
        if self.positive.all():
            return self.reasons.absent[0]
        return "" if self.positive.any() else self.reasons.absent[1]


def finding_figures(finding: Finding) -> dict[str, Figure]:
    """Return every figure of a finding.

    Args:
        finding: At least one image.
    """
    index, patients = patients_of(finding.patients)
    sums = patient_sums(finding.said, finding.positive, finding.called, finding.threshold, index)
    drawn = _drawn(finding, sums, index, patients)
    figures = _rank_figures(finding, drawn) | _call_figures(finding)
    figures |= _probability_figures(finding, drawn) | _ratio_figures(finding, figures, sums, index, patients)
    figures |= _worth_figures(finding, figures, sums, drawn) | _calibration_figures(finding, sums, drawn)
    return {key: figures[key] for key in (*KEYS, *PREVALENCE_KEYS) if key in figures}


def _drawn(finding: Finding, sums: PatientSums, index: Ints, patients: int) -> dict[str, Floats]:
    """Return the figures that depend on prevalence on every resample of all patients."""
    if patients < 2:
        return {}
    statistics = [sums.figures]
    if not finding.lacking:
        ranking = Ranking.of(finding.said, finding.positive, index, patients)
        statistics.append(lambda counts: {"auprc": ranking.average_precision(counts)})
        statistics.append(Recalibration(log_odds(finding.said), finding.positive, index, patients))
    return resampled(statistics, draws(patients))


def with_ends(key: str, value: float, n: int, drawn: Mapping[str, Floats]) -> Figure:
    """Return a figure with the percentile interval of its resamples, or why it has none.

    Args:
        key: Its name among the resamples.
        value: The estimate.
        n: Images it was computed from.
        drawn: Figures on each resample; empty where there is one patient.
    """
    return (
        percentile_figure(value, drawn[key], n)
        if key in drawn
        else Figure(value, math.nan, math.nan, n, _SINGLE)
    )


def _rank_figures(finding: Finding, drawn: Mapping[str, Floats]) -> dict[str, Figure]:
    said, positive, n = finding.said, finding.positive, finding.positive.size
    if finding.lacking:
        return dict.fromkeys(RANK_KEYS, undefined(finding.lacking, n))
    value = float(weighted_average_precision(said, positive.astype(np.float64), np.ones((1, n)))[0])
    area = with_ends("auprc", value, n, drawn)
    if value == 1.0:
        area = perfect_average_precision(positive, finding.patients)
    return {"auroc": auroc_interval(said, positive, finding.patients), "auprc": area}


def perfect_average_precision(positive: Bools, patients: ArrayLike) -> Figure:
    """Return an average precision of 1, of which each resample says 1, with an interval that has width.

    The lower end is that of a model that finds Wilson's lower bound of the positives and ranks the rest by
    chance.

    Args:
        positive: Whether each image is positive, ``(N,)``.
        patients: Patient of each image, ``(N,)``.

    Example:
        >>> round(perfect_average_precision(np.arange(4) > 1, ["a", "b", "c", "d"]).low, 2)
        0.67
    """
    index = np.unique(np.asarray(patients)[positive], return_inverse=True)[1]
    found, _ = wilson(1.0, effective_number(np.ones(index.size), index))
    return Figure(1.0, found + (1.0 - found) * float(positive.mean()), 1.0, positive.size)


def _within(hits: Bools, inside: Bools, patients: ArrayLike, reason: str) -> Figure:
    """Return the share of hits among the images inside, or why there is none."""
    if not inside.any():
        return undefined(reason, 0)
    return proportion_interval(hits[inside], np.asarray(patients)[inside])


def _call_figures(finding: Finding) -> dict[str, Figure]:
    called, positive, patients, reasons = finding.called, finding.positive, finding.patients, finding.reasons
    if called is None:
        return dict.fromkeys(CALL_KEYS, undefined("no operating point", positive.size))
    right = called == positive
    balanced = undefined(finding.lacking, positive.size)
    if not finding.lacking:
        balanced = mean_proportion_interval(right, positive, patients)
    return {
        "sensitivity": _within(right, positive, patients, reasons.absent[1]),
        "specificity": _within(right, ~positive, patients, reasons.absent[0]),
        "ppv": _within(right, called, patients, reasons.uncalled[1]),
        "npv": _within(right, ~called, patients, reasons.uncalled[0]),
        "accuracy": proportion_interval(right, patients),
        "balanced_accuracy": balanced,
    }


def _probability_figures(finding: Finding, drawn: Mapping[str, Floats]) -> dict[str, Figure]:
    target, n = finding.positive.astype(np.int64), finding.positive.size
    parts = {"brier": squared_errors, "log_loss": surprises}
    return {
        key: with_ends(key, float(weighted_mean(part(finding.said, target), np.ones((1, n)))[0]), n, drawn)
        for key, part in parts.items()
    }


def _ratio_figures(
    finding: Finding, figures: dict[str, Figure], sums: PatientSums, index: Ints, patients: int
) -> dict[str, Figure]:
    """Return what depends on sensitivity and specificity alone: patients are drawn within their outcomes."""
    keys = (*RATIO_KEYS, *(PREVALENCE_KEYS if finding.prevalence is not None else ()))
    lacking = finding.lacking or ("no operating point" if finding.called is None else "")
    if lacking:
        return dict.fromkeys(keys, undefined(lacking, finding.positive.size))
    drawn: dict[str, Floats] = {}
    if patients > 1:
        pattern = outcome_pattern(finding.positive, index, patients)
        drawn = resampled([sums.ratios], draws(patients, strata=pattern))
    shares = figures["sensitivity"], figures["specificity"]
    return likelihood_figures(shares, drawn, finding.reasons.uncalled, finding.prevalence)


def _worth_figures(
    finding: Finding, figures: dict[str, Figure], sums: PatientSums, drawn: dict[str, Floats]
) -> dict[str, Figure]:
    """Return correlation and net benefit of the calls."""
    n, point = finding.positive.size, "no operating point"
    if finding.called is None:
        return dict.fromkeys(("mcc", "net_benefit"), undefined(point, n))
    values, made = sums.values(), finding.called
    lacking = finding.lacking
    if not lacking and (made.all() or not made.any()):
        lacking = finding.reasons.uncalled[0 if made.all() else 1]
    correlation = undefined(lacking, n) if lacking else with_ends("mcc", values["mcc"], n, drawn)
    if abs(correlation.value) == 1.0:
        correlation = _perfect_correlation(correlation, figures, float(finding.positive.mean()))
    if "net_benefit" in values:
        return {"mcc": correlation, "net_benefit": with_ends("net_benefit", values["net_benefit"], n, drawn)}
    reason = point if finding.threshold is None else "a threshold of 1 has no odds"
    return {"mcc": correlation, "net_benefit": undefined(reason, n)}


def _perfect_correlation(figure: Figure, figures: dict[str, Figure], share: float) -> Figure:
    """Return a correlation of 1 or -1 with the end that sensitivity and specificity have at theirs."""
    sign = math.copysign(1.0, figure.value)
    found, spared = (
        figures[key].low if sign > 0 else 1.0 - figures[key].high for key in ("sensitivity", "specificity")
    )
    made = share * found + (1 - share) * (1 - spared)
    inner = share * (1 - share) * (found + spared - 1) / math.sqrt(share * (1 - share) * made * (1 - made))
    low, high = sorted((figure.value, sign * inner))
    return Figure(figure.value, low, high, figure.n)


def _calibration_figures(
    finding: Finding, sums: PatientSums, drawn: Mapping[str, Floats]
) -> dict[str, Figure]:
    positive, n = finding.positive, finding.positive.size
    gap = calibration_error(finding.said, positive)
    figures = {"ece": _reflected(with_ends("ece", gap, n, drawn))}
    if finding.lacking:
        return figures | dict.fromkeys(
            ("brier_scaled", "calibration_slope", "calibration_intercept"), undefined(finding.lacking, n)
        )
    index, patients = patients_of(finding.patients)
    model = Recalibration(log_odds(finding.said), positive, index, patients)
    slope, intercept = model.estimate()
    key, reason = "calibration_slope", model.fault()
    figures[key] = undefined(reason, n) if reason else _fit("calibration_slope", slope, n, drawn)
    figures["calibration_intercept"] = _fit("calibration_intercept", intercept, n, drawn)
    return figures | {"brier_scaled": with_ends("brier_scaled", sums.values()["brier_scaled"], n, drawn)}


def _fit(key: str, value: float, n: int, drawn: Mapping[str, Floats]) -> Figure:
    return undefined("the fit did not converge", n) if math.isnan(value) else with_ends(key, value, n, drawn)


def _reflected(figure: Figure) -> Figure:
    """Return the ECE's interval reflected about it, on the squared scale.

    Chance adds to the ECE of a sample, and to that of a resample once more: the percentiles lie above the
    value as the value lies above the truth. Squares of what is independent add up.
    """
    if math.isnan(figure.low):
        return figure
    low, high = (math.sqrt(max(0.0, 2 * figure.value**2 - end**2)) for end in (figure.high, figure.low))
    return Figure(figure.value, min(low, figure.value), max(high, figure.value), figure.n, figure.reason)


def mean_average_precision(
    parts: Sequence[tuple[Bools, Floats, Bools]], patients: ArrayLike, images: int
) -> Figure:
    """Return the mean average precision of several findings, with a patient bootstrap's interval.

    Args:
        parts: Of each finding the images where it is known, ``(N,)``, and of those the probabilities and
            whether each is positive; both outcomes occur.
        patients: Patient of each image, ``(N,)``.
        images: Images that the figure is of.
    """
    index, number = patients_of(patients)
    rankings = [Ranking.of(said, positive, index[known], number) for known, said, positive in parts]

    def mean(counts: Floats) -> dict[str, Floats]:
        return {"auprc": np.mean([ranking.average_precision(counts) for ranking in rankings], axis=0)}

    value = float(mean(np.ones((number, 1)))["auprc"][0])
    drawn = resampled([mean], draws(number)) if number > 1 else {}
    return with_ends("auprc", value, images, drawn)
