"""Batches of somebody's own loaders: what they get wrong is said, before a figure comes of it."""

from __future__ import annotations

import logging
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from films import write_films
from lightning.pytorch import Trainer, seed_everything
from torch.utils.data import ConcatDataset, DataLoader

from rn50med import (
    Binary,
    FineTuneModule,
    ManifestDataModule,
    MultiClass,
    MultiLabel,
    Ordinal,
    Radiograph,
    Regression,
    ResNet50,
)
from rn50med.errors import DataError, RecipeError
from rn50med.evaluation.operating_point import OperatingPoint
from rn50med.evaluation.protocol import Protocol
from rn50med.tasks import Task
from rn50med.training.batch import labelled
from rn50med.training.precision import exact
from rn50med.training.regularisation import Regularisation

TASK = Binary(negative="normal", positive="pneumonia", column="label")


def module_of(task: Task = TASK, **options: Any) -> FineTuneModule:
    sgd = partial(torch.optim.SGD, lr=0.01)
    return FineTuneModule(task, backbone=ResNet50(weights="none"), optimizer=sgd, **options)


def trainer_of(folder: Path, **options: Any) -> Trainer:
    quiet = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary"), False)
    given = {"max_epochs": 1, "enable_checkpointing": False, **quiet, **options}
    return Trainer(accelerator="cpu", default_root_dir=folder, **given)


def films(number: int = 8, share: float = 1.0, numbered: bool = False) -> list[dict[str, Any]]:
    images = torch.rand(number, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    labels = [share * (i % 2) for i in range(number)]
    index = [{"index": i} if numbered else {} for i in range(number)]
    return [{"image": image, "target": y, **i} for image, y, i in zip(images, labels, index, strict=True)]


def loader(dataset: Any) -> DataLoader:
    return DataLoader(dataset, batch_size=4)


def test_shares_of_a_label_teach_but_are_no_truth_to_be_judged_by(tmp_path: Path) -> None:
    """A cast to whole numbers made 0.67 a negative."""
    module, trainer = module_of(), trainer_of(tmp_path, limit_val_batches=0)
    trainer.fit(module, loader(films(share=0.67)))
    with pytest.raises(RecipeError, match=r"has the target 0\.67 in val or test.* shares in train alone"):
        trainer_of(tmp_path).validate(module, loader(films(share=0.67)), verbose=False)


def test_images_that_share_a_number_are_refused_and_not_left_out(tmp_path: Path) -> None:
    """Two datasets that count from 0 each, put together: half of the images counted nowhere."""
    both = ConcatDataset([films(numbered=True), films(numbered=True)])
    with pytest.raises(DataError, match=r"val: 16 images have 8 different numbers; give each a number"):
        trainer_of(tmp_path).validate(module_of(), loader(both), verbose=False)
    trainer_of(tmp_path).validate(module_of(), loader(films(numbered=True)), verbose=False)


def test_several_loaders_of_val_are_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"^val: has several DataLoaders.*ConcatDataset"):
        trainer_of(tmp_path).validate(module_of(), [loader(films()), loader(films())], verbose=False)


def test_labels_of_another_shape_with_as_many_numbers_are_not_taken_for_these() -> None:
    task = MultiLabel(("mass", "edema"))
    image = torch.rand(3, 1, 8, 8)
    with pytest.raises(RecipeError, match=r"its target is \(2, 3\)"):
        labelled((image, torch.ones(2, 3)), task)
    assert labelled((image, torch.ones(3, 2, 1)), task)[1].shape == (3, 2)
    assert labelled((image, torch.ones(3, 1)), TASK)[1].shape == (3,)


def test_shares_of_classes_are_shares_and_of_a_task_that_can_learn_them() -> None:
    image, classes = torch.rand(2, 1, 8, 8), MultiClass(("a", "b", "c"))
    shares = torch.tensor([[0.2, 0.3, 0.5], [0.0, 1.0, 0.0]])
    assert torch.equal(labelled((image, shares), classes, soft=True)[1], shares)
    with pytest.raises(RecipeError, match=r"shares of the classes that are below 0 or do not add up to 1"):
        labelled((image, 100 * shares), classes, soft=True)
    with pytest.raises(RecipeError, match=r"Ordinal cannot be taught by them"):
        labelled((image, shares[:, :2]), Ordinal(("a", "b", "c")), soft=True)


def test_an_optimizer_that_refuses_its_options_says_so_by_its_key(tmp_path: Path) -> None:
    module = FineTuneModule(TASK, ResNet50(weights="none"), optimizer=partial(torch.optim.SGD, lr=-1.0))
    with pytest.raises(RecipeError, match=r"^model\.optimizer: Invalid learning rate: -1\.0; mend"):
        trainer_of(tmp_path).fit(module, loader(films()))


def test_another_site_is_judged_by_the_threshold_and_temperature_of_val(tmp_path: Path) -> None:
    """`trainer.validate` chose both anew on the other site's images."""
    module = module_of()
    trainer = trainer_of(tmp_path)
    trainer.fit(module, loader(films()), loader(films()))
    chosen, temperature = module.operating_point, module.temperature
    assert isinstance(chosen, OperatingPoint)
    trainer.save_checkpoint(tmp_path / "kept.ckpt")
    elsewhere = films(12)[4:]
    for judged in (module, FineTuneModule.load_from_checkpoint(tmp_path / "kept.ckpt")):
        trainer_of(tmp_path).validate(judged, loader(elsewhere), verbose=False)
        assert (judged.operating_point, judged.temperature) == (chosen, temperature)
    trainer_of(tmp_path).fit(module, loader(films()), loader(elsewhere))
    assert module.operating_point != chosen


