"""The Lightning data module: from a source to batches."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from rn50med.data.audit import LEAKS
from rn50med.data.audit.counting import many
from rn50med.data.balancing import balance, class_groups
from rn50med.data.cache import PreparedImages, cache_place
from rn50med.data.contract import PixelContract, kinds_of
from rn50med.data.dataset import Batch, EpochSampler, ImageDataset, as_it_is, poor_batch
from rn50med.data.gate import Gate
from rn50med.data.inspection import Inspection
from rn50med.data.manifest import Columns, Manifest
from rn50med.data.options import check_gate, check_options
from rn50med.data.readers import Reader
from rn50med.data.sources import open_source
from rn50med.data.splits import SplitPlan
from rn50med.data.transforms import Transforms
from rn50med.data.workers import may_fork, useful_workers
from rn50med.errors import DataError, RecipeError
from rn50med.tasks import Task

log = logging.getLogger(__name__)

_POOR = "batch norm cannot use so few; other images are left out in the next epoch"


@dataclass(frozen=True)
class Prepared:
    """What the gate let through.

    Args:
        manifest: With its splits.
        images: Prepared, in the order of the manifest.
        audit: Facts for run folder and report.
    """

    manifest: Manifest
    images: PreparedImages
    audit: dict[str, Any]


class ManifestDataModule(LightningDataModule):
    """Batches from a table or folder of images, checked before the first of them.

    Every image is read once, before training; everything that is wrong with images, labels and splits
    is told in one message. A batch is a dictionary: ``image`` in [0, 1], ``target``, and ``index``, the
    row of the manifest.

    Args:
        source: A table (``.csv``, ``.tsv``, ``.xlsx``, ``.parquet``), a folder of class folders, an ``.npz``
            in MedMNIST's layout, the name of a MedMNIST set, or ``phantom``.
        task: What is predicted.
        transforms: Deterministic and random part.
        columns: Names of the table's columns.
        root: Folder that image paths are relative to, the table's own where it is not given; or, with
            `join`, the folder of DICOM files.
        join: DICOM tag, such as ``AccessionNumber``, or ``file``, by which rows of the table own the DICOM
            files below `root`.
        where: Rows to keep, such as ``ViewPosition in (PA, AP)``, by columns and DICOM tags.
        reader: Makes values of files.
        splits: How splits are made where the source gives none, or only some.
        split_file: A ``splits.json`` of an earlier run, whose splits these images have to keep.
        batch_size: Images in a batch, on one device.
        num_workers: Processes that prepare batches; as many as help where it is not given, on a CPU none.
            Results do not depend on it.
        seed: Seed of splits that are made, of shuffling and of the random transforms.
        cache: Folder of the cache, or ``none``; where it is not given, ``RN50MED_CACHE`` or ``runs/.cache``.
        on_bad_image: What becomes of an image that cannot be read: it stops, or is left out (`skip`) and
            counted.
        most_bad_images: Share of images that may be left out so; more stop all the same.
        allow: Codes of findings that would stop and are let through, such as ``burned-in``; the report says
            so.
        allow_leakage: Go on with a patient or an image in two splits; the report says so.
        unsplit: What a source without splits is: `folds`, by patient; all of it `test`, as another site's
            images are; or all of it `train`, for cross-validation that puts no test images aside.
        sampler: Whether an epoch of train is all images once (`shuffle`), or as many, each class or finding
            as often as the others (`balanced`).

    Shape:
        - image: ``(B, C, S, S)``, 32-bit float.
        - target: ``(B,)``, integer; ``(B, L)`` for several labels; ``(B,)``, float, for a number.
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
        join: str | None = None,
        where: str | None = None,
        reader: Reader = Reader(),  # noqa: B008 - frozen
        splits: SplitPlan = SplitPlan(),  # noqa: B008 - frozen
        split_file: str | None = None,
        batch_size: int = 16,
        num_workers: int | None = None,
        seed: int = 0,
        cache: str | None = None,
        on_bad_image: Literal["stop", "skip"] = "stop",
        most_bad_images: float = 0.05,
        allow: tuple[str, ...] = (),
        allow_leakage: bool = False,
        unsplit: Literal["folds", "test", "train"] = "folds",
        sampler: Literal["shuffle", "balanced"] = "shuffle",
    ) -> None:
        super().__init__()
        check_options(task, batch_size, num_workers, seed)
        check_gate(most_bad_images, allow)
        if unsplit == "train" and splits.crossval is None:
            raise RecipeError("data.unsplit: is train, which leaves no test; it is for the command crossval.")
        self.source = source
        self.task = task
        self.transforms = transforms
        self.columns = columns
        self.root = root
        self.join = join
        self.where = where
        self.reader = reader
        self.splits = splits
        self.split_file = split_file
        self.batch_size = batch_size
        self.num_workers = useful_workers() if num_workers is None else num_workers
        self.seed = seed
        self.cache = cache
        self.on_bad_image = on_bad_image
        self.most_bad_images = most_bad_images
        self.allow = tuple(allow)
        self.allow_leakage = allow_leakage
        self.unsplit = unsplit
        self.sampler = sampler
        self._inspected: Inspection | None = None
        self._prepared: Prepared | None = None

    def inspection(self) -> Inspection:
        """Return everything that the gate found, once; it raises nothing that could be found.

        Raises:
            DataError: If there is no source that could be checked.
        """
        if self._inspected is None:
            source = open_source(
                str(self.source), self.root, self.seed, join=self.join, where=self.where, reader=self.reader
            )
            name = os.path.basename(str(self.source).rstrip("/\\")) or str(self.source)
            self._inspected = self._gate().inspect(source, name)
        return self._inspected

    def _gate(self) -> Gate:
        return Gate(
            task=self.task,
            columns=self.columns,
            transforms=self.transforms,
            plan=self.splits,
            split_file=self.split_file,
            seed=self.seed,
            unsplit=self.unsplit,
            allowed=frozenset(self.allow) | (LEAKS if self.allow_leakage else frozenset()),
            on_bad_image=self.on_bad_image,
            most_bad_images=self.most_bad_images,
            cache=cache_place(self.cache),
        )

    @property
    def prepared(self) -> Prepared:
        """Manifest, prepared images and audit; read once.

        Raises:
            DataError: If anything is wrong with them, with all that is.
        """
        if self._prepared is None:
            found = self.inspection()
            found.stop_on_errors()
            self._prepared = Prepared(found.manifest, found.images, found.audit)
        return self._prepared

    @property
    def contract(self) -> PixelContract:
        """How the images are read, and of which kinds those of train and val are."""
        found = self.inspection()
        splits = found.manifest.column("split")
        learnt = [seen for seen, split in zip(found.seen, splits, strict=True) if split != "test"]
        return PixelContract(self.reader, kinds_of(learnt))

    @property
    def manifest(self) -> Manifest:
        """The images with their patients, splits and labels."""
        return self.prepared.manifest

    def setup(self, stage: str) -> None:
        """Read and check everything, once."""
        _ = self._targets

    @cached_property
    def _targets(self) -> torch.Tensor:
        targets = torch.from_numpy(self.task.targets(self.manifest.rows()))
        return targets.float() if self.task.continuous else targets  # not every device has 64 bits

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

    def predict_dataloader(self) -> DataLoader[Batch]:
        """Refuse: it is not said which images are to be predicted.

        Raises:
            RecipeError: Always.
        """
        raise RecipeError(
            "trainer.predict: a ManifestDataModule does not say which images to predict; call "
            "rn50med.predict(run, images), or give the Trainer a DataLoader, such as data.test_dataloader()."
        )

    def _loader(self, split: str) -> DataLoader[Batch]:
        train = split == "train"
        ranks = self.trainer.world_size if self.trainer else 1
        rank = self.trainer.global_rank if self.trainer else 0
        rows = self.rows_of(split)
        if not len(rows):
            raise DataError(f"{self.manifest.name}: has no {split} images; add rows with split {split}.")
        if len(rows) < ranks:  # one without an image would not take part, and the others wait for it
            raise RecipeError(
                f"trainer.devices: are {ranks}, and {split} has {len(rows)} images; give fewer devices."
            )
        groups = self._groups(rows) if train and self.sampler == "balanced" else None
        sampler = EpochSampler(rows.tolist(), self.seed, train, ranks, rank, groups)
        module = self.trainer.lightning_module if self.trainer else None
        norms_train = train and getattr(module, "norms_train", True)  # a frozen one takes any batch
        if norms_train and min(self.batch_size, len(sampler)) < 2:
            raise RecipeError(
                f"data.batch_size: is {self.batch_size}, with {len(sampler)} images to train on; "
                "batch norm needs batches of 2 or more, better 8."
            )
        spared = poor_batch(len(sampler), self.batch_size) if norms_train else 0
        if spared and rank == 0:
            log.info("batches: the last of each epoch, of %s, is left out: %s", many(spared, "image"), _POOR)
        names = self.manifest.column("image")
        dataset = ImageDataset(self.prepared.images, names, self._targets, self.transforms, train, self.seed)
        # A generator of its own: a loader that drew its seed from the global one would move dropout.
        return DataLoader(
            dataset,
            batch_size=self.batch_size,
            sampler=sampler,
            num_workers=self.num_workers,
            collate_fn=as_it_is,  # type: ignore[arg-type]  # the dataset collates
            drop_last=spared > 0,
            persistent_workers=self.num_workers > 0,
            multiprocessing_context="fork" if self.num_workers and may_fork() else None,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator().manual_seed(self.seed),
        )

    def _groups(self, rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """Return the images of each class, and say how often each class is drawn."""
        every = self.manifest.rows()
        parts = self.task.strata([every[row] for row in rows.tolist()])  # of numbers, parts of the scale
        groups = class_groups(rows, parts)
        if self.trainer is None or self.trainer.is_global_zero:
            log.info("%s", balance(groups, rows, parts, self.task.strata_names))
        return groups
