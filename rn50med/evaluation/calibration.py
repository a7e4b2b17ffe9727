"""Whether images that are given a probability have the finding that often."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logit
from scipy.stats import rankdata

from rn50med.evaluation.arrays import Bools, Floats, Ints, finite, indices
from rn50med.evaluation.figure import Figure
from rn50med.evaluation.logistic import fitted, separated
from rn50med.evaluation.proportions import proportion_interval
from rn50med.evaluation.resamples import quotient
from rn50med.evaluation.scoring import brier, log_loss

BINS = 15
"""Bins of equal mass into which probabilities are cut."""

# A bin of fewer images says more of chance than of the model.
_FEWEST = 10

# Cells of an array of resamples by images that are held at once; 2 MB stay in a core's cache.
_CELLS = 250_000


def log_odds(probabilities: ArrayLike) -> Floats:
    """Return the logits of probabilities, those of 0 and 1 as if one float64 step (2.2e-16) away.

    Args:
        probabilities: In [0, 1]; a saturated one becomes 36, not infinity, as in the log-loss.

    Example:
        >>> log_odds([0.5, 1.0]).round(1).tolist()
        [0.0, 36.0]
    """
    step = float(np.finfo(np.float64).eps)
    return np.asarray(logit(np.clip(finite(probabilities, "probabilities"), step, 1.0 - step)))


def equal_mass_bins(probabilities: ArrayLike) -> Ints:
    """Return each image's bin, from 0 for the lowest probabilities.

    Images are cut by rank into 15 bins of equal mass. Equal probabilities share a bin, so that many ties
    leave fewer bins; and a bin of fewer than 10 images, or less than half of its due, is joined with the
    next one.

    Args:
        probabilities: Shape ``(N,)``.

    Example:
        >>> equal_mass_bins(np.linspace(0, 1, 30)).tolist() == [0] * 10 + [1] * 10 + [2] * 10
        True
        >>> equal_mass_bins([0.1] * 50 + [0.9] * 50).tolist() == [0] * 50 + [1] * 50
        True
    """
    said = finite(probabilities, "probabilities")
    if not said.size:
        return np.empty(0, dtype=np.int64)
    # Ranks begin at 1; the middle of an image's own step lies half a step below.
    place = np.floor(BINS * (rankdata(said) - 0.5) / said.size).astype(np.int64)
    sizes, fewest = np.bincount(place, minlength=BINS), max(_FEWEST, said.size / BINS / 2)
    joined, number, held = np.empty(BINS, dtype=np.int64), 0, 0
    for k in range(BINS):
        joined[k] = number
        held += sizes[k]
        if held >= fewest:
            number, held = number + 1, 0
    # What is left at the top is too small for a bin of its own.
    return np.asarray(np.minimum(joined[place], max(0, number - 1)), dtype=np.int64)


def calibration_error(probabilities: ArrayLike, target: ArrayLike) -> float:
    """Return the expected calibration error (ECE): the mean gap between probability and share, by bin.

    It is above 0 by chance alone, the more so the fewer the images; bins as `equal_mass_bins`.

    Args:
        probabilities: Of the positive class, shape ``(N,)``.
        target: 0 or 1, shape ``(N,)``.

    Raises:
        NumericalError: If a probability is not finite.

    Source:
        Nixon et al., *Measuring calibration in deep learning*, CVPR Workshops 2019, arXiv 1904.01685.

    Example:
        >>> calibration_error([0.8] * 20, [1] * 12 + [0] * 8)
        0.2...
    """
    said = finite(probabilities, "probabilities")
    excess = said - indices(target, 2, said.shape[0])
    if not said.size:
        return float("nan")
    return float(np.abs(np.bincount(equal_mass_bins(said), weights=excess)).sum() / said.size)


def calibration_of(probabilities: ArrayLike, positive: ArrayLike) -> dict[str, float]:
    """Return Brier score, log-loss, ECE, slope and intercept of a finding, ``nan`` where undefined.

    Args:
        probabilities: Of the finding, shape ``(N,)``.
        positive: Whether it is there, shape ``(N,)``.

    Example:
        >>> found = calibration_of([0.25, 0.75] * 10, [False, True] * 10)
        >>> found["brier"], found["ece"]
        (0.0625, 0.25)
    """
    said, there = finite(probabilities, "probabilities"), np.asarray(positive, dtype=np.bool_)
    target = there.astype(np.int64)
    found = {
        "brier": brier(said, target),
        "log_loss": log_loss(said, target),
        "ece": calibration_error(said, target),
    }
    slope = intercept = float("nan")
    if there.any() and not there.all():
        slope, intercept = Recalibration(log_odds(said), there, np.arange(said.size), said.size).estimate()
    return found | {"calibration_slope": slope, "calibration_intercept": intercept}


@dataclass(frozen=True)
class Bin:
    """A point of a reliability curve.

    Args:
        probability: Mean of the bin.
        share: Of positive images, with its interval by patient and their number.
    """

    probability: float
    share: Figure


def reliability(probabilities: ArrayLike, target: ArrayLike, patients: ArrayLike) -> tuple[Bin, ...]:
    """Return the reliability curve, in the bins of the ECE.

    Args:
        probabilities: Of the positive class, shape ``(N,)``.
        target: 0 or 1, shape ``(N,)``.
        patients: Patient of each image, shape ``(N,)``.

    Example:
        >>> curve = reliability([0.1] * 20 + [0.9] * 20, [0] * 20 + [1] * 20, np.arange(40))
        >>> [(round(point.probability, 3), point.share.value, point.share.n) for point in curve]
        [(0.1, 0.0, 20), (0.9, 1.0, 20)]
    """
    said, groups = finite(probabilities, "probabilities"), np.asarray(patients)
    positive, place = indices(target, 2, said.shape[0]) == 1, equal_mass_bins(said)
    return tuple(
        Bin(float(said[place == k].mean()), proportion_interval(positive[place == k], groups[place == k]))
        for k in np.unique(place)
    )


@dataclass(frozen=True, eq=False)
class Recalibration:
    """Logistic recalibration: the outcome regressed on the logit of the probability, under any weights.

    The **slope** is that of ``logit(share) = a + b logit(p)``: 1 is right, below 1 probabilities are too
    extreme. The **intercept** is ``a`` with the slope held at 1 (calibration in the large): 0 is right,
    below 0 probabilities are too high.

    Args:
        logits: Of the probabilities.
        positive: Whether each image is positive.
        index: Patient of each image, from 0.
        patients: Number of patients, P.

    Shape:
        - logits, positive, index: ``(N,)``.

    Source:
        Cox, Biometrika 1958, 10.1093/biomet/45.3-4.562; Van Calster et al., Journal of Clinical
        Epidemiology 2016, 10.1016/j.jclinepi.2015.12.005.

    Example:
        >>> logits, positive = np.array([-1.0, 0.0, 0.0, 1.0]), np.array([False, True, False, True])
        >>> Recalibration(logits, positive, np.arange(4), 4).fault()
        'a probability separates the outcomes'
    """

    logits: Floats
    positive: Bools
    index: Ints
    patients: int

    def fault(self) -> str:
        """Return why the slope is undefined, a clause; nothing where it is defined."""
        if self.positive.all() or not self.positive.any():
            return f"no {'negative' if self.positive.all() else 'positive'} case"
        if np.ptp(self.logits) == 0:
            return "all probabilities are equal"
        limit = self._limits(np.ones((self.patients, 1)))[0]
        return "" if limit == 0 else "a probability separates the outcomes"

    def estimate(self) -> tuple[float, float]:
        """Return slope and intercept, ``nan`` where undefined."""
        lines, intercepts = self._fitted(np.ones((1, self.logits.size)))
        return float("nan") if self.fault() else float(lines[0, 1]), float(intercepts[0, 0])

    def __call__(self, counts: Floats) -> dict[str, Floats]:
        """Return slopes and intercepts of resamples, a slope infinite where outcomes are separated.

        Args:
            counts: How often each patient counts, ``(P, R)``.
        """
        slopes, intercepts = self._limits(counts), np.empty(counts.shape[1])
        near = None if self.fault() else [each[0] for each in self._fitted(np.ones((1, self.logits.size)))]
        for part in self._parts(counts.shape[1]):
            weights = np.ascontiguousarray(counts[:, part].T)[:, self.index]
            lines, shifts = self._fitted(weights, near)
            slopes[part] = np.where(slopes[part] == 0, lines[:, 1], slopes[part])
            intercepts[part] = shifts[:, 0]
        return {"calibration_slope": slopes, "calibration_intercept": intercepts}

    def _fitted(self, weights: Floats, near: Sequence[Floats] | None = None) -> tuple[Floats, Floats]:
        """Return lines ``(R, 2)`` and, with a slope of 1, intercepts ``(R, 1)``."""
        target, none = self.positive.astype(np.float64), np.zeros_like(self.logits)
        line = np.stack([np.ones_like(self.logits), self.logits], axis=1)
        starts = (None, None) if near is None or np.isnan(np.concatenate(near)).any() else near
        return (
            fitted(line, none, target, weights, starts[0]),
            fitted(line[:, :1], self.logits, target, weights, starts[1]),
        )

    def _parts(self, resamples: int) -> Iterator[slice]:
        step = max(1, _CELLS // self.logits.size)
        return (slice(start, start + step) for start in range(0, resamples, step))

    def _limits(self, counts: Floats) -> Floats:
        """Return 0 where a slope exists, else the infinity it tends to; ``nan`` without both outcomes."""
        ends = []
        for outcome in (self.positive, ~self.positive):
            for sign in (-1.0, 1.0):
                most = np.full(self.patients, -np.inf)
                np.maximum.at(most, self.index[outcome], sign * self.logits[outcome])
                ends.append(sign * np.where(counts > 0, most[:, None], -np.inf).max(axis=0))
        return separated(*ends)


def reduced_by_bin(probabilities: Floats, positive: Bools, index: Ints, patients: int) -> Floats:
    """Return each patient's sum of probability less outcome in each bin, ``(P, bins)``.

    Args:
        probabilities: Of the positive class, ``(N,)``.
        positive: Whether each image is positive, ``(N,)``.
        index: Patient of each image, ``(N,)``, from 0.
        patients: Number of patients, P.

    Example:
        >>> said, positive = np.repeat([0.25, 0.75], 10), np.repeat([False, True], 10)
        >>> reduced_by_bin(said, positive, np.zeros(20, dtype=int), 1).tolist()
        [[2.5, -2.5]]
    """
    place = equal_mass_bins(probabilities)
    width = int(place.max()) + 1
    sums = np.bincount(index * width + place, weights=probabilities - positive, minlength=patients * width)
    return np.asarray(sums.reshape(patients, width))


def error_by_bin(sums: Floats, images: Floats) -> Floats:
    """Return the ECE of resamples from their sums in each bin.

    Args:
        sums: Of probability less outcome, ``(bins, R)``.
        images: Number of images, ``(R,)``.

    Example:
        >>> error_by_bin(np.array([[2.5], [-2.5]]), np.array([20.0]))
        array([0.25])
    """
    return quotient(np.abs(sums).sum(axis=0), images)
