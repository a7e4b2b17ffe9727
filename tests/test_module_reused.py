"""One module, trainer or callback after another: nothing of before stands for what is there now."""

from __future__ import annotations

import signal
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from films import write_films
from lightning.pytorch import Callback, LightningModule, Trainer
from torch.utils.data import DataLoader

from rn50med import Binary, FineTuneModule, ManifestDataModule, MultiClass, MultiLabel, Radiograph, ResNet50
from rn50med.errors import Interrupted, RecipeError, StorageError
from rn50med.evaluation.protocol import Protocol
from rn50med.evaluation.temperature import Temperature
from rn50med.training.callbacks import EpochLog
from rn50med.training.checkpoints import Best, Last
from rn50med.training.schedule import WarmupCosine
from rn50med.training.signals import StopOnSignal

TASK = Binary(negative="normal", positive="pneumonia", column="label")
FORGETFUL = partial(torch.optim.SGD, lr=0.01)


def module_of(task=TASK, **options) -> FineTuneModule:
    return FineTuneModule(task, backbone=ResNet50(weights="none"), optimizer=FORGETFUL, **options)


def quiet(folder: Path, callbacks: list[Callback], **options) -> Trainer:
    options.setdefault("max_epochs", 1)
    return Trainer(
        accelerator="cpu", callbacks=callbacks, logger=False, enable_progress_bar=False,
        enable_model_summary=False, enable_checkpointing=options.pop("enable_checkpointing", False),
        default_root_dir=folder, **options,
    )  # fmt: skip


def pairs(number: int = 8, classes: int = 2, size: int = 32) -> DataLoader:
    images = torch.rand(number, 1, size, size, generator=torch.Generator().manual_seed(0))
    return DataLoader([(image, i % classes) for i, image in enumerate(images)], batch_size=4)


