"""The moving average of the weights: what it is, and where it is used."""

from __future__ import annotations

import math
from copy import deepcopy
from functools import partial

import pytest
import torch
from films import write_films
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from torch import nn
from torch.utils.data import DataLoader

from rn50med import Binary, FineTuneModule, ManifestDataModule, Radiograph, ResNet50
from rn50med.evaluation.metrics import auroc
from rn50med.training.averaging import NORM_IMAGES, AveragedWeights, decay_after
from rn50med.training.checkpoints import Best, Last
from rn50med.training.regularisation import Regularisation


class Small(LightningModule):
    """A convolution, batch norm that may be frozen, dropout and a linear layer, on pairs."""

    def __init__(self, frozen: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.frozen = frozen
        self.convolution, self.norm = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)
        self.dropout, self.linear = nn.Dropout(0.5), nn.Linear(4, 1)
        self.seen: list[dict] = []

    def train(self, mode: bool = True):
        super().train(mode)
        self.norm.train(mode and not self.frozen)
        return self

    def forward(self, image):
        features = self.norm(self.convolution(image)).relu().mean(dim=(2, 3))
        return self.linear(self.dropout(features))

    def training_step(self, batch, batch_idx):
        image, target = batch
        loss = nn.functional.binary_cross_entropy_with_logits(self(image)[:, 0], target.float())
        self.log("train/loss", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        self.seen.append(deepcopy(self.state_dict()))
        self.log("val/auroc", torch.tensor(0.5))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.5)


class Steps(Callback):
    """Keeps the weights after every step."""

    def __init__(self) -> None:
        self.weights: list[torch.Tensor] = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.weights.append(pl_module.convolution.weight.detach().clone())


def loader(images: int = 24) -> DataLoader:
    random = torch.Generator().manual_seed(1)
    pairs = [(torch.rand(1, 8, 8, generator=random), torch.tensor(i % 2)) for i in range(images)]
    return DataLoader(pairs, batch_size=8)


def fitted(folder, module=None, callbacks=(), epochs=2, resume=None, images=24, **options):
    module = Small() if module is None else module
    seed_everything(3)
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        callbacks=list(callbacks),
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=any(isinstance(each, Last | Best) for each in callbacks),
        default_root_dir=folder,
        num_sanity_val_steps=0,
        **options,
    )
    trainer.fit(module, loader(images), loader(), ckpt_path=resume)
    return module, trainer


def test_the_decay_rises_to_its_end_and_never_beyond():
    decays = [decay_after(updates, 0.99) for updates in range(1, 3000)]
    assert decays == sorted(decays)
    assert decays[0] < 0.2
    assert decays[-1] == 0.99


def test_the_first_steps_weights_have_faded_after_128_steps_where_a_fixed_decay_would_hold_88_percent():
    fixed = 0.999**128
    assert fixed == pytest.approx(0.88, abs=0.005)
    assert math.prod(decay_after(updates, 0.999) for updates in range(1, 129)) < 1e-6


def test_the_module_ends_with_the_average_of_the_steps_weights_by_hand(tmp_path):
    steps = Steps()
    module, _ = fitted(tmp_path, callbacks=[steps, AveragedWeights(0.6)])
    by_hand = steps.weights[0].clone()
    for updates, weights in enumerate(steps.weights[1:], 1):
        decay = min(0.6, (1 + updates) / (10 + updates))
        by_hand = decay * by_hand + (1 - decay) * weights
    assert len(steps.weights) == 6
    torch.testing.assert_close(module.convolution.weight.detach(), by_hand)
    assert not torch.equal(by_hand, steps.weights[-1])


def test_the_average_does_not_change_the_training(tmp_path):
    with_it, without = Steps(), Steps()
    fitted(tmp_path, callbacks=[with_it, AveragedWeights(0.9)])
    fitted(tmp_path, callbacks=[without])
    for one, other in zip(with_it.weights, without.weights, strict=True):
        assert torch.equal(one, other)


def test_val_and_checkpoints_have_the_average_with_the_weights_of_the_training_beside_it(tmp_path):
    steps = Steps()
    callbacks = [steps, AveragedWeights(0.9), Best("val/auroc", tmp_path), Last(tmp_path)]
    module, _ = fitted(tmp_path, callbacks=callbacks)
    for name in ("best", "last"):
        kept = torch.load(tmp_path / f"{name}.ckpt", weights_only=True)
        for key, tensor in kept["state_dict"].items():
            assert torch.equal(tensor, module.state_dict()[key]), key
            assert torch.equal(tensor, module.seen[-1][key]), key
        assert torch.equal(kept["current_model_state"]["convolution.weight"], steps.weights[-1])


def test_batch_norm_has_the_statistics_of_the_averaged_weights(tmp_path):
    module, _ = fitted(tmp_path, callbacks=[AveragedWeights(0.9)])
    with torch.no_grad():
        maps = [module.convolution(image) for image, _ in loader()]
    mean = torch.stack([each.mean(dim=(0, 2, 3)) for each in maps]).mean(dim=0)
    variance = torch.stack([each.var(dim=(0, 2, 3)) for each in maps]).mean(dim=0)
    torch.testing.assert_close(module.norm.running_mean, mean)
    torch.testing.assert_close(module.norm.running_var, variance)
    assert module.norm.momentum == 0.1


