"""The Lightning module: a task, a backbone, a head, and how they are trained."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, cast

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.optim import AdamW

from rn50med.data.contract import PixelContract
from rn50med.data.datamodule import ManifestDataModule
from rn50med.data.dataset import ImageDataset
from rn50med.errors import RecipeError, StorageError
from rn50med.evaluation.cases import Unit
from rn50med.evaluation.operating_point import as_plain, from_plain
from rn50med.evaluation.protocol import Protocol
from rn50med.evaluation.temperature import Temperature
from rn50med.losses import Loss
from rn50med.model.backbone import ResNet50
from rn50med.model.heads import Head, HeadFactory, LinearHead
from rn50med.model.heads.base import tried
from rn50med.model.weights import LoadReport
from rn50med.parts import Specification, factory_specification
from rn50med.tasks import Task
from rn50med.training.agreement import agree, outputs_of, outputs_told
from rn50med.training.batch import check_finite, labelled, learnt_dataset, tell_range
from rn50med.training.callbacks import default_callbacks
from rn50med.training.checkpoints import CHECKPOINT_KEY, read_checkpoint
from rn50med.training.finetuning import FineTuning, Full
from rn50med.training.judged_module import JudgedModule
from rn50med.training.mixing import mixed_batch
from rn50med.training.rebuilding import rebuilt
from rn50med.training.regularisation import Regularisation
from rn50med.training.schedule import ScheduleFactory, WarmupCosine
from rn50med.training.starting_point import OptimizerFactory

log = logging.getLogger(__name__)


class FineTuneModule(JudgedModule):
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
        super().__init__(task)
        if pretrained_lr_factor <= 0 or patience < 0:
            raise RecipeError(
                f"model: pretrained_lr_factor is {pretrained_lr_factor}, patience {patience}; "
                "give a factor above 0 and a patience of 0 or more."
            )
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
        self.load_report: LoadReport | None = None
        self.preprocessing: Specification | None = None
        self.pixel_contract: PixelContract | None = None
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
        """Agree with the data, freeze what rests, and lay memory out as convolutions like it."""
        if self._on_trial:
            return  # all of it was done before the copy was made
        self.to(memory_format=torch.channels_last)
        agree(self, getattr(self._trainer, "datamodule", None), stage == "fit")
        if stage == "fit":
            self._chosen, self._began_pretrained = False, None
            self.prepare_parts()
            if self.trainer.strategy.restore_checkpoint_after_setup:  # it shards parameters before optimizers
                self.read_weights()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Read the weights to start from, and return optimizer and schedule of all that will ever train."""
        self.read_weights()
        return super().configure_optimizers()

    def read_weights(self) -> None:
        """Read the weights to start from, once; a module that a checkpoint brought has its own.

        It is done here, and not in `setup`, because Lightning reads the checkpoint of a run that goes on
        in between. A subclass with other optimizers begins its `configure_optimizers` with it.

        Raises:
            RecipeError: As `ResNet50.load_weights`, or where processes find other weights.
        """
        if self._trained:
            return
        self.load_report = report = self.backbone.load_weights()
        self._trained = True
        _same_weights(report, self.trainer)
        if self.trainer.is_global_zero:
            surprise = report.requested == "auto" and report.used == "none"
            log.log(logging.WARNING if surprise else logging.INFO, "weights: %s", report.statement)

    def on_fit_start(self) -> None:
        """Refuse to train on other weights than were asked for.

        Raises:
            RecipeError: If a subclass has not read them.
        """
        if not self._trained and self.backbone.weights != "none":
            raise RecipeError(
                f"{type(self).__name__}: its configure_optimizers reads no weights to start from; let it "
                "begin with self.read_weights()."
            )
        self.tell_kit()

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return the loss of a batch."""
        of_manifest = isinstance(learnt_dataset(self.trainer), ImageDataset)
        image, target, index = labelled(batch, self.task, soft=True, checked=of_manifest)
        if batch_idx == 0 and self.current_epoch == 0 and self.trainer.is_global_zero:
            tell_range(image)
        data = getattr(self.trainer, "datamodule", None)
        # images of somebody's own have no seed but that of `seed_everything`
        seed = data.seed if isinstance(data, ManifestDataModule) else torch.initial_seed()
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

    def default_callbacks(
        self, folder: str | Path | None = None, metrics: str | Path | None = None
    ) -> list[Callback]:
        """Return what averages the weights, keeps the best epoch and the last, tells each, and stops in time.

        Args:
            folder: Folder of the checkpoints; the Trainer's own choice where it is not given.
            metrics: CSV file of the figures of each epoch; without it they are told in the log alone.
        """
        monitor, mode, kit = f"val/{self.task.monitor}", self.task.monitor_mode, self.regularisation
        return default_callbacks(monitor, self.patience, folder, kit, mode, metrics, not self.backbone_trains)

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
            "chosen": self._chosen,
            "weights": None if self.load_report is None else asdict(self.load_report),
            "pretrained": self.pretrained,
        }

    def on_load_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        """Take over what `on_save_checkpoint` kept; the starting weights are not read again."""
        kept = checkpoint.get(CHECKPOINT_KEY)
        if kept is None:
            raise StorageError("checkpoint: is none of rn50med's; give one that `fit` or this module wrote.")
        theirs, ours = outputs_told(kept["module"]["task"], kept["classes"]), outputs_of(self.task)
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
        self._chosen = kept.get("chosen", True)
        self.chooses = not self._chosen
        self.preprocessing = kept["preprocessing"]
        pixels = kept.get("pixels")  # checkpoints of before there were contracts have none
        self.pixel_contract = None if pixels is None else PixelContract.from_plain(pixels)
        self._trained = True
        if self._trainer is not None and self._trainer.state.fn == TrainerFn.FITTING:
            begun = kept.get("weights")  # a run that goes on knows what it began with
            self.load_report = None if begun is None else LoadReport(**begun)
            self._began_pretrained = kept.get("pretrained")


def _same_weights(report: LoadReport, trainer: Trainer) -> None:
    """Refuse to go on where processes have found other weights: their learning rates would differ, too."""
    if trainer.world_size > 1 and trainer.strategy.broadcast(report.sha256) != report.sha256:
        raise RecipeError(
            "model.backbone.weights: the processes have found different weights, perhaps for want of a "
            "network on some machines; give a file that all of them can read, or none."
        )
