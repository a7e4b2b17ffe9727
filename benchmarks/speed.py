"""Training speed of rn50med against a bare loop, in turn, and the memory that rn50med's side takes."""

from __future__ import annotations

import argparse
import logging
import resource
import statistics
import sys
import tempfile
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter
from typing import Any

import pandas as pd
import torch
from bare_loop import bare_loop, synchronize
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from PIL import Image

from rn50med import Binary, FineTuneModule, LinearHead, ManifestDataModule, Radiograph, ResNet50
from rn50med.data.phantom import PhantomRow, cohort, draw_film
from rn50med.training.precision import fast_precision

WARM_UP = 3  # steps before the clock starts: the first ones allocate memory and choose kernels
TASK = Binary(negative="normal", positive="pneumonia")


class Clock(Callback):
    """Times the steps after the first few, from the end of one batch to the end of another.

    Args:
        warm_up: Steps before the clock starts.
        steps: Steps that are timed.
        batch_size: Images in a batch.
    """

    def __init__(self, warm_up: int, steps: int, batch_size: int) -> None:
        self.first, self.last, self.images = warm_up, warm_up + steps, steps * batch_size
        self.start = 0.0
        self.images_per_second = 0.0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Start or stop the clock."""
        if trainer.global_step in {self.first, self.last}:
            synchronize(pl_module.device)
            now = perf_counter()
            if trainer.global_step == self.last:
                self.images_per_second = self.images / (now - self.start)
            self.start = now


def write_films(folder: Path, train_images: int) -> Path:
    """Write phantom films and their table, as a user would have them, and return the table.

    Args:
        folder: Where to.
        train_images: Films in train; val and test have a few.
    """
    films = cohort(seed=0, train=2 * (train_images // 6 + 6), val=2, test=2)
    train = [film for film in films if film.split == "train"][:train_images]
    kept = train + [film for film in films if film.split != "train"]

    def write(film: PhantomRow) -> dict[str, str]:
        name = f"patient-{film.patient}-film-{film.film}.png"
        ill = film.patient % 2
        Image.fromarray(draw_film(0, film.patient, film.film, [0] * ill).pixels).save(folder / name)
        return {
            "image": name,
            "patient_id": str(film.patient),
            "split": film.split,
            "label": TASK.classes[ill],
        }

    with ThreadPoolExecutor() as pool:
        pd.DataFrame(pool.map(write, kept)).to_csv(folder / "labels.csv", index=False)
    return folder / "labels.csv"


def prepare(table: Path, options: argparse.Namespace) -> ManifestDataModule:
    """Return the data module, its images read.

    Args:
        table: What `write_films` wrote.
        options: Of the command line.
    """
    data = ManifestDataModule(
        str(table), task=TASK, transforms=Radiograph(size=options.size), batch_size=options.batch_size
    )
    data.setup("fit")
    return data


def ours(data: ManifestDataModule, options: argparse.Namespace) -> float:
    """Train with rn50med as it is shipped, and return images per second.

    Args:
        data: What `prepare` returned.
        options: Of the command line.
    """
    module = FineTuneModule(TASK, backbone=ResNet50(weights="none"), head=LinearHead)
    clock = Clock(WARM_UP, options.steps, options.batch_size)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            max_epochs=1,
            limit_train_batches=WARM_UP + options.steps,
            devices=1,
            precision=fast_precision("auto"),
            callbacks=[*module.default_callbacks(folder), clock],
            default_root_dir=folder,
            num_sanity_val_steps=0,
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(module, data)
    return clock.images_per_second


def theirs(data: ManifestDataModule, options: argparse.Namespace) -> float:
    """Train with the bare loop on the same images, and return images per second.

    Args:
        data: What `prepare` returned.
        options: Of the command line.
    """
    rows = data.rows_of("train")
    images = torch.from_numpy(data.prepared.images.gather(rows)).float() / 255
    targets = torch.tensor([TASK.encode(row) for row in data.manifest.rows()])[rows]
    return bare_loop(images, targets, options.batch_size, options.steps, WARM_UP, fast_precision("auto"))


def compare(data: ManifestDataModule, options: argparse.Namespace) -> None:
    """Run both in turn and print a row per pair.

    Args:
        data: What `prepare` returned.
        options: Of the command line.
    """
    print(f"{'pair':<6}  {'rn50med':>10}  {'bare loop':>10}  {'ratio':>6}   (images/s)")
    ratios = []
    for pair in range(1, options.pairs + 1):
        mine, bare = ours(data, options), theirs(data, options)
        ratios.append(mine / bare)
        print(f"{pair:<6}  {mine:>10.2f}  {bare:>10.2f}  {mine / bare:>6.3f}", flush=True)
    print(f"median ratio {statistics.median(ratios):.3f} (at least 0.9 is wanted)")


def peak_gigabytes() -> float:
    """Return the most memory that this process has held, in GB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e9  # Linux counts KiB


def main() -> None:
    """Measure speed, or memory alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=224, help="side of the images in pixels")
    parser.add_argument("--batch-size", type=int, default=32, help="images in a batch")
    parser.add_argument("--steps", type=int, default=12, help="steps that are timed, after the warm-up")
    parser.add_argument("--pairs", type=int, default=5, help="how often each side runs")
    parser.add_argument(
        "--memory", action="store_true", help="run rn50med's side alone and tell its peak memory"
    )
    options = parser.parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    seed_everything(0, verbose=False)
    print(
        f"{options.size} px, batch {options.batch_size}, {options.steps} steps, {fast_precision('auto')}, "
        f"{torch.get_num_threads()} threads, torch {torch.__version__}"
    )
    with tempfile.TemporaryDirectory() as folder:
        data = prepare(write_films(Path(folder), (WARM_UP + options.steps) * options.batch_size), options)
        if options.memory:
            print(f"rn50med {ours(data, options):.2f} images/s")
            print(
                f"peak resident memory {peak_gigabytes():.2f} GB (less than 4 is wanted at 224 px, batch 32)"
            )
        else:
            compare(data, options)


if __name__ == "__main__":
    main()
