"""Ways to fine-tune: what trains when, what stays to the bit, and features that are computed once."""

from __future__ import annotations

import logging
import math
from functools import partial
from pathlib import Path

import pytest
import torch
from films import write_films
from lightning.pytorch import Callback, Trainer
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from rn50med import (
    Binary,
    FineTuneModule,
    Full,
    Head,
    Layerwise,
    LinearHead,
    LinearProbe,
    ManifestDataModule,
    Radiograph,
    ResNet50,
    Staged,
)
from rn50med.errors import RecipeError
from rn50med.training.features import FeatureStore, needed
from rn50med.training.finetuning import FineTuning
from rn50med.training.regularisation import Regularisation

TASK = Binary(negative="normal", positive="pneumonia", column="label")


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 films of 12 patients: 12 in train, 6 in val."""
    return write_films(tmp_path_factory.mktemp("study"), patients=12)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights to start from, with batch-norm statistics that are not those of a new network."""
    torch.manual_seed(0)
    body = ResNet50(weights="none").body.train()
    with torch.no_grad():
        body(torch.rand(4, 1, 32, 32))
    path = tmp_path_factory.mktemp("weights") / "start.pth"
    torch.save(body.state_dict(), path)
    return path


def data_of(films: Path, strength: float = 0.0, batch_size: int = 4) -> ManifestDataModule:
    return ManifestDataModule(
        str(films),
        task=TASK,
        transforms=Radiograph(size=32, strength=strength),
        batch_size=batch_size,
        cache="none",
    )


def module_of(finetuning: FineTuning | None, weights: Path | str = "none", **options) -> FineTuneModule:
    torch.manual_seed(0)
    return FineTuneModule(TASK, ResNet50(weights=str(weights)), finetuning=finetuning, **options)


def trainer_of(epochs: int, *callbacks: Callback, **options) -> Trainer:
    return Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        callbacks=list(callbacks),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **options,
    )


def state(modules: list[nn.Module]) -> list[Tensor]:
    """Parameters and buffers, to the last one."""
    return [value.clone() for module in modules for value in module.state_dict().values()]


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


class Watch(Callback):
    """Keeps every part's state at the end of each epoch, its modes, and how many images were forwarded."""

    def __init__(self) -> None:
        self.states: list[dict[str, list[Tensor]]] = []
        self.modes: list[dict[str, bool]] = []
        self.forwarded = 0

    def on_fit_start(self, trainer, pl_module):
        self.states.append({name: state(modules) for name, modules in pl_module.parts.items()})
        pl_module.backbone.register_forward_pre_hook(self._count)

    def _count(self, module, inputs):
        self.forwarded += len(inputs[0])

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if batch_idx == 0:
            self.modes.append(
                {
                    name: any(item.training for module in modules for item in module.modules())
                    for name, modules in pl_module.parts.items()
                }
            )

    def on_train_epoch_end(self, trainer, pl_module):
        self.states.append({name: state(modules) for name, modules in pl_module.parts.items()})

    def moved(self, epoch: int) -> set[str]:
        before, after = self.states[epoch], self.states[epoch + 1]
        return {name for name in before if not same(before[name], after[name])}


@pytest.mark.parametrize("strength", [0.0, 1.0])
def test_a_linear_probe_leaves_the_backbone_as_it_was_to_the_bit(films, start, strength):
    module, watch = module_of(LinearProbe(), start), Watch()
    trainer = trainer_of(2, watch)
    trainer.fit(module, data_of(films, strength))
    assert watch.moved(0) == watch.moved(1) == {"head"}
    assert same(state([module.backbone.body]), list(torch.load(start, weights_only=True).values()))
    assert [name for name, mode in watch.modes[1].items() if mode] == ["head"]
    held = {id(value) for group in trainer.optimizers[0].param_groups for value in group["params"]}
    assert held == {id(value) for value in module.head.parameters()}
    assert module.lr_factor == 1.0  # nothing pretrained could be lost


