"""Out-of-fold predictions of several models put together, each scaled by its own val images first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.special import expit, softmax

from rn50med.evaluation.arrays import UNKNOWN, Floats, patients_of, stored
from rn50med.evaluation.bootstrap import RESAMPLES, draws, percentile_figure
from rn50med.evaluation.cases import Unit
from rn50med.evaluation.comparable import Comparable, comparable
from rn50med.evaluation.figure import Figure, undefined
from rn50med.evaluation.operating_point import OperatingPoint, OperatingPoints, Thresholds
from rn50med.evaluation.prediction_file import PredictionFile, joined
from rn50med.evaluation.temperature import sigmoid_temperature, softmax_temperature

NOTE = (
    "Secondary. The folds' models differ: each one's logits were divided by the temperature of its own val "
    "images before what several models said was ranked together; calls are each model's own. The intervals "
    "are of patients alone, as if the folds had one model."
)

VALUES_NOTE = (
    "Secondary. The folds' models differ, and each said what it said. The intervals are of patients alone, "
    "as if the folds had one model."
)


def pooled(
    folds: Sequence[tuple[PredictionFile, PredictionFile]],
    unit: Unit | None = None,
    resamples: int = RESAMPLES,
) -> dict[str, Any]:
    """Return the figures of all that was held out, together.

    Args:
        folds: The predictions of each fold's val images, and of those that it held out, a row per image.
        unit: What a case is; an image where it is not given.
        resamples: Resamples of patients to draw for the intervals.

    Returns:
        Plain types for ``json``: ``note``, ``temperatures`` of the folds, and ``figures`` by name.
    """
    temperatures = [temperatures_of(val) for val, _ in folds]
    scaled = [
        scaled_by(run, each).by_case(unit or Unit())
        for (_, run), each in zip(folds, temperatures, strict=True)
    ]
    figures = _figures(joined(scaled), resamples)
    return {
        "note": VALUES_NOTE if folds[0][0].continuous else NOTE,
        "temperatures": [each.tolist() for each in temperatures],
        "figures": {key: figure.as_json() for key, figure in figures.items()},
    }


def _figures(run: PredictionFile, resamples: int) -> dict[str, Figure]:
    """Return the figures of a run with intervals by patient."""
    patients = patients_of(run.patients)[1]
    return {key: _figure(each, patients, resamples) for key, each in comparable(run).items()}


def _figure(figure: Comparable, patients: int, resamples: int) -> Figure:
    """Return a figure with its interval, drawn where there is no better one."""
    value = float(figure.statistic(np.ones((patients, 1)))[0])
    if math.isnan(value):
        return undefined("not defined on what was held out", figure.n)
    if figure.alone is not None:
        return figure.alone()
    if patients < 2:
        return Figure(value, math.nan, math.nan, figure.n, "no interval from a single patient")
    drawn = [figure.statistic(counts) for counts in draws(patients, 0, figure.strata, resamples)]
    return percentile_figure(value, np.concatenate(drawn), figure.n)


def scaled_by(run: PredictionFile, temperatures: Floats) -> PredictionFile:
    """Return predictions whose logits are divided by temperatures.

    Args:
        run: The predictions; their calls are left as they are.
        temperatures: One, or one for each label.
    """
    if run.continuous:
        return run
    return replace(run, probabilities=_probabilities(run, run.logits / temperatures))


def temperatures_of(val: PredictionFile) -> Floats:
    """Return the temperature that makes val's log-loss least; of labels, one for each.

    It is 1 where val has no such optimum: where it is told apart without a fault, or has one outcome alone.

    Args:
        val: Predictions of images that the model was not trained on, and that are not those it is judged by.
    """
    if val.continuous:
        return np.ones(1)
    if val.positive is not None:
        return np.array([sigmoid_temperature(val.logits[:, 0], val.target == val.positive)])
    if not val.several:
        return np.array([softmax_temperature(val.logits, val.target)])
    known = (val.target != UNKNOWN).T
    parts = [(val.logits[rows, k], val.target[rows, k]) for k, rows in enumerate(known)]
    return np.array([sigmoid_temperature(*part) for part in parts])


def _probabilities(run: PredictionFile, logits: Floats) -> Floats:
    """Return what logits say of every class or label."""
    if run.several:
        return np.asarray(expit(logits), dtype=np.float64)
    if run.positive is None:
        return np.asarray(softmax(logits, axis=1), dtype=np.float64)
    said = expit(logits[:, 0])
    return np.stack([said, 1.0 - said] if run.positive == 0 else [1.0 - said, said], axis=1)


def mean_point(points: Sequence[Thresholds]) -> Thresholds:
    """Return the operating point of an ensemble: the mean of its members' thresholds, finding by finding.

    Args:
        points: Of the members; those without one are left out.

    Example:
        >>> mean_point([OperatingPoint(0.2, "youden", 0.9, 0.8), OperatingPoint(0.4, "youden", 0.7, 0.6)])
        OperatingPoint(threshold=0.3, rule='mean of 2', sensitivity=0.8, specificity=0.7)
    """
    several = [each for each in points if isinstance(each, OperatingPoints)]
    if several:
        names = dict.fromkeys(name for each in several for name in each.by_name)
        return OperatingPoints({name: _mean([each.by_name.get(name) for each in several]) for name in names})
    return _mean([each for each in points if isinstance(each, OperatingPoint)])


def _mean(points: Sequence[OperatingPoint | None]) -> OperatingPoint | None:
    there = [point for point in points if point is not None]
    if not there:
        return None
    threshold, sensitivity, specificity = (
        float(stored(np.array(np.mean([getattr(point, key) for point in there]))))
        for key in ("threshold", "sensitivity", "specificity")
    )
    # What each of them reached by its rule is not known of their mean.
    return OperatingPoint(threshold, f"mean of {len(there)}", sensitivity, specificity)
