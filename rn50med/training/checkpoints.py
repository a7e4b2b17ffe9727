"""Checkpoints: how one is read, and the callbacks that keep the best epoch and the last."""

from __future__ import annotations

import logging
from pathlib import Path
from pickle import UnpicklingError
from time import monotonic
from typing import IO, Any, Literal

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from rn50med.errors import StorageError

log = logging.getLogger(__name__)

CHECKPOINT_KEY = "rn50med"
"""Where a checkpoint keeps what rn50med needs to build its module again."""

_PATHS = ("best_model_path", "kth_best_model_path", "last_model_path")


class _Placeless(ModelCheckpoint):
    """A checkpoint callback whose own state names no folder, which could tell of a patient.

    A run that goes on may write into another folder than before. Files of before are then where the
    checkpoint is that it goes on from; where they are not there either, nothing was best so far.
    """

    _trainer: Trainer | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Find the folder; that of the checkpoint to go on from is known when it is read."""
        super().setup(trainer, pl_module, stage)
        self._trainer = trainer

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Let the trainer go."""
        super().teardown(trainer, pl_module, stage)
        self._trainer = None

    def state_dict(self) -> dict[str, Any]:
        """Return the state with file names in place of paths."""
        kept = super().state_dict()
        models = {Path(path).name: score for path, score in self.best_k_models.items()}
        names = {key: Path(kept[key]).name for key in _PATHS if kept[key]}
        return {**kept, **names, "dirpath": None, "best_k_models": models}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the state over, its files being in this run's folder, or in that of before."""
        name = state_dict.get("best_model_path", "")
        before = self._trainer.ckpt_path if self._trainer else None
        places = [Path(self.dirpath)] if self.dirpath else []
        places += [Path(before).parent] if before else []
        folder = next((place for place in places if (place / name).is_file()), None)
        if not name or folder is None:
            return
        paths = {key: str(Path(folder, state_dict[key])) for key in _PATHS if state_dict[key]}
        models = {str(Path(folder, name)): score for name, score in state_dict["best_k_models"].items()}
        super().load_state_dict({**state_dict, **paths, "dirpath": self.dirpath, "best_k_models": models})


class Best(_Placeless):
    """Keeps the epoch whose figure of val is best, as ``best.ckpt``; of equal ones the latest.

    On a small val the figure soon reaches its end, and an epoch that trained longer, at a lower rate, is
    then the better guess.

    Args:
        monitor: The figure.
        folder: Where; the Trainer's own choice where None.
        mode: Whether more of the figure is better, or less.
    """

    def __init__(
        self, monitor: str, folder: str | Path | None = None, mode: Literal["max", "min"] = "max"
    ) -> None:
        super().__init__(
            folder,
            "best",
            monitor=monitor,
            mode=mode,
            auto_insert_metric_name=False,
            enable_version_counter=False,
        )

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say where no epoch will be the best."""
        super().on_train_start(trainer, pl_module)
        if not trainer.enable_validation and trainer.is_global_zero:
            log.warning(
                "warning (no-val): there are no images of val to judge epochs by; the last is kept, none as "
                "the best, and training does not stop early. Give the Trainer a DataLoader of val."
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
        pause: Seconds that lie at least between two checkpoints, for epochs that take less time than theirs;
            that of the last epoch does not wait.
    """

    def __init__(self, folder: str | Path | None = None, pause: float = 0.0) -> None:
        super().__init__(
            folder, "last", monitor=None, save_top_k=1, every_n_epochs=1, auto_insert_metric_name=False,
            enable_version_counter=False, save_on_train_epoch_end=True,
        )  # fmt: skip
        self.pause = pause
        self._saved = 0.0

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

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save, unless it is too soon after the last time and more epochs follow."""
        due = _ends(trainer) or monotonic() - self._saved >= self.pause
        if trainer.strategy.broadcast(due):  # clocks differ between processes
            super().on_train_epoch_end(trainer, pl_module)
            self._saved = monotonic()

    def save_now(self, trainer: Trainer) -> Path:
        """Save at once, and return where; every rank has to call it."""
        path = Path(self.dirpath or trainer.default_root_dir) / f"last{self.FILE_EXTENSION}"
        trainer.save_checkpoint(path)
        self._saved = monotonic()
        return path


def _ends(trainer: Trainer) -> bool:
    """Return whether the epoch that is over is the last one, as far as can be told."""
    epochs, steps = trainer.max_epochs or -1, trainer.max_steps
    done = 0 < epochs <= trainer.current_epoch + 1 or 0 < steps <= trainer.global_step
    return done or trainer.should_stop


def read_checkpoint(path: str | Path | IO[bytes], map_location: Any = "cpu") -> dict[str, Any]:
    """Read a checkpoint of rn50med's; nothing but tensors and plain types is unpickled.

    Args:
        path: The checkpoint.
        map_location: Where tensors go.

    Raises:
        StorageError: If it is missing, damaged, or not one of rn50med's.
    """
    name = path if isinstance(path, str | Path) else "checkpoint"
    try:
        checkpoint = torch.load(path, map_location=map_location, weights_only=True)
    except FileNotFoundError:
        raise StorageError(
            f"{name}: there is no such checkpoint; give a run folder or a .ckpt file."
        ) from None
    except Exception as error:  # torch raises many kinds for a damaged or hostile file
        raise StorageError(
            f"{name}: cannot be read as a checkpoint (it is damaged, or holds more than tensors and plain "
            "types, which is never run); use another one."
        ) from error
    if not isinstance(checkpoint, dict) or CHECKPOINT_KEY not in checkpoint:
        raise StorageError(f"{name}: is no checkpoint of rn50med's; give one that `fit` wrote.")
    return checkpoint
