"""Figures of how near probabilities are to the truth."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from rn50med.evaluation.arrays import Floats, finite, indices


def squared_errors(probabilities: ArrayLike, target: ArrayLike) -> Floats:
    """Return each image's part of the Brier score.

    Args:
        probabilities: In [0, 1]; of the positive class, or of every class.
        target: Class indices.

    Shape:
        - probabilities: ``(N,)`` or ``(N, K)``; target and output: ``(N,)``.

    Example:
        >>> squared_errors([0.5, 1.0], [1, 1]).tolist()
        [0.25, 0.0]
    """
    said = finite(probabilities, "probabilities")
    if said.ndim == 1:
        errors = np.square(said - indices(target, 2, said.shape[0]))
    else:
        true = np.eye(said.shape[1])[indices(target, said.shape[1], said.shape[0])]
        errors = np.square(said - true).sum(axis=1)
    return np.asarray(errors, dtype=np.float64)


def brier(probabilities: ArrayLike, target: ArrayLike) -> float:
    """Return the mean squared error of the probabilities; lower is better.

    Args:
        probabilities: In [0, 1]; shape ``(N,)`` of the positive class, for a score from 0 to 1, or
            ``(N, K)`` of every class, for one from 0 to 2 (summed over classes, as Brier wrote it).
        target: Class indices, shape ``(N,)``.

    Raises:
        NumericalError: If a probability is not finite.

    Source:
        Brier, Monthly Weather Review 1950, 78(1), 1-3.

    Example:
        >>> brier([0.5, 1.0], [1, 1])
        0.125
    """
    errors = squared_errors(probabilities, target)
    return float(errors.mean()) if errors.size else float("nan")


def surprises(probabilities: ArrayLike, target: ArrayLike) -> Floats:
    """Return each image's part of the log-loss, in nats.

    Args:
        probabilities: In [0, 1]; of the positive class, or of every class. They are kept one float64
            step (2.2e-16) away from 0 and 1, as scikit-learn does, so that one saturated image costs
            36 nats and not infinity.
        target: Class indices.

    Shape:
        - probabilities: ``(N,)`` or ``(N, K)``; target and output: ``(N,)``.

    Example:
        >>> surprises([0.5, 1.0], [1, 1]).round(3).tolist()
        [0.693, 0.0]
    """
    step = float(np.finfo(np.float64).eps)
    said = np.clip(finite(probabilities, "probabilities"), step, 1.0 - step)
    if said.ndim == 1:
        positive = indices(target, 2, said.shape[0]) == 1
        return np.asarray(-np.log(np.where(positive, said, 1.0 - said)), dtype=np.float64)
    index = indices(target, said.shape[1], said.shape[0])
    return np.asarray(-np.log(said[np.arange(said.shape[0]), index]), dtype=np.float64)


def log_loss(probabilities: ArrayLike, target: ArrayLike) -> float:
    """Return the mean negative log-likelihood of the true classes, in nats; lower is better.

    Args:
        probabilities: In [0, 1]; shape ``(N,)`` of the positive class, or ``(N, K)`` of every class.
        target: Class indices, shape ``(N,)``.

    Raises:
        NumericalError: If a probability is not finite.

    Example:
        >>> round(log_loss([0.5, 0.5], [0, 1]), 6)
        0.693147
    """
    losses = surprises(probabilities, target)
    return float(losses.mean()) if losses.size else float("nan")
