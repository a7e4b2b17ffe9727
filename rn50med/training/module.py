"""The Lightning module: a task, a backbone, a head, and how they are trained."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, cast

import torch
from lightning.pytorch import Callback, Trainer
from torch import Tensor
from torch.optim import AdamW

from rn50med.data.contract import PixelContract
from rn50med.data.datamodule import ManifestDataModule
from rn50med.data.dataset import ImageDataset
from rn50med.errors import DataError, RecipeError, StorageError
from rn50med.evaluation.cases import Cases, Membership, Unit
from rn50med.evaluation.operating_point import Thresholds, as_plain, from_plain
from rn50med.evaluation.predictions import Predictions, PredictionTable
from rn50med.evaluation.protocol import Protocol
from rn50med.evaluation.temperature import Temperature
from rn50med.losses import Loss
from rn50med.model.backbone import ResNet50
from rn50med.model.heads import Head, HeadFactory, LinearHead
from rn50med.model.heads.base import tried
from rn50med.model.weights import LoadReport
from rn50med.parts import Specification, factory_specification
from rn50med.tasks import UNKNOWN, Task
from rn50med.training.agreement import agree, membership_of
from rn50med.training.batch import check_finite, judged_dataset, labelled, tell_range, unpack
from rn50med.training.checkpoints import CHECKPOINT_KEY, read_checkpoint
from rn50med.training.finetuning import FineTuning, Full
from rn50med.training.mixing import mixed_batch
from rn50med.training.rebuilding import rebuilt
from rn50med.training.regularisation import Regularisation
from rn50med.training.schedule import ScheduleFactory, WarmupCosine
from rn50med.training.starting_point import OptimizerFactory
from rn50med.training.thawing import ThawingModule

log = logging.getLogger(__name__)


class FineTuneModule(ThawingModule):
    """Fine-tunes a backbone with a head on a task.

    It works in anybody's Trainer, with a `ManifestDataModule` or a DataLoader of one's own, whose batches
    are dictionaries with ``image`` in [0, 1], ``target`` and, where several processes evaluate, ``index``;
    or pairs of image and target. Its attribute ``protocol`` says how it is judged, and may be set before
    training: what a case is, how the operating point is chosen on val, whether a temperature is.

    Args:
        task: What is predicted.
        backbone: Pixels to feature maps; a ResNet-50 for grey images where it is not given.
        head: Makes the head, given the feature maps' channels and the number of logits.
        optimizer: Makes the optimizer, given parameter groups.
        schedule: Makes the schedule of the learning rate, given optimizer and number of steps.
        finetuning: Which parts train, from which epoch on; all from the start where it is not given.
        pretrained_lr_factor: Factor on the learning rate where the backbone starts from pretrained
            weights, which a rate that is right for random ones would wash out; above 0.
        patience: Epochs without a better val figure after which training stops, counted from the middle of
            the schedule on; 0 never stops.
        loss: What training minimises, with weights and priors from the images of train; the task's own where
            it is not given. Val's loss is always the task's own.
        regularisation: What keeps it from learning its images by heart.

    Shape:
        - image: ``(B, C, H, W)``, in [0, 1].
        - target: as the task encodes it, ``(B,)`` or ``(B, L)``; a column, ``(B, 1)``, is taken for ``(B,)``.
          -100 is a label that is not known, and of several labels ``nan`` is, too.
        - output: logits, ``(B, K)``, 32-bit.

    Raises:
        RecipeError: If a part cannot be kept in a checkpoint, or the head makes other logits than the task's.
    """

    def __init__(  # noqa: PLR0913 - the keys of a recipe
        self,
        task: Task,
        backbone: ResNet50 | None = None,
        head: HeadFactory = LinearHead,
        optimizer: OptimizerFactory = AdamW,
        schedule: ScheduleFactory = WarmupCosine,
        finetuning: FineTuning | None = None,
        pretrained_lr_factor: float = 0.1,
        patience: int = 5,
        *,
        loss: Loss | None = None,
        regularisation: Regularisation = Regularisation(),  # noqa: B008 - frozen
    ) -> None:
        super().__init__()
        if pretrained_lr_factor <= 0 or patience < 0:
            raise RecipeError(
                f"model: pretrained_lr_factor is {pretrained_lr_factor}, patience {patience}; "
                "give a factor above 0 and a patience of 0 or more."
            )
        self.task = task
        self.backbone = ResNet50() if backbone is None else backbone
        self.head: Head = tried(head(self.backbone.channels, task.num_outputs), task.num_outputs)
        self.optimizer_factory = optimizer
        self.schedule_factory = schedule
        self.finetuning = Full() if finetuning is None else finetuning
        self.pretrained_lr_factor = pretrained_lr_factor
        self.patience = patience
        self.loss = loss
        self.train_loss: Callable[[Tensor, Tensor], Tensor] = task.loss
        self.regularisation = regularisation
        self.protocol = Protocol()
        self.chooses = True
        self.unit = Unit()
        self.operating_point: Thresholds = None
        self.temperature: Temperature | None = None
        self.load_report: LoadReport | None = None
        self.preprocessing: Specification | None = None
        self.pixel_contract: PixelContract | None = None
        self.predictions: dict[str, Predictions] = {}
        self.memberships: dict[str, Membership | None] = {}
        self.cases: dict[str, Cases] = {}
        self._tables = {
            split: PredictionTable(task.num_outputs, task.target_shape, task.continuous)
            for split in ("val", "test")
        }
        self._trained = False
        factories = {"head": head, "optimizer": optimizer, "schedule": schedule}
        self.specification = self._specified(factories)

    def _specified(self, factories: Mapping[str, Any]) -> Specification:
        """Return what builds the module again, in plain types."""
        return {
            "task": self.task.specification(),
            "backbone": self.backbone.specification(),
            **{name: factory_specification(factory, name) for name, factory in factories.items()},
            "finetuning": self.finetuning.specification(),
            "pretrained_lr_factor": float(self.pretrained_lr_factor),
            "patience": int(self.patience),
            "loss": None if self.loss is None else self.loss.specification(),
            "regularisation": asdict(self.regularisation),
        }

    @classmethod
    def load_from_checkpoint(  # type: ignore[override]  # a checkpoint of ours needs no more
        cls, checkpoint_path: str | Path | IO[bytes], map_location: Any = "cpu"
    ) -> FineTuneModule:
        """Build a module as it was trained, from its checkpoint alone; nothing but tensors is unpickled.

        Args:
            checkpoint_path: The checkpoint.
            map_location: Where tensors go, as for ``torch.load``.

        Raises:
            StorageError: If it is no checkpoint of rn50med's, or is damaged.
        """
        checkpoint = read_checkpoint(checkpoint_path, map_location)
        module = cls(**rebuilt(checkpoint[CHECKPOINT_KEY]["module"]))
        module.load_state_dict(checkpoint["state_dict"])
        module.on_load_checkpoint(checkpoint)
        return module.eval()

    def forward(self, image: Tensor) -> Tensor:
        """Return logits of a batch of images."""
        return cast(Tensor, self.head(self.feature_maps(image))).float()

    def feature_maps(self, image: Tensor) -> list[Tensor]:
        """Return the backbone's feature maps of a batch of images."""
        laid_out = torch.channels_last if image.ndim == 4 else torch.contiguous_format
        return cast("list[Tensor]", self.backbone(image.contiguous(memory_format=laid_out)))

    def setup(self, stage: str) -> None:
        """Read the weights to start from, once, and lay memory out as convolutions like it."""
        if self._on_trial:
            return  # all of it was done before the copy was made
        self.to(memory_format=torch.channels_last)
        agree(self, getattr(self._trainer, "datamodule", None), stage == "fit")
        if stage == "fit" and not self._trained and self.trainer.ckpt_path is None:
            self.load_report = report = self.backbone.load_weights()
            self._trained = True
            _same_weights(report, self.trainer)
            if self.trainer.is_global_zero:
                surprise = report.requested == "auto" and report.used == "none"
                log.log(logging.WARNING if surprise else logging.INFO, "weights: %s", report.statement)
        if stage == "fit":
            self.prepare_parts()

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return the loss of a batch."""
        image, target, index = labelled(batch, self.task, soft=True)
        if batch_idx == 0 and self.current_epoch == 0 and self.trainer.is_global_zero:
            tell_range(image)
        seed = getattr(getattr(self.trainer, "datamodule", None), "seed", 0)
        draw = (seed, self.current_epoch, batch_idx, self.trainer.global_rank)
        blend, target = mixed_batch(image, target, self.task, self.regularisation, draw)
        known = index if blend is image else None  # of a blend, no features are kept
        with self.norms_at_rest(len(target), batch_idx):
            logits = self.logits("train", blend, known)
            loss = self.train_loss(logits, target) * self._share(target)
        check_finite(loss, index, self.trainer)
        self.log("train/loss", loss, on_step=False, on_epoch=True, sync_dist=True, batch_size=len(target))
        return loss

    def _share(self, target: Tensor) -> Tensor | float:
        """Return by what a process's mean over known labels becomes its part of the mean over all of them.

        The strategy takes the plain mean of the gradients, in which a process with few known labels would
        count for as much as one with many.
        """
        if self.trainer.world_size == 1:
            return 1.0
        terms = self.task.terms(target).float()
        every = cast(Tensor, self.trainer.strategy.reduce(terms.clone(), reduce_op="sum"))
        return terms * self.trainer.world_size / every.clamp(min=1.0)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Add a batch to the table of val."""
        self._collect("val", batch)

    def test_step(self, batch: Any, batch_idx: int) -> None:
        """Add a batch to the table of test."""
        self._collect("test", batch)

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return probabilities of a batch after the temperature of val, shape as `Task.probabilities`."""
        logits = self(unpack(batch, labelled=False)[0])
        logits = logits.cpu().double() if logits.device.type == "mps" else logits.double()
        if self.temperature is None:
            return self.task.probabilities(logits)
        kept = self.task.class_logits(logits)
        return self.task.of_class_logits(kept / kept.new_tensor(self.temperature.values))

    def _collect(self, split: str, batch: Any) -> None:
        image, target, index = labelled(batch, self.task)
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
        if self.chooses and self.protocol.temperature:
            self.temperature = self.task.temperature(found)
        self._tell("val")
        if self.chooses:
            self.operating_point = self.task.operating_point(self.cases["val"], self.protocol.rule)

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

    def default_callbacks(
        self, folder: str | Path | None = None, metrics: str | Path | None = None
    ) -> list[Callback]:
        """Return what averages the weights, keeps the best epoch and the last, tells each, and stops in time.

        Args:
            folder: Folder of the checkpoints; the Trainer's own choice where it is not given.
            metrics: CSV file of the figures of each epoch; without it they are told in the log alone.
        """
        from rn50med.training.callbacks import default_callbacks  # noqa: PLC0415 - it imports this module

        task = self.task
        return default_callbacks(
            f"val/{task.monitor}", self.patience, folder, self.regularisation, task.monitor_mode, metrics
        )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep, in plain types, what builds the module again and what its numbers mean."""
        checkpoint[CHECKPOINT_KEY] = {
            "module": self.specification,
            "classes": list(self.task.classes),
            "preprocessing": self.preprocessing,
            "pixels": None if self.pixel_contract is None else self.pixel_contract.plain(),
            "protocol": self.protocol.as_plain(),
            "unit": self.unit.as_dict(),
            "temperature": None if self.temperature is None else self.temperature.as_plain(),
            "operating_point": as_plain(self.operating_point),
        }

    def on_load_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        """Take over what `on_save_checkpoint` kept; the starting weights are not read again."""
        kept = checkpoint.get(CHECKPOINT_KEY)
        if kept is None:
            raise StorageError("checkpoint: is none of rn50med's; give one that `fit` or this module wrote.")
        theirs = _outputs(kept["module"]["task"], kept["classes"])
        ours = _outputs(self.specification["task"], self.task.classes)
        if theirs != ours:
            raise StorageError(
                f"checkpoint: its outputs are {theirs}, and this module's are {ours}; open it by "
                "FineTuneModule.load_from_checkpoint, or give the module the same task."
            )
        # older checkpoints know of images alone, and of no temperature
        self.protocol = Protocol.from_plain(kept.get("protocol", {"unit": "image", "temperature": False}))
        self.unit = Unit(**kept.get("unit", {}))
        self.temperature = Temperature.from_plain(kept.get("temperature"))
        self.operating_point = from_plain(kept["operating_point"])
        self.preprocessing = kept["preprocessing"]
        pixels = kept.get("pixels")  # checkpoints of before there were contracts have none
        self.pixel_contract = None if pixels is None else PixelContract.from_plain(pixels)
        self._trained = True


def _outputs(task: Specification, classes: Sequence[str]) -> str:
    """Return what a task's outputs mean: kind, classes in their order, numbers such as those of a scale."""
    numbers = {
        name: value
        for name, value in task["init_args"].items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    told = [*classes, *(f"{name} {value:g}" for name, value in sorted(numbers.items()))]
    return f"{task['class_path'].rpartition('.')[2]} ({', '.join(told)})"


def _same_weights(report: LoadReport, trainer: Trainer) -> None:
    """Refuse to go on where processes have found other weights: their learning rates would differ, too."""
    if trainer.world_size > 1 and trainer.strategy.broadcast(report.sha256) != report.sha256:
        raise RecipeError(
            "model.backbone.weights: the processes have found different weights, perhaps for want of a "
            "network on some machines; give a file that all of them can read, or none."
        )
