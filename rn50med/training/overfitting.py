"""What a training came to: the best epoch on images of train as they are, against val."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from lightning.pytorch import Trainer
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from rn50med.data.datamodule import ManifestDataModule
from rn50med.data.dataset import ImageDataset, as_it_is
from rn50med.evaluation.arrays import stored
from rn50med.evaluation.bootstrap import bootstrap_interval
from rn50med.evaluation.predictions import Predictions
from rn50med.evaluation.resamples import weighted_mean
from rn50med.evaluation.verdict import Account
from rn50med.tasks import UNKNOWN, Task
from rn50med.training.agreement import membership_of
from rn50med.training.callbacks import EpochLog, best_row
from rn50med.training.module import FineTuneModule
from rn50med.training.precision import exact

MOST_CASES = 500
"""Cases of train that are looked at: an AUROC near 0.9 is then known to about 0.03."""


def account(module: FineTuneModule, data: ManifestDataModule, trainer: Trainer, judge: Trainer) -> Account:
    """Return what a training came to.

    Args:
        module: The best epoch, with its predictions of val.
        data: Its images.
        trainer: That trained it, with an `EpochLog`.
        judge: That evaluated it; its device and precision are used.
    """
    task, val = module.task, module.predictions["val"]
    monitor = f"val/{task.monitor}"
    epochs = next((c for c in trainer.callbacks if isinstance(c, EpochLog)), EpochLog())  # type: ignore[attr-defined]
    train = train_predictions(module, data, judge)
    cases = task.cases(train, membership_of(data.manifest, module.unit, train.index), module.temperature)
    owners = membership_of(data.manifest, module.unit, val.index).patients
    rows = data.manifest.rows()
    learnt = task.targets([rows[row] for row in data.rows_of("train")])
    best = best_row(epochs.rows, monitor, task.monitor_mode) or (epochs.rows or [{"epoch": 0}])[-1]
    known, surprise = losses(task, val)
    return Account(
        monitor=task.monitor,
        train=task.watched(cases)[task.monitor],
        val=task.headline(module.cases["val"]),
        train_loss=float(np.mean(losses(task, train)[1])),
        val_loss=bootstrap_interval(weighted_mean, [surprise], owners[known]),
        best_epoch=int(best["epoch"]),
        epochs_run=len(epochs.rows),
        epochs_planned=trainer.max_epochs or 0,
        gain=last_gain(epochs.rows, monitor, task.monitor_mode),
        patients=patients_of_classes(task, data),
        effective_epochs=sum(epochs.seen) / max(1, len(data.rows_of("train"))),
        probes=not module.backbone_trains,
        blends=task.blends and not module.regularisation.mixup,
        chance=task.chance(learnt, module.cases["val"]),
        perfect=task.perfect,
        probable=not task.continuous,
        pretrained=bool(getattr(trainer.lightning_module, "pretrained", True)),  # `module` is a checkpoint's
    )


def train_predictions(module: FineTuneModule, data: ManifestDataModule, judge: Trainer) -> Predictions:
    """Return what a module says of images of train, without random changes.

    Args:
        module: The best epoch.
        data: Its images.
        judge: Its device and precision are used.
    """
    rows, manifest = sampled_rows(module, data), data.manifest
    targets = module.task.targets(manifest.rows())
    images = ImageDataset(
        data.prepared.images,
        manifest.column("image"),
        torch.from_numpy(targets),
        data.transforms,
        train=False,
        seed=data.seed,
    )
    loader = DataLoader(
        images,
        batch_size=data.batch_size,
        sampler=[(0, int(row)) for row in rows],
        collate_fn=as_it_is,  # type: ignore[arg-type]  # the dataset collates
    )
    device = judge.strategy.root_device
    module.to(device).eval()
    with (
        exact(judge.precision == "32-true"),
        torch.inference_mode(),
        judge.precision_plugin.forward_context(),
    ):
        logits = [module(batch["image"].to(device)).float().cpu() for batch in loader]
    return Predictions(rows, stored(torch.cat(logits).numpy()), targets[rows])


def sampled_rows(module: FineTuneModule, data: ManifestDataModule) -> NDArray[np.int64]:
    """Return the images of at most `MOST_CASES` cases of train, drawn by the seed of the data.

    Args:
        module: Knows what a case is.
        data: Its images.
    """
    rows = data.rows_of("train")
    grouping = membership_of(data.manifest, module.unit, rows).grouping
    chosen = np.random.default_rng(data.seed).permutation(len(grouping.first))[:MOST_CASES]
    return rows[np.isin(grouping.index, chosen)]


def losses(task: Task, found: Predictions) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return which images have a label, and the loss of each of these, before any temperature.

    Args:
        task: Knows its loss.
        found: Of the images.
    """
    labels = found.target.reshape(len(found.target), -1)
    known = np.isfinite(labels[:, 0]) if task.continuous else (labels != UNKNOWN).any(axis=1)
    logits, target = torch.from_numpy(found.logits[known]), torch.from_numpy(found.target[known])
    each = [float(task.loss(logits[i : i + 1], target[i : i + 1])) for i in range(len(target))]
    return known, np.array(each)


def last_gain(rows: Sequence[Mapping[str, float]], monitor: str, mode: str = "max") -> float:
    """Return by how much the last quarter of the epochs, or the last one, bettered the best figure of val.

    Args:
        rows: What was logged, an epoch each.
        monitor: Name of the figure.
        mode: Whether more of it is better (``max``), or less.

    Example:
        >>> last_gain([{"val/auroc": value} for value in (0.5, 0.75, 0.7, 0.875)], "val/auroc")
        0.125
    """
    before = best_row(rows[: -max(1, len(rows) // 4)], monitor, mode)
    best = best_row(rows, monitor, mode)
    if best is None:
        return 0.0
    return math.inf if before is None else abs(best[monitor] - before[monitor])


def patients_of_classes(task: Task, data: ManifestDataModule) -> dict[str, int]:
    """Return how many patients of train have an image of each class, or with each finding.

    Args:
        task: Knows the classes.
        data: Its images.
    """
    rows, patients = data.manifest.rows(), data.manifest.column("patient")
    having: dict[str, set[str]] = {name: set() for name in task.classes}
    for row in data.rows_of("train"):
        for name, number in task.counts([rows[row]])["classes"].items():
            if number:
                having[name].add(str(patients[row]))
    return {name: len(found) for name, found in having.items()}
