"""Asymmetric loss."""

from __future__ import annotations

from dataclasses import dataclass
from math import log

import torch
from torch import Tensor
from torch.nn import functional as F

from rn50med.losses.base import Loss, refuse
from rn50med.losses.counts import ClassCounts


@dataclass(frozen=True)
class Asymmetric(Loss):
    r"""Asymmetric loss: focal, but more so for findings that are absent, the easiest of them left out.

    A present finding costs :math:`-(1 - p)^{\gamma_+} \log p`, an absent one
    :math:`-p_m^{\gamma_-} \log(1 - p_m)` with :math:`p_m = \max(p - m, 0)`. It suits many rare findings; its
    probabilities are far too high, so calibrate them.

    Args:
        gamma_negative: How much less an absent finding counts that the network is sure of, at least 0.
        gamma_positive: The same for a present one.
        clip: m, the probability up to which an absent finding costs nothing, in [0, 1).

    Source:
        Ridnik et al., *Asymmetric loss for multi-label classification*, ICCV 2021, section 2;
        arXiv:2009.14119. It is the mean over labels here, not the sum.

    Example:
        >>> import torch
        >>> loss = Asymmetric().prepared(ClassCounts(((9, 1), (8, 2)), exclusive=False))
        >>> round(float(loss(torch.tensor([[2.0, -4.0]]), torch.tensor([[1, 0]]))), 4)
        0.0635
    """

    gamma_negative: float = 4.0
    gamma_positive: float = 0.0
    clip: float = 0.05

    def __post_init__(self) -> None:
        gammas = {"gamma_negative": self.gamma_negative, "gamma_positive": self.gamma_positive}
        faults = [f"{name} is {gamma!r}; give 0 or more." for name, gamma in gammas.items() if not gamma >= 0]
        if not 0 <= self.clip < 1:
            faults.append(f"clip is {self.clip!r}; give a number from 0, below 1.")
        refuse("Asymmetric", faults)

    @property
    def balances(self) -> bool:
        """It does: absent findings, of which there are many, count less."""
        return True

    def fault(self, counts: ClassCounts) -> str | None:
        """Return that it is for findings, where classes exclude each other.

        Args:
            counts: Of the training images.
        """
        if not counts.exclusive:
            return None
        return "model.loss: Asymmetric is for findings, and these classes exclude each other; give Focal."

    def costs(self, logits: Tensor, counts: ClassCounts) -> Tensor:
        """Return what it costs if a finding is absent, and if it is present.

        Args:
            logits: By finding; absent and present.
            counts: Of the training images.
        """
        logit = logits[..., 1] - logits[..., 0]
        log_present, log_absent = F.logsigmoid(logit), F.logsigmoid(-logit)
        present = -(self.gamma_positive * log_absent).exp() * log_present
        if self.clip > 0:
            log_absent = torch.logaddexp(log_absent, torch.full_like(logit, log(self.clip))).clamp(max=0)
        shifted = -log_absent.expm1()
        least = torch.finfo(logit.dtype).eps  # a root of 0 has no finite gradient
        absent = -shifted.clamp(min=least).pow(self.gamma_negative) * log_absent
        return torch.stack([absent, present], dim=2)
