"""What the figures of many labels cost: seconds and peak memory on a test set as large as ChestX-ray14's."""

from __future__ import annotations

import argparse
import resource
import sys
import time

import numpy as np

from rn50med.evaluation.arrays import Floats, Ints, patients_of
from rn50med.evaluation.bootstrap import draws, resampled
from rn50med.evaluation.figures import multilabel_figures
from rn50med.evaluation.resamples import Ranking


def made_up(images: int, patients: int, labels: int) -> tuple[Floats, Ints, Ints]:
    """Return probabilities, targets and patients; labels are as rare as those of chest films.

    Args:
        images: Number of images.
        patients: Number of patients.
        labels: Number of labels.
    """
    random = np.random.default_rng(0)
    groups = np.append(np.arange(patients), random.integers(patients, size=images - patients))
    ill = random.normal(size=(patients, labels))[groups]
    rare = np.linspace(0.6, 2.8, labels)  # 27 % to 0.3 % positive
    target = (ill + 0.5 * random.normal(size=ill.shape) > rare).astype(np.int64)
    logits = 1.5 * ill + random.normal(size=ill.shape) - 1.2 * rare
    return np.round(1 / (1 + np.exp(-logits)), 9), target, groups


def rankings(said: Floats, target: Ints, groups: Ints) -> None:
    """Draw AUROC and AUPRC of every label again, 2,000 times.

    Args:
        said: Probabilities.
        target: Targets.
        groups: Patients.
    """
    index, patients = patients_of(groups)
    for k in range(said.shape[1]):
        ranking = Ranking.of(said[:, k], target[:, k] == 1, index, patients)
        both = {"auroc": ranking.auroc, "auprc": ranking.average_precision}
        statistics = [lambda counts, both=both: {key: each(counts) for key, each in both.items()}]
        resampled(statistics, draws(patients))


def main() -> int:
    """Print seconds and peak memory, and return 1 if one is above its bound."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=22_433)
    parser.add_argument("--patients", type=int, default=6_000)
    parser.add_argument("--labels", type=int, default=14)
    options = parser.parse_args()
    said, target, groups = made_up(options.images, options.patients, options.labels)
    names, thresholds = [str(k) for k in range(options.labels)], [0.3] * options.labels
    work = {
        "AUROC and AUPRC, 2,000 resamples": (20.0, lambda: rankings(said, target, groups)),
        "every figure and interval": (
            120.0,
            lambda: multilabel_figures(said, target, groups, thresholds, names, [0.1] * options.labels),
        ),
    }
    failed = False
    print(f"{'what':<34}  {'seconds':>7}  {'cpu':>7}  {'at most':>7}  {'peak MB':>7}")
    for name, (bound, run) in work.items():
        started, busy = time.perf_counter(), time.process_time()
        run()
        seconds, cpu = time.perf_counter() - started, time.process_time() - busy
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        failed |= seconds > bound or peak > 2000
        print(f"{name:<34}  {seconds:>7.1f}  {cpu:>7.1f}  {bound:>7.0f}  {peak:>7}", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
