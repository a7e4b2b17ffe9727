"""Callbacks: early stopping, speed, the log of epochs, and the set that `FineTuneModule` recommends."""

from __future__ import annotations

import csv
import logging
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from torch import Tensor

from rn50med.training.averaging import AveragedWeights
from rn50med.training.batch import unpack
from rn50med.training.checkpoints import Best, Last
from rn50med.training.regularisation import Regularisation
from rn50med.training.signals import StopOnSignal
from rn50med.training.starting_point import StartingPoint

log = logging.getLogger(__name__)

_LOSSES = ("train/loss", "val/loss")

PROBE_PAUSE = 10.0
"""Seconds between two checkpoints of the last epoch where the head alone trains; its epochs are short."""

SPEED_STEPS = 20
"""Steps after which the speed is told; the first is left out, since it warms up."""


class PatientStop(EarlyStopping):
    """Stops when the figure of val has not improved, but never in the first half of the schedule.

    Args:
        monitor: The figure.
        patience: Epochs without improvement.
        mode: Whether more of the figure is better, or less.
    """

    def __init__(self, monitor: str, patience: int, mode: Literal["max", "min"] = "max") -> None:
        super().__init__(monitor, patience=patience, mode=mode, check_finite=False)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the figure, in the second half."""
        if self._looks(trainer):
            super().on_train_epoch_end(trainer, pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the figure, in the second half; which of the two hooks does is Lightning's choice."""
        if self._looks(trainer):
            super().on_validation_end(trainer, pl_module)

    def _looks(self, trainer: Trainer) -> bool:
        if not trainer.enable_validation:
            return False
        epochs = trainer.max_epochs or -1
        if epochs > 0:
            return trainer.current_epoch >= epochs // 2
        return trainer.global_step >= trainer.estimated_stepping_batches // 2