def test_a_module_that_never_saw_a_val_chooses_on_the_first(tmp_path: Path) -> None:
    module = module_of()
    trainer_of(tmp_path, limit_val_batches=0).fit(module, loader(films()))
    assert module.operating_point is None
    trainer_of(tmp_path).validate(module, loader(films()), verbose=False)
    assert isinstance(module.operating_point, OperatingPoint)


def test_a_threshold_of_an_untrained_network_is_none(tmp_path: Path) -> None:
    """The sanity check before a fit, or a val before it, is of weights that are there no more."""
    module = module_of()
    trainer_of(tmp_path).validate(module, loader(films()), verbose=False)
    before = module.operating_point
    trainer_of(tmp_path, max_steps=1).fit(module, loader(films()), loader(films()))
    trainer_of(tmp_path).validate(module, loader(films()), verbose=False)
    assert module.operating_point != before
    path = tmp_path / "unjudged.ckpt"
    trainer = trainer_of(tmp_path, limit_val_batches=0)
    trainer.fit(fresh := module_of(), loader(films()))
    trainer.save_checkpoint(path)
    assert fresh.operating_point is None
    again = FineTuneModule.load_from_checkpoint(path)
    trainer_of(tmp_path).validate(again, loader(films()), verbose=False)
    assert isinstance(again.operating_point, OperatingPoint)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (Regression("age", low=0, high=100), Regression("age", low=0, high=228)),
        (Binary("normal", "pneumonia"), MultiLabel(("normal", "pneumonia"))),
    ],
    ids=["another scale", "another kind"],
)
def test_images_of_another_task_are_refused_though_their_classes_are_the_same(
    tmp_path: Path, ours: Task, theirs: Task
) -> None:
    data = ManifestDataModule("phantom", task=theirs, transforms=Radiograph(size=32))
    with pytest.raises(RecipeError, match=r"^task: the images are labelled for .*, the model is for "):
        trainer_of(tmp_path).validate(module_of(ours), data, verbose=False)


def test_cases_by_patient_are_refused_where_nobody_knows_the_patients(tmp_path: Path) -> None:
    module = module_of()
    module.protocol = Protocol(unit="patient")
    with pytest.raises(RecipeError, match=r"^protocol: its unit is patient, but a DataLoader does not say"):
        trainer_of(tmp_path).fit(module, loader(films()), loader(films()))


def test_a_training_without_val_keeps_the_last_epoch_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Lightning's early stopping ended it with an error half-way, for want of its figure."""
    module = module_of(regularisation=Regularisation(ema_decay=0.0))
    callbacks = module.default_callbacks(tmp_path)
    with caplog.at_level(logging.WARNING, "rn50med"):
        trainer_of(tmp_path, max_epochs=3, callbacks=callbacks, enable_checkpointing=True).fit(
            module, loader(films())
        )
    assert "warning (no-val): there are no images of val to judge epochs by" in caplog.text
    assert sorted(path.name for path in tmp_path.glob("*.ckpt")) == ["last.ckpt"]


def test_what_is_blended_depends_on_the_seed_of_somebody_s_own_script(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draws: list[tuple[int, ...]] = []

    def blended(image: Any, target: Any, task: Any, kit: Any, draw: tuple[int, ...]) -> tuple[Any, Any]:
        draws.append(draw)
        return image, target

    monkeypatch.setattr("rn50med.training.module.mixed_batch", blended)
    for seed in (1, 2, 1):
        seed_everything(seed, verbose=False)
        trainer_of(tmp_path, limit_val_batches=0).fit(module_of(), loader(films(4)))
    one, two, again = draws
    assert one == again != two


def test_a_data_module_says_what_to_do_instead_of_predicting(tmp_path: Path) -> None:
    data = ManifestDataModule(str(write_films(tmp_path / "films")), task=TASK, transforms=Radiograph(size=32))
    with pytest.raises(RecipeError, match=r"does not say which images to predict; call rn50med\.predict"):
        trainer_of(tmp_path).predict(module_of(), data)
    assert len(next(iter(data.train_dataloader()))["image"]) > 1  # without a Trainer, too


NEWER = """
import torch
from rn50med.training.precision import exact
torch.backends.fp32_precision = "tf32"
with exact(False):
    pass
with exact():
    print(torch.backends.cuda.matmul.fp32_precision, torch.backends.cudnn.conv.fp32_precision)
print(torch.backends.cuda.matmul.fp32_precision, torch.backends.cudnn.conv.fp32_precision)
"""


def test_torchs_newer_settings_are_kept_to_and_given_back() -> None:
    """They raise an error where the older ones are asked for beside them."""
    done = subprocess.run([sys.executable, "-c", NEWER], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["ieee", "ieee", "tf32", "tf32"]


def test_figures_in_32_bits_are_so_in_products_of_matrices_too() -> None:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        with exact():
            assert torch.get_float32_matmul_precision() == "highest"
        with exact(False):
            assert torch.get_float32_matmul_precision() == "high"
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision(before)
