"""Every figure of a split with its 95 % interval, from probabilities, targets and patients."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from rn50med.evaluation.arrays import UNKNOWN, Bools, Floats, Ints, finite, indices, labels
from rn50med.evaluation.intervals import (
    Figure,
    auroc_interval,
    bootstrap_interval,
    effective_number,
    label_auroc_interval,
    macro_auroc_interval,
    mean_proportion_interval,
    proportion_interval,
    undefined,
    wilson,
)
from rn50med.evaluation.metrics import squared_errors, surprises, weighted_average_precision


def _weighted_mean(values: Floats, weights: Floats) -> Floats:
    return np.asarray(weights @ values / weights.sum(axis=1), dtype=np.float64)


def average_precision_interval(scores: ArrayLike, target: ArrayLike, groups: ArrayLike) -> Figure:
    """Return the average precision with a patient bootstrap's interval.

    Where every positive image is ranked first each resample says 1 and the bootstrap has no width. The
    lower end is then that of a model that finds Wilson's lower bound of the positives and ranks the rest
    by chance.

    Args:
        scores: Higher is more likely positive, shape ``(N,)``.
        target: 0 or 1, shape ``(N,)``.
        groups: Patient of each image, shape ``(N,)``.

    Example:
        >>> figure = average_precision_interval([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1], ["a", "b", "c", "d"])
        >>> figure.value, round(figure.low, 2), figure.high
        (1.0, 0.67, 1.0)
    """
    ranked = finite(scores, "scores")
    positive = indices(target, 2, ranked.shape[0]) == 1
    figure = bootstrap_interval(weighted_average_precision, [ranked, positive.astype(np.float64)], groups)
    if figure.value != 1.0:
        return figure
    index = np.unique(np.asarray(groups)[positive], return_inverse=True)[1]
    found, _ = wilson(1.0, effective_number(np.ones(index.size), index))
    return Figure(1.0, found + (1.0 - found) * float(positive.mean()), 1.0, figure.n)


def _probability_figures(probabilities: Floats, target: Ints, patients: ArrayLike) -> dict[str, Figure]:
    parts = {"brier": squared_errors, "log_loss": surprises}
    return {
        key: bootstrap_interval(_weighted_mean, [part(probabilities, target)], patients)
        for key, part in parts.items()
    }


def _within(hits: Bools, inside: Bools, patients: ArrayLike, reason: str) -> Figure:
    """Return the share of hits among the images inside, or why there is none."""
    if not inside.any():
        return undefined(reason, 0)
    return proportion_interval(hits[inside], np.asarray(patients)[inside])


@dataclass(frozen=True)
class _Reasons:
    """Why a figure of a finding is undefined: clauses for the negative outcome and the positive one."""

    absent: tuple[str, str]
    uncalled: tuple[str, str]


def _call_figures(
    called: Bools, positive: Bools, patients: ArrayLike, reasons: _Reasons
) -> dict[str, Figure]:
    right = called == positive
    absent, uncalled = reasons.absent, reasons.uncalled
    if positive.all() or not positive.any():
        balanced = undefined(absent[0] if positive.all() else absent[1], positive.size)
    else:
        balanced = mean_proportion_interval(right, positive, patients)
    return {
        "sensitivity": _within(right, positive, patients, absent[1]),
        "specificity": _within(right, ~positive, patients, absent[0]),
        "ppv": _within(right, called, patients, uncalled[1]),
        "npv": _within(right, ~called, patients, uncalled[0]),
        "accuracy": proportion_interval(right, patients),
        "balanced_accuracy": balanced,
    }


_CALL_KEYS = ("sensitivity", "specificity", "ppv", "npv", "accuracy", "balanced_accuracy")
_BINARY_KEYS = ("auroc", "auprc", *_CALL_KEYS, "brier", "log_loss")


def binary_figures(
    probability: ArrayLike,
    target: ArrayLike,
    patients: ArrayLike,
    threshold: float | None,
    classes: Sequence[str] = ("negative", "positive"),
) -> dict[str, Figure]:
    """Return the figures of a finding that is present or absent.

    Args:
        probability: Of the positive class, shape ``(N,)``, in [0, 1].
        target: 0 or 1, shape ``(N,)``. Leave unknown labels out.
        patients: Patient of each image, shape ``(N,)``.
        threshold: An image at or above it is called positive; None leaves what needs calls undefined.
        classes: Names of the negative and the positive class, for the reasons.

    Raises:
        NumericalError: If a probability is not finite.
        ValueError: If a target is not 0 or 1.

    Example:
        >>> figures = binary_figures([0.2, 0.6, 0.4, 0.9], [0, 0, 1, 1], ["a", "b", "c", "d"], 0.5)
        >>> figures["sensitivity"].value, figures["auroc"].value
        (0.5, 0.75)
        >>> binary_figures([0.2], [0], ["a"], 0.5, ("normal", "pneumonia"))["sensitivity"].reason
        "no image of class 'pneumonia'"
    """
    said = finite(probability, "probabilities")
    index = indices(target, 2, said.shape[0])
    if not index.size:
        return {key: undefined("no images", 0) for key in _BINARY_KEYS}
    absent, uncalled = (
        (f"{clause} {classes[0]!r}", f"{clause} {classes[1]!r}")
        for clause in ("no image of class", "no image was called")
    )
    return _finding_figures(said, index, patients, threshold, _Reasons(absent, uncalled))


def _finding_figures(
    said: Floats, index: Ints, patients: ArrayLike, threshold: float | None, reasons: _Reasons
) -> dict[str, Figure]:
    positive = index == 1
    if positive.all() or not positive.any():
        lacking = undefined(reasons.absent[0 if positive.all() else 1], index.size)
        ranks = {"auroc": lacking, "auprc": lacking}
    else:
        ranks = {
            "auroc": auroc_interval(said, index, patients),
            "auprc": average_precision_interval(said, index, patients),
        }
    if threshold is None:
        calls = {key: undefined("no operating point", index.size) for key in _CALL_KEYS}
    else:
        calls = _call_figures(said >= threshold, positive, patients, reasons)
    return ranks | calls | _probability_figures(said, index, patients)


def _one_versus_rest(
    probabilities: Floats, index: Ints, patients: ArrayLike, classes: Sequence[str]
) -> dict[str, Figure]:
    figures: dict[str, Figure] = {}
    for k, name in enumerate(classes):
        own = index == k
        if not own.any():
            figure = undefined(f"no image of class {name!r}", index.size)
        elif own.all():
            figure = undefined(f"no image of a class other than {name!r}", index.size)
        else:
            figure = auroc_interval(probabilities[:, k], own, patients)
        figures[f"auroc/{name}"] = figure
    return figures


def multiclass_figures(
    probabilities: ArrayLike, target: ArrayLike, patients: ArrayLike, classes: Sequence[str]
) -> dict[str, Figure]:
    """Return the figures of classes that exclude each other; the most probable class is the call.

    Args:
        probabilities: Of every class, shape ``(N, K)``.
        target: Class indices, shape ``(N,)``. Leave unknown labels out.
        patients: Patient of each image, shape ``(N,)``.
        classes: Names of the K classes, in the order of the columns.

    Raises:
        NumericalError: If a probability is not finite.
        ValueError: If a target is no class, or the columns are not one per class.

    Example:
        >>> said = [[0.7, 0.2, 0.1], [0.2, 0.7, 0.1], [0.6, 0.3, 0.1]]
        >>> figures = multiclass_figures(said, [0, 1, 1], ["a", "b", "c"], ["no", "mild", "severe"])
        >>> figures["auroc"].value, figures["auroc"].reason
        (1.0, "mean of 2 of 3 classes: no image of class 'severe'")
        >>> figures["balanced_accuracy"].value, figures["balanced_accuracy"].reason
        (0.75, "mean of 2 of 3 classes: no image of class 'severe'")
    """
    said = finite(probabilities, "probabilities")
    if said.ndim != 2 or said.shape[1] != len(classes):
        raise ValueError(
            f"probabilities: shape {said.shape} for {len(classes)} classes; give one column each."
        )
    index = indices(target, len(classes), said.shape[0])
    each = _one_versus_rest(said, index, patients, classes)
    if not index.size:
        keys = ("auroc", *each, "accuracy", "balanced_accuracy", "brier", "log_loss")
        return {key: undefined("no images", 0) for key in keys}
    right = said.argmax(axis=1) == index
    figures = {
        "auroc": macro_auroc_interval(said, index, patients),
        **each,
        "accuracy": proportion_interval(right, patients),
        "balanced_accuracy": mean_proportion_interval(right, index, patients),
    }
    for key in ("auroc", "balanced_accuracy"):
        figures[key] = _over_present(figures[key], index, classes)
    return figures | _probability_figures(said, index, patients)


def _over_present(figure: Figure, index: Ints, classes: Sequence[str]) -> Figure:
    """Say which classes a mean leaves out, and leave it undefined where one class is all there is."""
    present = set(index.tolist())
    if len(present) < 2:
        return undefined(f"no image of a class other than {classes[present.pop()]!r}", index.size)
    absent = ", ".join(repr(name) for k, name in enumerate(classes) if k not in present)
    if not absent:
        return figure
    reason = f"mean of {len(present)} of {len(classes)} classes: no image of class {absent}"
    return Figure(figure.value, figure.low, figure.high, figure.n, reason)


_LABEL_REASONS = _Reasons(
    ("no negative image", "no positive image"),
    ("no image was called negative", "no image was called positive"),
)


def multilabel_figures(
    probabilities: ArrayLike,
    target: ArrayLike,
    patients: ArrayLike,
    thresholds: Sequence[float | None],
    names: Sequence[str],
) -> dict[str, Figure]:
    """Return the figures of labels that may occur together, each on the images where it is known.

    Args:
        probabilities: Of every label, shape ``(N, L)``.
        target: 0, 1, or -100 where nobody ruled on the label, shape ``(N, L)``.
        patients: Patient of each image, shape ``(N,)``.
        thresholds: Of each label; None leaves what needs its calls undefined.
        names: Of the L labels, in the order of the columns.

    Raises:
        NumericalError: If a probability is not finite.
        ValueError: If a target is none of these, or the columns are not one per label.

    Example:
        >>> said, truth = [[0.2, 0.1], [0.9, 0.3], [0.1, 0.2]], [[0, 1], [1, -100], [-100, 1]]
        >>> figures = multilabel_figures(said, truth, ["a", "b", "c"], [0.5, None], ["mass", "hernia"])
        >>> figures["auroc"].value, figures["auroc"].reason
        (1.0, "mean of 1 of 2 labels: no negative image of 'hernia'")
        >>> figures["sensitivity/mass"].n, figures["auroc/hernia"].reason
        (1, 'no negative image')
    """
    said = finite(probabilities, "probabilities")
    if said.ndim != 2 or said.shape[1] != len(names):
        raise ValueError(f"probabilities: shape {said.shape} for {len(names)} labels; give one column each.")
    truth, groups = labels(target, said.shape), np.asarray(patients)
    each: dict[str, dict[str, Figure]] = {}
    for k, (name, threshold) in enumerate(zip(names, thresholds, strict=True)):
        known = truth[:, k] != UNKNOWN
        if not known.any():
            each[name] = dict.fromkeys(_BINARY_KEYS, undefined("no known image", 0))
        else:
            part = said[known, k], truth[known, k], groups[known], threshold
            each[name] = _finding_figures(*part, _LABEL_REASONS)
    by_key = {f"{key}/{name}": found[key] for key in _BINARY_KEYS for name, found in each.items()}
    return {"auroc": _over_labels(label_auroc_interval(said, truth, groups), each), **by_key}


def _over_labels(figure: Figure, each: Mapping[str, Mapping[str, Figure]]) -> Figure:
    """Say which labels a mean leaves out, and why."""
    lacking = [
        f"{found['auroc'].reason} of {name!r}"
        for name, found in each.items()
        if math.isnan(found["auroc"].value)
    ]
    if not lacking or len(lacking) == len(each):
        return figure
    reason = f"mean of {len(each) - len(lacking)} of {len(each)} labels: {', '.join(lacking)}"
    return Figure(figure.value, figure.low, figure.high, figure.n, reason)
