"""What a batch is, however a DataLoader writes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from rn50med.errors import RecipeError


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
