"""The loss and the sampler, as a module and its data use them: from the training images alone."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from conftest import FilmTable
from films import write_films
from lightning.pytorch import Trainer
from torch.nn import functional as F
from torch.utils.data import DataLoader

from rn50med.data.datamodule import ManifestDataModule
from rn50med.data.transforms import Radiograph
from rn50med.errors import RecipeError
from rn50med.losses import ClassCounts, CrossEntropy, Focal, LogitAdjusted, Loss
from rn50med.model.backbone import ResNet50
from rn50med.tasks import Binary, Ordinal, Regression, Task
from rn50med.training.agreement import agree
from rn50med.training.judging import Evaluation
from rn50med.training.module import FineTuneModule
from rn50med.training.regularisation import Regularisation

TASK = Binary(negative="normal", positive="pneumonia")


def trainer_of(**options: object) -> Trainer:
    return Trainer(
        accelerator="cpu", limit_train_batches=1, limit_val_batches=1, max_epochs=1, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        num_sanity_val_steps=0, **options,
    )  # fmt: skip


def module_of(loss: Loss | None, task: Task = TASK) -> FineTuneModule:
    return FineTuneModule(task, backbone=ResNet50(weights="none"), loss=loss)


def data_of(table: Path, **options: object) -> ManifestDataModule:
    return ManifestDataModule(
        str(table), task=TASK, transforms=Radiograph(size=32), num_workers=0, batch_size=8, **options
    )


@pytest.fixture
def rare(film_table: FilmTable) -> FilmTable:
    """Films of which every sixth patient of train has pneumonia, and every second one of val and test."""
    write_films(film_table.folder / "more", patients=1)  # a folder that nobody names
    cells, number = film_table.cells, film_table.cells["patient_id"].astype(int)
    cells["split"] = number.map(lambda n: ("train", "train", "train", "train", "val", "test")[n // 4])
    cells["label"] = [
        "pneumonia" if n % (6 if split == "train" else 2) == 1 else "normal"
        for n, split in zip(number, cells["split"], strict=True)
    ]
    film_table.write()
    return film_table


def prepared(module: FineTuneModule, data: ManifestDataModule) -> FineTuneModule:
    """Let a module agree with its data, as a training begins, without the training."""
    trainer = trainer_of()
    module.trainer, data.trainer = trainer, trainer
    agree(module, data, learns=True)
    return module


def test_weights_come_from_train_and_poisoned_val_rows_move_nothing(rare: FilmTable) -> None:
    logits, target = torch.tensor([[0.3], [-1.2]]), torch.tensor([1, 0])
    module = prepared(module_of(CrossEntropy(weights="pos_weight")), data_of(rare.path))
    train = rare.cells[rare.cells["split"] == "train"]
    positives = int((train["label"] == "pneumonia").sum())
    weight = torch.tensor((len(train) - positives) / positives)
    wanted = F.binary_cross_entropy_with_logits(logits[:, 0], target.float(), pos_weight=weight)
    assert weight > 2
    torch.testing.assert_close(module.train_loss(logits, target), wanted)
    rare.cells.loc[rare.cells["split"] == "val", "label"] = "pneumonia"
    rare.write()
    again = prepared(module_of(CrossEntropy(weights="pos_weight")), data_of(rare.path))
    assert again.train_loss == module.train_loss


def test_a_checkpoint_holds_the_loss_and_val_is_judged_by_the_tasks_own(
    rare: FilmTable, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    module, trainer = module_of(Focal(gamma=3.0)), trainer_of()
    with caplog.at_level(logging.INFO, "rn50med"):
        logging.getLogger("rn50med").addHandler(caplog.handler)
        trainer.fit(module, data_of(rare.path))
        logging.getLogger("rn50med").removeHandler(caplog.handler)
    assert "loss: Focal(gamma=3.0" in caplog.text
    trainer.save_checkpoint(tmp_path / "best.ckpt")
    assert FineTuneModule.load_from_checkpoint(tmp_path / "best.ckpt").loss == Focal(gamma=3.0)
    found = module.predictions["val"]
    own = TASK.loss(torch.from_numpy(found.logits), torch.from_numpy(found.target))
    assert trainer.callback_metrics["val/loss"].item() == pytest.approx(own.item(), rel=1e-5)


def test_where_no_loss_is_given_the_tasks_own_is_minimised(rare: FilmTable) -> None:
    assert prepared(module_of(None), data_of(rare.path)).train_loss == TASK.loss


def test_a_loss_whose_classes_nobody_can_count_is_refused(rare: FilmTable) -> None:
    pairs = [(torch.rand(1, 32, 32), 0), (torch.rand(1, 32, 32), 1)] * 4
    weighted, loader = module_of(Focal(weights="pos_weight")), DataLoader(pairs, batch_size=4)
    with pytest.raises(RecipeError, match="only a ManifestDataModule can tell"):
        trainer_of().fit(weighted, loader, loader)
    grades = Ordinal(("normal", "pneumonia"), column="label")
    data = ManifestDataModule(str(rare.path), task=grades, transforms=Radiograph(size=32), num_workers=0)
    with pytest.raises(RecipeError, match="Ordinal has a loss of its own"):
        prepared(module_of(Focal(), grades), data)


@pytest.mark.parametrize("loss", [CrossEntropy(smoothing=0.1), Focal(), LogitAdjusted(tau=0.0)], ids=str)
def test_a_loss_that_counts_nothing_needs_no_data_module(loss: Loss) -> None:
    pairs = [(torch.rand(1, 32, 32), 0), (torch.rand(1, 32, 32), 1)] * 4
    module = module_of(loss)
    trainer_of().fit(module, DataLoader(pairs, batch_size=4), DataLoader(pairs, batch_size=4))
    logits, target = torch.tensor([[0.5], [-1.0]]), torch.tensor([1, 0])
    counted = loss.prepared(ClassCounts(((9, 1),), exclusive=False))
    assert float(module.train_loss(logits, target)) == float(counted(logits, target))


def test_balanced_batches_draw_each_class_as_often_and_say_so(
    rare: FilmTable, caplog: pytest.LogCaptureFixture
) -> None:
    data = data_of(rare.path, sampler="balanced")
    with caplog.at_level(logging.INFO, "rn50med"):
        logging.getLogger("rn50med").addHandler(caplog.handler)
        data.setup("fit")
        targets = torch.cat([batch["target"] for batch in data.train_dataloader()])
        logging.getLogger("rn50med").removeHandler(caplog.handler)
    assert abs(int(targets.sum()) * 2 - len(targets)) <= 2
    assert len(targets) == (rare.cells["split"] == "train").sum()
    assert "sampler: balanced: in an epoch normal 50 % (of 81 %), pneumonia 50 % (of 19 %)." in caplog.text
    plain = data_of(rare.path)
    plain.setup("fit")
    drawn = torch.cat([batch["index"] for batch in plain.train_dataloader()])
    assert len(set(drawn.tolist())) == len(drawn)


def test_sampler_and_weights_at_once_warn(rare: FilmTable, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "rn50med"):
        logging.getLogger("rn50med").addHandler(caplog.handler)
        prepared(module_of(CrossEntropy(weights="class_balanced")), data_of(rare.path, sampler="balanced"))
        logging.getLogger("rn50med").removeHandler(caplog.handler)
    assert "warning (balanced-twice)" in caplog.text


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_grades_are_not_blended(rare: FilmTable, name: str) -> None:
    grades = Ordinal(("normal", "pneumonia"), column="label")
    data = ManifestDataModule(str(rare.path), task=grades, transforms=Radiograph(size=32), num_workers=0)
    module = FineTuneModule(
        grades, backbone=ResNet50(weights="none"), regularisation=Regularisation(**{name: 0.2})
    )
    with pytest.raises(RecipeError, match=f"regularisation.{name}: the targets of Ordinal cannot be blended"):
        prepared(module, data)


def test_a_module_of_a_checkpoint_that_is_fine_tuned_again_starts_from_what_was_learnt(
    rare: FilmTable, tmp_path: Path
) -> None:
    module, trainer = module_of(None), trainer_of()
    trainer.fit(module, data_of(rare.path))
    assert not module.pretrained
    trainer.save_checkpoint(tmp_path / "best.ckpt")
    again = FineTuneModule.load_from_checkpoint(tmp_path / "best.ckpt")
    assert again.pretrained
    assert again.lr_factor == again.pretrained_lr_factor


def test_the_largest_of_values_is_no_value_of_a_patient() -> None:
    age = Regression("age", low=0, high=228)
    with pytest.raises(RecipeError, match=r"evaluation\.images: is max, which is for probabilities"):
        Evaluation(images="max").check(age, [])
