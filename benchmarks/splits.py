"""What splits of many images cost, and how even they are: seconds, memory, and the worst error of a share."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from rn50med.data.splits import (
    SplitPlan,
    connected_groups,
    hold_to,
    make_splits,
    read_splits,
    write_splits,
)

Result = TypeVar("Result")

UNKNOWN = -100


def cohort(
    images: int, patients: int, labels: int
) -> tuple[list[str], list[str], list[str], NDArray[np.int64]]:
    """Return names, patients and hashes of made-up images, and their labels, a third of them unknown.

    Args:
        images: How many.
        patients: How many there are to draw from; with as many as images, each has one.
        labels: How many; the rarest is in 3 of 1,000 images.
    """
    rng = np.random.default_rng(0)
    weights = rng.exponential(size=patients) + 0.05
    of = np.arange(images) if patients == images else rng.choice(patients, images, p=weights / weights.sum())
    names = [f"p{patient:06d}/{number:06d}.png" for number, patient in enumerate(of)]
    present = rng.random((patients, labels)) < np.geomspace(0.003, 0.4, labels)
    values = (present[of] ^ (rng.random((images, labels)) < 0.02)).astype(np.int64)
    values[rng.random((images, labels)) < 1 / 3] = UNKNOWN
    return (
        names,
        [f"p{patient:06d}" for patient in of],
        [f"{number:064x}" for number in range(images)],
        values,
    )


def measure(what: str, work: Callable[[], Result], limit: float) -> Result:
    """Do something twice, for its time and for its memory, and print both.

    Args:
        what: Words for the row.
        work: What to do.
        limit: Seconds that it may take.
    """
    start = time.perf_counter()
    result = work()
    seconds = time.perf_counter() - start
    tracemalloc.start()  # slows everything down, so that it has a turn of its own
    work()
    megabytes = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    print(
        f"{what:<42}  {seconds:>8.2f}  {limit:>5.0f}  {megabytes:>8.0f}{'  OVER' if seconds > limit else ''}",
        flush=True,
    )
    return result


def worst_error(labels: NDArray[np.int64], fold: NDArray[np.int64], folds: int) -> float:
    """Return the largest error of any label's positives or negatives in a fold, relative to their share.

    Args:
        labels: 1, 0 or unknown.
        fold: Of each image.
        folds: How many.
    """
    held = [np.bincount(fold[column == value], minlength=folds) for value in (1, 0) for column in labels.T]
    return max(float(np.abs(count * folds / count.sum() - 1).max()) for count in held)


def frozen(contents: list[str], splits: tuple[str, ...]) -> list[str]:
    """Write splits down, read them again and return what each image is held to.

    Args:
        contents: Hash of each image.
        splits: Of each image.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "splits.json"
        write_splits(path, contents, splits, "Made.", 0)
        return hold_to(read_splits(path), contents)


def compare(images: int, patients: int, labels: int) -> None:
    """Print the rows of one number of patients.

    Args:
        images: How many.
        patients: Whose images they are.
        labels: How many labels may occur together.
    """
    names, of, contents, values = cohort(images, patients, labels)
    classes = np.random.default_rng(1).integers(0, 5, images)
    plan, given = SplitPlan(), [""] * images
    groups = measure(f"{patients} patients: groups", partial(connected_groups, of, contents), 5)
    by_class = partial(make_splits, plan, given, classes, groups, names, 0)
    measure(f"{patients} patients: 5 classes", by_class, 10)
    by_label = partial(make_splits, plan, given, values, groups, names, 0)
    made = measure(f"{patients} patients: {labels} labels", by_label, 15)
    measure(f"{patients} patients: to a file, held to it", partial(frozen, contents, made.splits), 10)
    chance = np.random.default_rng(2).integers(0, plan.folds, groups.max() + 1)[groups]
    errors = [worst_error(values, fold, plan.folds) for fold in (np.array(made.folds), chance)]
    print(f"  worst error of a label's share: {errors[0]:.2%}, by chance {errors[1]:.2%}")


def main() -> int:
    """Print a row per piece of work."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--labels", type=int, default=14)
    options = parser.parse_args()
    print(f"{f'{options.images} images':<42}  {'seconds':>8}  {'limit':>5}  {'peak MB':>8}")
    for patients in (3 * options.images // 10, options.images):
        compare(options.images, patients, options.labels)
    return 0


if __name__ == "__main__":
    sys.exit(main())
