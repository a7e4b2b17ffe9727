"""The Lightning module in anybody's Trainer, and its checkpoints."""

from __future__ import annotations

import os
import pickle
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import torch
from films import write_films
from lightning.pytorch import Callback, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from rn50med import (
    Binary,
    FineTuneModule,
    Head,
    LinearHead,
    ManifestDataModule,
    MultiClass,
    MultiLabel,
    MultiScaleHead,
    Radiograph,
    Regression,
    ResNet50,
)
from rn50med.errors import DataError, NumericalError, RecipeError, StorageError
from rn50med.model.heads.base import tried
from rn50med.training.batch import labelled
from rn50med.training.callbacks import EpochLog
from rn50med.training.checkpoints import CHECKPOINT_KEY

TASK = Binary(negative="normal", positive="pneumonia", column="label")
FORGETFUL = partial(torch.optim.SGD, lr=0.01)
"""Keeps nothing of a parameter, so that checkpoints, which take most of the time, are a third as large."""


class LastMapHead(Head):
    """A head of a user's own: the maximum of the coarsest map."""

    def __init__(self, channels, num_outputs, scale: float = 1.0):
        super().__init__(channels, num_outputs)
        self.scale = scale
        self.linear = nn.Linear(channels[-1], num_outputs)

    def forward(self, features):
        return self.scale * self.linear(features[-1].amax(dim=(-2, -1)))


class ThreeHead(LinearHead):
    """A head that makes three logits, whatever it is asked for."""

    def __init__(self, channels, num_outputs):
        super().__init__(channels, num_outputs)
        self.linear = nn.Linear(channels[-1], 3)


def small_trainer(folder: Path, module: FineTuneModule, **options) -> Trainer:
    return Trainer(
        accelerator="cpu",
        max_epochs=options.pop("max_epochs", 1),
        callbacks=module.default_callbacks(folder, folder / "metrics.csv"),
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        **options,
    )


def module_of(head=LinearHead, task=TASK, **options) -> FineTuneModule:
    return FineTuneModule(task, backbone=ResNet50(weights="none"), head=head, **options)


