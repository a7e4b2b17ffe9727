"""What a run does when it is asked to stop."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from rn50med.errors import Interrupted
from rn50med.training.checkpoints import Last


class StopOnSignal(Callback):
    """Saves a checkpoint on SIGTERM or SIGINT and ends the run with the signal's exit code.

    The signal is noted when it comes and acted on between two batches, by all ranks together.
    """

    def __init__(self) -> None:
        self._received: int | None = None
        self._before: dict[int, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen, instead of Lightning, which would end with exit code 0."""
        self._received = None  # what stopped the training before is done with
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

    def _act(self, trainer: Trainer, pl_module: LightningModule, ended: bool = False) -> None:
        received = self._received
        if trainer.world_size > 1:
            told = torch.tensor(received or 0, device=pl_module.device)
            received = int(trainer.strategy.reduce(told, reduce_op="max")) or None
        if received is not None:
            self._stop(trainer, received, ended)

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

    def _stop(self, trainer: Trainer, number: int, ended: bool = False) -> None:
        self._received = None
        last = next((c for c in trainer.checkpoint_callbacks if isinstance(c, Last)), None)
        name = signal.Signals(number).name
        if last is None:
            raise Interrupted(f"fit: stopped by {name} at step {trainer.global_step}.", number)
        path = last.best_model_path if ended and last.best_model_path else last.save_now(trainer)
        raise Interrupted(
            f"fit: stopped by {name}; checkpoint saved at step {trainer.global_step}: {path}", number
        )

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Give the signals back, before Lightning gives back what it had taken over itself.

        One that came after the last epoch's end stops the run too; the checkpoint is written by then.
        """
        self._give_back()
        self._act(trainer, pl_module, ended=True)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Give the signals back where training ends early, too."""
        self._give_back()

    def _give_back(self) -> None:
        """Put the handlers of before back, where nobody has put others in their place since.

        Lightning has its own handler, which it takes away when it ends, before any `teardown`. Put back any
        later, that handler would swallow the next SIGTERM, and keep network and optimizer in memory.
        """
        for number, handler in self._before.items():
            if signal.getsignal(number) == self._note:
                signal.signal(number, handler)
        self._before = {}