def test_stages_thaw_one_after_the_other_and_rest_to_the_bit_before(films, start, caplog):
    module, watch = module_of(Staged(at=(1, 0.5)), start), Watch()
    with caplog.at_level(logging.INFO, "rn50med"):
        trainer_of(4, watch).fit(module, data_of(films, strength=1.0))
    assert [watch.moved(epoch) for epoch in range(4)] == [
        {"head"},
        {"head", "stage 5"},
        {"head", "stage 5", "stage 4"},
        {"head", "stage 5", "stage 4"},
    ]
    assert [sum(mode.values()) for mode in watch.modes] == [1, 2, 3, 3]
    said = [text for text in caplog.messages if text.startswith("training from epoch")]
    assert said == [
        "training from epoch 1 on: head; frozen: stage 5, stage 4, stage 3, stage 2, stem",
        "training from epoch 2 on: head, stage 5; frozen: stage 4, stage 3, stage 2, stem",
        "training from epoch 3 on: head, stage 5, stage 4; frozen: stage 3, stage 2, stem",
    ]
    assert all(value.requires_grad for value in module.parameters())  # the next fit may be another one


def test_the_optimizer_holds_a_frozen_stage_from_the_start_and_keeps_no_state_of_it(films):
    class Look(Callback):
        seen: list[tuple[int, int, float]] = []  # noqa: RUF012 - one test

        def on_train_epoch_end(self, trainer, pl_module):
            optimizer = trainer.optimizers[0]
            held = sum(len(group["params"]) for group in optimizer.param_groups)
            self.seen.append((held, len(optimizer.state), optimizer.param_groups[0]["lr"]))

    module, look = module_of(Staged(at=(1,))), Look()
    trainer_of(2, look).fit(module, data_of(films))
    head, top = (len(list(part.parameters())) for part in (module.head, module.backbone.body["layer4"]))
    assert [seen[0] for seen in look.seen] == [head + top] * 2
    assert [seen[1] for seen in look.seen] == [head, head + top]
    assert look.seen[1][2] < look.seen[0][2]  # one schedule for all of them


def test_layerwise_rates_fall_towards_the_stem_and_norms_are_not_decayed(films):
    module = module_of(Layerwise(factor=0.5))
    trainer = trainer_of(1, limit_train_batches=1)
    trainer.fit(module, data_of(films))
    highest = max(group["initial_lr"] for group in trainer.optimizers[0].param_groups)
    rates = {}
    for group in trainer.optimizers[0].param_groups:
        assert (group["weight_decay"] == 0) == all(value.ndim == 1 for value in group["params"])
        rates |= dict.fromkeys(group["params"], group["initial_lr"] / highest)
    for depth, modules in enumerate(module.parts.values()):
        for part in modules:
            assert {rates[value] for value in part.parameters()} == {0.5**depth}
    assert len(rates) == len(list(module.parameters()))


def test_what_the_user_froze_stays_frozen(films):
    module = module_of(Staged(at=(1,)))
    fixed = module.backbone.body["layer4"][0].conv1.weight
    fixed.requires_grad_(False)
    before = fixed.clone()
    trainer = trainer_of(2)
    trainer.fit(module, data_of(films))
    assert torch.equal(fixed, before)
    assert all(
        fixed is not value for group in trainer.optimizers[0].param_groups for value in group["params"]
    )
    assert not fixed.requires_grad


class SaveAfter(Callback):
    """Saves a checkpoint at the end of an epoch."""

    def __init__(self, epochs: int, path: Path) -> None:
        self.epochs, self.path = epochs, path

    def on_train_epoch_end(self, trainer, pl_module):
        if trainer.current_epoch + 1 == self.epochs:
            trainer.save_checkpoint(self.path)


def test_a_run_that_goes_on_thaws_what_had_thawed_and_ends_as_the_whole(films, tmp_path):
    still = partial(LinearHead, dropout=0.0)
    whole, again = (module_of(Staged(at=(1, 2)), head=still) for _ in range(2))
    trainer_of(3, SaveAfter(2, tmp_path / "half.ckpt")).fit(whole, data_of(films))
    watch = Watch()
    trainer_of(3, watch).fit(again, data_of(films), ckpt_path=tmp_path / "half.ckpt", weights_only=True)
    assert watch.moved(0) == {"head", "stage 5", "stage 4"}
    assert same(state([again]), state([whole]))


