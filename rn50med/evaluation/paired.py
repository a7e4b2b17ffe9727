"""Two models on the same images: the difference of a figure, with its interval by patient."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from rn50med.evaluation.arrays import Floats, finite, indices, patients_of
from rn50med.evaluation.bootstrap import draws, outcome_pattern, percentile_figure
from rn50med.evaluation.delong import Influence, clustered_influence, variance
from rn50med.evaluation.figure import QUANTILE, Figure, undefined
from rn50med.evaluation.intervals import auroc_interval
from rn50med.evaluation.proportions import difference


def paired_auroc(one: ArrayLike, other: ArrayLike, target: ArrayLike, patients: ArrayLike) -> Figure:
    """Return the difference of two models' AUROCs on the same images, the first less the second.

    The variance is that of the difference of each patient's influences, so that what both models get right
    or wrong together does not count. Where the data show none although the models rank differently (both
    are perfect), the ends are recovered from those of the two AUROCs.

    Args:
        one: Scores of the first model, higher is more likely positive, shape ``(N,)``.
        other: Scores of the second, shape ``(N,)``.
        target: 0 or 1, shape ``(N,)``.
        patients: Patient of each image, shape ``(N,)``.

    Raises:
        NumericalError: If a score is not finite.
        ValueError: If a target is not 0 or 1.

    Source:
        DeLong et al., Biometrics 1988, 10.2307/2531595; clustered: Obuchowski, Biometrics 1997,
        10.2307/2533958.

    Example:
        >>> figure = paired_auroc([0.1, 0.4, 0.3, 0.8], [0.1, 0.2, 0.3, 0.8], [0, 0, 1, 1], list("abcd"))
        >>> figure.value, round(figure.low, 2), round(figure.high, 2)
        (-0.25, -0.94, 0.44)
    """
    scores = [finite(each, "scores") for each in (one, other)]
    positive = indices(target, 2, scores[0].shape[0]) == 1
    if scores[0].shape != scores[1].shape:
        raise ValueError(f"scores: shapes {scores[0].shape} and {scores[1].shape}; give the same images.")
    if positive.all() or not positive.any():
        return undefined(f"no {'negative' if positive.all() else 'positive'} case", positive.size)
    index, number = patients_of(patients)
    parts = [clustered_influence(each, positive, index, number) for each in scores]
    value = parts[0].value - parts[1].value
    influence = Influence(
        value,
        parts[0].positive - parts[1].positive,
        parts[0].negative - parts[1].negative,
        parts[0].positive_patients,
        parts[0].negative_patients,
    )
    squared_error = variance([influence], number)
    # Nothing tells the models apart where they rank all images alike.
    ranks = [np.unique(each, return_inverse=True)[1] for each in scores]
    if np.array_equal(ranks[0], ranks[1]):
        return Figure(0.0, 0.0, 0.0, positive.size)
    if squared_error > 0.0:
        half = QUANTILE * math.sqrt(squared_error)
        return Figure(value, max(-1.0, value - half), min(1.0, value + half), positive.size)
    alone = [auroc_interval(each, positive, patients) for each in scores]
    apart = difference(alone[0], alone[1])
    return Figure(apart.value, apart.low, apart.high, positive.size)


def paired_bootstrap(
    statistic: Callable[[Floats, Floats, Floats], Floats],
    one: ArrayLike,
    other: ArrayLike,
    target: ArrayLike,
    patients: ArrayLike,
    seed: int = 0,
    stratified: bool = False,
) -> Figure:
    """Return the difference of any figure of two models on the same images, the first less the second.

    Both are computed on the same 2,000 resamples of patients.

    Args:
        statistic: Called as ``statistic(said, target, weights)`` with weights ``(R, N)``, how often each
            image counts; returns ``(R,)``, ``nan`` where undefined. The `weighted_` functions of
            `rn50med.evaluation.resamples` are such.
        one: What the first model said, first axis N: probabilities, or calls.
        other: What the second said.
        target: Truth, first axis N.
        patients: Patient of each image, shape ``(N,)``.
        seed: Of the draw.
        stratified: Whether resamples keep the number of patients with negative, mixed and positive images;
            for figures that do not depend on prevalence. The target is then 0 or 1, shape ``(N,)``.

    Source:
        Efron and Tibshirani, *An introduction to the bootstrap*, 1993, section 13.3.

    Example:
        >>> from rn50med.evaluation.resamples import weighted_brier
        >>> truth, patients = np.arange(40) % 2, np.arange(40)
        >>> figure = paired_bootstrap(weighted_brier, np.full(40, 0.5), 0.2 + 0.6 * truth, truth, patients)
        >>> round(figure.value, 6), round(figure.low, 6), round(figure.high, 6)
        (0.21, 0.21, 0.21)
    """
    said = [np.asarray(each, dtype=np.float64) for each in (one, other)]
    truth, (index, number) = np.asarray(target), patients_of(patients)
    if not len(said[0]) == len(said[1]) == len(truth) == index.size:
        raise ValueError(
            f"rows: {len(said[0])} and {len(said[1])} predictions, {len(truth)} targets and {index.size} "
            "patients; give the same images in the same order."
        )
    if not index.size:
        return undefined("no cases", 0)

    def apart(weights: Floats) -> Floats:
        return statistic(said[0], truth, weights) - statistic(said[1], truth, weights)

    value = float(apart(np.ones((1, index.size)))[0])
    if math.isnan(value):
        return undefined("not defined on these cases", index.size)
    if number < 2:
        return Figure(value, math.nan, math.nan, index.size, "no interval from a single patient")
    strata = outcome_pattern(truth == 1, index, number) if stratified else None
    blocks = draws(number, seed, strata, images=index.size)
    drawn = [apart(np.ascontiguousarray(counts[index].T)) for counts in blocks]
    return percentile_figure(value, np.concatenate(drawn), index.size)
