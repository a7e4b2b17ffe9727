"""What the kit against overfitting is worth where patients are few: fits with it and without, on equal films.

Each pair of fits has the same patients of train, val and test and the same seed. Test is made of patients
that the table calls train, so that the official test images stay closed. Both keep the epoch that is best
on val.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import pandas as pd
from scipy.stats import t

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


def write_subset(table: Path, place: Path, patients: int, seed: int) -> Path:
    """Write the rows of patients that are drawn for train, val and test, and return the file.

    Args:
        table: All films, with the columns image, label, patient_id and split.
        place: Folder of the subset.
        patients: Of train.
        seed: Of the draw; a larger train holds the patients of a smaller one.
    """
    rows = pd.read_csv(table, dtype=str)
    rows = rows[rows["split"] == "train"]
    names = np.random.default_rng(seed).permutation(sorted(set(rows["patient_id"])))
    kinds = dict.fromkeys(names[:TEST], "test") | dict.fromkeys(names[TEST : TEST + VAL], "val")
    kinds |= dict.fromkeys(names[TEST + VAL : TEST + VAL + patients], "train")
    chosen = rows[rows["patient_id"].isin(kinds)]
    chosen = chosen.assign(split=chosen["patient_id"].map(kinds))
    place.mkdir(parents=True, exist_ok=True)
    path = place / f"{patients}-{seed}.csv"
    chosen.to_csv(path, index=False)
    return path


def fitted(fit: Fit, options: argparse.Namespace) -> dict[str, float]:
    """Train, unless it is done, and return AUROC of test, and that of train less that of test.

    Args:
        fit: Which training.
        options: Of the command line.
    """
    folder = options.output / fit.name
    if not (folder / "metrics.json").is_file():
        source = write_subset(options.table, options.output / "subsets", fit.patients, fit.seed)
        words = {
            "recipe": "chest_xray",
            "data.source": str(source),
            "data.root": str(options.table.parent),
            "data.transforms.size": str(options.size),
            "seed_everything": str(fit.seed),
            "trainer.max_epochs": str(options.epochs),
            "model.backbone.weights": "none",
            "evaluation.checks": "false",
            "output": str(folder),
            **({} if fit.kit else PLAIN),
        }
        command = [sys.executable, "-m", "rn50med", "fit"]
        command += [word for key, value in words.items() for word in (f"--{key}", value)]
        with (options.output / f"{fit.name}.log").open("w") as log:
            one = {**os.environ, "OMP_NUM_THREADS": str(options.threads)}
            subprocess.run(command, check=True, stdout=log, stderr=log, env=one)
        for checkpoint in (folder / "checkpoints").glob("*.ckpt"):
            checkpoint.unlink()  # 400 MB each
    metrics = json.loads((folder / "metrics.json").read_text())
    training = json.loads((folder / "environment.json").read_text())["training"]
    test = metrics["test"]["auroc"]["value"]
    return {
        "test": test,
        "gap": training["verdict"]["train"] - test,
        "log_loss": metrics["test"]["log_loss"]["value"],
        "best_epoch": training["best_epoch"],
    }


def interval(differences: list[float]) -> tuple[float, float, float]:
    """Return mean and 95 % interval of paired differences, by Student's t.

    Args:
        differences: One of each pair.
    """
    half = t.ppf(0.975, len(differences) - 1) * stdev(differences) / len(differences) ** 0.5
    return mean(differences), mean(differences) - half, mean(differences) + half


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
            apart = interval([kit - plain for plain, kit in zip(*sides, strict=True)])
            cells = f"{mean(sides[0]):>8.3f}{mean(sides[1]):>8.3f}"
            yield f"{patients:>8}  {key:<10}{cells}   {apart[0]:+.3f} ({apart[1]:+.3f} to {apart[2]:+.3f})"


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
    options.output.mkdir(parents=True, exist_ok=True)
    fits = [
        Fit(patients, seed, kit)
        for patients in options.patients
        for seed in range(options.seeds)
        for kit in (True, False)
    ]
    with ThreadPoolExecutor(options.together) as pool:
        found = dict(zip(fits, pool.map(lambda fit: fitted(fit, options), fits), strict=True))
    with (options.output / "few_patients.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["patients", "seed", "kit", *next(iter(found.values()))])
        writer.writerows([[fit.patients, fit.seed, fit.kit, *each.values()] for fit, each in found.items()])
    print("\n".join(told(found, options)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
