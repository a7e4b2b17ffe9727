"""A moving average of the weights, by which the model is judged and kept."""

from __future__ import annotations

from collections import deque
from typing import Any, Literal

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from rn50med.training.batch import unpack

NORM_IMAGES = 256
"""Images of each process from which batch-norm statistics are estimated; at 224 px 50 MB, in colour 150."""


def decay_after(updates: int, most: float) -> float:
    """Return the weight of the average so far, which rises with the number of updates.

    An average with a fixed decay of 0.999 still holds 88 % of the first step's weights after 128 steps.
    Here it is always of the last ninth of the steps or so, until `most` is reached.

    Args:
        updates: Of the average, so far.
        most: The decay in the end.

    Source:
        TensorFlow, ``tf.train.ExponentialMovingAverage``, with ``num_updates``.

    Example:
        >>> [round(decay_after(updates, 0.999), 3) for updates in (1, 10, 100, 100_000)]
        [0.182, 0.55, 0.918, 0.999]
    """
    return min(most, (1 + updates) / (10 + updates))


def _pairs(
    one: nn.Module, other: nn.Module, kind: Literal["parameters", "buffers"]
) -> list[tuple[Tensor, Tensor]]:
    return list(zip(getattr(one, kind)(), getattr(other, kind)(), strict=True))


@torch.no_grad()
def _swap(one: nn.Module, other: nn.Module) -> None:
    """Swap the weights and statistics of two modules; equal ones, such as frozen ones, are left alone."""
    for first, second in (*_pairs(one, other, "parameters"), *_pairs(one, other, "buffers")):
        if not torch.equal(first, second):
            kept = first.clone()
            first.copy_(second)
            second.copy_(kept)


def _share(average: dict[str, Any], current: dict[str, Any]) -> None:
    """Make one tensor of two equal ones: `torch.save` writes a tensor once, however many names it has."""
    for name, averaged in average.items():
        if isinstance(averaged, Tensor) and torch.equal(averaged, current[name]):
            current[name] = averaged


class AveragedWeights(WeightAveraging):
    """Averages the weights over the last steps; val, checkpoints and the trained module have the average.

    Before each val, the batch-norm statistics of the average are estimated anew, on the last images of
    the epoch: those of the training belong to other weights. Frozen ones stay as they are. A checkpoint holds
    the weights of the training beside the average, so that a run that goes on has both; what is frozen is
    the same in both, and takes its room in the file once.

    Args:
        decay: Weight of the average so far, in the end; see `decay_after`.

    Source:
        Polyak & Juditsky, *Acceleration of stochastic approximation by averaging*, 1992,
        doi:10.1137/0330046. Statistics: Izmailov et al., *Averaging weights leads to wider optima*, UAI 2018,
        section 3.2; arXiv:1803.05407.
    """

    def __init__(self, decay: float) -> None:
        super().__init__(use_buffers=False)
        self.decay = decay
        self._images: deque[Tensor] = deque()
        self._weights: list[tuple[Tensor, Tensor]] = []
        self._swapped = False
        self._settled = True  # the average has statistics of its own, not yet older than its weights

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Make room for the average, and begin to count its steps, which a run that goes on then reads."""
        super().setup(trainer, pl_module, stage)
        if stage == "fit":
            self._latest_update_step, self._swapped, self._settled = 0, False, True

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin with the weights to start from, which were not read yet when Lightning made its copy."""
        average = self._average()
        average.to(pl_module.device).to(memory_format=torch.channels_last)
        average.n_averaged = average.n_averaged.cpu()  # read at every step: no step waits for a GPU
        if not average.n_averaged:
            average.module.load_state_dict(pl_module.state_dict())
        self._weights = _pairs(average.module, pl_module, "parameters")

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to keep images anew, so that a run that goes on has the same ones."""
        self._images.clear()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Add the step to the average, and keep the images for the statistics; one alone has none."""
        if trainer.global_step > self._latest_update_step:
            self._add()
            self._latest_update_step = trainer.global_step
        image = unpack(batch)[0]
        if len(image) > 1:
            self._images.append(image)
        while sum(map(len, self._images)) > NORM_IMAGES and len(self._images) > 1:
            self._images.popleft()
        self._settled = False

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the average into the module, in a val that is part of the training."""
        if trainer.state.fn == TrainerFn.FITTING:
            self._take_buffers(pl_module)
            _swap(self._average().module, pl_module)
            self._swapped = True
            self._estimate(trainer, pl_module)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the weights of the training back."""
        if self._swapped:
            _swap(self._average().module, pl_module)
            self._swapped = False

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the average in the module."""
        self._renew_average(trainer, pl_module)
        super().on_train_end(trainer, pl_module)
        self._images.clear()
        self._weights.clear()

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Keep the average as the weights, and those of the training beside it, also amid a val."""
        self._renew_average(trainer, pl_module)
        super().on_save_checkpoint(trainer, pl_module, checkpoint)
        if self._swapped:
            both = checkpoint["state_dict"], checkpoint["current_model_state"]
            checkpoint["current_model_state"], checkpoint["state_dict"] = both
        _share(checkpoint["state_dict"], checkpoint["current_model_state"])

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Go on with both, where a run goes on; a checkpoint that is only judged is judged by its average."""
        if trainer.state.fn == TrainerFn.FITTING:
            super().on_load_checkpoint(trainer, pl_module, checkpoint)

    def _average(self) -> Any:
        return self._average_model

    def _renew_average(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Estimate the statistics of the average where no val did after the last step."""
        if not (self._swapped or self._settled):
            self._take_buffers(pl_module)
            if self._images:
                _swap(self._average().module, pl_module)
                self._estimate(trainer, pl_module)
                _swap(self._average().module, pl_module)
            self._settled = True

    @torch.no_grad()
    def _add(self) -> None:
        """Add the weights of a step to the average; what rests is what it was, and costs no time."""
        average = self._average()
        moving = [pair for pair in self._weights if pair[1].requires_grad]
        averaged, current = ([pair[side] for pair in moving] for side in (0, 1))
        updates = int(average.n_averaged)
        if moving:
            decay = decay_after(updates, self.decay) if updates else 0.0
            torch._foreach_lerp_(averaged, current, 1 - decay)
        average.n_averaged += 1

    @torch.no_grad()
    def _take_buffers(self, module: nn.Module) -> None:
        """Take the buffers over as the last step left them, where they were not estimated since."""
        if not self._settled:
            for kept, seen in _pairs(self._average().module, module, "buffers"):
                kept.copy_(seen)

    def _estimate(self, trainer: Trainer, module: LightningModule) -> None:
        """Estimate the batch-norm statistics of the weights that the module has now."""
        training = module.training
        module.train()
        norms = [each for each in module.modules() if isinstance(each, _BatchNorm) and each.training]
        module.eval()  # dropout rests, and so do frozen norms
        if norms and self._images:
            _renew(norms, module, self._images, trainer)
        module.train(training)
        self._settled = True


def _renew(norms: list[_BatchNorm], module: nn.Module, images: deque[Tensor], trainer: Trainer) -> None:
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over the batches
        norm.train()
    with torch.no_grad(), trainer.precision_plugin.forward_context():
        for image in images:
            module(image)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()
    if trainer.world_size > 1:  # each process has seen images of its own
        for norm in norms:
            for kept in (norm.running_mean, norm.running_var):
                if kept is not None:
                    kept.copy_(trainer.strategy.reduce(kept, reduce_op="mean"))
