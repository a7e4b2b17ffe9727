"""Best epoch, last epoch, early stopping, signals."""

from __future__ import annotations

import gc
import signal
import weakref

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch.utils.data import DataLoader

from rn50med.errors import StorageError
from rn50med.training.callbacks import EpochLog, PatientStop
from rn50med.training.checkpoints import Best, Last
from rn50med.training.schedule import warmup_cosine
from rn50med.training.signals import StopOnSignal


class Scripted(LightningModule):
    """Logs the figures of val that it is given, an epoch each."""

    def __init__(self, figures):
        super().__init__()
        self.figures = figures
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def training_step(self, batch, batch_idx):
        loss = (self.weight - batch.mean()).square().sum()
        self.log("train/loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch, batch_idx):
        self.log("val/auroc", self.figures[self.current_epoch])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def run(folder, figures, callbacks):
    loader = DataLoader(torch.ones(4, 1), batch_size=2)
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=len(figures),
        callbacks=callbacks,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        num_sanity_val_steps=0,
    )
    trainer.fit(Scripted(figures), loader, loader)
    return trainer


def epoch_of(path):
    return torch.load(path, weights_only=True)["epoch"]


def test_last_is_the_last_epoch_and_best_the_best_when_the_figure_worsens(tmp_path):
    run(tmp_path, [0.6, 0.9, 0.8, 0.7], [Best("val/auroc", tmp_path), Last(tmp_path)])
    assert epoch_of(tmp_path / "best.ckpt") == 1
    assert epoch_of(tmp_path / "last.ckpt") == 3
    assert sorted(path.name for path in tmp_path.glob("*.ckpt")) == ["best.ckpt", "last.ckpt"]


def test_of_equal_epochs_the_latest_is_kept(tmp_path):
    run(tmp_path, [0.6, 1.0, 0.8, 1.0, 0.9], [Best("val/auroc", tmp_path)])
    assert epoch_of(tmp_path / "best.ckpt") == 3


def test_early_stopping_does_not_act_in_the_first_half_of_the_schedule(tmp_path):
    falling = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0]
    trainer = run(tmp_path, falling, [PatientStop("val/auroc", patience=2)])
    assert trainer.current_epoch == 8  # epochs done: 5 opens the second half, 6 and 7 are no better


def test_early_stopping_with_little_patience_waits_for_the_second_half_too(tmp_path):
    trainer = run(tmp_path, [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0], [PatientStop("val/auroc", 1)])
    assert trainer.current_epoch == 7


def test_an_epoch_whose_figure_is_undefined_is_never_the_best(tmp_path):
    best = Best("val/auroc", tmp_path)
    run(tmp_path, [float("nan"), float("nan")], [best])
    assert not best.best_model_path
    run(tmp_path, [float("nan"), 0.6, 0.5], [Best("val/auroc", tmp_path)])
    assert epoch_of(tmp_path / "best.ckpt") == 1


def test_early_stopping_never_comes_while_the_figure_rises(tmp_path):
    trainer = run(tmp_path, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6], [PatientStop("val/auroc", patience=1)])
    assert trainer.current_epoch == 6  # as Lightning counts when all are done


def test_a_checkpoint_that_could_not_be_opened_again_stops_before_the_first_epoch(tmp_path):
    class Hoarder(EpochLog):
        def state_dict(self):
            return {"path": tmp_path}  # a Path, which weights_only refuses

    with pytest.raises(StorageError, match="could not be opened again"):
        run(tmp_path, [0.5], [Hoarder(), Last(tmp_path)])


def handlers():
    return [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]


def test_the_signals_belong_to_whoever_had_them_once_training_has_ended(tmp_path):
    before = handlers()
    run(tmp_path, [0.5, 0.6], [StopOnSignal()])
    assert handlers() == before


def test_the_signals_are_given_back_by_a_training_that_fails_too(tmp_path):
    class Failing(Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            assert handlers() != before
            raise ZeroDivisionError

    before = handlers()
    with pytest.raises(ZeroDivisionError):
        run(tmp_path, [0.5], [StopOnSignal(), Failing()])
    assert handlers() == before


def test_a_training_that_has_ended_keeps_no_memory(tmp_path):
    trainer = weakref.ref(run(tmp_path, [0.5], [StopOnSignal()]))
    gc.collect()
    assert trainer() is None


def test_the_log_of_epochs_has_a_row_per_epoch_and_leaves_undefined_empty(tmp_path):
    run(tmp_path, [0.5, float("nan"), 0.7], [EpochLog(tmp_path / "metrics.csv")])
    head, *rows = (tmp_path / "metrics.csv").read_text().splitlines()
    columns = head.split(",")
    assert {"epoch", "train/loss", "val/auroc", "lr"} <= set(columns)
    figures = [row.split(",")[columns.index("val/auroc")] for row in rows]
    assert figures == ["0.5", "", "0.699999988"]


def test_the_rate_rises_then_falls_to_its_floor():
    rates = [warmup_cosine(100, 0.1, 0.01, step) for step in range(101)]
    assert max(rates) == pytest.approx(1.0)
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(0.01)
