"""Figures of a number that is said of each image, such as an age."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from rn50med.evaluation.arrays import Floats, finite, patients_of
from rn50med.evaluation.bootstrap import draws, resampled
from rn50med.evaluation.figure import QUANTILE, Figure, undefined
from rn50med.evaluation.finding import with_ends
from rn50med.evaluation.resamples import quotient

KEYS = ("mae", "rmse", "bias", "loa_low", "loa_high", "r2", "pearson")

_SAME = 1e-12  # of the squares: a spread below it is rounding

_ALIKE = "all true values are alike"
_REASONS = {
    "loa_low": "one image has no spread",
    "loa_high": "one image has no spread",
    "r2": _ALIKE,
    "pearson": "all true values, or all that were said, are alike",
}


@dataclass(frozen=True, eq=False)
class ErrorSums:
    """Sums of what was said and what is true over the images of each patient.

    Args:
        sums: Of one, the error's magnitude, the error, its square, the truth, its square, what was said, its
            square, and the product of both, ``(9, P)``; truth and what was said less the mean of the truth.
    """

    sums: Floats

    @classmethod
    def of(cls, said: Floats, target: Floats, patients: ArrayLike) -> ErrorSums:
        """Sum images by patient.

        Args:
            said: ``(N,)``, N at least 1.
            target: ``(N,)``.
            patients: Patient of each image, ``(N,)``.
        """
        index, number = patients_of(patients)
        error, truth, value = said - target, target - target.mean(), said - target.mean()
        columns = [np.ones(said.size), np.abs(error), error, error**2]
        columns += [truth, truth**2, value, value**2, truth * value]
        return cls(np.stack([np.bincount(index, weights=each, minlength=number) for each in columns]))

    @property
    def patients(self) -> int:
        """Number of patients."""
        return len(self.sums.T)

    def figures(self, counts: Floats) -> dict[str, Floats]:
        """Return the figures of each resample, ``(R,)``, ``nan`` where undefined.

        Args:
            counts: How often each patient counts, ``(P, R)``.
        """
        images, *total = self.sums @ counts
        off, bias, squared, truth, truth2, value, value2, product = (quotient(t, images) for t in total)
        spread = np.maximum(squared - bias**2, 0.0)
        # Of a sample, with one less than its images below, as Bland and Altman have it.
        sd = np.sqrt(quotient(spread * images, images - 1.0))
        of_truth, of_value = _spread(truth2, truth), _spread(value2, value)
        return {
            "mae": off,
            "rmse": np.sqrt(squared),
            "bias": bias,
            "loa_low": bias - QUANTILE * sd,
            "loa_high": bias + QUANTILE * sd,
            "r2": 1.0 - quotient(squared, of_truth),
            "pearson": quotient(product - truth * value, np.sqrt(of_truth) * np.sqrt(of_value)),
        }

    def values(self) -> dict[str, float]:
        """Return the figures of the images themselves."""
        every = self.figures(np.ones((self.patients, 1)))
        return {key: float(value[0]) for key, value in every.items()}


def _spread(square: Floats, mean: Floats) -> Floats:
    """Return a variance, 0 where it is no more than rounding."""
    found = square - mean**2
    return np.where(found > _SAME * square, found, 0.0)


def regression_figures(said: ArrayLike, target: ArrayLike, patients: ArrayLike) -> dict[str, Figure]:
    """Return the figures of a number, each with an interval by drawing patients.

    An error is what was said less what is true. The limits of agreement hold 95 % of errors that are
    normally distributed; they count each image, whosever it is.

    Args:
        said: Numbers, shape ``(N,)``.
        target: True ones, shape ``(N,)``.
        patients: Patient of each image, shape ``(N,)``.

    Raises:
        NumericalError: If a number is not finite.
        ValueError: If the lengths differ.

    Source:
        Bland and Altman, *Statistical methods for assessing agreement between two methods of clinical
        measurement*, Lancet 1986, 10.1016/S0140-6736(86)90837-8; intervals: Efron and Tibshirani, *An
        introduction to the bootstrap*, 1993, section 13.3.

    Example:
        >>> figures = regression_figures([1.0, 2.0, 4.0], [1.0, 3.0, 3.0], ["a", "b", "c"])
        >>> round(figures["mae"].value, 3), figures["bias"].value, figures["r2"].value
        (0.667, 0.0, 0.25)
    """
    numbers, truth = finite(said, "values"), finite(target, "target")
    if not numbers.shape == truth.shape == np.shape(patients):
        raise ValueError(
            f"target: shape {truth.shape} for values of {numbers.shape}; give each a target and a patient."
        )
    n = numbers.size
    if not n:
        return {key: undefined("no cases", 0) for key in KEYS}
    sums = ErrorSums.of(numbers, truth, patients)
    drawn = resampled([sums.figures], draws(sums.patients)) if sums.patients > 1 else {}
    return {
        key: undefined(_REASONS[key], n) if math.isnan(value) else with_ends(key, value, n, drawn)
        for key, value in sums.values().items()
    }


def mean_absolute_error(said: ArrayLike, target: ArrayLike) -> float:
    """Return how far numbers are from the true ones in the mean; ``nan`` without any.

    Args:
        said: Numbers, shape ``(N,)``.
        target: True ones, shape ``(N,)``.

    Raises:
        NumericalError: If a number is not finite.

    Example:
        >>> mean_absolute_error([1.0, 2.0], [1.0, 4.0])
        1.0
    """
    apart = np.abs(finite(said, "values") - finite(target, "target"))
    return float(apart.mean()) if apart.size else math.nan