def test_frozen_batch_norm_stays_as_it_was_to_the_last_bit(tmp_path):
    module = Small(frozen=True).train()  # Lightning takes modes as they are
    module.norm.running_mean.fill_(0.3)
    before = {name: tensor.clone() for name, tensor in module.norm.named_buffers()}
    fitted(tmp_path, module, [AveragedWeights(0.9)])
    for name, tensor in module.norm.named_buffers():
        assert torch.equal(tensor, before[name]), name
    assert all(torch.equal(each["norm.running_mean"], before["running_mean"]) for each in module.seen)


def test_a_last_batch_of_one_image_tells_nothing_of_the_statistics(tmp_path):
    class Lone(Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            self.kept = [len(image) for image in average._images]

    average, lone = AveragedWeights(0.9), Lone()
    module, _ = fitted(tmp_path, callbacks=[average, lone], epochs=1, images=17)
    assert lone.kept == [8, 8]
    assert all(bool(value.isfinite().all()) for value in module.state_dict().values())


def test_what_rests_is_left_alone_by_the_average_and_what_moves_is_not(tmp_path):
    module, average = Small(frozen=True), AveragedWeights(0.9)
    module.convolution.requires_grad_(False)
    start, moved = module.convolution.weight.clone(), module.linear.weight.clone()
    fitted(tmp_path, module, callbacks=[average])
    assert torch.equal(module.convolution.weight, start)
    assert torch.equal(average._average_model.module.convolution.weight, start)
    assert not torch.equal(module.linear.weight, moved)
    assert int(average._average_model.n_averaged) == 6


def test_what_is_frozen_takes_its_room_in_a_checkpoint_once_and_is_there_under_both_names(tmp_path):
    sizes = {}
    for frozen in (False, True):
        module, folder = Small(frozen=True), tmp_path / str(frozen)
        module.convolution.requires_grad_(not frozen)
        module.padding = nn.Parameter(torch.rand(100_000), requires_grad=False)
        fitted(folder, module, [AveragedWeights(0.9), Last(folder)])
        kept = torch.load(folder / "last.ckpt", weights_only=True)
        assert torch.equal(kept["state_dict"]["padding"], kept["current_model_state"]["padding"])
        assert kept["state_dict"].keys() == kept["current_model_state"].keys()
        both = [kept[each]["convolution.weight"] for each in ("state_dict", "current_model_state")]
        assert torch.equal(*both) == frozen
        sizes[frozen] = (folder / "last.ckpt").stat().st_size
    assert sizes[True] < sizes[False] < 2 * 400_000


def test_a_module_with_a_state_that_is_no_tensor_is_kept_too(tmp_path):
    class Stateful(Small):
        def get_extra_state(self):
            return {"version": 2}

        def set_extra_state(self, state):
            self.version = state["version"]

    fitted(tmp_path, Stateful(), [AveragedWeights(0.9), Last(tmp_path)])
    kept = [AveragedWeights(0.9), Last(tmp_path)]
    module, _ = fitted(tmp_path, Stateful(), kept, 3, tmp_path / "last.ckpt")
    assert module.version == 2


def test_a_run_that_goes_on_keeps_the_statistics_of_the_average_until_its_first_step(tmp_path):
    class First(Callback):
        def on_train_start(self, trainer, pl_module):
            trainer.save_checkpoint(tmp_path / "first.ckpt")

    fitted(tmp_path, Small(), [AveragedWeights(0.9), Last(tmp_path)])
    (tmp_path / "last.ckpt").rename(tmp_path / "before.ckpt")
    fitted(tmp_path, Small(), [AveragedWeights(0.9), First()], 3, tmp_path / "before.ckpt")
    before, first = (torch.load(tmp_path / f"{n}.ckpt", weights_only=True) for n in ("before", "first"))
    for which in ("state_dict", "current_model_state"):
        for name, tensor in before[which].items():
            assert torch.equal(first[which][name], tensor), (which, name)
    assert not torch.equal(*(before[w]["norm.running_mean"] for w in ("state_dict", "current_model_state")))


def test_only_as_many_images_are_kept_as_the_statistics_need(tmp_path):
    class Watched(AveragedWeights):
        most = 0

        def on_train_batch_end(self, *arguments):
            super().on_train_batch_end(*arguments)
            self.most = max(self.most, sum(map(len, self._images)))

    average = Watched(0.9)
    fitted(tmp_path, callbacks=[average], epochs=1, images=NORM_IMAGES + 40)
    assert average.most == NORM_IMAGES
    assert not average._images


def test_a_run_that_goes_on_ends_like_one_that_was_never_stopped(tmp_path):
    def part(folder, epochs, resume=None):
        module = Small()
        module.dropout.p = 0.0  # whose draws no checkpoint keeps
        return fitted(folder, module, [AveragedWeights(0.9), Last(folder)], epochs, resume)[0]

    whole = part(tmp_path / "whole", 4)
    part(tmp_path / "half", 2)
    again = part(tmp_path / "half", 4, tmp_path / "half" / "last.ckpt")
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name
    one, other = (torch.load(tmp_path / each / "last.ckpt", weights_only=True) for each in ("whole", "half"))
    assert one["averaging_state"] == other["averaging_state"]
    for name, tensor in one["current_model_state"].items():
        assert torch.equal(tensor, other["current_model_state"][name]), name


@pytest.mark.parametrize("every", [2, 10], ids=["no val at the end", "no val at all"])
def test_statistics_are_those_of_the_average_where_no_val_came_after_the_last_step(tmp_path, every):
    """Checkpoints had the average with the statistics of the weights of the last step."""
    module, trainer = fitted(
        tmp_path, callbacks=[AveragedWeights(0.9), Last(tmp_path)], epochs=3, check_val_every_n_epoch=every
    )
    trainer.save_checkpoint(tmp_path / "after.ckpt")
    wanted = {name: each for name, each in module.state_dict().items() if "running" in name}
    for name in ("last.ckpt", "after.ckpt"):
        kept = torch.load(tmp_path / name, weights_only=True)["state_dict"]
        for key, each in wanted.items():
            assert torch.equal(kept[key], each), (name, key)
    with torch.no_grad():
        seen = module.convolution(torch.cat([image for image, _ in list(loader())]))
    assert torch.allclose(module.norm.running_mean, seen.mean(dim=(0, 2, 3)), atol=1e-5)


class Stopped(Exception):  # noqa: N818
    """Comes between."""


def test_a_checkpoint_written_amid_a_val_has_the_average_as_its_weights(tmp_path):
    class Between(Callback):
        def on_validation_batch_end(self, trainer, pl_module, *rest):
            trainer.save_checkpoint(tmp_path / "between.ckpt")
            raise Stopped

    steps = Steps()
    module = Small()
    with pytest.raises(Stopped):
        fitted(tmp_path, module, [steps, AveragedWeights(0.9), Between()])
    kept = torch.load(tmp_path / "between.ckpt", weights_only=True)
    assert torch.equal(kept["current_model_state"]["convolution.weight"], steps.weights[-1])
    assert torch.equal(kept["state_dict"]["convolution.weight"], module.seen[-1]["convolution.weight"])
    assert not torch.equal(steps.weights[-1], kept["state_dict"]["convolution.weight"])


def test_a_checkpoint_that_is_judged_after_the_training_is_judged_by_its_own_average(tmp_path):
    module, trainer = fitted(tmp_path, callbacks=[AveragedWeights(0.9), Last(tmp_path)])
    kept = torch.load(tmp_path / "last.ckpt", weights_only=True)
    kept["state_dict"]["linear.bias"].fill_(7.0)
    torch.save(kept, tmp_path / "other.ckpt")
    trainer.validate(module, loader(), ckpt_path=tmp_path / "other.ckpt", verbose=False, weights_only=True)
    assert float(module.seen[-1]["linear.bias"]) == 7.0


class Kept(Callback):
    """Writes what each process has in the end."""

    def __init__(self, folder):
        self.folder = folder

    def on_train_end(self, trainer, pl_module):
        torch.save(pl_module.state_dict(), self.folder / f"{trainer.global_rank}.pt")


@pytest.mark.slow
def test_two_processes_have_the_same_average_and_the_mean_of_their_statistics(tmp_path):
    trainer = Trainer(
        accelerator="cpu",
        devices=2,
        strategy="ddp_fork",
        max_epochs=2,
        callbacks=[AveragedWeights(0.9), Kept(tmp_path)],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        default_root_dir=tmp_path,
        num_sanity_val_steps=0,
    )
    trainer.fit(Small(), loader(48), loader(48))
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name
    module = Small()
    module.load_state_dict(first)
    with torch.no_grad():
        image = torch.cat([image for image, _ in loader(48)])
        mean = module.convolution(image).mean(dim=(0, 2, 3))
    torch.testing.assert_close(first["norm.running_mean"], mean)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_100_steps_with_the_average_come_within_two_hundredths_of_auroc_of_those_without(tmp_path, seed):
    task = Binary(negative="normal", positive="pneumonia")
    found = {}
    for decay in (0.0, 0.999):
        folder = tmp_path / str(decay)
        table = write_films(folder, patients=160, films=1, seed=seed, lift=30)
        data = ManifestDataModule(str(table), task=task, transforms=Radiograph(size=32), batch_size=8)
        seed_everything(seed)
        module = FineTuneModule(
            task,
            backbone=ResNet50(weights="none"),
            optimizer=partial(torch.optim.AdamW, lr=1e-3),
            regularisation=Regularisation(ema_decay=decay),
        )
        trainer = Trainer(
            accelerator="cpu",
            max_epochs=10,
            callbacks=module.default_callbacks(folder)[:1] if decay else [],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(module, data)
        assert trainer.global_step == 100
        cases = module.cases["val"]
        found[decay] = auroc(cases.probability[:, 0], cases.target)
    assert abs(found[0.999] - found[0.0]) <= 0.02
