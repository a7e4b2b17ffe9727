"""Focal loss."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rn50med.losses.base import Loss, refuse, smoothed, smoothing_fault
from rn50med.losses.counts import ClassCounts, Weighting, weighting_fault


@dataclass(frozen=True)
class Focal(Loss):
    r"""Focal loss: :math:`-(1 - p)^\gamma \log p`, with p the probability of what is right.

    What the network is sure of counts less, so that many easy images do not drown a few hard ones. A wrong
    label is hard too and counts fully; and probabilities come out too near one half, so calibrate them.

    Args:
        gamma: How much less, at least 0: at 0 it is the cross-entropy; 2 is the authors'.
        smoothing: Part of each target that is spread over all its answers, in [0, 1).
        weights: What an image weighs by its class, as for `CrossEntropy`.
        beta: Of `class_balanced`, in [0, 1]: 0 is alike, 1 the inverse frequency.

    Source:
        Lin et al., *Focal loss for dense object detection*, ICCV 2017, section 3; arXiv:1708.02002.

    Example:
        >>> import torch
        >>> loss = Focal(gamma=2).prepared(ClassCounts(((5, 5),), exclusive=False))
        >>> round(float(loss(torch.tensor([[2.0]]), torch.tensor([1]))), 4)
        0.0018
    """

    gamma: float = 2.0
    smoothing: float = 0.0
    weights: Weighting = "none"
    beta: float = 0.999

    def __post_init__(self) -> None:
        faults = [] if self.gamma >= 0 else [f"gamma is {self.gamma!r}; give 0 or more."]
        faults += smoothing_fault(self.smoothing) + weighting_fault(self.weights, self.beta)
        refuse("Focal", faults)

    @property
    def balances(self) -> bool:
        """Whether classes weigh differently."""
        return self.weights != "none"

    def weights_of(self, counts: ClassCounts) -> NDArray[np.float64]:
        """Return the weights that were asked for.

        Args:
            counts: Of the training images.
        """
        return counts.weights(self.weights, self.beta)

    def costs(self, logits: Tensor, counts: ClassCounts) -> Tensor:
        """Return each answer's focal loss, smoothed, times its weight.

        Args:
            logits: By question and answer.
            counts: Of the training images.
        """
        focus = (self.gamma * _log_of_the_others(logits)).exp()
        weights = logits.new_tensor(self.weights_of(counts))
        return weights * smoothed(-focus * logits.log_softmax(dim=2), self.smoothing)


def _log_of_the_others(logits: Tensor) -> Tensor:
    """Return log(1 - p) of each answer; from p itself it would be -inf, and its gradient nan."""
    answers = logits.shape[2]
    own = torch.eye(answers, dtype=torch.bool, device=logits.device)
    others = logits[:, :, None].expand(-1, -1, answers, -1).masked_fill(own, -torch.inf)
    return others.logsumexp(dim=3) - logits.logsumexp(dim=2, keepdim=True)
