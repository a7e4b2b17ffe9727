"""Heads: feature maps in, logits out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

from torch import Tensor, nn

from rn50med.errors import RecipeError
from rn50med.parts import Part


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


class LinearHead(Head):
    """Global average pooling, dropout, one linear layer: the head ResNet was published with.

    Args:
        channels: Channels of each feature map, coarsest last.
        num_outputs: Number of logits, K, at least 1.
        dropout: Probability of dropping a pooled feature while training, in [0, 1].

    Shape:
        - features: the last of them, ``(B, C, H, W)``, is used.
        - output: ``(B, K)``.

    Source:
        He et al., *Deep residual learning for image recognition*, CVPR 2016, section 3.3;
        arXiv:1512.03385. Dropout is not part of it.

    Example:
        >>> import torch
        >>> head = LinearHead([256, 2048], num_outputs=3)
        >>> head([torch.rand(2, 256, 8, 8), torch.rand(2, 2048, 4, 4)]).shape
        torch.Size([2, 3])
    """

    def __init__(self, channels: Sequence[int], num_outputs: int, dropout: float = 0.2) -> None:
        super().__init__(channels, num_outputs)
        if not 0.0 <= dropout <= 1.0:
            raise RecipeError(f"LinearHead: dropout={dropout!r} is no probability; give a number in [0, 1].")
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(channels[-1], num_outputs)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Pool the coarsest feature map and weigh its channels.

        Args:
            features: The feature maps, coarsest last.
        """
        pooled = features[-1].mean(dim=(-2, -1))
        return cast(Tensor, self.linear(self.dropout(pooled)))
