"""Sums over each patient's images, from which most figures of any resample follow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rn50med.evaluation.arrays import Bools, Floats, Ints
from rn50med.evaluation.calibration import error_by_bin, reduced_by_bin
from rn50med.evaluation.resamples import quotient
from rn50med.evaluation.scoring import squared_errors, surprises

_NAMES = ("images", "positive", "squares", "surprises", "called", "found")


@dataclass(frozen=True, eq=False)
class PatientSums:
    """Sums of a finding over the images of each patient.

    Args:
        sums: Of images, positive ones, squared errors and surprises, then, where there are calls, of those
            and of the right ones among them, ``(P, 4)`` or ``(P, 6)``.
        gaps: Of probability less outcome, in each bin of the ECE, ``(P, bins)``.
        odds: What a false alarm costs against a missed finding; None leaves the net benefit out.
    """

    sums: Floats
    gaps: Floats
    odds: float | None

    def figures(self, counts: Floats) -> dict[str, Floats]:
        """Return the figures that depend on prevalence on each resample.

        Args:
            counts: How often each patient counts, ``(P, R)``.
        """
        total = self._totals(counts)
        images, share = total["images"], quotient(total["positive"], total["images"])
        brier = quotient(total["squares"], images)
        found = {
            "brier": brier,
            "log_loss": quotient(total["surprises"], images),
            "brier_scaled": 1.0 - quotient(brier, share * (1.0 - share)),
            "ece": error_by_bin(self.gaps.T @ counts, images),
        }
        if "called" not in total:
            return found
        positive, called, hits = total["positive"], total["called"], total["found"]
        spread = np.sqrt(positive * (images - positive)) * np.sqrt(called * (images - called))
        # Rounding may lead one step past 1.
        found["mcc"] = np.clip(quotient(images * hits - positive * called, spread), -1.0, 1.0)
        if self.odds is not None:
            found["net_benefit"] = quotient(hits - self.odds * (called - hits), images)
        return found

    def ratios(self, counts: Floats) -> dict[str, Floats]:
        """Return both likelihood ratios on each resample, infinite where the divisor is 0.

        Args:
            counts: How often each patient counts, ``(P, R)``.
        """
        total = self._totals(counts)
        positive, negative = total["positive"], total["images"] - total["positive"]
        hits, alarms = total["found"], total["called"] - total["found"]
        with np.errstate(divide="ignore", invalid="ignore"):
            return {
                "lr_positive": (hits / positive) / (alarms / negative),
                "lr_negative": ((positive - hits) / positive) / ((negative - alarms) / negative),
            }

    def values(self) -> dict[str, float]:
        """Return the figures of the images themselves."""
        every = self.figures(np.ones((len(self.sums), 1)))
        return {key: float(value[0]) for key, value in every.items()}

    def _totals(self, counts: Floats) -> dict[str, Floats]:
        return dict(zip(_NAMES, self.sums.T @ counts, strict=False))


def patient_sums(
    said: Floats, positive: Bools, called: Bools | None, threshold: float | None, index: Ints
) -> PatientSums:
    """Sum a finding's images by patient.

    Args:
        said: Probability of the finding.
        positive: Whether it is there.
        called: Whether it was called; None without calls.
        threshold: Threshold probability of the net benefit; None or 1 leave it out.
        index: Patient of each image, from 0 and without gaps.

    Shape:
        - said, positive, called, index: ``(N,)``, N at least 1.

    Example:
        >>> said, positive = np.array([0.2, 0.6, 0.9]), np.array([False, False, True])
        >>> sums = patient_sums(said, positive, said >= 0.5, 0.5, np.array([0, 0, 1]))
        >>> round(sums.values()["mcc"], 9), sums.ratios(np.ones((2, 1)))["lr_positive"]
        (0.5, array([2.]))
    """
    target, patients = positive.astype(np.int64), int(index.max()) + 1
    columns: list[NDArray[Any]] = [
        np.ones(said.size),
        positive,
        squared_errors(said, target),
        surprises(said, target),
    ]
    if called is not None:
        columns += [called, called & positive]
    parts = [np.bincount(index, weights=column, minlength=patients) for column in columns]
    sums: Floats = np.stack(parts, axis=1).astype(np.float64)
    odds = None if threshold is None or threshold >= 1.0 else threshold / (1.0 - threshold)
    return PatientSums(sums, reduced_by_bin(said, positive, index, patients), odds)
