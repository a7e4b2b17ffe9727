"""What a batch is, however a DataLoader writes it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

from rn50med.errors import NumericalError, RecipeError, listed
from rn50med.tasks import UNKNOWN, Task

log = logging.getLogger(__name__)

_ROUNDED = 1e-2
"""How far shares of 16 bits may be from a sum of 1."""

_BEYOND = 0.5
"""How far noise may bring an image beyond black and white."""


def unpack(batch: Any, labelled: bool = True) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return image, target and index of a batch, however it is written.

    Args:
        batch: A dictionary with ``image``, ``target`` (or ``label``) and perhaps ``index``; or a pair.
        labelled: Whether a target is needed; an empty one stands for it where not.

    Raises:
        RecipeError: If it is neither.
    """
    if isinstance(batch, Mapping) and "image" in batch:
        target = batch.get("target", batch.get("label"))
        if target is not None or not labelled:
            return batch["image"], torch.empty(0) if target is None else target, batch.get("index")
    elif isinstance(batch, list | tuple) and len(batch) == 2:
        return batch[0], batch[1], None
    elif isinstance(batch, Tensor) and not labelled:
        return batch, torch.empty(0), None
    have = sorted(batch) if isinstance(batch, Mapping) else type(batch).__name__
    raise RecipeError(f"batch: is {have}; give a dictionary with image and target, or a pair of them.")


def labelled(
    batch: Any, task: Task, soft: bool = False, checked: bool = False
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return image, target and index of a batch, the target as the task encodes it.

    A column of labels, ``(B, 1)``, as array data sets have them, is taken for the labels, ``(B,)``: set
    against values of shape ``(B,)``, it would give ``(B, B)`` differences. Labels of few bits are widened.

    Args:
        batch: As for `unpack`.
        task: Knows the target.
        soft: Whether shares may stand for the target: of the classes, ``(B, K)``, or of each label.
        checked: Whether its targets are those of a manifest, which were looked at before; on a GPU, a look
            has to wait for it.

    Raises:
        RecipeError: If it is no such batch, or has a target of another shape or that the task does not know.
    """
    image, target, index = unpack(batch)
    found = tuple(target.shape) if isinstance(target, Tensor) else type(target).__name__
    wanted = (len(image), *task.target_shape)
    if isinstance(target, Tensor) and _but_for_ones(target.shape) == _but_for_ones(wanted):
        target = target.reshape(wanted)
        target = target if target.is_floating_point() else target.long()
        if not checked:
            target = task.given(target)
            _check_whole(target, task, soft)
        return image, target.long() if task.exclusive else target, index
    if soft and found == (len(image), task.num_outputs) and target.is_floating_point():
        _check_shares(target, task)
        return image, target, index
    raise RecipeError(
        f"batch: its target is {found}, and {type(task).__name__} needs a tensor of shape {wanted} for "
        f"{len(image)} images; give each image its label."
    )


def _but_for_ones(shape: Sequence[int]) -> list[int]:
    """Return a shape without axes of one element, which a column of labels has and labels have not."""
    return [size for size in shape if size != 1]


def _check_whole(target: Tensor, task: Task, soft: bool) -> None:
    """Refuse shares of a label where images are judged by it."""
    if not (soft or task.continuous or bool((target == target.round()).all())):
        share = target[target != target.round()][0].item()
        raise RecipeError(
            f"batch: has the target {share:g} in val or test, where an image either has a label or not; "
            "give 0 or 1 there, and shares in train alone."
        )


def _check_shares(target: Tensor, task: Task) -> None:
    """Refuse shares that are none, or that the task cannot be taught by."""
    if not task.blends:
        raise RecipeError(
            f"batch: has shares of the classes, and {type(task).__name__} cannot be taught by them; give "
            "each image its class."
        )
    known = (target != UNKNOWN).all(dim=-1)
    sums = target.sum(dim=-1)
    if not bool((~known | ((target >= 0).all(dim=-1) & ((sums - 1).abs() < _ROUNDED))).all()):
        raise RecipeError(
            "batch: has shares of the classes that are below 0 or do not add up to 1 for each image; give "
            "shares from 0 to 1."
        )


def tell_range(image: Tensor) -> None:
    """Warn of images that are not between black, 0, and white, 1, but for what random changes add.

    Args:
        image: A batch, of any shape.
    """
    low, high = (float(end) for end in image.detach().aminmax())
    if low < -_BEYOND or high > 1 + _BEYOND:
        log.warning(
            "warning (image-range): images reach from %.3g to %.3g, and the network, which normalises them "
            "itself, takes black for 0 and white for 1; scale them so.", low, high,
        )  # fmt: skip


def learnt_dataset(trainer: Trainer) -> Any:
    """Return the dataset that a trainer learns from; None where it cannot be told.

    Args:
        trainer: In a fit.
    """
    return getattr(trainer.train_dataloader, "dataset", None)


def judged_dataset(trainer: Trainer) -> Any:
    """Return the dataset that a trainer judges at the moment; None where it cannot be told.

    Its ``val_dataloaders`` would be those of a former fit.

    Args:
        trainer: In a val or a test.
    """
    loop = {
        TrainerFn.FITTING: trainer.fit_loop.epoch_loop.val_loop,
        TrainerFn.VALIDATING: trainer.validate_loop,
        TrainerFn.TESTING: trainer.test_loop,
    }.get(cast(TrainerFn, trainer.state.fn))
    loaders = getattr(getattr(loop, "_combined_loader", None), "flattened", [])
    return getattr(loaders[0], "dataset", None) if loaders else None


def check_finite(loss: Tensor, index: Tensor | None, trainer: Trainer) -> None:
    """Stop on a loss that is not finite, on all ranks together and with the same message.

    Args:
        loss: Of a batch of train.
        index: Its rows of the manifest, where they are known.
        trainer: Of the training.

    Raises:
        NumericalError: If it is infinite or not a number, on any rank.
    """
    finite = torch.isfinite(loss.detach())
    if trainer.world_size > 1:
        finite = cast(Tensor, trainer.strategy.reduce(finite.float(), reduce_op="min"))
    if not bool(finite):
        where = "unknown" if index is None else listed(row + 2 for row in index.tolist())
        raise NumericalError(
            f"training: the loss is {loss.item()} in epoch {trainer.current_epoch}, "
            f"step {trainer.global_step}, lines {where} of manifest.csv; lower the learning rate, "
            "or train in 32 bits with --trainer.precision 32-true."
        )
