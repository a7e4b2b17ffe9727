"""What weights that were learnt elsewhere are worth for a new task of few patients, against random ones.

Two questions, each a source run and pairs of fits on equal patients and seeds:

- ``etiology``: half of the patients teach normal against pneumonia; the weights are fine-tuned to none,
  bacteria or virus on a few patients of the other half.
- ``phantom``: synthetic films alone teach the weights, which are fine-tuned to normal against pneumonia on
  the same few patients.

Train, val and test are made of patients that the table calls train, so that the official test images stay
closed. A fit keeps the epoch that is best on val; val figures are of that epoch, and flatter both sides.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from pairs import drawn, fitted, same_settings, side_by_side, write_subset

HELD, HALVES = 200, 0
"""Patients of val and as many of test of the source run, and the seed that divides patients into halves."""

TARGETS = {
    "etiology": {"task": "MultiClass", "task.names": "[none, bacteria, virus]", "task.column": "etiology"},
    "phantom": {},
}
"""What the target of each question changes in the recipe ``chest_xray``."""

RANDOM = 0.0
"""In place of a factor on the learning rate: the fit starts from random weights."""

FIGURES = ("auroc", "log_loss")


@dataclass(frozen=True)
class Fit:
    """One training of a target.

    Args:
        what: A key of `TARGETS`.
        seed: Of the draw of patients and of the training.
        factor: On the learning rate, from the source's weights; `RANDOM` for random weights.
    """

    what: str
    seed: int
    factor: float

    @property
    def name(self) -> str:
        """Name of its folder."""
        start = "random" if self.factor == RANDOM else f"source-{self.factor:g}"
        return f"{self.what}-{self.seed}-{start}"


def shared(options: argparse.Namespace) -> dict[str, str]:
    """Return what source runs and targets have in common.

    Args:
        options: Of the command line.
    """
    return {
        "recipe": "chest_xray",
        "data.transforms.size": str(options.size),
        "evaluation.checks": "false",
    }


def halves(options: argparse.Namespace) -> tuple[list[str], list[str]]:
    """Return the patients that teach the source, and those of the targets.

    Args:
        options: Of the command line.
    """
    patients = drawn(options.table, HALVES)
    return patients[: len(patients) // 2], patients[len(patients) // 2 :]


def source_run(what: str, options: argparse.Namespace) -> Path:
    """Train the weights to start from, unless it is done, and return the run's folder.

    Args:
        what: A key of `TARGETS`.
        options: Of the command line.
    """
    folder: Path = options.output / f"source-{what}"
    words = shared(options) | {
        "seed_everything": str(HALVES),
        "trainer.max_epochs": str(options.source_epochs),
        "model.backbone.weights": "none",
        "data.transforms.size": str(options.source_size or options.size),
    }
    if what == "etiology":
        taught = halves(options)[0][: options.source_patients or None]
        held = min(HELD, len(taught) // 4)
        numbers = {"test": held, "val": held, "train": len(taught) - 2 * held}
        path = write_subset(options.table, options.output / "subsets" / "source.csv", taught, numbers)
        words |= {"data.source": str(path), "data.root": str(options.table.parent)}
    made = fitted(folder, words, options.threads * options.together, kept=("best.ckpt",))
    told = ", ".join(f"{key} {made['test'][key]['value']:.3f}" for key in FIGURES)
    print(
        f"source of {what}, its own test: {told}, best epoch {made['training']['best_epoch']}",
        flush=True,
    )
    return folder


def figures(fit: Fit, source: Path, options: argparse.Namespace) -> dict[str, float]:
    """Train, unless it is done, and return the figures of val and, where it was opened, of test.

    Args:
        fit: Which training.
        source: Folder of the run whose weights it may start from.
        options: Of the command line.
    """
    patients = drawn(options.table, fit.seed, among=halves(options)[1])
    numbers = {"test": options.test_patients, "val": options.val_patients, "train": options.patients}
    path = write_subset(options.table, options.output / "subsets" / f"{fit.seed}.csv", patients, numbers)
    words = shared(options) | {
        "data.source": str(path),
        "data.root": str(options.table.parent),
        "seed_everything": str(fit.seed),
        "trainer.max_epochs": str(options.epochs),
        "model.backbone.weights": "none",
        "evaluation.test": "never" if options.val_only else "end",
        **TARGETS[fit.what],
    }
    if fit.factor != RANDOM:
        words |= {"model.backbone.weights": str(source), "model.pretrained_lr_factor": str(fit.factor)}
    made = fitted(options.output / f"{fit.name}{'-val' if options.val_only else ''}", words, options.threads)
    found = {f"{split} {key}": made[split][key]["value"] for split in splits_of(options) for key in FIGURES}
    return found | {"best epoch": made["training"]["best_epoch"]}


def splits_of(options: argparse.Namespace) -> tuple[str, ...]:
    """Return the splits whose figures are told.

    Args:
        options: Of the command line.
    """
    return ("val",) if options.val_only else ("test", "val")


def told(found: Mapping[Fit, Mapping[str, float]], options: argparse.Namespace) -> Iterator[str]:
    """Yield the lines of the table.

    Args:
        found: Figures of each fit.
        options: Of the command line.
    """
    head = f"{'what':<10}{'factor':>7}  {'figure':<14}{'random':>8}{'source':>8}"
    yield f"{head}   source less random (95 % interval of {options.seeds} pairs)"
    for what in options.what:
        for factor in options.lr_factor:
            for key in (f"{split} {figure}" for split in splits_of(options) for figure in FIGURES):
                one, other = (
                    [found[Fit(what, seed, side)][key] for seed in range(options.seeds)]
                    for side in (RANDOM, factor)
                )
                yield f"{what:<10}{factor:>7g}  {key:<14}{side_by_side(one, other)}"


def write(found: Mapping[Fit, Mapping[str, float]], options: argparse.Namespace) -> None:
    """Write a row per training into ``transfer.csv`` and ``transfer.json``, or ``transfer-val``.

    Args:
        found: Figures of each fit.
        options: Of the command line.
    """
    rows = [{**asdict(fit), **figures} for fit, figures in found.items()]
    stem = "transfer-val" if options.val_only else "transfer"
    (options.output / f"{stem}.json").write_text(json.dumps(rows, indent=2) + "\n")
    with (options.output / f"{stem}.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def asked() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--table", type=Path, required=True, help="labels.csv of the films, with a column etiology")
    add("--what", nargs="+", choices=list(TARGETS), default=list(TARGETS), help="questions")
    add("--patients", type=int, default=200, help="of the targets' train")
    add("--val-patients", type=int, default=60, help="of the targets' val")
    add("--test-patients", type=int, default=600, help="of the targets' test")
    add("--source-patients", type=int, help="of half of the patients, to try it; all unless given")
    add("--seeds", type=int, default=5, help="pairs of fits")
    add("--size", type=int, default=64, help="pixels")
    add("--source-size", type=int, help="pixels of the source runs; --size unless given")
    add("--epochs", type=int, default=20, help="of the targets")
    add("--source-epochs", type=int, default=8)
    add("--lr-factor", type=float, nargs="+", default=[0.1], help="on the rate from the source's weights")
    add("--val-only", action="store_true", help="leave test closed, to choose a factor")
    add("--threads", type=int, default=1, help="of each training; a source run has all that targets have")
    add("--together", type=int, default=os.cpu_count(), help="trainings at a time")
    add("--output", type=Path, default=Path("transfer"), help="folder; what is done is kept")
    options = parser.parse_args()
    if min(options.lr_factor) <= 0:
        parser.error("--lr-factor: give numbers above 0.")
    options.table, options.output = options.table.resolve(), options.output.resolve()
    return options


def main() -> int:
    """Print a table, and write a row per training."""
    options = asked()
    varying = {"what", "seeds", "lr_factor", "val_only", "threads", "together", "output", "table"}
    kept = {key: value for key, value in vars(options).items() if key not in varying}
    same_settings(options.output, kept)
    sources = {what: source_run(what, options) for what in options.what}
    fits = [
        Fit(what, seed, factor)
        for what in options.what
        for seed in range(options.seeds)
        for factor in (RANDOM, *options.lr_factor)
    ]
    with ThreadPoolExecutor(options.together) as pool:
        every = pool.map(lambda fit: figures(fit, sources[fit.what], options), fits)
        found = dict(zip(fits, every, strict=True))
    write(found, options)
    print("\n".join(told(found, options)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
