"""A module that is judged: what it says of val and test, from which all figures come."""

from __future__ import annotations

import logging
from typing import Any

import torch
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

from rn50med.data.datamodule import ManifestDataModule
from rn50med.data.dataset import ImageDataset
from rn50med.errors import DataError, RecipeError
from rn50med.evaluation.cases import Cases, Membership, Unit
from rn50med.evaluation.operating_point import Thresholds
from rn50med.evaluation.predictions import Predictions, PredictionTable
from rn50med.evaluation.protocol import Protocol
from rn50med.evaluation.temperature import Temperature
from rn50med.tasks import UNKNOWN, Task
from rn50med.training.agreement import membership_of
from rn50med.training.batch import judged_dataset, labelled, unpack
from rn50med.training.thawing import ThawingModule

log = logging.getLogger(__name__)


class JudgedModule(ThawingModule):
    """A module whose figures come from one table for each split, of all processes, each image once.

    Args:
        task: What is predicted.

    Attributes:
        protocol: How it is judged; may be set before training.
        chooses: Whether val chooses temperature and operating point outside of a fit, too; not where they
            are frozen, as those of a checkpoint are, and after a fit.
        unit: What a case is, as the data decided it.
        operating_point: As val chose it.
        temperature: Likewise.
        predictions: Of val and test, by image.
        memberships: Whose the images are, and of which case; None where nobody knows.
        cases: Of val and test.
    """

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.task = task
        self.protocol = Protocol()
        self.chooses = True
        self._chosen = False
        self.unit = Unit()
        self.operating_point: Thresholds = None
        self.temperature: Temperature | None = None
        self.predictions: dict[str, Predictions] = {}
        self.memberships: dict[str, Membership | None] = {}
        self.cases: dict[str, Cases] = {}
        self._tables = {
            split: PredictionTable(task.num_outputs, task.target_shape, task.continuous)
            for split in ("val", "test")
        }

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Add a batch to the table of val."""
        self._collect("val", batch, dataloader_idx)

    def test_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Add a batch to the table of test."""
        self._collect("test", batch, dataloader_idx)

    def predict_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        """Return probabilities of a batch after the temperature of val, shape as `Task.probabilities`."""
        logits = self(unpack(batch, labelled=False)[0])
        logits = logits.cpu().double() if logits.device.type == "mps" else logits.double()
        if self.temperature is None:
            return self.task.probabilities(logits)
        kept = self.task.class_logits(logits)
        return self.task.of_class_logits(kept / kept.new_tensor(self.temperature.values))

    def _collect(self, split: str, batch: Any, loader: int) -> None:
        if loader:
            raise RecipeError(
                f"{split}: has several DataLoaders, and its figures are of one table; put the datasets into "
                "one, as torch.utils.data.ConcatDataset does, or judge one after the other."
            )
        of_manifest = isinstance(judged_dataset(self.trainer), ImageDataset)
        image, target, index = labelled(batch, self.task, checked=of_manifest)
        table = self._tables[split]
        if index is None:
            if self.trainer.world_size > 1:
                raise RecipeError(
                    "batch: has no 'index', without which images that a sampler repeats for several "
                    "processes cannot be told apart; add the image's number to each batch as 'index'."
                )
            start = sum(len(seen) for seen in table.index)
            index = torch.arange(start, start + len(target), device=target.device)
        table.to(target.device).update(index, self.logits(split, image, index), target)

    def on_validation_epoch_start(self) -> None:
        """Forget what a val that was broken off has left."""
        self._tables["val"].reset()

    def on_test_epoch_start(self) -> None:
        """Forget what a test that was broken off has left."""
        self._tables["test"].reset()

    def on_validation_epoch_end(self) -> None:
        """Choose temperature and operating point on val, unless they are frozen, and log its figures."""
        found = self._gathered("val")
        fitting = self.trainer.state.fn == TrainerFn.FITTING
        chooses = (self.chooses or fitting) and not self.trainer.sanity_checking
        if chooses and self.protocol.temperature:
            self.temperature = self.task.temperature(found)
        self._tell("val")
        if chooses:
            self._chosen = True
            self.operating_point = self.task.operating_point(self.cases["val"], self.protocol.rule)

    def on_fit_end(self) -> None:
        """Freeze what val chose, if there was any: another val, perhaps another site's, is judged by it."""
        super().on_fit_end()
        self.chooses = not self._chosen

    def on_test_epoch_end(self) -> None:
        """Log the figures of test; temperature and operating point stay as val had them."""
        self._gathered("test")
        self._tell("test")

    def _membership(self, split: str) -> Membership | None:
        """Return patients and cases of the predictions of a split, where the data know them."""
        data = getattr(self.trainer, "datamodule", None)
        if not isinstance(data, ManifestDataModule):
            return None
        # a trainer keeps its data module when it is given a DataLoader later
        if not isinstance(judged_dataset(self.trainer), ImageDataset):
            if self.unit.of != "image" and self.trainer.is_global_zero:
                log.warning(
                    "warning (images-judged): a DataLoader does not say whose its images are; figures of "
                    "%s are of images, not of cases by %s.", split, self.unit.of,
                )  # fmt: skip
            return None
        return membership_of(data.manifest, self.unit, self.predictions[split].index)

    def _gathered(self, split: str) -> Predictions:
        """Return the table of a split, from all ranks, and begin a new one."""
        table = self._tables[split]
        found = self.predictions[split] = table.predictions()
        table.reset()
        if table.repeated:
            raise DataError(
                f"{split}: {len(found.index) + table.repeated} images have {len(found.index)} different "
                "numbers; give each a number of its own as 'index', or, in one process, none."
            )
        discrete = not (self.task.target_shape or self.task.continuous)
        if discrete and (unknown := int((found.target == UNKNOWN).sum())):
            raise DataError(
                f"{split}: {unknown} of {len(found.target)} images have no known label ({UNKNOWN}) to be "
                "judged by; leave them out of the data."
            )
        return found

    def _tell(self, split: str) -> None:
        """Log the figures of a split."""
        found = self.predictions[split]
        self.memberships[split] = whose = self._membership(split)
        self.cases[split] = cases = self.task.cases(found, whose, self.temperature)
        loss = self.task.loss(torch.from_numpy(found.logits), torch.from_numpy(found.target))
        figures = {"loss": float(loss), **self.task.watched(cases)}
        # Every rank has the whole table, so that nothing is left to be averaged.
        self.log_dict({f"{split}/{name}": value for name, value in figures.items()}, sync_dist=False)
