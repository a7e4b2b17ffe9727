"""The search for a learning rate: what it finds, what it leaves alone, what it refuses."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import FilmTable, Outcome, as_words
from films import write_films
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.callbacks import BatchSizeFinder, LearningRateFinder
from torch.utils.data import DataLoader
from wandb_file import decoded

from rn50med import (
    Binary,
    FineTuneModule,
    Layerwise,
    ManifestDataModule,
    Radiograph,
    Regularisation,
    ResNet50,
    load_recipe,
)
from rn50med.errors import NumericalError, RecipeError
from rn50med.training.callbacks import EpochLog
from rn50med.training.checkpoints import Last
from rn50med.training.found_rate import searches_rate
from rn50med.training.rate_curve import suggested
from rn50med.training.rate_search import RateSearch

CommandLine = Callable[..., Outcome]
TASK = Binary(negative="normal", positive="pneumonia", column="label")
RATES = [float(rate) for rate in np.geomspace(1e-6, 1.0, 100)]
FEW = {"min_lr": 1e-4, "max_lr": 1e-1, "num_training_steps": 24}
"""Options of a search of a few seconds, in batches of all images, whose loss has little noise."""


# ---------------------------------------------------------------- the rate that a curve suggests


def falling(at: float, seed: int, noise: float = 0.08) -> list[float]:
    """A loss that falls from 0.7 to 0.1 around a rate, and explodes at thirty times that rate."""
    rates = np.array(RATES)
    loss = 0.1 + 0.6 / (1 + (rates / at) ** 1.5) + (rates / (30 * at)) ** 3
    return list(np.random.default_rng(seed).normal(loss, noise))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("at", [1e-4, 1e-3, 1e-2])
def test_the_rate_at_which_the_loss_falls_is_found_through_noise(at: float, seed: int) -> None:
    found = suggested(RATES, falling(at, seed))
    assert found is not None
    assert at / 4 < found < at * 4
    assert found == float(f"{found:.2g}")


def test_noise_alone_seldom_suggests_a_rate() -> None:
    draws = [list(np.random.default_rng(seed).normal(0.7, 0.1, 100)) for seed in range(100)]
    assert sum(suggested(RATES, losses) is not None for losses in draws) <= 5


def test_a_fall_from_the_heights_of_an_explosion_is_no_suggestion() -> None:
    losses = [0.7] * 60 + [5.0] * 15 + [0.5] * 25
    assert suggested(RATES, losses) is None


def test_a_curve_that_broke_off_at_once_suggests_no_rate() -> None:
    assert suggested(RATES, [0.7, 0.7, 9.0]) is None
    assert suggested(RATES, []) is None


# ---------------------------------------------------------------- in anybody's Trainer


def parts(films: Path, rate: float = 1e-3) -> tuple[FineTuneModule, ManifestDataModule]:
    """A module with all that a search could disturb, and its data."""
    seed_everything(0, verbose=False)
    transforms = Radiograph(size=32, strength=0.3)  # on so few small films, more hides the fall of the loss
    data = ManifestDataModule(
        str(films), task=TASK, transforms=transforms, batch_size=24, num_workers=0, cache="none"
    )
    module = FineTuneModule(
        TASK,
        backbone=ResNet50(weights="none", drop_path=0.1),
        optimizer=partial(torch.optim.AdamW, lr=rate),
        finetuning=Layerwise(0.5),
        regularisation=Regularisation(ema_decay=0.9),
    )
    return module, data


def trainer_of(folder: Path, *callbacks: object, **options: object) -> Trainer:
    return Trainer(**{
        "accelerator": "cpu", "max_epochs": 2, "callbacks": list(callbacks), "logger": False,
        "enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0,
        "default_root_dir": str(folder), **options,
    })  # fmt: skip


class Searched:
    """A training with a search, and one with the rate that was found."""

    def __init__(self, films: Path, folder: Path) -> None:
        self.module, self.rows, self.optimizer = self._trained(
            films, folder / "one", LearningRateFinder(**FEW)
        )
        assert self.module.found_rate is not None
        self.rate = self.module.found_rate.rate
        self.same, self.same_rows, self.same_optimizer = self._trained(films, folder / "two", rate=self.rate)
        self.folder = folder

    def _trained(self, films: Path, folder: Path, *callbacks: object, rate: float = 1e-3):
        module, data = parts(films, rate)
        # without the last epoch's checkpoint, whose writing would take most of the time
        usual = [each for each in module.default_callbacks(folder / "kept") if not isinstance(each, Last)]
        trainer = trainer_of(folder, *usual, *callbacks)
        trainer.fit(module, datamodule=data)
        log = next(each for each in usual if isinstance(each, EpochLog))
        return module, log.rows, trainer.optimizers[0]


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_films(tmp_path_factory.mktemp("study"), size=32)


@pytest.fixture(scope="module")
def searched(films: Path, tmp_path_factory: pytest.TempPathFactory) -> Searched:
    return Searched(films, tmp_path_factory.mktemp("searched"))


def test_a_training_after_a_search_is_to_the_bit_that_of_a_recipe_with_its_rate(searched: Searched) -> None:
    """Weights, moving average, draws of dropout and augmentation, val's figures, steps: everything."""
    assert searched.rate != 1e-3
    one, other = searched.module.state_dict(), searched.same.state_dict()
    assert all(torch.equal(one[name], other[name]) for name in other)
    assert str(searched.rows) == str(searched.same_rows)
    assert searched.module.temperature == searched.same.temperature
    assert searched.module.operating_point == searched.same.operating_point


