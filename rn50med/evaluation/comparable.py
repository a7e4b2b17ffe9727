"""The figures by which runs are compared, of one run under any draw of patients."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from rn50med.evaluation.arrays import UNKNOWN, Bools, Floats, Ints, patients_of
from rn50med.evaluation.bootstrap import outcome_pattern
from rn50med.evaluation.figure import Figure
from rn50med.evaluation.figures_regression import KEYS, ErrorSums
from rn50med.evaluation.intervals import auroc_interval, label_auroc_interval, macro_auroc_interval
from rn50med.evaluation.prediction_file import PredictionFile
from rn50med.evaluation.proportions import proportion_interval
from rn50med.evaluation.resamples import Ranking, quotient
from rn50med.evaluation.scoring import squared_errors, surprises

Statistic = Callable[[Floats], Floats]
"""A figure from how often each patient was drawn, ``(P, R)``: ``(R,)``, ``nan`` where undefined."""


@dataclass(frozen=True, eq=False)
class Comparable:
    """A figure of one run, and how patients are drawn for it.

    Args:
        statistic: Computes it.
        strata: Number of each patient's outcomes, ``(P,)``: patients are drawn within those that have the
            same ones. None where the figure depends on prevalence, and all are drawn alike.
        n: Cases it is computed from.
        patients: Patients it is the share of, where it is a share of right calls; else 0.
        alone: Gives it with its interval by patient, where there is a better one than by drawing them.
    """

    statistic: Statistic
    strata: Ints | None
    n: int
    patients: int = 0
    alone: Callable[[], Figure] | None = None


@dataclass(frozen=True, eq=False)
class _Finding:
    """What was said of a finding, on the images where it is known.

    Args:
        scores: Its probabilities, ``(M,)``.
        positive: Whether it is there, ``(M,)``.
        called: Whether it was called, ``(M,)``.
        index: Patient of each image, ``(M,)``.
        patients: Number of patients, those without a known image too.
    """

    scores: Floats
    positive: Bools
    called: Bools
    index: Ints
    patients: int

    def figures(self, suffix: str) -> dict[str, Comparable]:
        """Return what depends on order and calls."""
        pattern = outcome_pattern(self.positive, self.index, self.patients)
        pattern = np.where(np.bincount(self.index, minlength=self.patients) > 0, pattern, -1)
        ranking = Ranking.of(self.scores, self.positive, self.index, self.patients)
        right = (self.called == self.positive).astype(np.float64)
        auroc = partial(auroc_interval, self.scores, self.positive, self.index)
        found = {f"auroc{suffix}": Comparable(ranking.auroc, pattern, self.scores.size, alone=auroc)}
        for key, inside in (("sensitivity", self.positive), ("specificity", ~self.positive)):
            mean = _mean(right[inside], self.index[inside], self.patients)
            number, share = len(np.unique(self.index[inside])), _share(right[inside], self.index[inside])
            found[f"{key}{suffix}"] = Comparable(mean, pattern, int(inside.sum()), number, share)
        return found

    def errors(self, suffix: str) -> dict[str, Comparable]:
        """Return what depends on the probabilities themselves."""
        return _errors(suffix, self.scores, self.positive.astype(np.int64), self.index, self.patients)


def comparable(run: PredictionFile) -> dict[str, Comparable]:
    """Return the figures by which a run is compared, by name.

    Args:
        run: Its predictions, a row per case.

    Example:
        >>> names, said = np.array(["a", "b", "c"]), np.array([[0.9, 0.1], [0.4, 0.6], [0.3, 0.7]])
        >>> truth, called = np.array([0, 0, 1]), np.array([0, 1, 1])
        >>> run = PredictionFile(names, names, ("normal", "mass"), 1, said, said[:, 1:], truth, called)
        >>> comparable(run)["specificity"].statistic(np.array([[1.0, 3.0], [1.0, 1.0], [1.0, 1.0]]))
        array([0.5 , 0.75])
    """
    index, patients = patients_of(run.patients)
    if run.continuous:
        return _of_values(run)
    if run.several:
        return _of_labels(run, index, patients)
    findings = [
        _Finding(run.probabilities[:, k], run.target == k, run.called == k, index, patients)
        for k in range(len(run.names))
    ]
    if run.positive is not None:
        finding = findings[run.positive]
        return finding.figures("") | finding.errors("")
    has = np.zeros((patients, len(run.names)), dtype=bool)
    has[index, run.target] = True
    strata = np.unique(has, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)
    each = {
        key: figure
        for name, finding in zip(run.names, findings, strict=True)
        for key, figure in finding.figures(f"/{name}").items()
    }
    right = (run.called == run.target).astype(np.float64)
    mean = _mean_auroc(each, run.names, strata, len(run))
    accuracy = Comparable(_mean(right, index, patients), None, len(run), patients, _share(right, index))
    return {
        "auroc": replace(mean, alone=partial(macro_auroc_interval, run.probabilities, run.target, index)),
        "accuracy": accuracy,
        **_errors("", run.probabilities, run.target.astype(np.int64), index, patients),
        **_by_kind(each, run.names),
    }


def _of_values(run: PredictionFile) -> dict[str, Comparable]:
    sums = ErrorSums.of(run.probabilities[:, 0], run.target.astype(np.float64), run.patients)
    return {key: Comparable(partial(_one_of, sums, key), None, len(run)) for key in KEYS}


def _one_of(sums: ErrorSums, key: str, counts: Floats) -> Floats:
    return sums.figures(counts)[key]


def _of_labels(run: PredictionFile, index: Ints, patients: int) -> dict[str, Comparable]:
    each: dict[str, Comparable] = {}
    for k, name in enumerate(run.names):
        known = run.target[:, k] != UNKNOWN
        finding = _Finding(
            run.probabilities[known, k],
            run.target[known, k] == 1,
            run.called[known, k] == 1,
            index[known],
            patients,
        )
        each |= finding.figures(f"/{name}") | finding.errors(f"/{name}")
    # patients have too many patterns of labels to be drawn within
    mean = _mean_auroc(each, run.names, None, len(run))
    alone = partial(label_auroc_interval, run.probabilities, run.target, index)
    return {"auroc": replace(mean, alone=alone), **_by_kind(each, run.names)}


def _by_kind(each: Mapping[str, Comparable], names: Sequence[str]) -> dict[str, Comparable]:
    """Return the same figures, each kind of all classes or labels together."""
    kinds = dict.fromkeys(key.partition("/")[0] for key in each)
    return {f"{kind}/{name}": each[f"{kind}/{name}"] for kind in kinds for name in names}


def _mean_auroc(
    each: Mapping[str, Comparable], names: Sequence[str], strata: Ints | None, n: int
) -> Comparable:
    """Return the mean of the AUROCs that are defined, under each draw of patients."""
    parts = [each[f"auroc/{name}"].statistic for name in names]

    def statistic(counts: Floats) -> Floats:
        # a rare label that a draw lacks is left out of that draw: two runs both lack it
        found = np.stack([part(counts) for part in parts])
        defined = ~np.isnan(found)
        return quotient(np.where(defined, found, 0.0).sum(axis=0), defined.sum(axis=0).astype(np.float64))

    return Comparable(statistic, strata, n)


def _errors(suffix: str, said: Floats, target: Ints, index: Ints, patients: int) -> dict[str, Comparable]:
    parts = {"brier": squared_errors(said, target), "log_loss": surprises(said, target)}
    return {
        f"{key}{suffix}": Comparable(_mean(values, index, patients), None, len(target))
        for key, values in parts.items()
    }


def _share(right: Floats, index: Ints) -> Callable[[], Figure]:
    return partial(proportion_interval, right, index)


def _mean(values: Floats, index: Ints, patients: int) -> Statistic:
    """Return the mean of images' values, summed by patient once."""
    total = np.bincount(index, weights=values, minlength=patients)
    number = np.bincount(index, minlength=patients).astype(np.float64)

    def statistic(counts: Floats) -> Floats:
        return quotient(total @ counts, number @ counts)

    return statistic
