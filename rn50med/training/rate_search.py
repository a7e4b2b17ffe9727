"""A learning rate found on images of train: Lightning's `LearningRateFinder`, for modules of rn50med."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import deepcopy
from functools import partial
from itertools import islice
from typing import Any, Self

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import BatchSizeFinder, LearningRateFinder
from lightning.pytorch.utilities.seed import isolate_rng
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from rn50med.errors import NumericalError, RecipeError
from rn50med.parts import Specification, factory_specification
from rn50med.training.found_rate import FoundRate
from rn50med.training.rate_curve import LEAST_STEPS, Curve, suggested
from rn50med.training.schedule import ScheduleFactory
from rn50med.training.starting_point import OptimizerFactory

log = logging.getLogger(__name__)


class SearchedModule(LightningModule):
    """A module whose learning rate can be searched for, by Lightning's `LearningRateFinder`."""

    optimizer_factory: OptimizerFactory
    schedule_factory: ScheduleFactory
    specification: Specification
    found_rate: FoundRate | None = None
    _on_trial: bool = False

    def configure_callbacks(self) -> list[Callback]:
        """Put a search that fits this module in the place of Lightning's."""
        return _searches(self.trainer)

    def on_trial(self, schedule: ScheduleFactory) -> Self:
        """Return a copy, prepared as this one is, to try learning rates on.

        Args:
            schedule: Gives the rates; those of the optimizer are 1, times the factors of its groups.
        """
        copy = deepcopy(self)
        copy._on_trial = True
        copy.optimizer_factory = _at(1.0, self.optimizer_factory)
        copy.schedule_factory = schedule
        return copy

    def use_rate(self, found: FoundRate) -> None:
        """Let the optimizer, when it is built again, have a rate that was found, as if it had been given.

        Args:
            found: The rate.
        """
        self.optimizer_factory = _at(found.rate, self.optimizer_factory)
        self.specification["optimizer"] = factory_specification(self.optimizer_factory, "optimizer")


def _at(rate: float, factory: Callable[..., Optimizer]) -> OptimizerFactory:
    return partial(factory, lr=rate)


