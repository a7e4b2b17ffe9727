"""What every loss promises, and what it is once the training images have been counted."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from rn50med.errors import RecipeError
from rn50med.evaluation.arrays import UNKNOWN
from rn50med.losses.counts import ClassCounts
from rn50med.parts import Part


class Loss(Part, ABC):
    """What training minimises. A subclass is a frozen dataclass; `rn50med.testing.check_loss` checks it.

    It says what each answer would cost if it were the right one, and needs no more: masks, soft targets and
    the mean are the same for all, see `PreparedLoss`. A sigmoid is a softmax over 0 and its logit, so that
    one formula serves both.
    """

    @abstractmethod
    def costs(self, logits: Tensor, counts: ClassCounts) -> Tensor:
        """Return the cost of each answer, were it the right one, times its weight.

        Args:
            logits: A softmax over the last axis gives the probabilities of a question's answers.
            counts: Of the training images.

        Shape:
            - logits: ``(B, questions, answers)``, 32 bits or more: ``(B, 1, K)`` of a softmax, ``(B, L, 2)``
              of sigmoids, absent and present.
            - output: the same.
        """

    def weights_of(self, counts: ClassCounts) -> NDArray[np.float64]:
        """Return what an image of each answer weighs, ``(questions, answers)``; 1 where nothing is weighed.

        Args:
            counts: Of the training images.
        """
        return counts.weights("none", 0.0)

    @property
    def balances(self) -> bool:
        """Whether it makes up for rare classes, so that a balanced sampler beside it would do so twice."""
        return False

    def fault(self, counts: ClassCounts) -> str | None:
        """Return why it cannot be used for such classes, as a sentence; None where it can.

        Args:
            counts: Of the training images.
        """
        return None

    def prepared(self, counts: ClassCounts) -> PreparedLoss:
        """Return the loss for these classes.

        Args:
            counts: Of the training images, and of no others.

        Raises:
            RecipeError: If it is not for such classes.
        """
        if (fault := self.fault(counts)) is not None:
            raise RecipeError(fault)
        self.weights_of(counts)  # which may refuse them too
        return PreparedLoss(self, counts)


@dataclass(frozen=True)
class PreparedLoss:
    """A loss that knows the classes: logits and target in, a scalar out.

    The cost of a soft target is the mixture of its answers' costs, as in mixup: a quarter of one and three
    quarters of the other.

    Args:
        loss: What each answer costs.
        counts: Of the training images.
    """

    loss: Loss
    counts: ClassCounts

    def __call__(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the mean over the known labels of a batch; 0 without any.

        Args:
            logits: One column for each class or finding.
            target: Hard, integer; or soft, in [0, 1]. A cell of `UNKNOWN` counts nowhere.

        Shape:
            - logits: ``(B, K)``.
            - target: of a softmax ``(B,)`` hard or ``(B, K)`` soft; of one sigmoid ``(B,)`` or ``(B, 1)``;
              of several ``(B, L)``.
            - output: ``()``.

        Raises:
            RecipeError: If there are not as many logits as were counted.
        """
        if logits.shape[1] != self.counts.num_outputs:
            raise RecipeError(
                f"model.head: gives {logits.shape[1]} logits, and the loss was prepared for "
                f"{self.counts.num_outputs}; give the head as many outputs as the task has."
            )
        asked = _asked(logits, self.counts.exclusive)
        shares, known = _answered(asked, target, self.counts.exclusive)
        each = (shares * self.loss.costs(asked, self.counts)).sum(dim=2)
        return (each * known).sum() / known.sum().clamp(min=1)

    def statement(self, names: Sequence[str]) -> str:
        """Return one line for the log: which loss, how frequent the classes are, and what they weigh.

        Args:
            names: The classes in the order of the logits; of one sigmoid, negative and positive.
        """
        return f"loss: {self.loss}; {self.counts.statement(names, self.loss.weights_of(self.counts))}."


def _asked(logits: Tensor, exclusive: bool) -> Tensor:
    """Return logits by question and answer, in 32 bits or more."""
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return wide[:, None] if exclusive else torch.stack([torch.zeros_like(wide), wide], dim=2)


def _answered(asked: Tensor, target: Tensor, exclusive: bool) -> tuple[Tensor, Tensor]:
    """Return each answer's share in the target, and whether the question has one.

    Shape:
        - output: ``(B, questions, answers)`` and ``(B, questions)``.
    """
    batch, questions, answers = asked.shape
    if exclusive and target.ndim == 1:
        shares = F.one_hot(target.long().clamp(min=0), answers)[:, None].to(asked.dtype)
        return shares, (target != UNKNOWN).to(asked.dtype)[:, None]
    if exclusive:
        known = (target != UNKNOWN).all(dim=1, keepdim=True)
        return target.clamp(min=0).to(asked.dtype)[:, None], known.to(asked.dtype)
    present = target.reshape(batch, questions)
    share = present.clamp(min=0).to(asked.dtype)
    return torch.stack([1 - share, share], dim=2), (present != UNKNOWN).to(asked.dtype)


def smoothed(costs: Tensor, smoothing: float) -> Tensor:
    """Return the costs of answers of which a part is spread over all answers.

    Args:
        costs: Of each answer, on the last axis.
        smoothing: The part, in [0, 1).

    Source:
        Szegedy et al., *Rethinking the inception architecture*, CVPR 2016, section 7; arXiv:1512.00567.
    """
    return (1 - smoothing) * costs + smoothing * costs.mean(dim=-1, keepdim=True) if smoothing else costs


def refuse(loss: str, faults: Sequence[str]) -> None:
    """Refuse the options of a loss, with all that is wrong with them.

    Args:
        loss: Its class.
        faults: A sentence each.

    Raises:
        RecipeError: If there is one.
    """
    if faults:
        raise RecipeError("\n  ".join(f"{loss}: {fault}" for fault in faults))


def smoothing_fault(smoothing: float) -> list[str]:
    """Return what is wrong with a part to smooth by.

    Args:
        smoothing: In [0, 1).
    """
    return [] if 0 <= smoothing < 1 else [f"smoothing is {smoothing!r}; give a number from 0, below 1."]