def test_images_of_another_loader_are_never_taken_for_patients_of_the_manifest(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = ManifestDataModule(
        str(write_films(tmp_path / "films")), task=TASK, transforms=Radiograph(size=32), batch_size=8
    )
    module = module_of()
    module.protocol = Protocol(unit="patient")
    trainer = quiet(tmp_path, [])
    trainer.fit(module, data)
    known = trainer.validate(module, data, verbose=False)
    assert module.unit.of == "patient"
    assert module.memberships["val"] is not None
    for judge in (trainer.validate, trainer.test):
        caplog.clear()
        judge(module, dataloaders=pairs(), verbose=False)
        split = "val" if judge == trainer.validate else "test"
        assert module.memberships[split] is None
        assert module.cases[split].target.tolist() == [0, 1] * 4
        assert "figures of " + split + " are of images" in caplog.text
    assert trainer.validate(module, data, verbose=False) == known


def test_callbacks_that_are_used_again_average_the_second_training_too(tmp_path: Path) -> None:
    module = module_of()
    callbacks = [each for each in module.default_callbacks() if type(each).__name__ == "AveragedWeights"]
    for _ in range(2):
        before = module.head.linear.bias.detach().clone()
        quiet(tmp_path, callbacks).fit(module, pairs(), pairs())
        assert not torch.equal(module.head.linear.bias, before)


class AmidVal(Callback):
    """Breaks a val off after its first batch."""

    def on_validation_batch_end(self, *_: object) -> None:
        raise RuntimeError("broken off")


def test_what_a_val_that_was_broken_off_has_left_is_forgotten(tmp_path: Path) -> None:
    module = module_of()
    with pytest.raises(RuntimeError, match="broken off"):
        quiet(tmp_path, [AmidVal()]).validate(module, pairs(), verbose=False)
    quiet(tmp_path, []).validate(module, pairs(), verbose=False)
    assert len(module.predictions["val"].index) == 8


def test_a_prediction_is_after_the_temperature_that_the_threshold_is_of(tmp_path: Path) -> None:
    module = module_of()
    image = torch.rand(4, 1, 32, 32)
    trainer = quiet(tmp_path, [])
    (plain,) = trainer.predict(module, DataLoader(image, batch_size=4))
    module.temperature = Temperature((2.0,))
    (warm,) = trainer.predict(module, DataLoader(image, batch_size=4))
    assert warm.numpy() == pytest.approx(torch.sigmoid(torch.logit(plain) / 2).numpy(), abs=1e-12)


def test_a_checkpoint_is_not_opened_under_another_order_of_classes(tmp_path: Path) -> None:
    trained, turned = (module_of(MultiClass(names)) for names in (("a", "b", "c"), ("c", "b", "a")))
    trainer = quiet(tmp_path, [])
    trainer.fit(trained, pairs(classes=3), pairs(classes=3))
    path = tmp_path / "kept.ckpt"
    trainer.save_checkpoint(path)
    other = MultiClass(("a", "b", "c"), column="finding")  # another hospital's table
    quiet(tmp_path, []).test(module_of(other), pairs(classes=3), ckpt_path=path, verbose=False)
    said = r"outputs are MultiClass \(a, b, c\), and this module's are MultiClass \(c, b, a\); open it by"
    with pytest.raises(StorageError, match=said):
        quiet(tmp_path, []).test(turned, pairs(classes=3), ckpt_path=path, verbose=False)
    foreign = torch.load(path, weights_only=True)
    torch.save({key: value for key, value in foreign.items() if key != "rn50med"}, tmp_path / "foreign.ckpt")
    with pytest.raises(StorageError, match="none of rn50med's; give one that"):
        quiet(tmp_path, []).test(
            trained, pairs(classes=3), ckpt_path=tmp_path / "foreign.ckpt", verbose=False, weights_only=True
        )


@pytest.mark.parametrize("options", [{"warmup": 500}, {"warmup": 1.0}, {"floor": -0.1}, {"floor": 2}])
def test_steps_are_not_taken_for_a_share_of_them(options: dict[str, float]) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    with pytest.raises(RecipeError, match="which are shares"):
        WarmupCosine(optimizer, 1000, **options)


def test_a_training_without_an_end_is_refused(tmp_path: Path) -> None:
    trainer = quiet(tmp_path, [], max_epochs=-1)
    with pytest.raises(RecipeError, match="give max_epochs or max_steps"):
        trainer.fit(module_of(), pairs(), pairs())


def test_epochs_without_a_val_have_no_figures_of_it(tmp_path: Path) -> None:
    module = module_of()
    callbacks = module.default_callbacks(tmp_path / "kept", tmp_path / "metrics.csv")
    epochs = next(each for each in callbacks if isinstance(each, EpochLog))
    trainer = quiet(
        tmp_path, callbacks, max_epochs=4, check_val_every_n_epoch=2, enable_checkpointing=True,
        num_sanity_val_steps=0,
    )  # fmt: skip
    trainer.fit(module, pairs(), pairs())
    rows = pd.read_csv(tmp_path / "metrics.csv")
    assert rows["val/loss"].isna().tolist() == [True, False, True, False]
    assert rows["gap"].isna().tolist() == [True, False, True, False]
    assert len(epochs.rows) == 4


class Signals(Callback):
    """Asks a training to stop after its first batch, once."""

    asked = False

    def on_train_batch_end(self, *_: object) -> None:
        if not self.asked:
            self.asked = True
            signal.raise_signal(signal.SIGINT)


def test_a_signal_stops_one_training_and_not_the_next(tmp_path: Path) -> None:
    trainer = quiet(tmp_path, [Signals(), StopOnSignal()])
    with pytest.raises(Interrupted):
        trainer.fit(module_of(), pairs(), pairs())
    again = module_of()
    trainer.fit(again, pairs(), pairs())
    assert trainer.global_step > 1
    trainer.validate(again, pairs(), verbose=False)


@pytest.mark.parametrize(
    ("task", "labels", "told"),
    [
        (TASK, [1, 2, 1, 2], "has the target 2; give 0 for 'normal', 1 for 'pneumonia', and -100"),
        (MultiClass(("a", "b", "c")), [0.0, float("nan"), 1.0, 2.0], "has the target nan; give 0 for 'a'"),
        (MultiClass(("a", "b", "c")), [0, 1, 2, 3], "has the target 3; give 0 for 'a'"),
        (
            MultiLabel(("mass", "nodule")),
            [[0, 1], [2, 0], [0, 0], [1, 1]],
            "has the target 2; give 0 or 1 for",
        ),
    ],
)
def test_labels_that_a_task_does_not_know_are_refused(tmp_path: Path, task, labels, told: str) -> None:
    rows = list(zip(torch.rand(4, 1, 32, 32), torch.tensor(labels), strict=True))
    trainer = quiet(tmp_path, [])
    for run in (trainer.fit, partial(trainer.validate, verbose=False)):
        with pytest.raises(RecipeError) as caught:
            run(module_of(task), DataLoader(rows, batch_size=4))
        assert told in str(caught.value)


def test_labels_that_are_no_number_are_unknown_ones(tmp_path: Path) -> None:
    labels = torch.tensor([[0, float("nan")], [1, 0], [0, 1], [float("nan"), 1]])
    rows = list(zip(torch.rand(4, 1, 32, 32), labels, strict=True))
    module = module_of(MultiLabel(("mass", "nodule")))
    trainer = quiet(tmp_path, [])
    trainer.fit(module, DataLoader(rows, batch_size=4), DataLoader(rows, batch_size=4))
    assert module.predictions["val"].target.tolist() == [[0, -100], [1, 0], [0, 1], [-100, 1]]


@pytest.mark.parametrize(
    "image", [torch.rand(4, 3, 32, 32), torch.rand(4, 32, 32), torch.zeros(4, 1, 32, 32, dtype=torch.uint8)]
)
def test_images_that_are_none_of_the_network_s_are_told_of(image: torch.Tensor) -> None:
    with pytest.raises(RecipeError, match=r"images are \(4, .* takes \(images, 1, height, width\)"):
        module_of()(image)


def test_images_in_double_precision_are_taken_and_those_of_another_range_are_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    images = 255 * np.random.default_rng(0).random((8, 1, 32, 32))
    rows = [(torch.from_numpy(image), i % 2) for i, image in enumerate(images)]
    quiet(tmp_path, []).fit(module_of(), DataLoader(rows, batch_size=4), DataLoader(rows, batch_size=4))
    assert "warning (image-range): images reach from " in caplog.text
    caplog.clear()
    quiet(tmp_path, []).fit(module_of(), pairs(), pairs())
    assert "image-range" not in caplog.text


class Falling(Callback):
    """Has val's figure fall from epoch to epoch."""

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        pl_module.log("val/falls", 0.9 - 0.3 * trainer.current_epoch)


def test_the_best_epoch_of_before_is_not_lost_to_a_worse_one_elsewhere(tmp_path: Path) -> None:
    """Lightning says where a run goes on from only after `setup`: 0.6 took the place of 0.9."""
    for folder, epochs, before in (("first", 1, None), ("second", 2, tmp_path / "first" / "last.ckpt")):
        place = tmp_path / folder
        callbacks = [Falling(), Best("val/falls", place), Last(place)]
        trainer = quiet(place, callbacks, enable_checkpointing=True, max_epochs=epochs)
        trainer.fit(module_of(), pairs(), pairs(), ckpt_path=before)
    best = trainer.checkpoint_callback
    assert best.best_model_path == str(tmp_path / "first" / "best.ckpt")
    assert float(best.best_model_score) == pytest.approx(0.9)


def test_a_run_goes_on_though_the_file_of_its_first_weights_is_gone(tmp_path: Path) -> None:
    weights = tmp_path / "start.pth"
    torch.save(ResNet50(weights="none").body.state_dict(), weights)

    def pretrained() -> FineTuneModule:
        return FineTuneModule(TASK, backbone=ResNet50(weights=str(weights)), optimizer=FORGETFUL)

    rates = []
    for epochs, before in ((1, None), (2, tmp_path / "last.ckpt")):
        module = pretrained()
        trainer = quiet(tmp_path, [Last(tmp_path)], enable_checkpointing=True, max_epochs=epochs)
        trainer.fit(module, pairs(), pairs(), ckpt_path=before)
        assert module.load_report.used == "file"
        rates.append([group["initial_lr"] for group in trainer.optimizers[0].param_groups])
        weights.unlink(missing_ok=True)
    assert rates[0] == rates[1]
    with pytest.raises(RecipeError, match="there is no such file"):
        quiet(tmp_path, []).fit(pretrained(), pairs(), pairs())


class Careless(FineTuneModule):
    """Has an optimizer of its own, and reads no weights."""

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01)