class RateSearch(LearningRateFinder):
    """Does what Lightning's `LearningRateFinder` was asked for, and leaves nothing else changed.

    A copy of the module is trained for some steps on batches of train, at a rate that rises from step to
    step; factors on the rate of single parts stay. Lightning's own search trains the module itself and puts
    it back. It gives all parts one rate, which a schedule by steps then overwrites; it opens val, and keeps
    a checkpoint on disk. Here the weights, the random draws and what callbacks count are not touched, so
    that a training after it is, bit for bit, the one whose recipe gives the rate that was found.

    Args:
        asked: Lightning's callback, with its options.

    Raises:
        RecipeError: If its options cannot be followed.

    Source:
        Smith, *Cyclical learning rates for training neural networks*, WACV 2017, section 3.3;
        arXiv:1506.01186.
    """

    def __init__(self, asked: LearningRateFinder) -> None:
        super().__init__(
            asked._min_lr, asked._max_lr, asked._num_training_steps, asked._mode, asked._early_stop_threshold,
            asked._update_attr, asked._attr_name,
        )  # fmt: skip
        if self._num_training_steps < LEAST_STEPS:
            raise RecipeError(
                f"LearningRateFinder: num_training_steps is {self._num_training_steps}; "
                f"give {LEAST_STEPS} or more."
            )
        if not 0 < self._min_lr < self._max_lr:
            raise RecipeError(
                f"LearningRateFinder: min_lr is {self._min_lr:g}, max_lr {self._max_lr:g}; "
                "give a min_lr above 0 and below max_lr."
            )
        if self._attr_name:
            raise RecipeError(
                f"LearningRateFinder: attr_name is {self._attr_name!r}, but the rate is the optimizer's own; "
                "leave it out."
            )

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Search, tell the rate, and use it unless ``update_attr`` is false."""
        if trainer.fast_dev_run or trainer.ckpt_path is not None:  # type: ignore[attr-defined]
            log.info("learning rate: not searched for, since the training goes on or is only tried")
            return
        if not isinstance(pl_module, SearchedModule):
            raise RecipeError("LearningRateFinder: is of modules of rn50med here; use Lightning's own.")
        before = _rate_of(trainer.optimizers)
        log.info(
            "learning rate: searching from %g to %g, %d steps on images of train",
            self._min_lr, self._max_lr, self._num_training_steps,
        )  # fmt: skip
        rates = self._rates()
        losses = _tried(pl_module, trainer, rates, self._early_stop_threshold)
        found = suggested(rates, losses)
        if found is None:
            raise NumericalError(
                f"LearningRateFinder: the loss did not fall at any rate from {self._min_lr:g} to "
                f"{rates[max(0, len(losses) - 1)]:g} in {len(losses)} steps, so that none can be suggested; "
                "give it more num_training_steps or a smaller min_lr, or leave it out and give "
                "--model.optimizer.lr."
            )
        told = FoundRate(found, before, len(losses), self._min_lr, self._max_lr, self._update_attr)
        log.info("learning rate: %s", told.statement)
        pl_module.found_rate = told
        if told.used:
            pl_module.use_rate(told)
            trainer.strategy.setup_optimizers(trainer)
            if _rate_of(trainer.optimizers) != found:
                raise _not_ours()

    def _rates(self) -> list[float]:
        low, high = self._min_lr, self._max_lr
        space = np.geomspace if self._mode == "exponential" else np.linspace
        return [float(rate) for rate in space(low, high, self._num_training_steps)]


def _rate_of(optimizers: Sequence[Optimizer]) -> float:
    """Return the rate that the optimizer was made with."""
    if len(optimizers) != 1 or "lr" not in optimizers[0].defaults:
        raise _not_ours()
    return float(optimizers[0].defaults["lr"])


def _not_ours() -> RecipeError:
    return RecipeError(
        "LearningRateFinder: sets the option lr of model.optimizer, which this module's optimizers do not "
        "follow; leave it out, or leave configure_optimizers as it is."
    )


def _tried(
    module: SearchedModule, trainer: Trainer, rates: Sequence[float], threshold: float | None
) -> list[float]:
    """Train a copy at one rate after the other, and return the loss of each step until they explode."""
    data: Any = getattr(trainer, "datamodule", None)
    if data is None:
        raise RecipeError(
            "LearningRateFinder: needs a data module, which it asks for batches of its own; give "
            "`Trainer.fit` a datamodule."
        )
    device = trainer.strategy.root_device
    curve = Curve(threshold)
    with isolate_rng():
        trial = Trainer(
            accelerator=device.type,
            devices=1 if device.index is None else [device.index],
            precision=trainer.precision,
            max_steps=len(rates),
            max_epochs=trainer.max_epochs,
            limit_val_batches=0,
            accumulate_grad_batches=trainer.accumulate_grad_batches,
            gradient_clip_val=trainer.gradient_clip_val,
            gradient_clip_algorithm=trainer.gradient_clip_algorithm,
            callbacks=[curve],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        batches = _Again(data.train_dataloader(), len(rates) * trainer.accumulate_grad_batches)
        try:
            trial.fit(module.on_trial(partial(_rising, rates)), batches, val_dataloaders=[])
        except NumericalError:
            log.info("learning rate: the loss was no number any more at %g", rates[len(curve.losses)])
    return curve.losses


def _rising(rates: Sequence[float], optimizer: Optimizer, total_steps: int) -> LambdaLR:
    """Return the schedule of a trial, whose optimizer has the rate 1 times the factors of its groups."""
    if optimizer.defaults.get("lr") != 1.0:
        raise _not_ours()
    return LambdaLR(optimizer, lambda step: rates[min(step, len(rates) - 1)])


class _Again(Iterable[Any]):
    """So many batches of a loader, which is begun again where it ends.

    Args:
        loader: The loader.
        number: Of batches.
    """

    def __init__(self, loader: Any, number: int) -> None:
        self.loader = loader
        self.number = number

    def __len__(self) -> int:
        """Return the number of batches."""
        return self.number

    def __iter__(self) -> Iterator[Any]:
        """Yield them, each pass in an order of its own."""
        return islice(self._passes(), self.number)

    def _passes(self) -> Iterator[Any]:
        for epoch in range(self.number):
            set_epoch = getattr(getattr(self.loader, "sampler", None), "set_epoch", None)
            if set_epoch is not None:
                set_epoch(epoch)
            yield from self.loader


def _searches(trainer: Trainer) -> list[Callback]:
    """Return the searches of ours that take the place of the callbacks a trainer was given."""
    if any(isinstance(each, BatchSizeFinder) for each in _callbacks(trainer)):
        raise RecipeError(
            "BatchSizeFinder: changes the batch size once the schedule and the recipe of the run are made, "
            "which then tell another one; leave it out, and give --data.batch_size."
        )
    asked = [each for each in _callbacks(trainer) if isinstance(each, LearningRateFinder)]
    if not asked:
        return []
    own = next((type(each) for each in asked if type(each) not in {LearningRateFinder, RateSearch}), None)
    if own is not None or len(asked) > 1:
        what = f"{own.__name__} is one of your own" if own else f"there are {len(asked)} of them"
        raise RecipeError(
            f"LearningRateFinder: {what}; give Lightning's, once, which searches before epoch 1."
        )
    if trainer.world_size > 1:
        raise RecipeError(
            f"LearningRateFinder: cannot search in {trainer.world_size} processes; search with "
            "--trainer.devices 1, and give --model.optimizer.lr for all of them."
        )
    return [asked[0] if isinstance(asked[0], RateSearch) else RateSearch(asked[0])]


def _callbacks(trainer: Trainer) -> list[Callback]:
    return list(trainer.callbacks)  # type: ignore[attr-defined]
