"""What a batch is, however a DataLoader writes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from rn50med.errors import NumericalError, RecipeError, listed


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