class Careful(Careless):
    """Reads them."""

    def configure_optimizers(self) -> torch.optim.Optimizer:
        self.read_weights()
        return super().configure_optimizers()


def test_a_subclass_with_another_optimizer_reads_the_weights_or_is_told_how(tmp_path: Path) -> None:
    weights = tmp_path / "start.pth"
    torch.save(ResNet50(weights="none").body.state_dict(), weights)
    with pytest.raises(RecipeError, match=r"^Careless: .* let it begin with self\.read_weights\(\)\."):
        quiet(tmp_path, []).fit(Careless(TASK, ResNet50(weights=str(weights))), pairs())
    module = Careful(TASK, ResNet50(weights=str(weights)))
    quiet(tmp_path, []).fit(module, pairs())
    assert module.load_report.used == "file"
    quiet(tmp_path, []).fit(Careless(TASK, ResNet50(weights="none")), pairs())


def test_a_run_that_goes_on_elsewhere_knows_the_best_epoch_of_before(tmp_path: Path) -> None:
    module = module_of(patience=0)
    first, second = tmp_path / "first", tmp_path / "second"
    quiet(first, module.default_callbacks(first), enable_checkpointing=True).fit(module, pairs(), pairs())
    again = module_of(patience=0)
    trainer = quiet(second, again.default_callbacks(second), enable_checkpointing=True, max_epochs=2)
    trainer.fit(again, pairs(), pairs(), ckpt_path=first / "last.ckpt")
    best = Path(trainer.checkpoint_callback.best_model_path)
    assert best.is_file()
    trainer.test(again, pairs(), ckpt_path="best", verbose=False)
    assert (first / "best.ckpt").is_file()
    # without the files of before the best is of the new epochs alone
    alone = tmp_path / "alone"
    alone.mkdir()
    (first / "last.ckpt").rename(alone / "last.ckpt")
    third = quiet(
        alone, (other := module_of(patience=0)).default_callbacks(tmp_path / "third"),
        enable_checkpointing=True, max_epochs=3,
    )  # fmt: skip
    third.fit(other, pairs(), pairs(), ckpt_path=alone / "last.ckpt")
    assert Path(third.checkpoint_callback.best_model_path).parent == tmp_path / "third"
