"""Cross-entropy, smoothed and weighted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from rn50med.losses.base import Loss, refuse, smoothed, smoothing_fault
from rn50med.losses.counts import ClassCounts, Weighting, weighting_fault


@dataclass(frozen=True)
class CrossEntropy(Loss):
    """Cross-entropy: of a softmax, or binary for each sigmoid. It is every task's own loss, with options.

    Without weights its probabilities keep to the prevalence of train; weights call a rare class more often
    and overstate its probability.

    Args:
        smoothing: Part of each target that is spread over all its answers, in [0, 1); 0.1 is usual. Of a
            finding that is present 1 becomes 1 - smoothing / 2.
        weights: What an image weighs by its class: `none`, alike; `pos_weight`, for findings, as many
            negatives as there are for a positive; `class_balanced`, by the effective number of its images.
        beta: Of `class_balanced`, in [0, 1]: 0 is alike, 1 the inverse frequency.

    Source:
        Szegedy et al., CVPR 2016, section 7, arXiv:1512.00567, for smoothing; Cui et al., CVPR 2019,
        arXiv:1901.05555, for weights.

    Example:
        >>> import torch
        >>> loss = CrossEntropy(smoothing=0.1).prepared(ClassCounts(((5, 5),), exclusive=False))
        >>> round(float(loss(torch.tensor([[2.0]]), torch.tensor([1]))), 4)
        0.2269
    """

    smoothing: float = 0.0
    weights: Weighting = "none"
    beta: float = 0.999

    def __post_init__(self) -> None:
        refuse("CrossEntropy", smoothing_fault(self.smoothing) + weighting_fault(self.weights, self.beta))

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
        """Return minus the logarithm of each answer's probability, smoothed, times its weight.

        Args:
            logits: By question and answer.
            counts: Of the training images.
        """
        weights = logits.new_tensor(self.weights_of(counts))
        return weights * smoothed(-logits.log_softmax(dim=2), self.smoothing)
