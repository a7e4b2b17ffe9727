"""Runs against each other: the paired difference of two recipes, and the spread over seeds or folds.

A row of a run is a case: an image, or what `PredictionFile.by_case` made of several.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rn50med.evaluation.arrays import UNKNOWN, Floats, patients_of
from rn50med.evaluation.bootstrap import RESAMPLES, draws, percentile_figure
from rn50med.evaluation.comparable import Comparable, comparable
from rn50med.evaluation.figure import Figure, undefined
from rn50med.evaluation.paired import paired_auroc
from rn50med.evaluation.prediction_file import PredictionFile
from rn50med.evaluation.proportions import wilson


@dataclass(frozen=True)
class Spread:
    """A figure over several runs.

    Args:
        value: Mean of the runs where it is defined, ``nan`` where there is none.
        sd: Their standard deviation, with one less than their number below; ``nan`` of fewer than two.
        lowest: The least of them.
        highest: The largest of them.
        n: Runs where it is defined.
        reason: A clause that says what was left out.

    Example:
        >>> spread([0.25, 0.5, 0.75, math.nan])
        Spread(value=0.5, sd=0.25, lowest=0.25, highest=0.75, n=3, reason='undefined in 1 of 4')
    """

    value: float
    sd: float
    lowest: float
    highest: float
    n: int
    reason: str = ""

    def as_json(self) -> dict[str, float | int | str | None]:
        """Return plain types for ``json``, which has no ``nan``."""
        numbers = {"value": self.value, "sd": self.sd, "lowest": self.lowest, "highest": self.highest}
        plain: dict[str, float | int | str | None] = {
            key: float(number) if math.isfinite(number) else None for key, number in numbers.items()
        }
        return plain | {"n": self.n} | ({"reason": self.reason} if self.reason else {})


def spread(values: Sequence[float]) -> Spread:
    """Return mean, standard deviation and range of a figure over runs.

    Args:
        values: Of each run, ``nan`` where it is undefined: that run is left out, and the reason says so.
    """
    defined = np.array([value for value in values if not math.isnan(value)], dtype=np.float64)
    missing = len(values) - defined.size
    reason = f"undefined in {missing} of {len(values)}" if missing else ""
    if not defined.size:
        return Spread(math.nan, math.nan, math.nan, math.nan, 0, reason)
    sd = float(defined.std(ddof=1)) if defined.size > 1 else math.nan
    return Spread(float(defined.mean()), sd, float(defined.min()), float(defined.max()), defined.size, reason)


@dataclass(frozen=True)
class Difference:
    """A figure of two recipes on the same images.

    Args:
        one: Of the first, the mean of its runs.
        other: Of the second.
        difference: The second less the first, with its 95 % interval.
    """

    one: float
    other: float
    difference: Figure

    def as_json(self) -> dict[str, object]:
        """Return plain types for ``json``, which has no ``nan``."""
        one, other = (value if math.isfinite(value) else None for value in (self.one, self.other))
        return {"one": one, "other": other, "difference": self.difference.as_json()}


def differences(
    one: Sequence[PredictionFile],
    other: Sequence[PredictionFile],
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Difference]:
    """Return every figure of two recipes, and their difference with its interval.

    Each resample draws patients, the same for all runs, and then, where a recipe has several runs, as many of
    its runs: what the interval covers is other patients and other seeds. Of k runs, drawing sees (k - 1) / k
    of the variance between seeds, so that with two or three the interval is somewhat narrow; with one, it is
    of other patients alone. The AUROCs of two single runs are compared by DeLong's variance instead.

    Args:
        one: Runs of the first recipe, all with the same rows.
        other: Runs of the second, with the same rows again.
        resamples: Resamples to draw.
        seed: Of the draws, so that a figure can be computed again.

    Source:
        Davison and Hinkley, *Bootstrap methods and their application*, 1997, section 3.8 (two levels);
        Bouthillier et al., *Accounting for variance in machine learning benchmarks*, MLSys 2021.

    Example:
        >>> names, truth = np.array(["a", "b", "c", "d"]), np.array([0, 0, 1, 1])
        >>> def run(scores):
        ...     said = np.stack([1 - scores, scores], axis=1)
        ...     called = said.argmax(axis=1)
        ...     return PredictionFile(names, names, ("no", "yes"), 1, said, said[:, 1:], truth, called)
        >>> one, other = run(np.array([0.1, 0.4, 0.3, 0.8])), run(np.array([0.1, 0.2, 0.3, 0.8]))
        >>> found = differences([one], [other])["auroc"]
        >>> found.one, found.other, found.difference.value
        (0.75, 1.0, 0.25)
    """
    runs = [comparable(run) for run in (*one, *other)]
    patients = patients_of(one[0].patients)[1]
    random = np.random.default_rng([seed, 1])
    picks = [random.integers(len(side), size=(len(side), resamples)) for side in (one, other)]
    found: dict[str, Difference] = {}
    for keys in drawn_alike(runs[0]):
        strata = runs[0][keys[0]].strata
        blocks = list(draws(patients, seed, strata, resamples)) if patients > 1 else []
        for key in keys:
            statistics = [run[key].statistic for run in runs]
            plain = np.array([statistic(np.ones((patients, 1)))[0] for statistic in statistics])
            drawn = [np.stack([statistic(counts) for statistic in statistics]) for counts in blocks]
            means = [_picked(side, pick) for side, pick in zip(_sides(drawn, len(one)), picks, strict=False)]
            values = float(plain[: len(one)].mean()), float(plain[len(one) :].mean())
            drawn_apart = means[1] - means[0] if means else None
            figure = difference_figure(
                values[1] - values[0], drawn_apart, runs[0][key].n, runs[0][key].patients
            )
            found[key] = Difference(*values, figure)
    if len(one) == len(other) == 1:
        found |= _auroc_differences(one[0], other[0], found)
    return {key: found[key] for key in runs[0]}


def drawn_alike(figures: Mapping[str, Comparable]) -> list[list[str]]:
    """Return the names of figures in groups for which patients are drawn alike.

    Args:
        figures: Of one run.
    """
    groups: dict[bytes, list[str]] = {}
    for key, figure in figures.items():
        kind = b"" if figure.strata is None else figure.strata.tobytes()
        groups.setdefault(kind, []).append(key)
    return list(groups.values())


def _sides(drawn: Sequence[Floats], ones: int) -> list[Floats]:
    """Return the figures of the runs of both recipes, ``(runs, R)`` each; nothing where nothing was drawn."""
    if not drawn:
        return []
    table = np.concatenate(drawn, axis=1)
    return [table[:ones], table[ones:]]


def _picked(side: Floats, pick: NDArray[np.int64]) -> Floats:
    """Return the mean of the runs that each resample drew."""
    return np.asarray(np.take_along_axis(side, pick, axis=0).mean(axis=0), dtype=np.float64)


def difference_figure(value: float, drawn: Floats | None, n: int, patients: int = 0) -> Figure:
    """Return a difference with the interval of its resamples.

    Args:
        value: The difference, ``nan`` where it is undefined.
        drawn: That of each resample, ``(R,)``; None where no patients could be drawn.
        n: Cases it is computed from.
        patients: Patients that it is of, where it is one of shares; else 0.
    """
    if math.isnan(value):
        return undefined("not defined on these cases", n)
    if drawn is None:
        return Figure(value, math.nan, math.nan, n, "no interval from a single patient")
    if patients and np.nanmax(drawn) == np.nanmin(drawn):
        # No patient on whom the runs differ says that few do, not that none does: Wilson's upper bound.
        half = wilson(0.0, patients)[1]
        return Figure(value, max(-1.0, value - half), min(1.0, value + half), n)
    return percentile_figure(value, drawn, n)


def _auroc_differences(
    one: PredictionFile, other: PredictionFile, found: Mapping[str, Difference]
) -> dict[str, Difference]:
    """Return the differences of two single runs' AUROCs, by DeLong's variance in place of drawing."""
    better = {}
    for k, name in enumerate(one.names):
        key = f"auroc/{name}" if one.positive is None else "auroc"
        if one.positive not in (None, k):
            continue
        known = one.target[:, k] != UNKNOWN if one.several else np.ones(len(one), dtype=bool)
        positive = one.target[known, k] if one.several else (one.target == k).astype(np.int64)
        scores = [run.probabilities[known, k] for run in (other, one)]
        figure = paired_auroc(scores[0], scores[1], positive, one.patients[known])
        better[key] = replace(found[key], difference=figure)
    return better
