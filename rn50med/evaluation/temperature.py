"""Temperature scaling: logits divided by a number that val's images ask for."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar
from scipy.special import expit, softmax

from rn50med.evaluation.arrays import Floats, Ints, stored
from rn50med.evaluation.scoring import surprises

# A temperature outside says that val has no optimum: it is told apart without a fault, or not at all.
_COLDEST, _HOTTEST = 0.02, 50.0


@dataclass(frozen=True)
class Temperature:
    """What logits are divided by before they become probabilities; it moves no AUROC of one image each.

    Args:
        values: One, or one for each label.
        names: Of the labels; empty where there is one temperature for all logits.

    Example:
        >>> Temperature.from_plain({"mass": 2.0, "hernia": 1.0}).scaled(np.array([[4.0, 4.0]])).tolist()
        [[2.0, 4.0]]
        >>> Temperature((1.5,)).as_plain()
        1.5
    """

    values: tuple[float, ...]
    names: tuple[str, ...] = ()

    def scaled(self, logits: Floats) -> Floats:
        """Return logits divided by it.

        Args:
            logits: Shape ``(N, K)``.
        """
        return logits / np.array(self.values, dtype=np.float64)

    def as_plain(self) -> float | dict[str, float]:
        """Return plain types, for a checkpoint or JSON."""
        return dict(zip(self.names, self.values, strict=True)) if self.names else self.values[0]

    @classmethod
    def from_plain(cls, plain: float | Mapping[str, float] | None) -> Temperature | None:
        """Return what plain types stand for.

        Args:
            plain: As `as_plain` gives it, or None.
        """
        if plain is None:
            return None
        if isinstance(plain, Mapping):
            return cls(tuple(float(value) for value in plain.values()), tuple(plain))
        return cls((float(plain),))


def sigmoid_temperature(logits: ArrayLike, target: ArrayLike) -> float:
    """Return the temperature that makes the log-loss of a finding least; 1 where there is none.

    There is none where every image is told apart at a probability of one half, or all have one outcome.

    Args:
        logits: Of the positive class, shape ``(N,)``, of images that the model was not trained on and is
            not judged by.
        target: 0 or 1, shape ``(N,)``. Leave unknown labels out.

    Source:
        Guo et al., *On calibration of modern neural networks*, ICML 2017, section 4.2. arXiv:1706.04599

    Example:
        >>> sigmoid_temperature([-4.0, -4.0, -4.0, 4.0, 4.0, 4.0], [0, 0, 1, 1, 1, 0])
        5.77...
    """
    said, truth = np.asarray(logits, dtype=np.float64), np.asarray(target, dtype=np.int64)
    return _least(said, truth, expit, (said > 0).astype(np.int64))


def softmax_temperature(logits: ArrayLike, target: ArrayLike) -> float:
    """Return the temperature that makes the log-loss of classes least; 1 where there is none.

    Args:
        logits: Of every class, shape ``(N, K)``, of images as for `sigmoid_temperature`.
        target: Class indices, shape ``(N,)``.

    Source:
        Guo et al., *On calibration of modern neural networks*, ICML 2017, section 4.2. arXiv:1706.04599
    """
    said, truth = np.asarray(logits, dtype=np.float64), np.asarray(target, dtype=np.int64)
    return _least(said, truth, lambda each: softmax(each, axis=1), said.argmax(axis=1))


def _least(logits: Floats, target: Ints, probabilities: Callable[[Floats], Floats], called: Ints) -> float:
    if (called == target).all() or np.unique(target).size < 2:
        return 1.0

    def loss(log_temperature: float) -> float:
        return float(surprises(probabilities(logits / math.exp(log_temperature)), target).mean())

    ends = math.log(_COLDEST), math.log(_HOTTEST)
    best = float(minimize_scalar(loss, bounds=ends, method="bounded", options={"xatol": 1e-9}).x)
    if min(best - ends[0], ends[1] - best) < 1e-3:
        return 1.0
    return float(stored(np.array(math.exp(best))))
