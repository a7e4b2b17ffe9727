"""The one table that every number comes from: a row per image, its logits and its target."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from rn50med.evaluation.arrays import Targets, stored

_TARGET_DIGITS = 7
"""Digits of a number that 32 bits, in which a batch holds it, do not spoil: 12.3 stays 12.3."""


@dataclass(frozen=True)
class Predictions:
    """What a model said of each image, one row per image, ordered by image.

    Args:
        index: Row of each image in the manifest, shape ``(N,)``, increasing.
        logits: Shape ``(N, K)``.
        target: As the task encodes it, shape ``(N,)`` or ``(N, L)``.
    """

    index: NDArray[np.int64]
    logits: NDArray[np.float64]
    target: Targets


class PredictionTable(Metric):
    """Collects logits and targets of every image, from any number of ranks, each image once.

    A distributed sampler repeats images to fill the last batch; they are recognised by their index and
    counted once, so that one process and many give the same figures.

    Args:
        num_outputs: Number of logits, K.
        target_shape: Shape of one image's target: ``()``, or ``(L,)`` for several labels.
        continuous: Whether targets are numbers on a scale.

    Attributes:
        repeated: Rows whose index a process has seen before, of all processes, at the last computation: a
            sampler never fills up a process with images that it has.

    Shape:
        - index: ``(B,)``, integer.
        - logits: ``(B, K)``.
        - target: ``(B,)`` or ``(B, L)``, integer; float where continuous.
    """

    full_state_update = False
    index: list[Tensor]
    logits: list[Tensor]
    target: list[Tensor]

    def __init__(
        self, num_outputs: int, target_shape: tuple[int, ...] = (), continuous: bool = False
    ) -> None:
        super().__init__()
        self.num_outputs = num_outputs
        self.target_shape = target_shape
        self.continuous = continuous
        self.repeated = 0
        self.again: Tensor
        self.add_state("again", default=torch.tensor(0), dist_reduce_fx="sum")
        for name in ("index", "logits", "target"):
            self.add_state(name, default=[], dist_reduce_fx="cat")

    def update(self, index: Tensor, logits: Tensor, target: Tensor) -> None:
        """Add a batch."""
        self.index.append(index.detach())
        self.logits.append(logits.detach().float())
        self.target.append(target.detach().float() if self.continuous else target.detach())

    def compute(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return index, logits and target of all ranks' images, each once, ordered by index."""
        index, logits, target = (dim_zero_cat(state) for state in (self.index, self.logits, self.target))
        _, first = np.unique(index.cpu().numpy(), return_index=True)
        keep = torch.as_tensor(first, device=index.device)
        self.repeated = int(self.again)
        return index[keep], logits[keep], target[keep]

    def predictions(self) -> Predictions:
        """Return the table, in numpy.

        Raises:
            ValueError: If no batch was added.
        """
        if not self.update_called:  # a rank without images still has to take part in the gathering
            none = torch.empty(0, dtype=torch.long, device=self.device)
            no_logits = torch.empty(0, self.num_outputs, device=self.device)
            self.update(none, no_logits, none.new_empty(0, *self.target_shape))
        own = dim_zero_cat(self.index)
        self.again = torch.tensor(len(own) - np.unique(own.cpu().numpy()).size, device=self.device)
        index, logits, target = self.compute()
        if not index.numel():
            raise ValueError("predictions: no image was seen; run validation or test first.")
        found = target.cpu().numpy().reshape(index.numel(), *self.target_shape)
        return Predictions(
            np.atleast_1d(index.cpu().numpy()).astype(np.int64),
            stored(logits.cpu().numpy().reshape(-1, self.num_outputs)),
            stored(found, _TARGET_DIGITS) if self.continuous else found.astype(np.int64),
        )
