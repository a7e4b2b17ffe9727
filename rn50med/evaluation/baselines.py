"""What is reached without a deep network: by saying the prevalence to everybody, and by a linear model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rn50med.evaluation.arrays import UNKNOWN, Floats
from rn50med.evaluation.cases import Cases
from rn50med.evaluation.figure import Figure
from rn50med.evaluation.linear import INVERSE_PENALTY
from rn50med.evaluation.paired_cases import paired_headline
from rn50med.evaluation.scoring import brier, log_loss
from rn50med.evaluation.thumbnails import SIDE

Headline = Callable[[Cases], Figure]
"""Gives the AUROC of cases with its interval."""


def prevalence_of(cases: Cases) -> Floats:
    """Return the share of cases with each class or label, of those where it is known.

    Args:
        cases: Of train.

    Shape:
        - output: ``(P,)``, of the columns of their probabilities.

    Example:
        >>> prevalence_of(Cases(np.zeros((4, 1)), np.array([0, 0, 0, 1]), np.array(list("abcd")))).tolist()
        [0.25]
    """
    target, columns = cases.target, cases.probability.shape[1]
    if target.ndim == 2:
        known = target != UNKNOWN
        return np.asarray((target == 1).sum(axis=0) / np.maximum(1, known.sum(axis=0)), dtype=np.float64)
    classes = np.array([1]) if columns == 1 else np.arange(columns)
    return np.asarray((target[:, None] == classes).mean(axis=0), dtype=np.float64)


def losses(cases: Cases) -> dict[str, float]:
    """Return log-loss and Brier score; of labels, the mean of each over the labels that are known at all.

    Args:
        cases: With probabilities.

    Example:
        >>> found = losses(Cases(np.full((2, 1), 0.5), np.array([0, 1]), np.array(["a", "b"])))
        >>> round(found["log_loss"], 6), found["brier"]
        (0.693147, 0.25)
    """
    said, target = cases.probability, cases.target
    if target.ndim == 2:
        known = [
            (said[rows, k], target[rows, k]) for k, rows in enumerate((target != UNKNOWN).T) if rows.any()
        ]
    else:
        known = [(said[:, 0] if said.shape[1] == 1 else said, target)]
    return {
        "log_loss": float(np.mean([log_loss(*each) for each in known])),
        "brier": float(np.mean([brier(*each) for each in known])),
    }


def majority_accuracy(prevalence: Floats, cases: Cases) -> float:
    """Return the share of right calls where everybody is called what most of train are; of labels, the mean.

    Args:
        prevalence: Of train, ``(P,)``.
        cases: To judge; their probabilities are not used.

    Example:
        >>> cases = Cases(np.zeros((4, 1)), np.array([0, 0, 0, 1]), np.array(list("abcd")))
        >>> majority_accuracy(np.array([0.4]), cases), majority_accuracy(np.array([0.6]), cases)
        (0.75, 0.25)
    """
    target = cases.target
    if target.ndim == 2:
        called = (prevalence > 0.5).astype(np.int64)
        right = [
            float((target[rows, k] == called[k]).mean())
            for k, rows in enumerate((target != UNKNOWN).T)
            if rows.any()
        ]
        return float(np.mean(right))
    most = int(prevalence[0] > 0.5) if len(prevalence) == 1 else int(prevalence.argmax())
    return float((target == most).mean())


def baselines(train: Cases, network: Cases, linear: Cases, headline: Headline) -> dict[str, Any]:
    """Return what the network, a linear model and the prevalence alone reach on the same cases.

    Args:
        train: Cases that the prevalence is of.
        network: Cases to judge, as the network has them.
        linear: The same cases, as the linear model has them.
        headline: Gives the AUROC of cases.

    Returns:
        Plain types: of each its AUROC, log-loss and Brier score; of the linear model also how much higher
        the network's AUROC is, paired by patient.
    """
    prevalence = prevalence_of(train)
    shape = network.probability.shape
    constant = Cases(np.broadcast_to(prevalence, shape).copy(), network.target, network.patients)
    chance = Figure(0.5, 0.5, 0.5, shape[0], "by definition: all cases are said to be alike")
    apart = paired_headline(network, linear, headline)
    return {
        "network": {"auroc": headline(network).as_json(), **losses(network)},
        "prevalence": {
            "auroc": chance.as_json(),
            **losses(constant),
            "accuracy": majority_accuracy(prevalence, network),
        },
        "linear": {
            "auroc": headline(linear).as_json(),
            **losses(linear),
            "network_less_linear": apart.as_json(),
            "side": SIDE,
            "inverse_penalty": INVERSE_PENALTY,
        },
    }
