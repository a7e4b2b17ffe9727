"""L2-SP: what is drawn back, how far, and where it stays out."""

from __future__ import annotations

import logging
from functools import partial

import pytest
import torch
from films import write_films
from lightning.pytorch import Callback, Trainer, seed_everything
from torch import nn
from torch.utils.data import DataLoader

from rn50med import Binary, FineTuneModule, ManifestDataModule, Radiograph, ResNet50
from rn50med.training.regularisation import Regularisation
from rn50med.training.starting_point import StartingPoint, drawn_back, sparing

TASK = Binary(negative="normal", positive="pneumonia")


def test_norms_and_biases_are_not_drawn_back():
    backbone = ResNet50(weights="none")
    chosen = drawn_back(backbone)
    assert len(chosen) == 53  # the convolutions of a ResNet-50
    assert all(parameter.ndim == 4 for parameter in chosen.values())


def test_what_is_drawn_back_is_not_decayed_and_everything_else_stays_in_its_group():
    one, two, three = (nn.Parameter(torch.ones(2, 2)) for _ in range(3))
    bias = nn.Parameter(torch.ones(2))
    groups = [{"params": [one, two, three], "lr": 0.5}, {"params": [bias], "weight_decay": 0.0}]
    factory = partial(torch.optim.AdamW, lr=0.1, weight_decay=0.3)
    found = sparing(factory, [two], decayed=False)(groups).param_groups
    assert [[id(each) for each in group["params"]] for group in found] == [
        [id(one), id(three)],
        [id(two)],
        [id(bias)],
    ]
    assert [group["weight_decay"] for group in found] == [0.3, 0.0, 0.0]
    assert [group["lr"] for group in found] == [0.5, 0.5, 0.1]
    kept = sparing(factory, [two], decayed=True)(groups).param_groups
    assert [group["weight_decay"] for group in kept] == [0.3, 0.3, 0.0]


class Weights(nn.Module):
    """A matrix and a bias."""

    def __init__(self, start):
        super().__init__()
        self.weight, self.bias = nn.Parameter(start.clone()), nn.Parameter(torch.ones(2))


class Holder(nn.Module):
    """What the callback knows of a module."""

    device = torch.device("cpu")
    pretrained = True

    def __init__(self, start):
        super().__init__()
        self.backbone = Weights(start)


def test_a_start_of_zeros_is_weight_decay_to_the_last_digits():
    start, gradients = torch.zeros(3, 2), torch.randn(5, 3, 2)
    decayed = nn.Parameter(torch.ones(3, 2))
    holder, callback = Holder(start), StartingPoint(0.2)
    callback.on_fit_start(None, holder)
    with torch.no_grad():
        holder.backbone.weight.fill_(1.0)
    optimizers = (
        torch.optim.AdamW([decayed], lr=0.1, weight_decay=0.2),
        torch.optim.AdamW(holder.backbone.parameters(), lr=0.1, weight_decay=0.0),
    )
    for gradient in gradients:
        decayed.grad, holder.backbone.weight.grad = gradient.clone(), gradient.clone()
        callback.on_before_optimizer_step(None, holder, optimizers[1])
        for optimizer in optimizers:
            optimizer.step()
    torch.testing.assert_close(holder.backbone.weight, decayed)
    assert torch.equal(holder.backbone.bias, torch.ones(2))


def test_weights_go_back_to_their_start_where_nothing_else_pulls():
    start = torch.randn(3, 2)
    holder, callback = Holder(start), StartingPoint(1.0)
    callback.on_fit_start(None, holder)
    with torch.no_grad():
        holder.backbone.weight.add_(1.0)
    optimizer = torch.optim.SGD(holder.backbone.parameters(), lr=0.5)
    for step in range(1, 4):
        holder.backbone.weight.grad = torch.zeros(3, 2)
        callback.on_before_optimizer_step(None, holder, optimizer)
        optimizer.step()
        torch.testing.assert_close(holder.backbone.weight.detach() - start, torch.full((3, 2), 0.5**step))


class Distance(Callback):
    """How far the backbone's convolutions are from a state at the end."""

    def __init__(self, start):
        self.start = start

    def on_train_end(self, trainer, pl_module):
        chosen = drawn_back(pl_module.backbone.body)
        self.far = sum(float((each - self.start[name]).square().sum()) for name, each in chosen.items())


