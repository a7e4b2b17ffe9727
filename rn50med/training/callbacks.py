"""Callbacks: the best epoch and the last, early stopping, signals, speed, and the log of epochs."""

from __future__ import annotations

import csv
import logging
import math
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from types import FrameType
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

from rn50med.errors import Interrupted, StorageError
from rn50med.training.module import unpack

log = logging.getLogger(__name__)

SPEED_STEPS = 20
"""Steps after which the speed is told; the first is left out, since it warms up."""

_PATHS = ("best_model_path", "kth_best_model_path", "last_model_path")


class _Placeless(ModelCheckpoint):
    """A checkpoint callback whose own state names no folder, which could tell of a patient."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state with file names in place of paths."""
        kept = super().state_dict()
        models = {Path(path).name: score for path, score in self.best_k_models.items()}
        names = {key: Path(kept[key]).name for key in _PATHS if kept[key]}
        return {**kept, **names, "dirpath": None, "best_k_models": models}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the state over, its files being in this run's folder."""
        folder = str(self.dirpath)
        paths = {key: str(Path(folder, state_dict[key])) for key in _PATHS if state_dict[key]}
        models = {str(Path(folder, name)): score for name, score in state_dict["best_k_models"].items()}
        super().load_state_dict({**state_dict, **paths, "dirpath": self.dirpath, "best_k_models": models})


class Best(_Placeless):
    """Keeps the epoch whose figure of val is best, as ``best.ckpt``; of equal ones the latest.

    On a small val the figure soon reaches its end, and an epoch that trained longer, at a lower rate, is
    then the better guess.

    Args:
        monitor: The figure; more is better.
        folder: Where; the Trainer's own choice where None.
    """

    def __init__(self, monitor: str, folder: str | Path | None = None) -> None:
        super().__init__(
            folder,
            "best",
            monitor=monitor,
            mode="max",
            auto_insert_metric_name=False,
            enable_version_counter=False,
        )

    def check_monitor_top_k(self, trainer: Trainer, current: torch.Tensor | None = None) -> bool:
        """Return whether an epoch is kept: a better one, or an equal one; never an undefined one."""
        if current is not None and torch.isnan(current):
            return False
        equal = current is not None and self.best_model_score is not None and current == self.best_model_score
        return bool(equal) or super().check_monitor_top_k(trainer, current)


class Last(_Placeless):
    """Keeps the last epoch, whatever its figures, as ``last.ckpt``.

    It is a callback of its own because Lightning's ``save_last`` copies the best. Before the first epoch
    it writes a checkpoint and reads it back, so that nobody learns after a day that none can be read.

    Args:
        folder: Where; the Trainer's own choice where None.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        super().__init__(
            folder, "last", monitor=None, save_top_k=1, every_n_epochs=1, auto_insert_metric_name=False,
            enable_version_counter=False, save_on_train_epoch_end=True,
        )  # fmt: skip

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write and read a checkpoint."""
        super().on_train_start(trainer, pl_module)
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        path = self.save_now(trainer)
        if trainer.is_global_zero:
            try:
                torch.load(path, map_location="cpu", weights_only=True)
            except UnpicklingError as error:
                raise StorageError(
                    f"{path}: a checkpoint of this run could not be opened again ({error}); "
                    "keep only plain types in callbacks and hyper-parameters."
                ) from error

    def save_now(self, trainer: Trainer) -> Path:
        """Save at once, and return where; every rank has to call it."""
        path = Path(self.dirpath or trainer.default_root_dir) / f"last{self.FILE_EXTENSION}"
        trainer.save_checkpoint(path)
        return path


class PatientStop(EarlyStopping):
    """Stops when the figure of val has not improved, but never in the first half of the schedule.

    Args:
        monitor: The figure; more is better.
        patience: Epochs without improvement.
    """

    def __init__(self, monitor: str, patience: int) -> None:
        super().__init__(monitor, patience=patience, mode="max", check_finite=False)

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


class StopOnSignal(Callback):
    """Saves a checkpoint on SIGTERM or SIGINT and ends the run with the signal's exit code.

    The signal is noted when it comes and acted on between two batches, by all ranks together.
    """

    def __init__(self) -> None:
        self._received: int | None = None
        self._before: dict[int, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen, instead of Lightning, which would end with exit code 0."""
        for number in (signal.SIGTERM, signal.SIGINT):
            try:
                self._before[number] = signal.signal(number, self._note)
            except ValueError:  # not in the main thread, as in some notebooks: nothing to listen to
                return

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._received = number

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save and stop where a signal came, on any rank."""
        self._act(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Do so for a signal that came during val, too."""
        self._act(trainer, pl_module)

    def _act(self, trainer: Trainer, pl_module: LightningModule) -> None:
        received = self._received
        if trainer.world_size > 1:
            told = torch.tensor(received or 0, device=pl_module.device)
            received = int(trainer.strategy.reduce(told, reduce_op="max")) or None
        if received is not None:
            self._stop(trainer, received)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Stop in a long val too; several ranks wait for the next batch of train, which they share."""
        if self._received is not None and trainer.world_size == 1:
            self._stop(trainer, self._received)

    def _stop(self, trainer: Trainer, number: int) -> None:
        last = next((c for c in trainer.checkpoint_callbacks if isinstance(c, Last)), None)
        name = signal.Signals(number).name
        if last is None:
            raise Interrupted(f"fit: stopped by {name} at step {trainer.global_step}.", number)
        path = last.save_now(trainer)
        raise Interrupted(
            f"fit: stopped by {name}; checkpoint saved at step {trainer.global_step}: {path}", number
        )

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Give the signals back to whoever had them."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}


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


def default_callbacks(monitor: str, patience: int, folder: str | Path | None) -> list[Callback]:
    """Return the callbacks of `FineTuneModule.default_callbacks`.

    Args:
        monitor: Figure of val that chooses the best epoch.
        patience: Epochs without improvement; 0 never stops.
        folder: Folder of the checkpoints, or None.
    """
    stop = [PatientStop(monitor, patience)] if patience else []
    return [Best(monitor, folder), Last(folder), *stop, StopOnSignal(), Speed()]
