"""What of a module trains, and when: freezing, thawing, parameter groups, features computed once."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import cast

from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from rn50med.data.datamodule import ManifestDataModule
from rn50med.errors import RecipeError
from rn50med.model.backbone import ResNet50
from rn50med.model.heads import Head
from rn50med.model.weights import LoadReport
from rn50med.training.features import FeatureStore
from rn50med.training.finetuning import FineTuning
from rn50med.training.rate_search import SearchedModule
from rn50med.training.regularisation import Regularisation
from rn50med.training.schedule import build_optimizer
from rn50med.training.starting_point import StartingPoint, drawn_back, sparing

log = logging.getLogger(__name__)


class ThawingModule(SearchedModule):
    """A module whose parts may be frozen, for some epochs or for good.

    A frozen part keeps its parameters and its batch-norm statistics to the bit: no gradient is computed for
    it, nothing decays it, and its norms stay in eval mode.

    The optimizer holds every parameter that will ever train, from the start; those of a part that is still
    frozen have no gradient, and it skips them. So the schedule and a resumed run find the same groups in
    every epoch. Lightning's `BackboneFinetuning` adds groups as it goes and leaves norms in train mode.

    DistributedDataParallel reduces the gradients of what trained when it was built, and would leave parts
    that thaw later to drift apart; it is built anew in an epoch in which a part thaws. Other ways to train
    in several processes are refused then.
    """

    backbone: ResNet50
    head: Head
    finetuning: FineTuning
    pretrained_lr_factor: float
    regularisation: Regularisation
    load_report: LoadReport | None
    _trained: bool = False
    _began_pretrained: bool | None = None
    _features: FeatureStore | None = None
    _kept_splits: tuple[str, ...] = ()

    def __init__(self) -> None:
        super().__init__()
        self._resting: dict[str, list[nn.Parameter]] = {}

    @property
    def parts(self) -> dict[str, list[nn.Module]]:
        """The parts by name, from the head to the stem; their place is their depth."""
        return {"head": [self.head], **self.backbone.stages}

    @property
    def backbone_trains(self) -> bool:
        """Whether any part of the backbone will ever train."""
        return any(self.finetuning.trains(depth) for depth in range(1, len(self.parts)))

    @property
    def lr_factor(self) -> float:
        """Factor on the learning rate: less than 1 where pretrained weights were loaded and will train."""
        return self.pretrained_lr_factor if self.pretrained and self.backbone_trains else 1.0

    @property
    def pretrained(self) -> bool:
        """Whether the backbone started from weights that were learnt."""
        if self._began_pretrained is not None:
            return self._began_pretrained
        if self.load_report is not None:
            return self.load_report.used != "none"
        # a module of a checkpoint begins another training, unless the trainer goes on with the old one
        return self._trained and getattr(self._trainer, "ckpt_path", None) is None

    @property
    def norms_train(self) -> bool:
        """Whether a batch norm trains, now or later, which takes batches of two images or more."""
        trained = [
            module
            for depth, modules in enumerate(self.parts.values())
            if self.finetuning.trains(depth)
            for module in modules
        ]
        return any(isinstance(norm, _BatchNorm) for module in trained for norm in module.modules())

    def prepare_parts(self) -> None:
        """Freeze what does not train in the first epoch, before the optimizer and other processes see it.

        Raises:
            RecipeError: If parts thaw later, and the strategy of several processes cannot follow.
        """
        begins = self._begins()
        if (
            any(begins.values())
            and self.trainer.world_size > 1
            and not isinstance(self.trainer.strategy, DDPStrategy)
        ):
            raise RecipeError(
                f"model.finetuning: parts thaw during training, which the strategy "
                f"{type(self.trainer.strategy).__name__} cannot follow; give --trainer.strategy ddp."
            )
        self._freeze(self._frozen_in(0))
        self._prepare_features()

    def _prepare_features(self) -> None:
        """Make room for features where the backbone never trains and images come without random changes."""
        self._features = None  # a training that was broken off leaves those of its images
        data, limit = getattr(self.trainer, "datamodule", None), self.finetuning.memory * 1e9
        if self.backbone_trains or not limit or not isinstance(data, ManifestDataModule):
            return
        self._features = FeatureStore(self.head, limit)
        blended = bool(self.regularisation.mixup or self.regularisation.cutmix)
        changing = data.transforms.is_random or blended
        self._kept_splits = ("val",) if changing else ("train", "val")
        if changing:
            why = "the random augmentation; --data.transforms.strength 0 computes them once"
            why = "mixup and CutMix; without them they can be computed once" if blended else why
            log.info("features: those of train are computed in every epoch, because of %s", why)

    def _begins(self) -> dict[str, int]:
        """Return the epoch in which each part begins that ever trains."""
        epochs = self.trainer.max_epochs
        known = None if epochs is None or epochs < 0 else epochs
        return {
            name: self.finetuning.begins(depth, known)
            for depth, name in enumerate(self.parts)
            if self.finetuning.trains(depth)
        }

    def _frozen_in(self, epoch: int) -> list[str]:
        begins = self._begins()
        return [name for name in self.parts if name not in begins or begins[name] > epoch]

    def _freeze(self, names: Iterable[str]) -> None:
        """Let the named parts rest and the others train; what the user froze is left alone."""
        for parameters in self._resting.values():
            for parameter in parameters:
                parameter.requires_grad_(True)
        self._resting = {
            name: [
                value for module in self.parts[name] for value in module.parameters() if value.requires_grad
            ]
            for name in names
        }
        for parameters in self._resting.values():
            for parameter in parameters:
                parameter.requires_grad_(False)

    def train(self, mode: bool = True) -> ThawingModule:
        """Set train or eval mode, frozen parts staying in eval mode."""
        super().train(mode)
        for name in self._resting:
            for module in self.parts[name]:
                module.eval()
        return self

    def on_train_epoch_start(self) -> None:
        """Thaw what begins in this epoch, and say what trains."""
        frozen = self._frozen_in(self.current_epoch)
        if frozen != list(self._resting):
            self._freeze(frozen)
            strategy = self.trainer.strategy
            if isinstance(strategy, DDPStrategy):
                strategy.model = self
                strategy.configure_ddp()
            self._tell_parts()
        elif frozen and self.current_epoch == 0:
            self._tell_parts()
        self.train()

    def _tell_parts(self) -> None:
        if self.trainer.is_global_zero:
            training = ", ".join(name for name in self.parts if name not in self._resting)
            rest = f"; frozen: {', '.join(self._resting)}" if self._resting else ""
            log.info("training from epoch %d on: %s%s", self.current_epoch + 1, training, rest)

    def on_fit_end(self) -> None:
        """Forget the features, and leave nothing frozen: the next training may be another one."""
        self._features = None
        self._freeze(())

    def logits(self, split: str, image: Tensor, index: Tensor | None) -> Tensor:
        """Return the logits of a batch, its features looked up where they were kept.

        Args:
            split: Of the batch.
            image: The images.
            index: Their rows of the manifest.
        """
        if self._features is None or index is None or split not in self._kept_splits:
            return cast(Tensor, self(image))
        features = self._features.features(split, index.tolist(), image, self.feature_maps)
        return cast(Tensor, self.head(features)).float()

    def feature_maps(self, image: Tensor) -> list[Tensor]:
        """Return the backbone's feature maps."""
        raise NotImplementedError

    @contextmanager
    def norms_at_rest(self, images: int, batch_idx: int) -> Iterator[None]:
        """Let a last batch of one image use the running statistics of batch norms: it has none of its own.

        Args:
            images: Images in the batch.
            batch_idx: Its number in the epoch, from 0.

        Raises:
            RecipeError: If the first batch is of one image: then all are.
        """
        if images > 1 or not self.norms_train:
            yield
            return
        if batch_idx == 0:
            raise RecipeError(
                "batch: has one image, and batch norm needs two or more, better 8; give a larger batch, or "
                "--model.finetuning LinearProbe, which leaves batch norms as they are."
            )
        if self.current_epoch == 0:
            log.info("batch %d has one image: its batch norms use their running statistics", batch_idx + 1)
        norms = [module for module in self.modules() if isinstance(module, _BatchNorm) and module.training]
        for norm in norms:
            norm.eval()
        yield
        for norm in norms:
            norm.train()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return optimizer and schedule of all that will ever train, without decay on norms and biases."""
        steps = self.trainer.estimated_stepping_batches
        if not math.isfinite(steps):
            raise RecipeError(
                "trainer.max_epochs: is without end, and the schedule of the learning rate needs one; give "
                "max_epochs or max_steps."
            )
        factory = self.optimizer_factory
        if self.regularisation.l2_sp:
            decayed = not (self.pretrained and self._draws_back)
            factory = sparing(factory, drawn_back(self.backbone).values(), decayed=decayed)
        optimizer = build_optimizer(factory, self._rated())
        schedule = self.schedule_factory(optimizer, int(steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    @property
    def _draws_back(self) -> bool:
        """Whether something draws the backbone back to its start, in place of a decay towards 0."""
        callbacks = self.trainer.callbacks  # type: ignore[attr-defined]
        there = self._on_trial or any(isinstance(each, StartingPoint) for each in callbacks)
        return there and bool(self.regularisation.l2_sp)

    def tell_kit(self) -> None:
        """Say what is asked for and will not come about."""
        if self._on_trial or not self.trainer.is_global_zero:
            return
        if not (self.backbone_trains or self.pretrained):
            log.warning(
                "warning (random-features): the head alone is trained, on features of random weights, which "
                "say little; give model.backbone.weights, or another model.finetuning."
            )
        if self.regularisation.l2_sp and not self._draws_back:
            log.warning(
                "warning (l2-sp): model.regularisation.l2_sp is %g, but the Trainer has no callback for it, "
                "and nothing is drawn back; give it callbacks=model.default_callbacks().",
                self.regularisation.l2_sp,
            )

    def _rated(self) -> dict[float, list[nn.Parameter]]:
        """Return the parameters that will ever train, by the factor on their learning rate."""
        factors: dict[nn.Parameter, float | None] = {}
        for depth, modules in enumerate(self.parts.values()):
            factor = self.lr_factor * self.finetuning.rate(depth) if self.finetuning.trains(depth) else None
            factors |= {parameter: factor for module in modules for parameter in module.parameters()}
        resting = {parameter for parameters in self._resting.values() for parameter in parameters}
        rated: dict[float, list[nn.Parameter]] = {}
        for parameter in self.parameters():
            factor = factors.get(parameter, self.lr_factor)  # a subclass may have more
            if factor is not None and (parameter.requires_grad or parameter in resting):
                rated.setdefault(factor, []).append(parameter)
        return rated
