"""Films of the phantom, half of them with a square: a texture of its surroundings' mean grey."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rn50med.data.phantom import draw_film

Box = tuple[int, int, int, int]

SIDE = 72
"""Of the square, in pixels of a film of 256."""

CELL = 4
"""Of its checkerboard."""

DEPTH = 40
"""Grey values by which the checkerboard's fields differ from their mean."""


def plant(pixels: NDArray[np.uint8], rng: np.random.Generator) -> tuple[NDArray[np.uint8], Box]:
    """Put a checkerboard of the surroundings' mean somewhere on a film; return the film and where."""
    field = sum(np.indices((SIDE, SIDE)) // CELL)
    while True:
        top, left = rng.integers(CELL, pixels.shape[0] - SIDE - CELL, 2)
        around = pixels[top - CELL : top + SIDE + CELL, left - CELL : left + SIDE + CELL].astype(float)
        total = around.sum() - around[CELL:-CELL, CELL:-CELL].sum()
        mean = round(total / (around.size - SIDE**2))
        if DEPTH <= mean <= 255 - DEPTH:  # so that nothing is clipped, which would move the mean
            break
    planted = pixels.copy()
    planted[top : top + SIDE, left : left + SIDE] = mean + DEPTH * (1 - 2 * (field % 2))
    return planted, (int(left), int(top), int(left) + SIDE, int(top) + SIDE)


def write_planted(folder: Path, counts: dict[str, int], seed: int = 0) -> tuple[Path, dict[str, Box]]:
    """Write films, one a patient, every other with a square; return the table, and the boxes by file name."""
    rng = np.random.default_rng(seed)
    folder.mkdir()
    rows, boxes = [], {}
    for split, count in counts.items():
        for _ in range(count):
            patient = len(rows)
            pixels, name = draw_film(seed, patient, 0, []).pixels, f"{patient:04d}.png"
            if patient % 2:
                pixels, boxes[name] = plant(pixels, rng)
            Image.fromarray(pixels).save(folder / name)
            label = ("normal", "pneumonia")[patient % 2]
            rows.append({"image": name, "patient_id": patient, "label": label, "split": split})
    with (folder / "labels.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder / "labels.csv", boxes
