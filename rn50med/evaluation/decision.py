"""What calls are worth: net benefit, and predictive values where the finding is rarer or commoner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from rn50med.evaluation.arrays import Floats, finite, indices


def net_benefit(probabilities: ArrayLike, target: ArrayLike, threshold: float) -> float:
    """Return the net benefit of calling by a threshold probability, in true positives per image.

    A false alarm is weighed by the odds of the threshold: who treats at 10 % holds one missed finding to be
    as bad as nine false alarms. It means something where the probabilities are calibrated.

    Args:
        probabilities: Of the positive class, shape ``(N,)``.
        target: 0 or 1, shape ``(N,)``; ``nan`` is returned without an image.
        threshold: In [0, 1); an image at or above it is called positive.

    Raises:
        NumericalError: If a probability is not finite.
        ValueError: If the threshold is outside [0, 1).

    Source:
        Vickers and Elkin, Medical Decision Making 2006, 10.1177/0272989X06295361.

    Example:
        >>> net_benefit([0.1, 0.6, 0.7, 0.9], [0, 0, 1, 1], 0.5)
        0.25
    """
    return float(decision_curve(probabilities, target, [threshold]).model[0])


@dataclass(frozen=True, eq=False)
class DecisionCurve:
    """Net benefit over threshold probabilities.

    Args:
        thresholds: Where it was computed, in [0, 1).
        model: Of calling by the model.
        treat_all: Of calling every image positive.
        treat_none: Of calling none: 0.
    """

    thresholds: Floats
    model: Floats
    treat_all: Floats
    treat_none: Floats


def decision_curve(probabilities: ArrayLike, target: ArrayLike, thresholds: Sequence[float]) -> DecisionCurve:
    """Return the net benefit of the model, of treating all and of treating none.

    Args:
        probabilities: Of the positive class, shape ``(N,)``.
        target: 0 or 1, shape ``(N,)``.
        thresholds: In [0, 1), in any order.

    Raises:
        NumericalError: If a probability is not finite.
        ValueError: If a threshold is outside [0, 1).

    Source:
        Vickers and Elkin, Medical Decision Making 2006, 10.1177/0272989X06295361.

    Example:
        >>> curve = decision_curve([0.1, 0.6, 0.7, 0.9], [0, 0, 1, 1], [0.5, 0.2])
        >>> curve.model.tolist(), curve.treat_all.tolist()
        ([0.25, 0.4375], [0.0, 0.375])
    """
    said = finite(probabilities, "probabilities")
    positive = indices(target, 2, said.shape[0]) == 1
    points = np.asarray(thresholds, dtype=np.float64)
    if not ((points >= 0) & (points < 1)).all():
        raise ValueError(f"thresholds: {points[~((points >= 0) & (points < 1))][0]}; give numbers in [0, 1).")
    odds = points / (1.0 - points)
    true, false = (_called(said[outcome], points) for outcome in (positive, ~positive))
    number = said.size or np.nan
    every = (positive.sum() - odds * (~positive).sum()) / number
    return DecisionCurve(points, (true - odds * false) / number, every, np.zeros_like(points))


def _called(said: Floats, points: Floats) -> Floats:
    """Return how many probabilities are at or above each threshold."""
    return np.asarray(said.size - np.searchsorted(np.sort(said), points, side="left"), dtype=np.float64)


def positive_predictive_value_at(likelihood_ratio: float, prevalence: float) -> float:
    """Return the share of positive calls that would be right at a prevalence, by Bayes' rule.

    Args:
        likelihood_ratio: Of a positive call, at least 0; infinite where there is no false alarm.
        prevalence: In (0, 1), of the images to come.

    Example:
        >>> round(positive_predictive_value_at(9.0, 0.1), 12)
        0.5
    """
    odds = likelihood_ratio * prevalence / (1.0 - prevalence)
    return 1.0 if np.isinf(odds) else odds / (1.0 + odds)


def negative_predictive_value_at(likelihood_ratio: float, prevalence: float) -> float:
    """Return the share of negative calls that would be right at a prevalence, by Bayes' rule.

    Args:
        likelihood_ratio: Of a negative call, at least 0; infinite where no negative image is called so.
        prevalence: In (0, 1), of the images to come.

    Example:
        >>> round(negative_predictive_value_at(0.1, 0.5), 6)
        0.909091
    """
    return 1.0 / (1.0 + likelihood_ratio * prevalence / (1.0 - prevalence))


def predictive_values(
    sensitivity: ArrayLike, specificity: ArrayLike, prevalence: ArrayLike
) -> tuple[Floats, Floats]:
    """Return positive and negative predictive value at prevalences, for a curve.

    Args:
        sensitivity: In [0, 1].
        specificity: In [0, 1].
        prevalence: In [0, 1], any shape; ``nan`` is returned where nothing is called so.

    Example:
        >>> [value.round(3).tolist() for value in predictive_values(0.9, 0.8, [0.01, 0.5])]
        [[0.043, 0.818], [0.999, 0.889]]
    """
    found, spared, share = (
        np.asarray(each, dtype=np.float64) for each in (sensitivity, specificity, prevalence)
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        positive = found * share / (found * share + (1 - spared) * (1 - share))
        negative = spared * (1 - share) / (spared * (1 - share) + (1 - found) * share)
    return np.asarray(positive), np.asarray(negative)
