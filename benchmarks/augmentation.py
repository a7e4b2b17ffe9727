"""Augmentation on one core: rn50med's transforms against the MONAI tutorials' pipeline, in turn.

Both sides do the same with the same probabilities and ranges: turn, mirror, zoom, noise, contrast. MONAI's
loads and resizes each file every time, as its tutorials do, or takes both from a `CacheDataset`; rn50med's
takes the prepared pixels from a memory map, as its cache does.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from math import radians
from pathlib import Path
from time import perf_counter

import monai.transforms as mt
import numpy as np
import torch
from monai.data import CacheDataset, Dataset
from monai.data.meta_obj import set_track_meta
from PIL import Image

from rn50med.data.phantom import draw_film
from rn50med.data.transforms import (
    Clip,
    Pipeline,
    Radiograph,
    RandGamma,
    RandGeometry,
    RandNoise,
    Unit,
    light,
    seeded,
)
from rn50med.data.transforms.geometry import Mirror, Sometimes, Turn, Zoom

SIDES = (224, 384, 512, 768, 1024)
DEGREES, ZOOM, GAMMA, STD, PROB = 15.0, (0.9, 1.1), (0.7, 1.4), 0.05, 0.5
Run = Callable[[], float]


def write_films(folder: Path, images: int) -> list[Path]:
    """Write synthetic films as PNG and JPEG, of sides from 224 to 1024 pixels.

    Args:
        folder: Where to.
        images: How many.
    """
    drawn = [draw_film(0, patient, 0, [patient % 2], 512).pixels for patient in range(8)]
    paths = []
    for number in range(images):
        side = SIDES[number % len(SIDES)]
        path = folder / f"film-{number:04d}{('.png', '.jpg')[number // len(SIDES) % 2]}"
        Image.fromarray(drawn[number % len(drawn)]).resize((side, side)).save(path)
        paths.append(path)
    return paths


def tutorial(size: int) -> mt.Compose:
    """Return MONAI's pipeline, as its tutorials on classification write it.

    Args:
        size: Side of the images in pixels.
    """
    return mt.Compose(
        [
            mt.LoadImage(image_only=True),
            mt.EnsureChannelFirst(channel_dim="no_channel"),  # without metadata it has to be told
            mt.Resize((size, size)),
            mt.ScaleIntensity(),
            mt.RandRotate(range_x=radians(DEGREES), prob=PROB, keep_size=True),
            mt.RandFlip(spatial_axis=0, prob=PROB),
            mt.RandZoom(min_zoom=ZOOM[0], max_zoom=ZOOM[1], prob=PROB),
            mt.RandGaussianNoise(prob=PROB, std=STD),
            mt.RandAdjustContrast(prob=PROB, gamma=GAMMA),
        ]
    )


def own() -> Pipeline:
    """Return the same of rn50med's transforms."""
    return Pipeline(
        [
            Unit(),
            RandGeometry(
                Sometimes(Turn(DEGREES), PROB), Sometimes(Mirror(), PROB), Sometimes(Zoom(*ZOOM), PROB)
            ),
            RandGamma(*GAMMA, prob=PROB),
            RandNoise(STD, prob=PROB),
            Clip(),
        ]
    )


def prepared(paths: list[Path], size: int, file: Path) -> np.ndarray:
    """Return the prepared pixels of all films, from a memory map that is in memory.

    Args:
        paths: The films.
        size: Side of the images in pixels.
        file: Where the map lies.
    """
    prepare = Radiograph(size=size).prepare
    np.save(file, np.stack([prepare(np.asarray(Image.open(path))) for path in paths]))
    return np.load(file, mmap_mode="r")


def time_theirs(dataset: Dataset) -> float:
    """Return images per second of one epoch of MONAI's data set.

    Args:
        dataset: `Dataset` or `CacheDataset`.
    """
    start = perf_counter()
    for index in range(len(dataset)):
        dataset[index]
    return len(dataset) / (perf_counter() - start)


def time_own(pipeline: Pipeline, pixels: np.ndarray) -> float:
    """Return images per second of one epoch of ours, each image seeded by itself.

    Args:
        pipeline: What is applied.
        pixels: Prepared images.
    """
    start = perf_counter()
    with light():
        for index in range(len(pixels)):
            seeded(pipeline, pixels[index], (0, 0, index))
    return len(pixels) / (perf_counter() - start)


def compare(name: str, mine: Run, theirs: Run, pairs: int) -> None:
    """Run both in turn, the first time to warm up, and print a row per pair.

    Args:
        name: What ours is compared with.
        mine: Runs an epoch of ours.
        theirs: Runs an epoch of the other.
        pairs: How often each side runs.
    """
    print(f"\n{'pair':<6}  {'rn50med':>9}  {name:>28}  {'ratio':>6}   (images/s)")
    mine(), theirs()
    ratios = []
    for pair in range(1, pairs + 1):
        ours, other = mine(), theirs()
        ratios.append(ours / other)
        print(f"{pair:<6}  {ours:>9.0f}  {other:>28.0f}  {ratios[-1]:>6.2f}", flush=True)
    print(f"median ratio {statistics.median(ratios):.2f}")


def main() -> None:
    """Measure against the pipeline with files, against the cached one, and against that without metadata."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=200, help="images in an epoch")
    parser.add_argument("--size", type=int, default=224, help="side of the images in pixels")
    parser.add_argument("--pairs", type=int, default=5, help="how often each side runs")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    print(f"{options.images} films, {options.size} px, one thread, torch {torch.__version__}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = write_films(folder, options.images)
        pixels = prepared(paths, options.size, folder / "prepared.npy")
        mine = partial(time_own, own(), pixels)
        pipeline = tutorial(options.size)
        compare(
            "MONAI, files (3 is wanted)", mine, partial(time_theirs, Dataset(paths, pipeline)), options.pairs
        )
        cached = CacheDataset(paths, pipeline, num_workers=1, progress=False)
        compare("MONAI, cached", mine, partial(time_theirs, cached), options.pairs)
        set_track_meta(False)
        cached = CacheDataset(paths, pipeline, num_workers=1, progress=False)
        compare("MONAI, cached, no metadata", mine, partial(time_theirs, cached), options.pairs)


if __name__ == "__main__":
    main()
