"""Every figure of a split with its 95 % interval, from probabilities, targets and patients."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from rn50med.evaluation.arrays import UNKNOWN, Bools, Floats, Ints, finite, indices, labels
from rn50med.evaluation.figure import Figure, undefined
from rn50med.evaluation.figures_multiclass import multiclass_figures
from rn50med.evaluation.finding import (
    KEYS,
    PREVALENCE_KEYS,
    Finding,
    Reasons,
    finding_figures,
    mean_average_precision,
)
from rn50med.evaluation.intervals import label_auroc_interval

__all__ = ["binary_figures", "multiclass_figures", "multilabel_figures"]


def _prevalence(stated: float | None) -> float | None:
    if stated is not None and not 0.0 < stated < 1.0:
        raise ValueError(f"prevalence: {stated!r}; give a share between 0 and 1.")
    return stated


def _keys(prevalence: float | None) -> tuple[str, ...]:
    return KEYS if prevalence is None else (*KEYS, *PREVALENCE_KEYS)


def binary_figures(
    probability: ArrayLike,
    target: ArrayLike,
    patients: ArrayLike,
    threshold: float | None,
    classes: Sequence[str] = ("negative", "positive"),
    prevalence: float | None = None,
) -> dict[str, Figure]:
    """Return the figures of a finding that is present or absent.

    Args:
        probability: Of the positive class, shape ``(N,)``, in [0, 1].
        target: 0 or 1, shape ``(N,)``. Leave unknown labels out.
        patients: Patient of each image, shape ``(N,)``.
        threshold: An image at or above it is called positive; None leaves what needs calls undefined. It is
            the threshold probability of the net benefit too.
        classes: Names of the negative and the positive class, for the reasons.
        prevalence: Of the positive class where the model is to be used, in (0, 1): predictive values are
            given for it as well, as ``ppv_at_prevalence`` and ``npv_at_prevalence``.

    Raises:
        NumericalError: If a probability is not finite.
        ValueError: If a target is not 0 or 1.

    Example:
        >>> figures = binary_figures([0.2, 0.6, 0.4, 0.9], [0, 0, 1, 1], ["a", "b", "c", "d"], 0.5)
        >>> figures["sensitivity"].value, figures["auroc"].value
        (0.5, 0.75)
        >>> binary_figures([0.2], [0], ["a"], 0.5, ("normal", "pneumonia"))["sensitivity"].reason
        "no case of class 'pneumonia'"
    """
    said = finite(probability, "probabilities")
    index = indices(target, 2, said.shape[0])
    if not index.size:
        return {key: undefined("no cases", 0) for key in _keys(_prevalence(prevalence))}
    absent, uncalled = (
        (f"{clause} {classes[0]!r}", f"{clause} {classes[1]!r}")
        for clause in ("no case of class", "no case was called")
    )
    return _figures(said, index, patients, threshold, Reasons(absent, uncalled), prevalence)


def _figures(
    said: Floats,
    index: Ints,
    patients: ArrayLike,
    threshold: float | None,
    reasons: Reasons,
    prevalence: float | None,
) -> dict[str, Figure]:
    called = None if threshold is None else said >= threshold
    finding = Finding(said, index == 1, called, patients, reasons, threshold, _prevalence(prevalence))
    return finding_figures(finding)


_LABEL_REASONS = Reasons(
    ("no negative case", "no positive case"),
    ("no case was called negative", "no case was called positive"),
)


def multilabel_figures(
    probabilities: ArrayLike,
    target: ArrayLike,
    patients: ArrayLike,
    thresholds: Sequence[float | None],
    names: Sequence[str],
    prevalences: Sequence[float | None] | None = None,
) -> dict[str, Figure]:
    """Return the figures of labels that may occur together, each on the images where it is known.

    Args:
        probabilities: Of every label, shape ``(N, L)``.
        target: 0, 1, or -100 where nobody ruled on the label, shape ``(N, L)``.
        patients: Patient of each image, shape ``(N,)``.
        thresholds: Of each label; None leaves what needs its calls undefined.
        names: Of the L labels, in the order of the columns.
        prevalences: Of each label where the model is to be used, as in `binary_figures`.

    Raises:
        NumericalError: If a probability is not finite.
        ValueError: If a target is none of these, or the columns are not one per label.

    Example:
        >>> said, truth = [[0.2, 0.1], [0.9, 0.3], [0.1, 0.2]], [[0, 1], [1, -100], [-100, 1]]
        >>> figures = multilabel_figures(said, truth, ["a", "b", "c"], [0.5, None], ["mass", "hernia"])
        >>> figures["auroc"].value, figures["auroc"].reason
        (1.0, "mean of 1 of 2 labels: no negative case of 'hernia'")
        >>> figures["sensitivity/mass"].n, figures["auroc/hernia"].reason
        (1, 'no negative case')
    """
    said = finite(probabilities, "probabilities")
    if said.ndim != 2 or said.shape[1] != len(names):
        raise ValueError(f"probabilities: shape {said.shape} for {len(names)} labels; give one column each.")
    truth, groups = labels(target, said.shape), np.asarray(patients)
    known = truth != UNKNOWN
    each: dict[str, dict[str, Figure]] = {}
    stated = prevalences or [None] * len(names)
    for k, (name, threshold, prevalence) in enumerate(zip(names, thresholds, stated, strict=True)):
        rows = known[:, k]
        if not rows.any():
            each[name] = dict.fromkeys(_keys(prevalence), undefined("no known case", 0))
        else:
            part = said[rows, k], truth[rows, k], groups[rows], threshold, _LABEL_REASONS, prevalence
            each[name] = _figures(*part)
    by_key = {f"{key}/{name}": f[key] for key in _keys(0.5) for name, f in each.items() if key in f}
    macro = {
        "auroc": label_auroc_interval(said, truth, groups),
        "auprc": _mean_average_precision(said, truth, groups, known),
    }
    return {key: _over_labels(figure, each) for key, figure in macro.items()} | by_key


def _mean_average_precision(said: Floats, truth: Ints, groups: ArrayLike, known: Bools) -> Figure:
    """Return the mean of the labels' average precisions, on the images where one of these labels is known."""
    both = [k for k in range(said.shape[1]) if {0, 1} <= set(truth[:, k].tolist())]
    if not both:
        return undefined("no label has both a positive and a negative case", len(truth))
    inside = known[:, both].any(axis=1)
    parts = [
        (known[inside, k], said[inside & known[:, k], k], truth[inside & known[:, k], k] == 1) for k in both
    ]
    return mean_average_precision(parts, np.asarray(groups)[inside], int(inside.sum()))


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
