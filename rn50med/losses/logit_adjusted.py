"""Logit adjustment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from rn50med.losses.base import Loss, refuse, smoothed, smoothing_fault
from rn50med.losses.counts import ClassCounts


@dataclass(frozen=True)
class LogitAdjusted(Loss):
    r"""Cross-entropy of the logits plus :math:`\tau \log \pi`, with the classes' shares of train.

    While training, a frequent class is helped by its share and need not be learnt; without that help, at
    validation and later, a rare class gains. At tau = 1 it learns probabilities as of classes that are
    equally frequent, which are too high for a rare class wherever it is rare.

    Args:
        tau: How much of it, at least 0; at 0 it is the cross-entropy, 1 balances the classes.
        smoothing: Part of each target that is spread over all its answers, in [0, 1).

    Source:
        Menon et al., *Long-tail learning via logit adjustment*, ICLR 2021, equation 10; arXiv:2007.07314.
        Of a sigmoid the two classes are absent and present.

    Example:
        >>> import torch
        >>> loss = LogitAdjusted().prepared(ClassCounts(((9, 1),), exclusive=False))
        >>> round(float(loss(torch.tensor([[0.0]]), torch.tensor([1]))), 4)  # -log(0.1)
        2.3026
    """

    tau: float = 1.0
    smoothing: float = 0.0

    def __post_init__(self) -> None:
        faults = [] if self.tau >= 0 else [f"tau is {self.tau!r}; give 0 or more."]
        refuse("LogitAdjusted", faults + smoothing_fault(self.smoothing))

    @property
    def balances(self) -> bool:
        """Whether it adjusts anything."""
        return self.tau > 0

    def costs(self, logits: Tensor, counts: ClassCounts) -> Tensor:
        """Return the cross-entropy of each answer with its prior added, smoothed.

        Args:
            logits: By question and answer.
            counts: Of the training images.
        """
        prior = logits.new_tensor(self.tau * np.log(counts.shares())) if self.tau else 0.0
        return smoothed(-(logits + prior).log_softmax(dim=2), self.smoothing)
