"""What every head promises, and what several share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from rn50med.errors import RecipeError, listed
from rn50med.parts import Part

_SIDE = 2  # of the coarsest map that a head is tried on; the finer ones are twice as large each


class Head(Part, nn.Module):
    """Base of all heads; `rn50med.testing.check_head` checks what one has to promise.

    Args:
        channels: Channels of each feature map, coarsest last.
        num_outputs: Number of logits, K, at least 1.

    Shape:
        - features: a list with one map ``(B, C, H, W)`` for each of ``channels``.
        - output: ``(B, K)``.

    Raises:
        RecipeError: If there is no feature map, or a number is below 1.
    """

    def __init__(self, channels: Sequence[int], num_outputs: int) -> None:
        super().__init__()
        if not channels or min(channels) < 1 or num_outputs < 1:
            raise RecipeError(
                f"{type(self).__name__}: channels={list(channels)!r} and num_outputs={num_outputs!r}; "
                "give the backbone's channels and one output or more, all at least 1."
            )
        self.channels = tuple(channels)
        self.num_outputs = num_outputs

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Turn feature maps into logits.

        Args:
            features: One map for each of ``channels``, coarsest last.
        """
        raise NotImplementedError(f"{type(self).__name__}: has no forward; write one.")


HeadFactory = Callable[[Sequence[int], int], Head]
"""What a recipe gives for a head: its options are filled in, channels and outputs are not."""


def tried(head: Head, num_outputs: int) -> Head:
    """Return a head that makes as many logits as it was asked for; it is tried on maps of zeros.

    A loss would take the first of too many without a word.

    Args:
        head: Just built.
        num_outputs: Logits that the task needs for each image, K.

    Raises:
        RecipeError: If it makes others, fails, or is none.
    """
    if not (isinstance(head, Head) and hasattr(head, "channels")):
        raise RecipeError(
            f"model.head: {type(head).__name__} is no rn50med.Head; derive it from that class, and begin its "
            "__init__ with super().__init__(channels, num_outputs)."
        )
    like, training = next(head.parameters(), torch.zeros(())), head.training
    sides = [_SIDE << level for level in range(len(head.channels))][::-1]
    maps = [like.new_zeros(2, c, side, side) for c, side in zip(head.channels, sides, strict=True)]
    try:
        with torch.no_grad():
            logits = head.eval()(maps)
    except Exception as error:  # whatever a stranger's head raises
        raise RecipeError(
            f"model.head: {type(head).__name__} fails on feature maps of {listed(head.channels)} channels "
            f"({type(error).__name__}: {error}); mend it; rn50med.testing.check_head tries it alone."
        ) from error
    head.train(training)
    if logits.shape != (2, num_outputs):
        raise RecipeError(
            f"model.head: {type(head).__name__} gives logits of shape {tuple(logits.shape)} for two images, "
            f"and the task needs (2, {num_outputs}); let the head make as many as num_outputs says."
        )
    return head


def dropout_layer(head: str, probability: float) -> nn.Dropout:
    """Return the dropout of a head, whose probability has been checked.

    Args:
        head: Its class, for the message.
        probability: Of dropping a feature while training, in [0, 1].

    Raises:
        RecipeError: If it is no probability.
    """
    if not 0.0 <= probability <= 1.0:
        raise RecipeError(f"{head}: dropout={probability!r} is no probability; give a number in [0, 1].")
    return nn.Dropout(probability)


def hidden_units(head: str, count: int) -> int:
    """Return the size of a head's hidden layer, checked.

    Args:
        head: Its class, for the message.
        count: Units, at least 1.

    Raises:
        RecipeError: If there is none.
    """
    if count < 1:
        raise RecipeError(f"{head}: hidden={count!r}; give one unit or more.")
    return count


def widened(values: Tensor) -> Tensor:
    """Return values in 32 bits or more: powers, norms and exponentials need them where maps have 16.

    Args:
        values: Floating point.
    """
    return values.to(torch.promote_types(values.dtype, torch.float32))
