"""The figures of a classifier, in float64; ties count half, and what is undefined is ``nan``, never 0.

Example:
    >>> auroc([0.1, 0.4, 0.4, 0.8], [0, 0, 1, 1])
    0.875
    >>> sensitivity([True, False], [0, 0])
    nan
"""

from __future__ import annotations

from rn50med.evaluation.counting import (
    accuracy,
    balanced_accuracy,
    matthews_correlation,
    negative_likelihood_ratio,
    negative_predictive_value,
    positive_likelihood_ratio,
    positive_predictive_value,
    sensitivity,
    specificity,
)
from rn50med.evaluation.ranking import (
    auroc,
    average_precision,
    label_auroc,
    macro_auroc,
    precision_recall_points,
    roc_points,
)
from rn50med.evaluation.resamples import weighted_average_precision
from rn50med.evaluation.scoring import brier, log_loss, squared_errors, surprises

__all__ = [
    "accuracy",
    "auroc",
    "average_precision",
    "balanced_accuracy",
    "brier",
    "label_auroc",
    "log_loss",
    "macro_auroc",
    "matthews_correlation",
    "negative_likelihood_ratio",
    "negative_predictive_value",
    "positive_likelihood_ratio",
    "positive_predictive_value",
    "precision_recall_points",
    "roc_points",
    "sensitivity",
    "specificity",
    "squared_errors",
    "surprises",
    "weighted_average_precision",
]