def test_a_checkpoint_says_how_it_was_fine_tuned(films, tmp_path):
    module = module_of(Staged(at=(1, 0.5), factor=0.7))
    trainer_of(1, limit_train_batches=1).fit(module, data_of(films))
    module.trainer.save_checkpoint(tmp_path / "run.ckpt")
    again = FineTuneModule.load_from_checkpoint(tmp_path / "run.ckpt").finetuning
    assert (type(again), again.at, again.factor) == (Staged, (1, 0.5), 0.7)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: Staged(at=(3, 1)), "before the one above it"),
        (lambda: Staged(at=(0.3, 0.1)), "before the one above it"),
        (lambda: Staged(at=(1.5,)), "whole number of epochs"),
        (lambda: Staged(at=(-1,)), "whole number of epochs"),
        (lambda: Staged(at=(1, 2, 3, 4, 5, 6)), "up to 5 numbers"),
        (lambda: Staged(at=(0.9, 1)).begins(2, epochs=8), "before the one above it"),
        (lambda: Staged().begins(1, epochs=None), "give trainer.max_epochs"),
        (lambda: Staged(factor=0), "above 0, at most 1"),
        (lambda: Layerwise(factor=1.5), "above 0, at most 1"),
        (lambda: LinearProbe(memory=-1), "0 or more"),
    ],
)
def test_options_out_of_range_are_refused(build, words):
    with pytest.raises(RecipeError, match=words):
        build()


def test_features_are_computed_once_for_each_image(films, start):
    module, watch = module_of(LinearProbe(), start), Watch()
    data = data_of(films)
    trainer_of(4, watch).fit(module, data)
    assert watch.forwarded == len(data.rows_of("train")) + len(data.rows_of("val"))
    assert module._features is None  # and forgotten at the end


@pytest.mark.parametrize(("weights", "warnings"), [("none", 1), ("start", 0)])
def test_a_head_on_random_features_is_warned_of(films, start, caplog, weights, warnings):
    module = module_of(LinearProbe(), start if weights == "start" else weights)
    trainer_of(1).fit(module, data_of(films))
    assert sum("warning (random-features)" in text for text in caplog.messages) == warnings


def test_with_augmentation_only_those_of_val_are_kept(films, start, caplog):
    module, watch = module_of(LinearProbe(), start), Watch()
    data = data_of(films, strength=1.0)
    with caplog.at_level(logging.INFO, "rn50med"):
        trainer_of(3, watch).fit(module, data)
    assert watch.forwarded == 3 * len(data.rows_of("train")) + len(data.rows_of("val"))
    assert any("because of the random augmentation" in text for text in caplog.messages)


class MaxHead(Head):
    """The strongest response anywhere, of the last two maps: their means would not do."""

    def __init__(self, channels, num_outputs):
        super().__init__(channels, num_outputs)
        self.linear = nn.Linear(channels[-1] + channels[-2], num_outputs)

    def forward(self, features):
        return self.linear(torch.cat([feature.amax(dim=(-2, -1)) for feature in features[-2:]], dim=1))


@pytest.mark.parametrize("head", [LinearHead, MaxHead])
def test_kept_features_give_the_results_of_computed_ones(films, start, head):
    logged, heads = [], []
    for memory in (2.0, 0.0):
        module, watch = module_of(LinearProbe(memory), start, head=head), Watch()
        trainer = trainer_of(4, watch)
        trainer.fit(module, data_of(films))
        assert (watch.forwarded < 30) == (memory > 0)
        logged.append({name: float(value) for name, value in trainer.callback_metrics.items()})
        heads.append(module.head.linear.weight.detach())
    assert logged[0] == pytest.approx(logged[1], abs=1e-5)
    torch.testing.assert_close(*heads, rtol=0, atol=1e-5)


