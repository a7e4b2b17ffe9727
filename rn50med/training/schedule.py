"""Optimizer groups and learning-rate schedules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from math import cos, pi
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from rn50med.errors import RecipeError

ScheduleFactory = Callable[[Optimizer, int], LRScheduler]
"""What a recipe gives for a schedule: its options are filled in, optimizer and steps are not."""


def decay_groups(parameters: Iterable[nn.Parameter]) -> list[dict[str, Any]]:
    """Return parameter groups in which norms and biases are not decayed.

    They are the parameters of one axis; decay would pull a norm's scale to zero.

    Args:
        parameters: Those to train.

    Source:
        He et al., *Bag of tricks for image classification*, CVPR 2019, section 3.1; arXiv:1812.01187.
    """
    every = list(parameters)
    return [
        {"params": [p for p in every if p.ndim > 1]},
        {"params": [p for p in every if p.ndim <= 1], "weight_decay": 0.0},
    ]


_FACTOR = "rn50med_factor"
"""Name in a parameter group of the factor on its learning rate, until the optimizer is built."""


def build_optimizer(
    factory: Callable[[Iterable[Any]], Optimizer], rated: Mapping[float, Iterable[nn.Parameter]]
) -> Optimizer:
    """Build an optimizer, fused where it can be, its learning rates scaled.

    Args:
        factory: Makes it of parameter groups.
        rated: The parameters to train, by the factor on their learning rate.

    Raises:
        RecipeError: If it refuses its options.
    """
    groups = [
        {**group, _FACTOR: factor}
        for factor, parameters in rated.items()
        for group in decay_groups(parameters)
    ]
    try:
        optimizer = factory(groups)
    except (TypeError, ValueError) as error:
        raise RecipeError(f"model.optimizer: {error}; mend its options.") from error
    for group in optimizer.param_groups:  # the factory may have split them
        group["lr"] *= group.pop(_FACTOR)
        # Groups say fused=None where nobody chose; a choice of the user's stands.
        if "fused" in group and group["fused"] is None and not group.get("foreach"):
            group["fused"] = True
    return optimizer


class WarmupCosine(LambdaLR):
    """Linear warm-up, then half a cosine down to a floor, step by step.

    Args:
        optimizer: Whose learning rate to set.
        total_steps: Steps of the whole training.
        warmup: Share of the steps in which the rate rises, in [0, 1).
        floor: Last rate as a share of the highest, in [0, 1].

    Raises:
        RecipeError: If a share is none, such as a number of steps.

    Source:
        Loshchilov & Hutter, *SGDR*, ICLR 2017, equation 5; arXiv:1608.03983.
    """

    def __init__(
        self, optimizer: Optimizer, total_steps: int, warmup: float = 0.1, floor: float = 0.01
    ) -> None:
        if not (0 <= warmup < 1 and 0 <= floor <= 1):
            raise RecipeError(
                f"model.schedule: WarmupCosine has warmup {warmup:g} and floor {floor:g}, which are shares: "
                "of the steps, from 0 to below 1, and of the highest rate, from 0 to 1; give such numbers."
            )
        super().__init__(optimizer, partial(warmup_cosine, total_steps, warmup, floor))


def warmup_cosine(total_steps: int, warmup: float, floor: float, step: int) -> float:
    """Return the factor on the learning rate at a step.

    Args:
        total_steps: Steps of the whole training.
        warmup: Share of the steps in which the rate rises.
        floor: Last factor.
        step: From 0.

    Example:
        >>> [round(warmup_cosine(10, 0.2, 0.0, step), 2) for step in (0, 1, 2, 6, 10)]
        [0.5, 1.0, 1.0, 0.5, 0.0]
    """
    rising = warmup * total_steps
    if step < rising:
        return (step + 1) / (rising + 1e-9) if rising >= 1 else 1.0
    done = min(1.0, (step - rising) / max(1.0, total_steps - rising))
    return floor + (1 - floor) * 0.5 * (1 + cos(pi * done))
