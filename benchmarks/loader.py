"""Images per second from a warm cache through the DataLoader, and what checking many rows costs."""

from __future__ import annotations

import argparse
import csv
import resource
import statistics
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from PIL import Image

from rn50med import Binary, Columns, ManifestDataModule, Radiograph

TASK = Binary(negative="normal", positive="pneumonia")


def write_films(folder: Path, images: int, size: int, per_patient: int = 1) -> Path:
    """Write films of noise as PNG, with their table, and return the table.

    Args:
        folder: Where to.
        images: How many.
        size: Height and width in pixels.
        per_patient: Films of a patient.
    """
    rng = np.random.default_rng(0)
    (folder / "films").mkdir()
    table = folder / "labels.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "patient_id", "label"])
        for number in range(images):
            name = f"films/{number:06d}.png"
            pixels = rng.integers(0, 256, (size, size), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name, compress_level=1)
            patient = number // per_patient
            writer.writerow([name, f"p{patient:06d}", ("normal", "pneumonia")[patient % 2]])
    return table


def module(table: Path, cache: Path, size: int, batch_size: int) -> ManifestDataModule:
    """Return a data module of a table.

    Args:
        table: Of the images.
        cache: Folder of the cache.
        size: Side of the prepared images.
        batch_size: Images in a batch.
    """
    return ManifestDataModule(
        str(table),
        task=TASK,
        columns=Columns(),
        transforms=Radiograph(size=size),
        batch_size=batch_size,
        cache=str(cache),
        num_workers=0,
    )


def gate(table: Path, cache: Path, size: int) -> None:
    """Load, split and check a table, first with an empty cache and then with a warm one.

    Args:
        table: Of the images.
        cache: Folder of the cache.
        size: Side of the prepared images.
    """
    for state in ("empty", "warm"):
        start = perf_counter()
        prepared = module(table, cache, size, 32).prepared
        seconds = perf_counter() - start
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"{len(prepared.manifest)} rows, {state} cache: {seconds:.1f} s, {memory:.2f} GB at most")


def rates(table: Path, cache: Path, size: int, passes: int) -> None:
    """Time passes over all images on one thread, without and with augmentation.

    Args:
        table: Of the images.
        cache: Folder of the cache.
        size: Side of the prepared images.
        passes: Times that each is repeated, in turn.
    """
    torch.set_num_threads(1)
    data = module(table, cache, size, 32)
    data.unsplit = "test"
    data.setup("test")
    plain, augmented = [], []
    for _ in range(passes):
        loader = data.test_dataloader()
        plain.append(_rate(loader, len(data.manifest)))
        loader.dataset.together, loader.dataset.pipeline = False, data.transforms.train
        augmented.append(_rate(loader, 500))
    print(f"{len(data.manifest)} films of {size} px, one core, warm cache, medians of {passes}:")
    print(f"  without augmentation {statistics.median(plain):8.0f} images/s")
    print(f"  with augmentation    {statistics.median(augmented):8.0f} images/s")


def _rate(loader: torch.utils.data.DataLoader, most: int) -> float:
    start, seen = perf_counter(), 0
    for batch in loader:
        seen += len(batch["index"])
        if seen >= most:
            break
    return seen / (perf_counter() - start)


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--films", type=int, default=5000, help="films to time the loader with")
    parser.add_argument("--size", type=int, default=224, help="side of the films in pixels")
    parser.add_argument("--passes", type=int, default=5, help="passes over the films")
    parser.add_argument("--rows", type=int, default=0, help="instead: rows of 28 px to load, split and check")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.rows:
            gate(write_films(folder, options.rows, 28, per_patient=3), folder / "cache", 32)
            return
        table = write_films(folder, options.films, options.size)
        rates(table, folder / "cache", options.size, options.passes)


if __name__ == "__main__":
    main()
