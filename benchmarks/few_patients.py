"""What the kit against overfitting is worth where patients are few: fits with it and without, on equal films.

Each pair of fits has the same patients of train, val and test and the same seed. Test is made of patients
that the table calls train, so that the official test images stay closed. Both keep the epoch that is best
on val.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pairs import drawn, fitted, same_settings, side_by_side, write_subset

VAL, TEST = 60, 800
"""Patients of val and test, the same for every number of patients of train."""

PLAIN = {
    "data.transforms.strength": "0",
    "model.head.dropout": "0",
    "model.optimizer.weight_decay": "0",
    "model.regularisation.ema_decay": "0",
    "model.patience": "0",
}
"""Fine-tuning without the kit."""


@dataclass(frozen=True)
class Fit:
    """One training.

    Args:
        patients: Of train.
        seed: Of the choice of patients and of the training.
        kit: Whether the recipe's kit is used.
    """

    patients: int
    seed: int
    kit: bool

    @property
    def name(self) -> str:
        """Name of its folder."""
        return f"{self.patients}-{self.seed}-{'kit' if self.kit else 'plain'}"


def figures(fit: Fit, options: argparse.Namespace) -> dict[str, float]:
    """Train, unless it is done, and return AUROC of test, and that of train less that of test.

    Args:
        fit: Which training.
        options: Of the command line.
    """
    numbers = {"test": TEST, "val": VAL, "train": fit.patients}  # a larger train holds a smaller one's
    path = options.output / "subsets" / f"{fit.patients}-{fit.seed}.csv"
    words = {
        "recipe": "chest_xray",
        "data.source": str(write_subset(options.table, path, drawn(options.table, fit.seed), numbers)),
        "data.root": str(options.table.parent),
        "data.transforms.size": str(options.size),
        "seed_everything": str(fit.seed),
        "trainer.max_epochs": str(options.epochs),
        "model.backbone.weights": "none",
        "evaluation.checks": "false",
        **({} if fit.kit else PLAIN),
    }
    made = fitted(options.output / fit.name, words, options.threads)
    test, training = made["test"]["auroc"]["value"], made["training"]
    return {
        "test": test,
        "gap": training["verdict"]["train"] - test,
        "log_loss": made["test"]["log_loss"]["value"],
        "best_epoch": training["best_epoch"],
    }


def told(found: dict[Fit, dict[str, float]], options: argparse.Namespace) -> Iterator[str]:
    """Yield the lines of the table."""
    head = f"{'patients':>8}  {'figure':<10}{'plain':>8}{'kit':>8}"
    yield f"{head}   kit less plain (95 % interval of {options.seeds} pairs)"
    for patients in options.patients:
        for key in ("test", "gap", "log_loss"):
            sides = [
                [found[Fit(patients, seed, kit)][key] for seed in range(options.seeds)]
                for kit in (False, True)
            ]
            yield f"{patients:>8}  {key:<10}{side_by_side(*sides)}"


def main() -> int:
    """Print a table, and write a row per training into ``few_patients.csv``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", type=Path, required=True, help="labels.csv of the films")
    parser.add_argument("--patients", type=int, nargs="+", default=[100, 200, 500], help="of train")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--size", type=int, default=64, help="pixels")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1, help="of each training")
    parser.add_argument("--together", type=int, default=os.cpu_count(), help="trainings at a time")
    parser.add_argument(
        "--output", type=Path, default=Path("few_patients"), help="folder; what is done is kept"
    )
    options = parser.parse_args()
    options.table, options.output = options.table.resolve(), options.output.resolve()
    same_settings(options.output, {"size": options.size, "epochs": options.epochs})
    fits = [
        Fit(patients, seed, kit)
        for patients in options.patients
        for seed in range(options.seeds)
        for kit in (True, False)
    ]
    with ThreadPoolExecutor(options.together) as pool:
        found = dict(zip(fits, pool.map(lambda fit: figures(fit, options), fits), strict=True))
    with (options.output / "few_patients.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["patients", "seed", "kit", *next(iter(found.values()))])
        writer.writerows([[fit.patients, fit.seed, fit.kit, *each.values()] for fit, each in found.items()])
    print("\n".join(told(found, options)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
