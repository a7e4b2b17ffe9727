"""How often an AUROC's 95 % interval holds the truth where patients have several alike images."""

from __future__ import annotations

import argparse
import math
import sys
from statistics import NormalDist

import numpy as np

from rn50med.evaluation.intervals import auroc_interval

ALIKE = 0.7
"""Intra-class correlation of the scores of a patient's images."""

LEAST = {(0.97, 60): 0.90}
"""Share that has to be reached; 0.92 where nothing else is said."""


def covered(area: float, patients: int, images: int, repetitions: int, seed: int = 0) -> tuple[float, float]:
    """Return the share of intervals that hold the truth, by patient and with images taken for patients.

    Scores are binormal with equal variances; half of the patients are positive.

    Args:
        area: True AUROC.
        patients: Number of patients.
        images: Of each patient.
        repetitions: Simulated test sets.
        seed: Of the simulation.
    """
    random = np.random.default_rng(seed)
    shift = math.sqrt(2.0) * NormalDist().inv_cdf(area)
    groups, target = np.repeat(np.arange(patients), images), np.repeat(np.arange(patients) % 2, images)
    inside = np.zeros(2)
    for _ in range(repetitions):
        shared = np.repeat(random.normal(size=patients), images) * math.sqrt(ALIKE)
        scores = shift * target + shared + random.normal(size=groups.size) * math.sqrt(1.0 - ALIKE)
        for k, each in enumerate((groups, np.arange(groups.size))):
            figure = auroc_interval(scores, target, each)
            inside[k] += figure.low <= area <= figure.high
    by_patient, by_image = inside / repetitions
    return float(by_patient), float(by_image)


def main() -> int:
    """Print a row per setting, and return 1 if one covers too little."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=1000)
    parser.add_argument("--images", type=int, default=4, help="of each patient")
    options = parser.parse_args()
    low = 0
    print(f"{'AUROC':>5}  {'patients':>8}  {'by patient':>10}  {'by image':>8}")
    for area in (0.80, 0.90, 0.97):
        for patients in (60, 200):
            good, bad = covered(area, patients, options.images, options.repetitions)
            low += good < LEAST.get((area, patients), 0.92)
            print(f"{area:>5.2f}  {patients:>8}  {good:>10.3f}  {bad:>8.3f}", flush=True)
    return 1 if low else 0


if __name__ == "__main__":
    sys.exit(main())