def data_of(folder: Path, **options) -> ManifestDataModule:
    return ManifestDataModule(
        str(write_films(folder)), task=TASK, transforms=Radiograph(size=32), batch_size=8, **options
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """What the Python block of the README makes: folder, trainer, module and data."""
    folder = tmp_path_factory.mktemp("trained")
    data, module = data_of(folder), module_of(partial(LinearHead, dropout=0.1))
    trainer = small_trainer(folder, module, max_epochs=2)
    trainer.fit(module, data)
    return folder, trainer, module, data


def test_the_python_block_of_the_readme_trains_tests_and_reloads(trained):
    folder, trainer, module, data = trained
    figures = trainer.test(module, data, ckpt_path="best", verbose=False)[0]
    assert set(figures) >= {"test/auroc", "test/loss"}
    assert len(module.predictions["test"].index) == 12

    best = FineTuneModule.load_from_checkpoint(folder / "best.ckpt")
    assert best.task == TASK
    assert best.preprocessing == Radiograph(size=32).specification()
    assert best.head.dropout.p == 0.1
    image = torch.rand(3, 1, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(best(image), module.eval()(image))


def test_a_checkpoint_opens_with_weights_only_and_holds_plain_types(trained):
    folder = trained[0]
    for name in ("best", "last"):
        checkpoint = torch.load(folder / f"{name}.ckpt", weights_only=True)
        kept = checkpoint[CHECKPOINT_KEY]
        assert kept["classes"] == ["normal", "pneumonia"]
        assert kept["operating_point"]["rule"] == "youden"
        assert str(folder) not in repr(checkpoint)


def test_a_head_of_the_users_own_swaps_in_and_reloads(tmp_path):
    data, module = data_of(tmp_path), module_of(partial(LastMapHead, scale=2.0), optimizer=FORGETFUL)
    small_trainer(tmp_path, module).fit(module, data)
    again = FineTuneModule.load_from_checkpoint(tmp_path / "best.ckpt")
    assert isinstance(again.head, LastMapHead)
    assert again.head.scale == 2.0


def test_an_own_trainer_has_the_figures_and_the_gap_of_each_epoch(trained):
    folder, trainer, _, _ = trained
    epochs = next(each for each in trainer.callbacks if isinstance(each, EpochLog))
    rows = pd.read_csv(folder / "metrics.csv")
    assert rows["epoch"].tolist() == [row["epoch"] for row in epochs.rows] == [0, 1]
    gap = rows["val/loss"] - rows["train/loss"]
    assert rows["gap"].tolist() == pytest.approx(gap.tolist(), abs=1e-6)


def test_own_batches_of_pairs_train_in_an_own_trainer(tmp_path):
    images = torch.rand(16, 1, 32, 32)
    pairs = [(image, torch.tensor(i % 3)) for i, image in enumerate(images)]
    module = module_of(task=MultiClass(("a", "b", "c")))
    seen = []

    class Own(Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            seen.append(float(outputs["loss"]))

    trainer = Trainer(
        accelerator="cpu",
        max_epochs=1,
        callbacks=[Own()],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(module, DataLoader(pairs, batch_size=8, shuffle=True), DataLoader(pairs, batch_size=8))
    assert len(seen) == 2
    assert len(module.predictions["val"].index) == 16


def test_labels_with_unknown_ones_train_and_keep_an_operating_point_each(tmp_path):
    task = MultiLabel(("mass", "nodule", "hernia"), unknown_of={"nodule": "negative"})
    rows = [task.imagine((i + 0.5) / 24)[0] | {"hernia": ""} for i in range(24)]
    targets = torch.from_numpy(task.strata(rows))
    batch = [
        {"image": image, "target": target, "index": torch.tensor(i)}
        for i, (image, target) in enumerate(zip(torch.rand(24, 1, 32, 32), targets, strict=True))
    ]
    module = module_of(task=task, optimizer=FORGETFUL)
    loader = partial(DataLoader, batch, batch_size=8)
    trainer = small_trainer(tmp_path, module)
    trainer.fit(module, loader(shuffle=True), loader())
    assert module.predictions["val"].target.tolist() == targets.tolist()
    logged = trainer.callback_metrics
    assert torch.isfinite(logged["val/loss"])
    assert torch.isfinite(logged["val/auroc"])
    assert torch.isnan(logged["val/auroc/hernia"])
    kept = torch.load(tmp_path / "best.ckpt", weights_only=True)[CHECKPOINT_KEY]
    assert kept["operating_point"]["hernia"] is None
    assert kept["operating_point"]["mass"]["rule"] == "youden"
    again = FineTuneModule.load_from_checkpoint(tmp_path / "best.ckpt")
    assert again.task == task
    assert again.operating_point == module.operating_point
    assert trainer.test(again, loader(), verbose=False)[0].keys() >= {"test/auroc", "test/auroc/mass"}
    assert trainer.predict(again, loader())[0].shape == (8, 3)


def test_a_head_that_no_checkpoint_can_hold_is_refused_when_the_module_is_built():
    with pytest.raises(
        RecipeError, match=r"cannot be kept in a checkpoint; give a class, or functools\.partial"
    ):
        module_of(lambda channels, outputs: LinearHead(channels, outputs, dropout=0.5))


def test_weights_are_read_when_training_starts_so_that_a_checkpoint_opens_without_their_file(tmp_path):
    file = tmp_path / "start.pth"
    torch.save(ResNet50(weights="none").body.state_dict(), file)
    data = data_of(tmp_path / "data")
    module = FineTuneModule(TASK, backbone=ResNet50(weights=str(file)), optimizer=FORGETFUL)
    small_trainer(tmp_path, module).fit(module, data)
    assert module.load_report.used == "file"
    assert module.lr_factor == 0.1
    file.unlink()
    FineTuneModule.load_from_checkpoint(tmp_path / "best.ckpt")


def test_norms_and_biases_are_not_decayed(tmp_path):
    data, module = (
        data_of(tmp_path),
        module_of(optimizer=partial(torch.optim.AdamW, lr=1e-3, weight_decay=0.3)),
    )
    trainer = small_trainer(tmp_path, module, fast_dev_run=True)
    trainer.fit(module, data)
    decayed, spared = trainer.optimizers[0].param_groups
    assert decayed["weight_decay"] == 0.3
    assert all(parameter.ndim > 1 for parameter in decayed["params"])
    assert spared["weight_decay"] == 0.0
    assert all(parameter.ndim == 1 for parameter in spared["params"])
    assert decayed["fused"]
    assert sum(len(g["params"]) for g in (decayed, spared)) == len(list(module.parameters()))


def test_a_loss_that_is_not_finite_stops_with_step_and_rows(tmp_path):
    class Broken(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            if batch_idx == 1:
                batch["image"][0] = float("nan")

    data, module = data_of(tmp_path), module_of(optimizer=FORGETFUL)
    trainer = small_trainer(tmp_path, module)
    trainer.callbacks.append(Broken())
    with pytest.raises(
        NumericalError, match=r"the loss is nan in epoch 0, step 1, lines .* of manifest.csv"
    ) as fault:
        trainer.fit(module, data)
    assert fault.value.exit_code == 4
    kept = torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]
    assert all(tensor.isfinite().all() for tensor in kept.values() if isinstance(tensor, Tensor))


def test_colour_images_for_a_grey_backbone_are_refused_with_the_key_to_write(tmp_path):
    data = data_of(tmp_path)
    module = FineTuneModule(TASK, backbone=ResNet50(weights="none", in_channels=3))
    with pytest.raises(RecipeError, match=r"--model\.backbone\.in_channels 1"):
        small_trainer(tmp_path, module).fit(module, data)


class Evil:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (os.mkdir, (str(self.marker),))


@pytest.mark.parametrize(
    ("task", "target", "said"),
    [
        (TASK, torch.zeros(4, 2), r"its target is \(4, 2\), and Binary needs a tensor of shape \(4,\) for 4"),
        (MultiLabel(("mass", "nodule")), torch.zeros(4), r"\(4,\), and MultiLabel needs .* shape \(4, 2\)"),
        (Regression("age", 0, 100), torch.zeros(4, 4), r"\(4, 4\), and Regression needs .* shape \(4,\)"),
        (MultiClass(("a", "b")), ["a", "b", "a", "b"], "its target is list, and MultiClass needs a tensor"),
    ],
)
def test_targets_of_another_shape_are_refused_before_they_are_set_against_logits(task, target, said):
    with pytest.raises(RecipeError, match=said):
        labelled((torch.zeros(4, 1, 8, 8), target), task, soft=True)


def test_labels_of_few_bits_and_shares_of_classes_are_taken():
    task, image = MultiClass(("a", "b", "c")), torch.zeros(2, 1, 8, 8)
    for column in (torch.tensor([[0], [2]], dtype=torch.uint8), torch.tensor([0.0, 2.0])):
        assert labelled((image, column), task)[1].tolist() == [0, 2]
    shares = torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]])
    assert labelled((image, shares), task, soft=True)[1] is shares
    with pytest.raises(RecipeError, match="needs a tensor of shape"):  # val is judged by labels
        labelled((image, shares), task)
    present = labelled((image, torch.tensor([1, 0], dtype=torch.int8)), MultiLabel(("mass",)))[1]
    assert present.tolist() == [[1], [0]]


@pytest.mark.parametrize("names", [("a", "b"), ("a", "b", "c", "d")])
def test_a_head_that_makes_another_number_of_logits_is_refused_when_the_module_is_built(names):
    said = rf"ThreeHead gives logits of shape \(2, 3\) for two images, and the task needs \(2, {len(names)}\)"
    with pytest.raises(RecipeError, match=said):
        module_of(ThreeHead, task=MultiClass(names))
    assert module_of(ThreeHead, task=MultiClass(("a", "b", "c"))).head.training


def test_trying_a_head_draws_nothing_and_changes_nothing():
    torch.manual_seed(0)
    MultiScaleHead([256, 512, 1024, 2048], 3)
    drawn = torch.rand(1)
    torch.manual_seed(0)
    head = MultiScaleHead([256, 512, 1024, 2048], 3)
    before = {name: value.clone() for name, value in head.state_dict().items()}
    assert tried(head, 3) is head
    assert torch.equal(torch.rand(1), drawn)
    assert all(torch.equal(value, before[name]) for name, value in head.state_dict().items())


def test_a_hostile_checkpoint_is_refused_and_never_run(tmp_path):
    path, marker = tmp_path / "evil.ckpt", tmp_path / "marker"
    torch.save({"state_dict": {}, CHECKPOINT_KEY: Evil(marker)}, path)
    with pytest.raises(StorageError, match="cannot be read as a checkpoint"):
        FineTuneModule.load_from_checkpoint(path)
    path.write_bytes(pickle.dumps(Evil(marker)))
    with pytest.raises(StorageError, match="cannot be read as a checkpoint"):
        FineTuneModule.load_from_checkpoint(path)
    assert not marker.exists()


def test_a_checkpoint_that_names_a_foreign_class_is_refused(trained, tmp_path):
    checkpoint = torch.load(trained[0] / "best.ckpt", weights_only=True)
    checkpoint = {CHECKPOINT_KEY: checkpoint[CHECKPOINT_KEY], "state_dict": {}}  # which is read last
    for class_path in ("os.system", "subprocess.Popen", "torch.hub.load", "evil_lab.Head"):
        checkpoint[CHECKPOINT_KEY]["module"]["head"] = {"class_path": class_path, "init_args": {}}
        torch.save(checkpoint, tmp_path / "foreign.ckpt")
        with pytest.raises(StorageError):
            FineTuneModule.load_from_checkpoint(tmp_path / "foreign.ckpt")


def test_a_file_that_is_no_checkpoint_of_ours_is_named(tmp_path):
    torch.save({"state_dict": {}}, tmp_path / "other.ckpt")
    with pytest.raises(StorageError, match="is no checkpoint of rn50med's"):
        FineTuneModule.load_from_checkpoint(tmp_path / "other.ckpt")
    with pytest.raises(StorageError, match="there is no such checkpoint"):
        FineTuneModule.load_from_checkpoint(tmp_path / "absent.ckpt")


def test_images_without_a_known_label_cannot_be_judged_and_it_is_said(tmp_path):
    labels = torch.tensor([0, 1, -100, 1])
    pairs = list(zip(torch.rand(4, 1, 32, 32), labels, strict=True))
    module = module_of(optimizer=FORGETFUL)
    trainer = small_trainer(tmp_path, module)
    with pytest.raises(DataError, match=r"val: 1 of 4 images have no known label \(-100\)"):
        trainer.validate(module, DataLoader(pairs, batch_size=4), verbose=False)
