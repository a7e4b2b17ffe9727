"""Best epoch, last epoch, early stopping, signals."""

from __future__ import annotations

import gc
import logging
import re
import signal
import weakref

import pandas as pd
import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch.utils.data import DataLoader

from rn50med import Binary, FineTuneModule, Full, LinearProbe, ResNet50
from rn50med.errors import Interrupted, StorageError
from rn50med.training.callbacks import PROBE_PAUSE, EpochLog, PatientStop
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
        self.log("val/loss", 1.0 - self.figures[self.current_epoch])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def run(folder, figures, callbacks, **options):
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
        **options,
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


def saved_epochs(folder, epochs, last, **options):
    class Watched(Callback):
        def on_save_checkpoint(self, trainer, pl_module, checkpoint):
            saved.append(trainer.global_step)

    saved: list[int] = []
    run(folder, [0.5] * epochs, [last, Watched()], **options)
    return saved


def test_short_epochs_do_not_wait_for_a_checkpoint_each_but_the_end_is_kept(tmp_path):
    assert saved_epochs(tmp_path, 5, Last(tmp_path)) == [0, 2, 4, 6, 8, 10]
    assert saved_epochs(tmp_path, 5, Last(tmp_path, pause=60)) == [0, 10]
    assert epoch_of(tmp_path / "last.ckpt") == 4
    assert saved_epochs(tmp_path, 3, Last(tmp_path, pause=1e-9)) == [0, 2, 4, 6]


@pytest.mark.parametrize(("finetuning", "pause"), [(LinearProbe(), PROBE_PAUSE), (Full(), 0.0)])
def test_only_where_the_head_alone_trains_do_checkpoints_wait(finetuning, pause):
    module = FineTuneModule(Binary("a", "b"), ResNet50(weights="none"), finetuning=finetuning)
    (last,) = (each for each in module.default_callbacks() if isinstance(each, Last))
    assert last.pause == pause


def test_the_end_is_kept_where_steps_or_a_callback_end_the_training(tmp_path):
    class Stop(Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            trainer.should_stop = trainer.current_epoch == 2

    assert saved_epochs(tmp_path, 5, Last(tmp_path, pause=60), max_steps=5) == [0, 5]
    folder = tmp_path / "stopped"
    run(folder, [0.5] * 5, [Last(folder, pause=60), Stop()])
    assert epoch_of(folder / "last.ckpt") == 2


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


def test_a_signal_after_the_end_of_the_last_epoch_stops_the_run_too(tmp_path):
    class Late(Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            if trainer.current_epoch == 1:
                signal.raise_signal(signal.SIGTERM)  # once the signals of this epoch have been acted on

    before = handlers()
    with pytest.raises(
        Interrupted, match=r"stopped by SIGTERM; checkpoint saved at step \d+: .*last"
    ) as stop:
        run(tmp_path, [0.5, 0.6], [Last(tmp_path), StopOnSignal(), Late()])
    assert stop.value.exit_code == 143
    assert epoch_of(tmp_path / "last.ckpt") == 1
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


def test_an_epoch_is_told_in_one_line_with_the_best_so_far_and_the_gap(tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger="rn50med"):
        run(tmp_path, [0.5, 0.75, 0.7, float("nan")], [Best("val/auroc", tmp_path), EpochLog()])
    told = [record.getMessage() for record in caplog.records if record.getMessage().startswith("epoch")]
    number = r"-?\d\.\d{4}"
    ends = (
        rf"val loss 0.5000, val auroc 0.5000 \(best 0.5000 in epoch 1\), gap {number}",
        rf"val loss 0.2500, val auroc 0.7500 \(best 0.7500 in epoch 2\), gap {number}",
        rf"val loss 0.3000, val auroc 0.7000 \(best 0.7500 in epoch 2\), gap {number}",
        r"val loss undefined, val auroc undefined \(best 0.7500 in epoch 2\)",
    )
    for epoch, (line, end) in enumerate(zip(told, ends, strict=True), 1):
        assert re.fullmatch(rf"epoch {epoch} of 4: train loss {number}, {end}", line), line


def test_the_gap_is_the_loss_of_val_less_that_of_train_and_has_a_column(tmp_path):
    run(tmp_path, [0.5, 0.7], [EpochLog(tmp_path / "metrics.csv")])
    table = pd.read_csv(tmp_path / "metrics.csv")
    assert table["gap"].tolist() == pytest.approx((table["val/loss"] - table["train/loss"]).tolist())
    assert list(table)[-2:] == ["lr", "gap"]


def test_the_images_that_were_trained_on_are_counted_by_epoch_and_kept_when_a_run_goes_on(tmp_path):
    epochs = EpochLog()
    run(tmp_path, [0.5, 0.7], [epochs])
    assert epochs.seen == [4, 4]
    again = EpochLog()
    again.load_state_dict(epochs.state_dict())
    assert again.seen == [4, 4]
    assert again.rows == epochs.rows


def test_the_rate_rises_then_falls_to_its_floor():
    rates = [warmup_cosine(100, 0.1, 0.01, step) for step in range(101)]
    assert max(rates) == pytest.approx(1.0)
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(0.01)