@pytest.fixture(scope="module")
def start_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "start.pth"
    seed_everything(5)
    torch.save(ResNet50(weights="none").body.state_dict(), path)
    return path


def fitted(folder, weights, strength, epochs=1, resume=None):
    distance = Distance({} if weights == "none" else torch.load(weights, weights_only=True))
    seed_everything(0)
    module = FineTuneModule(
        TASK,
        backbone=ResNet50(weights=str(weights)),
        optimizer=partial(torch.optim.AdamW, lr=1e-2, weight_decay=0.05),
        regularisation=Regularisation(ema_decay=0.0, l2_sp=strength),
    )
    table = folder / "labels.csv"
    data = ManifestDataModule(
        str(table if table.is_file() else write_films(folder)),
        task=TASK,
        transforms=Radiograph(size=32),
        batch_size=8,
    )
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        callbacks=[*module.default_callbacks(folder), *([distance] if distance.start else [])],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_train_batches=2,
        limit_val_batches=1,
        num_sanity_val_steps=0,
    )
    trainer.fit(module, data, ckpt_path=resume)
    return trainer, distance


@pytest.mark.slow
def test_pretrained_weights_stay_nearer_to_their_start_and_are_not_decayed(tmp_path, start_file):
    free = fitted(tmp_path, start_file, 0.0)[1].far
    trainer, held = fitted(tmp_path, start_file, 300.0)
    assert held.far < free
    assert [group["weight_decay"] for group in trainer.optimizers[0].param_groups] == [0.05, 0.0, 0.0]


@pytest.mark.slow
def test_a_run_that_goes_on_is_drawn_to_the_first_start(tmp_path, start_file):
    fitted(tmp_path, start_file, 10.0)
    trainer, _ = fitted(tmp_path, start_file, 10.0, epochs=2, resume=tmp_path / "last.ckpt")
    callback = next(each for each in trainer.callbacks if isinstance(each, StartingPoint))
    start = torch.load(start_file, weights_only=True)
    assert callback.state_dict()["start"]
    for name, tensor in callback.state_dict()["start"].items():
        assert torch.equal(tensor.contiguous(), start[name.removeprefix("body.")]), name
    assert [group["weight_decay"] for group in trainer.optimizers[0].param_groups] == [0.05, 0.0, 0.0]


def test_random_weights_are_not_drawn_back_and_it_is_said_aloud(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, logger="rn50med"):
        trainer, _ = fitted(tmp_path, "none", 0.1)
    assert "l2_sp is 0.1, but the backbone starts from random weights" in caplog.text
    assert [group["weight_decay"] for group in trainer.optimizers[0].param_groups] == [0.05, 0.05, 0.0]


def test_a_callback_that_is_used_again_draws_to_the_start_of_its_own_training():
    callback = StartingPoint(0.5)
    for start in (torch.zeros(2, 2), torch.full((2, 2), 5.0)):
        callback.setup(None, None, "fit")
        callback.on_fit_start(None, Holder(start))
        (kept,) = callback.state_dict()["start"].values()
        assert torch.equal(kept, start)


def test_a_trainer_without_the_callback_keeps_the_decay_and_it_is_said_aloud(tmp_path, start_file, caplog):
    module = FineTuneModule(
        TASK,
        backbone=ResNet50(weights=str(start_file)),
        optimizer=partial(torch.optim.AdamW, lr=1e-4, weight_decay=0.05),
        regularisation=Regularisation(l2_sp=0.1),
    )
    images = DataLoader([(torch.rand(1, 32, 32), i % 2) for i in range(4)], batch_size=4)
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar"), False)
    trainer = Trainer(accelerator="cpu", max_steps=1, default_root_dir=tmp_path, **quiet)
    with caplog.at_level(logging.WARNING, logger="rn50med"):
        trainer.fit(module, images)
    assert "the Trainer has no callback for it, and nothing is drawn back" in caplog.text
    assert [group["weight_decay"] for group in trainer.optimizers[0].param_groups] == [0.05, 0.05, 0.0]
