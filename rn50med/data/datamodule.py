"""The Lightning data module: from a source to batches."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from rn50med.data.audit import (
    audit,
    identical_images,
    leaks,
    missing_classes,
    stop_on_leaks,
    stop_on_single_class,
    stop_on_untrained_class,
)
from rn50med.data.dataset import Batch, EpochSampler, ImageDataset
from rn50med.data.faults import Faults
from rn50med.data.manifest import OWN_COLUMNS, ROW, Columns, Manifest
from rn50med.data.pixels import Pixels
from rn50med.data.reading import read_all
from rn50med.data.sources import open_source
from rn50med.data.splits import assign_splits, connected_groups
from rn50med.data.transforms import Transforms
from rn50med.errors import DataError, RecipeError
from rn50med.tasks import Task


@dataclass(frozen=True)
class Prepared:
    """What the gate let through.

    Args:
        manifest: With its splits.
        pixels: Prepared images in the order of the manifest, ``(N, C, S, S)``, integers.
        audit: Facts for run folder and report.
    """

    manifest: Manifest
    pixels: Pixels
    audit: dict[str, Any]


class ManifestDataModule(LightningDataModule):
    """Batches from a table or folder of images, checked before the first of them.

    Every image is read once, before training; everything that is wrong with images, labels and splits
    is told in one message. A batch is a dictionary: ``image`` in [0, 1], ``target``, and ``index``, the
    row of the manifest.

    Args:
        source: A ``.csv`` or ``.tsv`` table, a folder of class folders, or ``phantom``.
        task: What is predicted.
        transforms: Deterministic and random part.
        columns: Names of the table's columns.
        root: Folder that image paths are relative to; the table's own where it is not given.
        batch_size: Images in a batch, on one device.
        num_workers: Processes that prepare batches; as many as help where it is not given, on a CPU none.
            Results do not depend on it.
        seed: Seed of splits that are made, of shuffling and of the random transforms.
        allow_leakage: Go on with a patient in two splits; the report says so.
        unsplit: What a source without splits is: `folds`, by patient, or all of it `test`, as another
            site's images are.

    Shape:
        - image: ``(B, C, S, S)``, 32-bit float.
        - target: ``(B,)``, integer.
        - index: ``(B,)``, integer.
    """

    def __init__(  # noqa: PLR0913 - the keys of a recipe
        self,
        source: str,
        *,
        task: Task,
        transforms: Transforms,
        columns: Columns = Columns(),  # noqa: B008 - frozen
        root: str | None = None,
        batch_size: int = 16,
        num_workers: int | None = None,
        seed: int = 0,
        allow_leakage: bool = False,
        unsplit: Literal["folds", "test"] = "folds",
    ) -> None:
        super().__init__()
        _check_options(task, batch_size, num_workers, seed)
        self.source = source
        self.task = task
        self.transforms = transforms
        self.columns = columns
        self.root = root
        self.batch_size = batch_size
        self.num_workers = _useful_workers() if num_workers is None else num_workers
        self.seed = seed
        self.allow_leakage = allow_leakage
        self.unsplit = unsplit
        self._prepared: Prepared | None = None

    @property
    def prepared(self) -> Prepared:
        """Manifest, prepared images and audit; read once.

        Raises:
            DataError: If anything is wrong with them, with all that is.
        """
        if self._prepared is None:
            self._prepared = self._load()
        return self._prepared

    @property
    def manifest(self) -> Manifest:
        """The images with their patients, splits and labels."""
        return self.prepared.manifest

    def setup(self, stage: str) -> None:
        """Read and check everything, once."""
        self._targets = torch.tensor([self.task.encode(row) for row in self.manifest.rows()])

    def _load(self) -> Prepared:
        source = open_source(str(self.source), self.root, self.seed)
        faults = Faults(os.path.basename(str(self.source).rstrip("/\\")) or str(self.source))
        manifest = source.manifest(self.task, self.columns, faults)
        pixels, contents = read_all(manifest, self.transforms, faults)
        if len(faults) and not self.allow_leakage:
            # rows stand in for contents: only patients can be judged before every image is good
            for leak in leaks(manifest, manifest.column(ROW)):
                faults.add(f"{leak}; put all images of a patient in one split")
        faults.raise_any()
        found = stop_on_leaks(manifest, contents, self.allow_leakage)
        given = manifest.column("split")
        splits, origin = self._split(manifest, contents)
        manifest = manifest.with_splits(splits, contents)
        found += identical_images(manifest, contents, [g or s for g, s in zip(given, splits, strict=True)])
        found += missing_classes(manifest, self.task)
        facts = audit(manifest, self.task, found, origin, manifest.digest(contents))
        return Prepared(manifest, pixels, facts)

    def _split(self, manifest: Manifest, contents: Sequence[str]) -> tuple[list[str], str]:
        """Return the split of each image, and where it comes from."""
        given = manifest.column("split")
        if self.unsplit == "test":
            made = "" in given
            origin = "The source gives no split: all of it is test." if made else "As the source gives them."
            return [split or "test" for split in given], origin
        stop_on_single_class(manifest, self.task)
        strata = [self.task.stratum(row) for row in manifest.rows()]
        groups = connected_groups(manifest.column("patient"), contents)
        try:
            splits, origin = assign_splits(given, strata, groups, manifest.column("image"), self.seed)
        except DataError as error:
            raise DataError(f"{manifest.name}: {error}") from error
        stop_on_untrained_class(manifest.with_splits(splits), self.task)
        return splits, origin

    def rows_of(self, split: str) -> NDArray[np.int64]:
        """Return the rows of the manifest that belong to a split.

        Args:
            split: train, val or test.
        """
        return np.flatnonzero(np.asarray(self.manifest.column("split")) == split)

    def train_dataloader(self) -> DataLoader[Batch]:
        """Return shuffled, randomly transformed batches."""
        return self._loader("train")

    def val_dataloader(self) -> DataLoader[Batch]:
        """Return every val image once."""
        return self._loader("val")

    def test_dataloader(self) -> DataLoader[Batch]:
        """Return every test image once."""
        return self._loader("test")

    def _loader(self, split: str) -> DataLoader[Batch]:
        train = split == "train"
        ranks = self.trainer.world_size if self.trainer else 1
        rank = self.trainer.global_rank if self.trainer else 0
        rows = self.rows_of(split)
        if not len(rows):
            raise DataError(f"{self.manifest.name}: has no {split} images; add rows with split {split}.")
        sampler = EpochSampler(rows.tolist(), self.seed, train, ranks, rank)
        if train and min(self.batch_size, len(sampler)) < 2:
            raise RecipeError(
                f"data.batch_size: is {self.batch_size}, with {len(sampler)} images to train on; "
                "batch norm needs batches of 2 or more, better 8."
            )
        dataset = ImageDataset(self.prepared.pixels, self._targets, self.transforms, train, self.seed)
        # A generator of its own: a loader that drew its seed from the global one would move dropout.
        return DataLoader(
            dataset,
            batch_size=self.batch_size,
            sampler=sampler,
            num_workers=self.num_workers,
            drop_last=train and self._leaves_a_poor_batch(len(sampler)),
            persistent_workers=self.num_workers > 0,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator().manual_seed(self.seed),
        )

    def _leaves_a_poor_batch(self, images: int) -> bool:
        """Whether the last batch is too small for batch norm, and can be spared."""
        rest = images % self.batch_size
        return images > self.batch_size and 0 < rest < max(2, self.batch_size // 4)


def _check_options(task: Task, batch_size: int, num_workers: int | None, seed: int) -> None:
    """Refuse options out of range, all at once."""
    least = {"data.batch_size": (batch_size, 1), "data.num_workers": (num_workers or 0, 0), "seed": (seed, 0)}
    faults = [f"{key}: is {value}; give {low} or more." for key, (value, low) in least.items() if value < low]
    faults += [
        f"task: column {name!r} cannot hold the label, since the manifest has one of that name; rename it."
        for name in task.columns
        if name in OWN_COLUMNS
    ]
    if faults:
        raise RecipeError("\n  ".join(faults))


def _useful_workers() -> int:
    """Return how many worker processes help: on a CPU they would take cores from the network."""
    # spawned workers need a main guard in the user's script, and copy all images
    forks = multiprocessing.get_start_method() == "fork"
    return min(8, max(0, (os.cpu_count() or 1) - 1)) if torch.cuda.is_available() and forks else 0