def test_factors_on_the_rate_of_single_parts_stay(searched: Searched) -> None:
    first = [group["initial_lr"] for group in searched.optimizer.param_groups]
    assert first == [group["initial_lr"] for group in searched.same_optimizer.param_groups]
    assert max(first) == searched.rate
    assert min(first) == pytest.approx(searched.rate * 0.5**5)


def test_a_checkpoint_tells_the_rate_that_was_used_and_no_other_file_is_left(searched: Searched) -> None:
    kept = FineTuneModule.load_from_checkpoint(searched.folder / "one" / "kept" / "best.ckpt")
    assert kept.specification["optimizer"]["init_args"]["lr"] == searched.rate
    folders = [searched.folder / run for run in ("one", "two")]
    one, two = ({path.relative_to(each) for path in each.rglob("*")} for each in folders)
    assert one == two


class NoVal(ManifestDataModule):
    """Fails where somebody looks at val or test."""

    def val_dataloader(self):
        raise AssertionError("val was opened")

    def test_dataloader(self):
        raise AssertionError("test was opened")


def test_a_search_opens_neither_val_nor_test_and_only_tells_where_asked_to(
    films: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    module, _ = parts(films)
    data = NoVal(
        str(films), task=TASK, transforms=Radiograph(size=32, strength=0), batch_size=24, cache="none"
    )
    trainer = trainer_of(
        tmp_path, LearningRateFinder(**FEW, update_attr=False), limit_val_batches=0, limit_train_batches=1,
        max_epochs=1, enable_checkpointing=False,
    )  # fmt: skip
    with caplog.at_level("INFO", logger="rn50med"):
        trainer.fit(module, datamodule=data)
    assert max(group["initial_lr"] for group in trainer.optimizers[0].param_groups) == 1e-3
    found = module.found_rate
    assert found is not None
    assert not found.used
    assert f"{found.rate:g} found by LearningRateFinder over {found.steps} steps" in caplog.text
    assert "the recipe said 0.001, which is kept" in caplog.text


def test_a_loss_that_explodes_at_once_stops_with_one_sentence(films: Path, tmp_path: Path) -> None:
    module, data = parts(films)
    finder = LearningRateFinder(min_lr=1e6, max_lr=1e30, num_training_steps=20)
    with pytest.raises(
        NumericalError, match=r"the loss did not fall at any rate from 1e\+06 to .*smaller min_lr"
    ):
        trainer_of(tmp_path, finder, enable_checkpointing=False).fit(module, datamodule=data)
    assert list(tmp_path.rglob("*.ckpt")) == []


def test_loaders_without_a_data_module_are_refused(films: Path, tmp_path: Path) -> None:
    module, _ = parts(films)
    batches = DataLoader([(torch.rand(1, 32, 32), torch.tensor(n % 2)) for n in range(8)], batch_size=4)
    with pytest.raises(RecipeError, match="needs a data module"):
        trainer_of(tmp_path, LearningRateFinder(), enable_checkpointing=False).fit(module, batches, batches)


class Mine(LearningRateFinder):
    """Searches at other times."""


@pytest.mark.parametrize(
    ("callbacks", "said"),
    [
        ([LearningRateFinder(num_training_steps=5)], "num_training_steps is 5; give 20 or more"),
        ([LearningRateFinder(min_lr=1.0, max_lr=0.1)], "give a min_lr above 0 and below max_lr"),
        ([LearningRateFinder(attr_name="lr")], "attr_name is 'lr'"),
        ([LearningRateFinder(), LearningRateFinder()], "there are 2 of them"),
        ([Mine()], "Mine is one of your own"),
        ([BatchSizeFinder()], "give --data.batch_size"),
    ],
)
def test_what_cannot_be_followed_is_refused(callbacks: list[object], said: str, tmp_path: Path) -> None:
    module = FineTuneModule(TASK, backbone=ResNet50(weights="none"))
    module.trainer = trainer_of(tmp_path, *callbacks)
    with pytest.raises(RecipeError, match=said):
        module.configure_callbacks()


def test_several_processes_are_refused_and_no_finder_is_no_search(tmp_path: Path) -> None:
    module = FineTuneModule(TASK, backbone=ResNet50(weights="none"))
    module.trainer = trainer_of(tmp_path, LearningRateFinder(), devices=2)
    with pytest.raises(RecipeError, match=r"cannot search in 2 processes.*--trainer.devices 1"):
        module.configure_callbacks()
    module.trainer = trainer_of(tmp_path)
    assert module.configure_callbacks() == []
    module.trainer = trainer_of(tmp_path, LearningRateFinder())
    assert [type(each) for each in module.configure_callbacks()] == [RateSearch]


# ---------------------------------------------------------------- from a recipe


FINDER = """
trainer:
  callbacks:
    - class_path: lightning.pytorch.callbacks.LearningRateFinder
      init_args:
        min_lr: 1.0e-4
        max_lr: 1.0e-1
        num_training_steps: 24
"""
SMALL = {
    "model.backbone.weights": "none",
    "data.transforms.size": 32,
    "data.transforms.strength": 0,
    "data.batch_size": 24,
    "trainer.max_epochs": 1,
    "trainer.accelerator": "cpu",
    "evaluation.test": "never",
    "evaluation.checks": "false",
}


def test_a_recipe_with_a_finder_trains_at_its_rate_and_says_so_everywhere(
    command_line: CommandLine, film_table: FilmTable, tmp_path: Path
) -> None:
    film_table.split_by_patient()
    (tmp_path / "finder.yaml").write_text(FINDER)
    folder = tmp_path / "run"
    done = command_line(
        "fit", "--recipe", "chest_xray", "--recipe", tmp_path / "finder.yaml", "--output", folder,
        "--wandb", "offline", "--data.source", film_table.path, *as_words(SMALL),
    )  # fmt: skip
    assert done.code == 0, done.err
    said = re.search(
        r"learning rate: (\S+) found by LearningRateFinder over \d+ steps; the recipe said 0.001", done.err
    )
    assert said, done.err
    assert "Warning" not in done.err
    rate = float(said[1])
    recipe = load_recipe(str(folder / "recipe.yaml"))
    assert recipe["model"]["optimizer"]["init_args"]["lr"] == rate
    assert not searches_rate(recipe)
    facts = json.loads((folder / "environment.json").read_text())["training"]["learning_rate"]
    assert (facts["rate"], facts["asked"], facts["used"]) == (rate, 1e-3, True)
    report = (folder / "report.html").read_text()
    assert f"at a highest learning rate of {rate:g} (found by a range test of" in report
    told = decoded(next(folder.glob("wandb/**/*.wandb")))["config"]
    assert told["model"]["optimizer"]["init_args"]["lr"] == rate
    assert told["data"]["source"] == "<path>"
    assert "test" not in json.loads((folder / "metrics.json").read_text())
    assert not list(tmp_path.rglob("test_log.csv"))
    assert not list(tmp_path.rglob(".lr_find*"))


def test_crossval_refuses_a_search_before_it_begins(
    command_line: CommandLine, film_table: FilmTable, tmp_path: Path
) -> None:
    done = command_line(
        "crossval", "--recipe", "chest_xray", "--trainer.callbacks+=LearningRateFinder",
        "--data.source", film_table.path, "--model.backbone.weights", "none", "--output", tmp_path / "folds",
    )  # fmt: skip
    assert done.code == 2
    assert "LearningRateFinder would give each fold a rate of its own" in done.messages[-1]
    assert not (tmp_path / "folds").exists()