def test_features_that_find_no_room_are_computed_in_every_epoch(films, start, caplog):
    module, watch = module_of(LinearProbe(memory=10 * 2048 * 4 / 1e9), start), Watch()
    data = data_of(films)
    with caplog.at_level(logging.INFO, "rn50med"):
        trainer_of(3, watch).fit(module, data)
    every = len(data.rows_of("train")) + len(data.rows_of("val"))
    assert watch.forwarded == every + 2 * (every - 10)
    assert sum("10 images fill" in text for text in caplog.messages) == 1


class NormedMap(LinearHead):
    """Has batch norm before it pools: in eval mode the means would do."""

    def __init__(self, channels, num_outputs):
        super().__init__(channels, num_outputs)
        self.norm = nn.BatchNorm2d(channels[-1])

    def forward(self, features):
        return super().forward([self.norm(features[-1])])


class DroppedMap(LinearHead):
    """Drops positions before it pools."""

    def forward(self, features):
        return super().forward([functional.dropout(features[-1], 0.5, self.training)])


def test_a_head_is_asked_for_no_more_than_it_needs():
    class Attention(Head):
        def __init__(self, channels, num_outputs):
            super().__init__(channels, num_outputs)
            self.score, self.linear = nn.Linear(channels[-1], 1), nn.Linear(channels[-1], num_outputs)
            nn.init.zeros_(self.linear.weight)

        def forward(self, features):
            positions = features[-1].flatten(2).transpose(1, 2)
            weights = self.score(positions).softmax(dim=1)
            return self.linear((weights * positions).sum(dim=1))

    class Means(LinearHead):
        def forward(self, features):
            return self.linear(features[-1].mean(dim=(-2, -1))) + features[1].mean(dim=(-2, -1))[:, :1]

    assert needed(LinearHead([8, 16, 32], 2)) == ["", "", "mean"]
    assert needed(Means([8, 16, 32], 2)) == ["", "mean", "mean"]
    assert needed(MaxHead([8, 16, 32], 2)) == ["", "map", "map"]
    assert needed(Attention([8, 16, 32], 2)) == ["", "", "map"]
    assert needed(LinearHead([8, 16, 32], 2, dropout=0.5)) == ["", "", "mean"]
    assert needed(NormedMap([8, 16, 32], 2)) == ["", "", "map"]  # as means, its statistics are of others
    assert needed(DroppedMap([8, 16, 32], 2)) == ["", "", "map"]


def test_an_image_that_a_batch_has_twice_takes_room_once():
    store = FeatureStore(LinearHead([2, 4], 1), limit=1e6)
    image = torch.rand(1, 1, 8, 8).expand(3, -1, -1, -1)
    store.features("train", [7, 7, 7], image, lambda batch: [batch.expand(-1, c, -1, -1) for c in (2, 4)])
    assert (len(store), store.bytes) == (1, 4 * 4)


def test_blended_images_have_features_of_every_epoch_and_it_is_said(films, start, caplog):
    module, watch = module_of(LinearProbe(), start), Watch()
    module.regularisation = Regularisation(mixup=0.2)
    data = data_of(films)
    with caplog.at_level(logging.INFO, "rn50med"):
        trainer_of(2, watch).fit(module, data)
    assert watch.forwarded == 2 * len(data.rows_of("train")) + len(data.rows_of("val"))
    assert any("because of mixup" in text for text in caplog.messages)


def test_features_of_a_training_that_was_broken_off_are_not_those_of_the_next(films, start):
    module = module_of(LinearProbe(), start)
    left = FeatureStore(module.head, limit=1e9)
    module._features, module._kept_splits = left, ("train", "val")
    others = [
        {"image": image, "target": target, "index": row} for row, (image, target) in enumerate(pairs(4, 32))
    ]
    trainer_of(1, Watch()).fit(module, DataLoader(others, batch_size=4))
    assert len(left) == 0  # neither asked nor filled


