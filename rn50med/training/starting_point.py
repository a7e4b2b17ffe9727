"""L2-SP: pretrained weights are drawn back to where they started."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.optim import Optimizer

log = logging.getLogger(__name__)

OptimizerFactory = Callable[[Iterable[Any]], Optimizer]


def drawn_back(backbone: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters that L2-SP acts on, by name: those of the backbone but for norms and biases.

    Args:
        backbone: The part that has pretrained weights.
    """
    return {name: each for name, each in backbone.named_parameters() if each.ndim > 1}


def sparing(factory: OptimizerFactory, parameters: Iterable[nn.Parameter], decayed: bool) -> OptimizerFactory:
    """Make an optimizer's factory put parameters into groups of their own, without weight decay.

    Args:
        factory: Makes the optimizer of parameter groups.
        parameters: Those to spare.
        decayed: Whether they are decayed all the same; the groups have to be those of a run that goes on.
    """
    chosen = {id(each) for each in parameters}
    change = {} if decayed else {"weight_decay": 0.0}

    def build(groups: Iterable[Any]) -> Optimizer:
        split = []
        for group in groups:
            inside = [each for each in group["params"] if id(each) in chosen]
            outside = [each for each in group["params"] if id(each) not in chosen]
            split += [{**group, "params": outside}] if outside or not inside else []
            split += [{**group, "params": inside, **change}] if inside else []
        return factory(split)

    return build


class StartingPoint(Callback):
    r"""Draws the backbone's weights back to the pretrained ones that they started from.

    Before each step it moves them by :math:`-\eta \alpha (w - w_0)`, with the learning rate :math:`\eta` of
    their group. As in AdamW the pull is apart from the gradient, so that Adam does not scale it away.
    Where the start is random there is nothing worth keeping: it does nothing, and says so.

    Args:
        strength: The factor :math:`\alpha`.

    Source:
        Li et al., *Explicit inductive bias for transfer learning with convolutional networks*, ICML 2018,
        equation 2; arXiv:1802.01483. Apart from the gradient: Loshchilov & Hutter, arXiv:1711.05101.
    """

    def __init__(self, strength: float) -> None:
        self.strength = strength
        self._start: dict[str, Tensor] | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Forget the start of a former training; a run that goes on brings its own."""
        if stage == "fit":
            self._start = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the weights to start from, unless a checkpoint brought those of the first start."""
        device = pl_module.device
        if self._start is not None:
            self._start = {name: each.to(device) for name, each in self._start.items()}
        elif getattr(pl_module, "pretrained", False):
            self._start = {name: each.detach().clone() for name, each in self._pulled(pl_module).items()}
        elif trainer.is_global_zero:
            log.warning(
                "warning (l2-sp): model.regularisation.l2_sp is %g, but the backbone starts from random "
                "weights, which nothing should go back to: it is left out; give model.backbone.weights.",
                self.strength,
            )

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        """Draw back, at the rate of the step to come."""
        if not self._start:
            return
        start = {id(each): self._start[name] for name, each in self._pulled(pl_module).items()}
        for group in optimizer.param_groups:
            weights = [
                each.detach() for each in group["params"] if id(each) in start and each.grad is not None
            ]
            aims = [
                start[id(each)] for each in group["params"] if id(each) in start and each.grad is not None
            ]
            if weights:
                torch._foreach_lerp_(weights, aims, float(group["lr"]) * self.strength)

    def _pulled(self, module: LightningModule) -> dict[str, nn.Parameter]:
        backbone = module.backbone
        return drawn_back(backbone) if isinstance(backbone, nn.Module) else {}

    def state_dict(self) -> dict[str, Any]:
        """Keep the start, which a run that goes on cannot read again."""
        return {"start": self._start}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the start over."""
        self._start = state_dict["start"]
