"""Every figure of classes that exclude each other."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from rn50med.evaluation.arrays import Bools, Floats, Ints, finite, indices, patients_of
from rn50med.evaluation.bootstrap import draws, resampled
from rn50med.evaluation.counting import matthews_correlation
from rn50med.evaluation.figure import Figure, undefined
from rn50med.evaluation.finding import Finding, Reasons, finding_figures, mean_average_precision, with_ends
from rn50med.evaluation.intervals import (
    macro_auroc_interval,
    mean_proportion_interval,
    proportion_interval,
)
from rn50med.evaluation.resamples import quotient, weighted_mean
from rn50med.evaluation.scoring import squared_errors, surprises

_MACRO_KEYS = ("auroc", "auprc", "balanced_accuracy")
_OVERALL_KEYS = ("accuracy", "brier", "log_loss", "mcc")
_CLASS_KEYS = (
    "auroc",
    "auprc",
    "sensitivity",
    "specificity",
    "ppv",
    "npv",
    "lr_positive",
    "lr_negative",
    "ece",
    "calibration_slope",
    "calibration_intercept",
)
"""Figures of each class against the rest; its share of the overall ones would say little."""


def _one_versus_rest(
    probabilities: Floats, index: Ints, called: Ints, patients: ArrayLike, classes: Sequence[str]
) -> dict[str, dict[str, Figure]]:
    """Return the figures of each class against the rest."""
    each = {}
    for k, name in enumerate(classes):
        reasons = Reasons(
            (f"no case of a class other than {name!r}", f"no case of class {name!r}"),
            (f"no case was called other than {name!r}", f"no case was called {name!r}"),
        )
        found = finding_figures(Finding(probabilities[:, k], index == k, called == k, patients, reasons))
        each[name] = {key: found[key] for key in _CLASS_KEYS}
    return each


def _mean_average_precision(said: Floats, index: Ints, patients: ArrayLike) -> Figure:
    present = np.unique(index)
    if present.size < 2:
        return undefined("fewer than two classes occur", index.size)
    every: Bools = np.ones(index.size, dtype=np.bool_)
    parts: list[tuple[Bools, Floats, Bools]] = [(every, said[:, k], index == k) for k in present]
    return mean_average_precision(parts, patients, index.size)


def _overall(said: Floats, index: Ints, called: Ints, patients: ArrayLike) -> dict[str, Figure]:
    """Return correlation, Brier score and log-loss over all classes; patients are drawn alike."""
    group, number = patients_of(patients)
    classes = said.shape[1]
    columns = [squared_errors(said, index), surprises(said, index), called == index, np.ones(index.size)]
    columns += [each == k for each in (called, index) for k in range(classes)]
    sums = np.stack([np.bincount(group, weights=column, minlength=number) for column in columns])

    def figures(counts: Floats) -> dict[str, Floats]:
        total = sums @ counts
        right, images, made, true = total[2], total[3], total[4 : 4 + classes], total[4 + classes :]
        scale = [images**2 - np.square(each).sum(axis=0) for each in (made, true)]
        return {
            "brier": quotient(total[0], images),
            "log_loss": quotient(total[1], images),
            "mcc": np.clip(
                quotient(images * right - (made * true).sum(axis=0), np.sqrt(scale[0]) * np.sqrt(scale[1])),
                -1.0,
                1.0,
            ),
        }

    drawn = resampled([figures], draws(number)) if number > 1 else {}
    once = np.ones((1, index.size))
    values = {
        "brier": float(weighted_mean(columns[0], once)[0]),
        "log_loss": float(weighted_mean(columns[1], once)[0]),
        "mcc": matthews_correlation(called, index),
    }
    found = {key: with_ends(key, value, index.size, drawn) for key, value in values.items()}
    if math.isnan(values["mcc"]):
        found["mcc"] = undefined("only one class occurs, or is called", index.size)
    elif values["mcc"] == 1.0:
        # Every resample says 1; with all classes called rightly alike, the mean share is the cautious end.
        lowest = mean_proportion_interval(called == index, index, patients).low
        found["mcc"] = Figure(1.0, 2.0 * lowest - 1.0, 1.0, index.size)
    return found


def multiclass_figures(
    probabilities: ArrayLike,
    target: ArrayLike,
    patients: ArrayLike,
    classes: Sequence[str],
    called: ArrayLike | None = None,
) -> dict[str, Figure]:
    """Return the figures of classes that exclude each other.

    Args:
        probabilities: Of every class, shape ``(N, K)``.
        target: Class indices, shape ``(N,)``. Leave unknown labels out.
        patients: Patient of each image, shape ``(N,)``.
        classes: Names of the K classes, in the order of the columns.
        called: Index of the class that is called, shape ``(N,)``; the most probable one where not given.

    Raises:
        NumericalError: If a probability is not finite.
        ValueError: If a target or a call is no class, or the columns are not one per class.

    Example:
        >>> said = [[0.7, 0.2, 0.1], [0.2, 0.7, 0.1], [0.6, 0.3, 0.1]]
        >>> figures = multiclass_figures(said, [0, 1, 1], ["a", "b", "c"], ["no", "mild", "severe"])
        >>> figures["auroc"].value, figures["auroc"].reason
        (1.0, "mean of 2 of 3 classes: no case of class 'severe'")
        >>> figures["balanced_accuracy"].value, figures["balanced_accuracy"].reason
        (0.75, "mean of 2 of 3 classes: no case of class 'severe'")
    """
    said = finite(probabilities, "probabilities")
    if said.ndim != 2 or said.shape[1] != len(classes):
        raise ValueError(
            f"probabilities: shape {said.shape} for {len(classes)} classes; give one column each."
        )
    index = indices(target, len(classes), said.shape[0])
    if not index.size:
        keys = [*_MACRO_KEYS, *(f"{key}/{name}" for key in _CLASS_KEYS for name in classes), *_OVERALL_KEYS]
        return {key: undefined("no cases", 0) for key in keys}
    calls = said.argmax(axis=1) if called is None else indices(called, len(classes), said.shape[0])
    each, right = _one_versus_rest(said, index, calls, patients, classes), calls == index
    macro = {
        "auroc": macro_auroc_interval(said, index, patients),
        "auprc": _mean_average_precision(said, index, patients),
        "balanced_accuracy": mean_proportion_interval(right, index, patients),
    }
    return (
        {key: _over_present(figure, index, classes) for key, figure in macro.items()}
        | {f"{key}/{name}": each[name][key] for key in _CLASS_KEYS for name in classes}
        | {"accuracy": proportion_interval(right, patients)}
        | _overall(said, index, calls, patients)
    )


def _over_present(figure: Figure, index: Ints, classes: Sequence[str]) -> Figure:
    """Say which classes a mean leaves out, and leave it undefined where one class is all there is."""
    present = set(index.tolist())
    if len(present) < 2:
        return undefined(f"no case of a class other than {classes[present.pop()]!r}", index.size)
    absent = ", ".join(repr(name) for k, name in enumerate(classes) if k not in present)
    if not absent:
        return figure
    reason = f"mean of {len(present)} of {len(classes)} classes: no case of class {absent}"
    return Figure(figure.value, figure.low, figure.high, figure.n, reason)