def test_splits_of_the_same_numbers_are_kept_apart():
    store = FeatureStore(LinearHead([2, 4], 1), limit=1e6)
    image = torch.rand(3, 1, 8, 8)

    def compute(scale: float):
        return lambda batch: [scale * batch.expand(-1, channels, -1, -1) for channels in (2, 4)]

    first = store.features("train", [0, 1, 2], image, compute(1.0))
    other = store.features("val", [0, 1, 2], image, compute(2.0))
    torch.testing.assert_close(other[1], 2 * first[1])
    again = store.features("train", [2, 0], image[[2, 0]], compute(5.0))
    torch.testing.assert_close(again[1], first[1][[2, 0]])
    assert [tuple(level.shape) for level in again] == [(2, 2, 1, 1), (2, 4, 1, 1)]


def pairs(count: int, size: int) -> list[tuple[Tensor, Tensor]]:
    return [(torch.rand(1, size, size), torch.tensor(number % 2)) for number in range(count)]


def test_batch_norm_that_trains_refuses_batches_of_one(films):
    with pytest.raises(RecipeError, match=r"batch has one image|batch: has one image.*LinearProbe"):
        trainer_of(1).fit(module_of(None), DataLoader(pairs(3, 64), batch_size=1))
    with pytest.raises(RecipeError, match="batch norm needs batches of 2 or more"):
        trainer_of(1).fit(module_of(Full()), data_of(films, batch_size=1))


def test_a_last_batch_of_one_image_at_28_pixels_is_trained_and_said(caplog):
    module = module_of(None)
    with caplog.at_level(logging.INFO, "rn50med"):
        trainer_of(2).fit(module, DataLoader(pairs(5, 28), batch_size=4))
    said = [text for text in caplog.messages if "has one image" in text]
    assert said == ["batch 2 has one image: its batch norms use their running statistics"]
    counted = module.backbone.body["bn1"].num_batches_tracked
    assert int(counted) == 2  # the two batches of four
    assert module.backbone.body["bn1"].training


def test_arrays_of_28_pixels_with_a_last_batch_of_one_are_trained_judged_and_kept(tmp_path, caplog):
    """As MedMNIST's arrays come: labels in a column, of 8 bits, and no data module of ours."""
    torch.manual_seed(0)
    target = torch.arange(17) % 2
    images = 0.3 * torch.rand(17, 1, 28, 28)
    images[target == 1, :, 8:16, 8:16] += 0.5
    column = target[:, None].to(torch.uint8)
    loader = partial(DataLoader, TensorDataset(images, column), batch_size=8)
    module = module_of(None, optimizer=partial(torch.optim.SGD, lr=0.01))
    trainer = Trainer(
        accelerator="cpu", max_epochs=3, callbacks=module.default_callbacks(tmp_path), logger=False,
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
    )  # fmt: skip
    with caplog.at_level(logging.INFO, "rn50med"):
        trainer.fit(module, loader(shuffle=True), loader())
    assert trainer.global_step == 9
    said = [text for text in caplog.messages if "has one image" in text]
    assert said == ["batch 3 has one image: its batch norms use their running statistics"]
    assert module.predictions["val"].target.tolist() == target.tolist()
    figures = trainer.test(module, loader(), ckpt_path=str(tmp_path / "best.ckpt"), verbose=False)[0]
    assert 0 <= figures["test/auroc"] <= 1
    assert math.isfinite(figures["test/loss"])
    assert all(torch.isfinite(value).all() for value in module.state_dict().values())


def test_a_frozen_backbone_takes_batches_of_one(films, start):
    module = module_of(LinearProbe(), start)
    trainer = trainer_of(1)
    trainer.fit(module, data_of(films, batch_size=1))
    assert trainer.global_step == len(data_of(films).rows_of("train"))


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        (
            "model.finetuning",
            '{"class_path": "Staged", "init_args": {"at": [3, 1]}}',
            "Staged: at is [3.0, 1.0]",
        ),
        ("model.backbone.input_range", "[1, 0]", "ResNet50: input_range="),
        ("model.finetuning", "Stagd", "did you mean 'Staged'?"),
    ],
)
def test_a_wrong_option_is_said_in_one_sentence_on_the_command_line(command_line, key, value, words):
    done = command_line("fit", "--recipe", "chest_xray", f"--{key}", value)
    assert done.code == 2
    assert words in done.messages[0]
    assert len(done.messages) == 1
