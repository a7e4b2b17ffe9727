"""Average pooling and one matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn

from rn50med.model.heads.base import Head, dropout_layer


class LinearHead(Head):
    """Global average pooling, dropout, one linear layer: the head ResNet was published with.

    It has the fewest parameters, and so the least to overfit with; start here.

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
        self.dropout = dropout_layer("LinearHead", dropout)
        self.linear = nn.Linear(channels[-1], num_outputs)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Pool the coarsest feature map and weigh its channels.

        Args:
            features: The feature maps, coarsest last.
        """
        pooled = features[-1].mean(dim=(-2, -1))
        return cast(Tensor, self.linear(self.dropout(pooled)))
