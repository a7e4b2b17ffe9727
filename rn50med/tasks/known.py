"""Labels of a batch that are known, and those that a task does not know."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from rn50med.errors import RecipeError
from rn50med.evaluation.arrays import UNKNOWN


def masked_bce(logits: Tensor, target: Tensor) -> Tensor:
    """Return the binary cross-entropy of logits, the mean over known targets; 0 without any.

    Args:
        logits: One for each target.
        target: 0, 1, a share between them, or `UNKNOWN`, which counts nowhere.

    Shape:
        - logits, target: any, the same.
        - output: ``()``.
    """
    known = (target != UNKNOWN).to(logits.dtype)
    total = F.binary_cross_entropy_with_logits(
        logits, target.clamp(min=0).to(logits.dtype), weight=known, reduction="sum"
    )
    return total / known.sum().clamp(min=1)


def check_given(target: Tensor, known: Tensor, told: str) -> None:
    """Refuse targets that a task does not know.

    Args:
        target: Of a batch.
        known: Whether the task knows each, of the same shape.
        told: What it knows, for the message.

    Raises:
        RecipeError: If there is one.
    """
    if not bool(known.all()):
        raise RecipeError(f"batch: has the target {target[~known][0].item():g}; give {told}.")
