"""Out-of-fold predictions of several models put together, each scaled by its own val images first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit, softmax

from rn50med.evaluation.arrays import UNKNOWN, Floats, Targets, patients_of
from rn50med.evaluation.bootstrap import RESAMPLES, draws, percentile_figure
from rn50med.evaluation.comparable import comparable
from rn50med.evaluation.figure import Figure, undefined
from rn50med.evaluation.operating_point import OperatingPoint, OperatingPoints, Thresholds
from rn50med.evaluation.prediction_file import PredictionFile, joined
from rn50med.evaluation.predictions import stored
from rn50med.evaluation.scoring import surprises

NOTE = (
    "Secondary. The folds' models differ: each one's logits were divided by the temperature of its own val "
    "images before images of several models were ranked together; calls are each model's own. The intervals "
    "are of patients alone, as if the folds had one model."
)

# A temperature outside says that val has no optimum: it is told apart without a fault, or not at all.
_COLDEST, _HOTTEST = 0.02, 50.0

VALUES_NOTE = (
    "Secondary. The folds' models differ, and each said what it said. The intervals are of patients alone, "
    "as if the folds had one model."
)


def pooled(
    folds: Sequence[tuple[PredictionFile, PredictionFile]], resamples: int = RESAMPLES
) -> dict[str, Any]:
    """Return the figures of all held-out images together.

    Args:
        folds: The predictions of each fold's val images, and of those that it held out.
        resamples: Resamples of patients to draw for the intervals.

    Returns:
        Plain types for ``json``: ``note``, ``temperatures`` of the folds, and ``figures`` by name.
    """
    temperatures = [temperatures_of(val) for val, _ in folds]
    scaled = [scaled_by(run, each) for (_, run), each in zip(folds, temperatures, strict=True)]
    figures = _figures(joined(scaled), resamples)
    return {
        "note": VALUES_NOTE if folds[0][0].continuous else NOTE,
        "temperatures": [stored(each).tolist() for each in temperatures],
        "figures": {key: figure.as_json() for key, figure in figures.items()},
    }


def _figures(run: PredictionFile, resamples: int) -> dict[str, Figure]:
    """Return the figures of a run with intervals from drawing patients."""
    patients = patients_of(run.patients)[1]
    found = {}
    for key, figure in comparable(run).items():
        value = float(figure.statistic(np.ones((patients, 1)))[0])
        if math.isnan(value):
            found[key] = undefined("not defined on these images", figure.n)
            continue
        drawn = [figure.statistic(counts) for counts in draws(patients, 0, figure.strata, resamples)]
        found[key] = percentile_figure(value, np.concatenate(drawn), figure.n)
    return found


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

    Source:
        Guo et al., *On calibration of modern neural networks*, ICML 2017, section 4.2. arXiv:1706.04599
    """
    if val.continuous:
        return np.ones(1)
    if not val.several:
        return np.array([_temperature(val, val.target)])
    found = []
    for k in range(len(val.names)):
        known = val.target[:, k] != UNKNOWN
        own = replace(
            val,
            names=("0", "1"),
            positive=1,
            logits=val.logits[known, k : k + 1],
            target=val.target[known, k],
        )
        found.append(_temperature(own, own.target))
    return np.array(found)


def _temperature(val: PredictionFile, target: Targets) -> float:
    if (_probabilities(val, val.logits).argmax(axis=1) == target).all() or len(np.unique(target)) < 2:
        return 1.0

    def loss(log_temperature: float) -> float:
        said = _probabilities(val, val.logits / math.exp(log_temperature))
        return float(surprises(said, target).mean())

    ends = math.log(_COLDEST), math.log(_HOTTEST)
    best = float(minimize_scalar(loss, bounds=ends, method="bounded", options={"xatol": 1e-9}).x)
    return 1.0 if min(best - ends[0], ends[1] - best) < 1e-3 else math.exp(best)


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