class Speed(Callback):
    """Says once, after a few steps, how many images a second are trained and when it will be done.

    Attributes:
        images_per_second: Over all ranks, without the first step; None until it is known.
    """

    def __init__(self) -> None:
        self.images_per_second: float | None = None
        self._images = 0
        self._start = 0.0
        self._paused = 0.0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count, and tell once."""
        step = trainer.global_step
        if step <= 1:
            self._start = time.perf_counter()
        elif step <= SPEED_STEPS + 1:
            self._images += len(unpack(batch)[1]) * trainer.world_size
        if step == SPEED_STEPS + 1 and self.images_per_second is None:
            seconds = time.perf_counter() - self._start
            self.images_per_second = self._images / seconds
            left = (int(trainer.estimated_stepping_batches) - step) * seconds / SPEED_STEPS
            end = time.strftime("%H:%M:%S", time.localtime(time.time() + left))
            if trainer.is_global_zero:
                log.info(
                    "speed: %.1f images/s in training; estimated end of training %s (in %.1f min), "
                    "validation not counted.", self.images_per_second, end, left / 60,
                )  # fmt: skip

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock."""
        self._paused = time.perf_counter()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let the clock run on."""
        self._start += time.perf_counter() - self._paused


class EpochLog(Callback):
    """Writes ``metrics.csv``, a row per epoch, and tells each epoch in a line.

    The gap of an epoch is the loss of val less the loss of train as they are logged: that of train is a mean
    over the epoch, of images that were changed at random, under dropout. So it starts out below 0, and
    rises as images are learnt by heart.

    Args:
        path: The file; None only tells.

    Attributes:
        rows: What was logged, an epoch each.
        seen: Images that each epoch trained on, over all ranks.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.rows: list[dict[str, float]] = []
        self.seen: list[int] = []
        self._images = 0
        self._judged = False

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to count images."""
        self._images, self._judged = 0, False

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note that this epoch has figures of val; the trainer keeps those of one before."""
        self._judged = True

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the images of a batch."""
        self._images += _size(batch) * trainer.world_size

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Add the epoch that has ended."""
        kept = {name: float(value) for name, value in trainer.callback_metrics.items()}
        logged = {name: value for name, value in kept.items() if self._judged or not name.startswith("val/")}
        rates = [group["lr"] for optimizer in trainer.optimizers for group in optimizer.param_groups]
        gap = logged.get("val/loss", math.nan) - logged.get("train/loss", math.nan)
        self.rows.append({"epoch": trainer.current_epoch, **logged, "lr": max(rates), "gap": gap})
        self.seen.append(self._images)
        if trainer.is_global_zero:
            best = next((c for c in trainer.checkpoint_callbacks if isinstance(c, Best)), None)
            told = told_of(self.rows, best.monitor, best.mode) if best else told_of(self.rows, None)
            of = f" of {epochs}" if (epochs := trainer.max_epochs or -1) > 0 else ""  # steps may be counted
            log.info("epoch %d%s: %s", trainer.current_epoch + 1, of, told)
            if self.path is not None:
                self._write(self.path)

    def _write(self, path: Path) -> None:
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(names)
            writer.writerows([[_cell(row, name) for name in names] for row in self.rows])

    def state_dict(self) -> dict[str, Any]:
        """Keep the rows, so that a run that goes on has them all."""
        return {"rows": [dict(row) for row in self.rows], "seen": list(self.seen)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the rows over."""
        self.rows = state_dict["rows"]
        self.seen = state_dict.get("seen", [])  # older checkpoints did not count


def told_of(rows: Sequence[Mapping[str, float]], monitor: str | None, mode: str = "max") -> str:
    """Return the last epoch in words: losses, the figure that is watched with the best so far, and the gap.

    Args:
        rows: What was logged, an epoch each.
        monitor: Name of the figure; None tells none.
        mode: Whether more of it is better (``max``), or less.

    Example:
        >>> row = {"epoch": 0, "train/loss": 0.5, "val/loss": 0.6, "val/auroc": 0.9, "gap": 0.1}
        >>> told_of([row, {**row, "epoch": 1, "val/auroc": 0.8}], "val/auroc")
        'train loss 0.5000, val loss 0.6000, val auroc 0.8000 (best 0.9000 in epoch 1), gap 0.1000'
    """
    row = rows[-1]
    parts = {name: f"{name.replace('/', ' ')} {_told(row[name])}" for name in _LOSSES if name in row}
    if monitor is not None and monitor in row:
        best = best_row(rows, monitor, mode)
        since = "" if best is None else f" (best {best[monitor]:.4f} in epoch {int(best['epoch']) + 1})"
        parts[monitor] = f"{monitor.replace('/', ' ')} {_told(row[monitor])}{since}"
    return ", ".join([*parts.values(), *([f"gap {row['gap']:.4f}"] if math.isfinite(row["gap"]) else [])])


def best_row(
    rows: Sequence[Mapping[str, float]], monitor: str, mode: str = "max"
) -> Mapping[str, float] | None:
    """Return the epoch whose figure is best, of equal ones the latest; None where none is defined.

    Args:
        rows: What was logged, an epoch each.
        monitor: Name of the figure.
        mode: Whether more of it is better (``max``), or less.

    Example:
        >>> best_row([{"epoch": 0, "val/mae": 3.0}, {"epoch": 1, "val/mae": 2.0}], "val/mae", "min")["epoch"]
        1
    """
    defined = [row for row in rows if not math.isnan(row.get(monitor, math.nan))]
    sign = 1 if mode == "max" else -1
    return max(reversed(defined), key=lambda row: sign * row[monitor], default=None)


def _told(value: float) -> str:
    return "undefined" if math.isnan(value) else f"{value:.4f}"


def _size(batch: Any) -> int:
    return len(batch) if isinstance(batch, Tensor) else len(unpack(batch)[1])


def _cell(row: Mapping[str, float], name: str) -> str:
    value = row.get(name, math.nan)
    return "" if math.isnan(value) else f"{value:.9g}"


def default_callbacks(
    monitor: str,
    patience: int,
    folder: str | Path | None,
    regularisation: Regularisation,
    mode: Literal["max", "min"] = "max",
    metrics: str | Path | None = None,
    probes: bool = False,
) -> list[Callback]:
    """Return the callbacks of `FineTuneModule.default_callbacks`.

    Args:
        monitor: Figure of val that chooses the best epoch.
        patience: Epochs without improvement; 0 never stops.
        folder: Folder of the checkpoints, or None.
        regularisation: Options of the callbacks against overfitting.
        mode: Whether more of the figure is better, or less.
        metrics: File of the figures of each epoch, or None.
        probes: Whether the backbone never trains; short epochs do not have a checkpoint each then.
    """
    stop = [PatientStop(monitor, patience, mode)] if patience else []
    average = [AveragedWeights(regularisation.ema_decay)] if regularisation.ema_decay else []
    start = [StartingPoint(regularisation.l2_sp)] if regularisation.l2_sp else []
    epochs = EpochLog(None if metrics is None else Path(metrics))
    kept = [Best(monitor, folder, mode), Last(folder, PROBE_PAUSE if probes else 0.0)]
    return [*start, *average, *kept, *stop, StopOnSignal(), Speed(), epochs]
