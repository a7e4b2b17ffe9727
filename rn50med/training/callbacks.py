"""Callbacks: early stopping, speed, the log of epochs, and the set that `FineTuneModule` recommends."""

from __future__ import annotations

import csv
import logging
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping

from rn50med.training.batch import unpack
from rn50med.training.checkpoints import Best, Last
from rn50med.training.signals import StopOnSignal

log = logging.getLogger(__name__)

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
        if self._in_second_half(trainer):
            super().on_train_epoch_end(trainer, pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the figure, in the second half; which of the two hooks does is Lightning's choice."""
        if self._in_second_half(trainer):
            super().on_validation_end(trainer, pl_module)

    def _in_second_half(self, trainer: Trainer) -> bool:
        return trainer.current_epoch >= (trainer.max_epochs or 0) // 2


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

    Args:
        path: The file; None only tells.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.rows: list[dict[str, float]] = []

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Add the epoch that has ended."""
        logged = {name: float(value) for name, value in trainer.callback_metrics.items()}
        rates = [group["lr"] for optimizer in trainer.optimizers for group in optimizer.param_groups]
        row = {"epoch": trainer.current_epoch, **logged, "lr": max(rates)}
        self.rows.append(row)
        told = ", ".join(f"{name} {value:.4f}" for name, value in logged.items() if "/" in name)
        if trainer.is_global_zero:
            log.info("epoch %d of %s: %s", trainer.current_epoch + 1, trainer.max_epochs, told)
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
        return {"rows": [dict(row) for row in self.rows]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the rows over."""
        self.rows = state_dict["rows"]


def _cell(row: Mapping[str, float], name: str) -> str:
    value = row.get(name, math.nan)
    return "" if math.isnan(value) else f"{value:.9g}"


def default_callbacks(
    monitor: str, patience: int, folder: str | Path | None, mode: Literal["max", "min"] = "max"
) -> list[Callback]:
    """Return the callbacks of `FineTuneModule.default_callbacks`.

    Args:
        monitor: Figure of val that chooses the best epoch.
        patience: Epochs without improvement; 0 never stops.
        folder: Folder of the checkpoints, or None.
        mode: Whether more of the figure is better, or less.
    """
    stop = [PatientStop(monitor, patience, mode)] if patience else []
    return [Best(monitor, folder, mode), Last(folder), *stop, StopOnSignal(), Speed()]
