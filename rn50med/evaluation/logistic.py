"""Logistic regression under many rows of weights at once."""

from __future__ import annotations

import numpy as np

from rn50med.evaluation.arrays import Floats

# Newton's method doubles its digits with each step: after one below this, the next would be rounding.
_TOLERANCE = 1e-7
_STEPS = 100


def separated(lowest: Floats, highest: Floats, lowest_negative: Floats, highest_negative: Floats) -> Floats:
    """Return to what a slope tends without limit, 0 where it has one.

    A single predictor has a finite slope exactly where the outcomes' ranges overlap in more than an end.

    Args:
        lowest: Smallest value among positive images.
        highest: Largest value among positive images.
        lowest_negative: Smallest value among negative images.
        highest_negative: Largest value among negative images.

    Source:
        Albert and Anderson, Biometrika 1984, 10.1093/biomet/71.1.1.

    Example:
        >>> separated(*(np.array([end]) for end in (0.5, 1.0, 0.0, 0.5)))
        array([inf])
    """
    above, below = lowest >= highest_negative, highest <= lowest_negative
    result = np.where(above, np.inf, np.where(below, -np.inf, 0.0))
    lacking = np.isinf(lowest) | np.isinf(lowest_negative)
    return np.where(lacking | (above & below), np.nan, result)


def fitted(
    design: Floats, offset: Floats, target: Floats, weights: Floats, start: Floats | None = None
) -> Floats:
    """Return the coefficients of largest likelihood for each row of weights, by Newton's method.

    A step after which the slope of the likelihood along it has turned to more than its opposite went too
    far, and is halved.

    Args:
        design: Predictors, the first of them 1.
        offset: Part of each image's logit that is given.
        target: 0 or 1.
        weights: How often each image counts.
        start: Coefficients near all of those that are sought; none start at 0.

    Shape:
        - design: ``(N, K)``; offset, target: ``(N,)``; weights: ``(R, N)``; start: ``(K,)``.
        - output: ``(R, K)``, ``nan`` where there is no maximum.

    Example:
        >>> coefficients = fitted(np.ones((4, 1)), np.zeros(4), np.array([1.0, 1, 1, 0]), np.ones((1, 4)))
        >>> coefficients.round(6)
        array([[1.098612]])
    """
    rows, (images, width) = len(weights), design.shape
    result = np.full((rows, width), np.nan)
    products = (design[:, :, None] * design[:, None, :]).reshape(images, width * width)
    total, found = weights.sum(axis=1), weights @ target
    active = np.flatnonzero((found > 0) & (found < total))
    wanted = (weights[active] * target) @ design
    step = np.zeros((active.size, width))
    point = step + (0.0 if start is None else start)
    along = np.full(active.size, np.inf)
    for _ in range(_STEPS):
        if not active.size:
            break
        with np.errstate(over="ignore", invalid="ignore"):
            said = 1.0 / (1.0 + np.exp(-(point @ design.T + offset)))
        expected = weights[active] * said
        gradient = wanted - expected @ design
        too_far = np.einsum("rk,rk->r", gradient, step) < -along
        newton = _solved((expected * (1.0 - said)) @ products, gradient, width)
        step = np.where(too_far[:, None], step / 2.0, newton)
        along = np.where(too_far, along / 2.0, np.einsum("rk,rk->r", gradient, newton))
        point = np.where(too_far[:, None], point - step, point + step)
        with np.errstate(invalid="ignore"):
            size = np.abs(step).max(axis=1) / (1.0 + np.abs(point).max(axis=1))
        done = ~too_far & (size < _TOLERANCE)
        result[active[done]] = point[done]
        keep = ~done & np.isfinite(size)
        active, wanted, point = active[keep], wanted[keep], point[keep]
        step, along = step[keep], along[keep]
    return result


def _solved(information: Floats, gradient: Floats, width: int) -> Floats:
    """Return Newton's steps; a trace's 1e-13 on the diagonal moves no maximum and keeps them solvable."""
    matrix = information.reshape(-1, width, width)
    trace = np.trace(matrix, axis1=1, axis2=2)
    ridge = np.maximum(trace * 1e-13, np.finfo(np.float64).tiny)
    return np.asarray(
        np.linalg.solve(matrix + ridge[:, None, None] * np.eye(width), gradient[..., None])[..., 0]
    )
