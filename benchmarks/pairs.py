"""Fits in pairs on equal patients: subsets of a table, fits that are kept, differences with intervals."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from threading import get_ident
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t

OPENED = "train"
"""The word of the column split whose films are used; the official test films stay closed."""


def drawn(table: Path, seed: int, among: Sequence[str] | None = None) -> list[str]:
    """Return the patients that the table calls train, shuffled.

    Args:
        table: All films, with the columns image, patient_id and split.
        seed: Of the shuffle.
        among: Those to shuffle; all of train where it is not given.
    """
    rows = pd.read_csv(table, dtype=str)
    known = set(rows.loc[rows["split"] == OPENED, "patient_id"])
    return list(np.random.default_rng(seed).permutation(sorted(known if among is None else set(among))))


def write_subset(table: Path, path: Path, patients: Sequence[str], numbers: Mapping[str, int]) -> Path:
    """Write the rows of the first patients, in splits of their own, and return the file.

    Args:
        table: All films, with the columns image, patient_id and split.
        path: File to write.
        patients: Of train, in the order in which they are taken.
        numbers: Patients of each split.

    Raises:
        ValueError: If there are fewer patients.
    """
    words = [split for split, number in numbers.items() for _ in range(number)]
    if len(words) > len(patients):
        raise ValueError(f"{path.name}: {len(words)} patients of {len(patients)}; ask for fewer.")
    rows = pd.read_csv(table, dtype=str)
    kinds = dict(zip(patients[: len(words)], words, strict=True))
    chosen = rows[(rows["split"] == OPENED) & rows["patient_id"].isin(kinds)]
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{get_ident()}")  # both fits of a pair write it, perhaps at once
    chosen.assign(split=chosen["patient_id"].map(kinds)).to_csv(part, index=False)
    return part.replace(path)


def same_settings(output: Path, settings: Mapping[str, Any]) -> None:
    """Refuse to go on in a folder whose fits were made with other settings.

    Args:
        output: The folder.
        settings: What all its fits share, in plain types.

    Raises:
        ValueError: If they differ.
    """
    path = output / "settings.json"
    output.mkdir(parents=True, exist_ok=True)
    before = json.loads(path.read_text()) if path.is_file() else dict(settings)
    if before != dict(settings):
        raise ValueError(f"{output}: holds fits with {before}, not {dict(settings)}; give another --output.")
    path.write_text(json.dumps(settings, indent=2) + "\n")


def fitted(folder: Path, words: Mapping[str, str], threads: int, kept: Sequence[str] = ()) -> dict[str, Any]:
    """Train, unless it is done, and return what metrics.json and, as ``training``, environment.json hold.

    A fit that was broken off begins anew. Its log stands beside its folder.

    Args:
        folder: Of the run.
        words: Options of ``rn50med fit``.
        threads: Of the training.
        kept: Names of checkpoints to keep; each takes 400 MB at most.
    """
    if not (folder / "metrics.json").is_file():
        unfinished = folder.with_name(f"{folder.name}.unfinished")
        if unfinished.exists():
            shutil.rmtree(unfinished)
        command = [sys.executable, "-m", "rn50med", "fit", "--output", str(unfinished)]
        command += [word for key, value in words.items() for word in (f"--{key}", value)]
        with folder.with_name(f"{folder.name}.log").open("w") as log:
            one = {**os.environ, "OMP_NUM_THREADS": str(threads)}
            subprocess.run(command, check=True, stdout=log, stderr=log, env=one)
        for checkpoint in (unfinished / "checkpoints").glob("*.ckpt"):
            if checkpoint.name not in kept:
                checkpoint.unlink()
        unfinished.rename(folder)
    metrics: dict[str, Any] = json.loads((folder / "metrics.json").read_text())
    return {**metrics, "training": json.loads((folder / "environment.json").read_text())["training"]}


def interval(differences: Sequence[float]) -> tuple[float, float, float]:
    """Return mean and 95 % interval of paired differences, by Student's t; one pair has no interval.

    Args:
        differences: One of each pair.
    """
    middle, pairs = mean(differences), len(differences)
    if pairs < 2:
        return middle, float("nan"), float("nan")
    half = t.ppf(0.975, pairs - 1) * stdev(differences) / pairs**0.5
    return middle, middle - half, middle + half


def side_by_side(one: Sequence[float], other: Sequence[float]) -> str:
    """Return the means of both sides of pairs, and the second less the first with its interval.

    Args:
        one: A figure of each pair.
        other: The same of the other side.
    """
    apart, low, high = interval([b - a for a, b in zip(one, other, strict=True)])
    within = f" ({low:+.3f} to {high:+.3f})" if len(one) > 1 else ""
    return f"{mean(one):>8.3f}{mean(other):>8.3f}   {apart:+.3f}{within}"
