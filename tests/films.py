"""Small sets of films for tests: two classes that a network tells apart in a few steps."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from PIL import Image


def write_films(
    folder: Path,
    patients: int = 24,
    films: int = 2,
    size: int = 32,
    splits: bool = True,
    seed: int = 0,
    lift: float = 90,
) -> Path:
    """Write films and their table: pneumonia is a bright patch, by `lift` grey values; return the table."""
    rng = np.random.default_rng(seed)
    (folder / "films").mkdir(parents=True)
    rows = []
    for patient in range(patients):
        label = ("normal", "pneumonia")[patient % 2]
        split = ("train", "train", "train", "train", "val", "val", "test", "test")[patient % 8]
        for film in range(films):
            pixels = rng.normal(90, 20, (size, size))
            if label == "pneumonia":
                pixels[size // 4 : size // 2, size // 4 : size // 2] += lift
            name = f"films/{patient:03d}-{film}.png"
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / name)
            rows.append({"image": name, "patient_id": f"{patient:04d}", "label": label, "split": split})
    if not splits:
        rows = [{key: value for key, value in row.items() if key != "split"} for row in rows]
    table = folder / "labels.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return table
