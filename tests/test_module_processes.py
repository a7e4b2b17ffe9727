"""Training in two processes is that of one with the images of both."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader

from rn50med import Binary, FineTuneModule, LinearHead, LinearProbe, MultiClass, MultiLabel, Ordinal, ResNet50
from rn50med.tasks import UNKNOWN, Task
from rn50med.training.callbacks import EpochLog

LABELS = MultiLabel(("mass", "nodule", "hernia"))
GRADES = Ordinal(("none", "mild", "severe"))


class Kept(Callback):
    """Keeps the head that each process has in the end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        torch.save(
            pl_module.head.state_dict(), self.folder / f"{trainer.world_size}-{trainer.global_rank}.pt"
        )


def targets_of(task: Task) -> Tensor:
    """Eight targets; those at even places, which the first process gets, know next to nothing."""
    random = torch.Generator().manual_seed(0)
    if task is GRADES:
        return torch.tensor([0, 2, 0, 2, 0, 1, 0, 2])
    targets = torch.randint(0, 2, (8, 3), generator=random)
    targets[::2] = UNKNOWN
    targets[0, 0] = 1
    return targets


def head_of(task: Task, folder: Path, devices: int) -> tuple[dict[str, Tensor], float]:
    """Train one step on eight images, and return the head and the loss that is told."""
    torch.manual_seed(0)
    images = torch.rand(8, 1, 32, 32)
    rows = list(zip(images, targets_of(task), strict=True))
    module = FineTuneModule(
        task, ResNet50(weights="none"), head=partial(LinearHead, dropout=0.0),
        optimizer=partial(torch.optim.SGD, lr=0.1), finetuning=LinearProbe(),
    )  # fmt: skip
    epochs = EpochLog(folder / f"metrics-{devices}.csv")
    trainer = Trainer(
        accelerator="cpu", devices=devices, strategy="ddp_fork" if devices > 1 else "auto", max_epochs=1,
        callbacks=[Kept(folder), epochs], logger=False, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False, default_root_dir=folder, limit_val_batches=0,
    )  # fmt: skip
    trainer.fit(module, DataLoader(rows, batch_size=8 // devices))
    told = pd.read_csv(folder / f"metrics-{devices}.csv")["train/loss"].item()
    return torch.load(folder / f"{devices}-0.pt", weights_only=True), told


@pytest.mark.slow
@pytest.mark.parametrize("task", [LABELS, GRADES], ids=["labels", "grades"])
def test_each_known_label_counts_as_much_in_two_processes_as_in_one(tmp_path: Path, task: Task) -> None:
    two, told = head_of(task, tmp_path, 2)
    one, whole = head_of(task, tmp_path, 1)
    for name, values in one.items():
        torch.testing.assert_close(two[name], values, rtol=1e-4, atol=1e-6)
    assert told == pytest.approx(whole, rel=1e-4)


def test_terms_are_what_a_loss_takes_the_mean_of() -> None:
    for task, target in ((LABELS, targets_of(LABELS)), (GRADES, targets_of(GRADES))):
        logits = torch.zeros(8, task.num_outputs)
        once = task.loss(logits, target) * task.terms(target)
        parts = [task.loss(logits[i::2], target[i::2]) * task.terms(target[i::2]) for i in (0, 1)]
        torch.testing.assert_close(sum(parts), once)
    for task in (Binary("normal", "ill"), MultiClass(("a", "b", "c"))):
        target = torch.tensor([0, 1, UNKNOWN, 1])
        assert int(task.terms(target)) == int(task.terms(task.soft(target))) == 3
