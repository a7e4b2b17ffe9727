"""Average pooling and a hidden layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn

from rn50med.model.heads.base import Head, dropout_layer, hidden_units


class MLPHead(Head):
    """Global average pooling and a hidden layer between two dropouts.

    It can bend where one matrix is straight, as over a backbone that is frozen; a million parameters more
    overfit sooner.

    Args:
        channels: Channels of each feature map, coarsest last.
        num_outputs: Number of logits, K, at least 1.
        hidden: Units of the hidden layer, at least 1.
        dropout: Probability of dropping a pooled feature, and a hidden unit, while training, in [0, 1].

    Shape:
        - features: the last of them, ``(B, C, H, W)``, is used.
        - output: ``(B, K)``.

    Source:
        Rumelhart et al., *Learning representations by back-propagating errors*, Nature 323, 1986,
        doi:10.1038/323533a0; its units are GELUs here: Hendrycks & Gimpel, arXiv:1606.08415.

    Example:
        >>> import torch
        >>> head = MLPHead([256, 2048], num_outputs=3, hidden=64)
        >>> head([torch.rand(2, 256, 8, 8), torch.rand(2, 2048, 4, 4)]).shape
        torch.Size([2, 3])
    """

    def __init__(
        self, channels: Sequence[int], num_outputs: int, hidden: int = 512, dropout: float = 0.2
    ) -> None:
        super().__init__(channels, num_outputs)
        hidden = hidden_units("MLPHead", hidden)
        self.layers = nn.Sequential(
            dropout_layer("MLPHead", dropout),
            nn.Linear(channels[-1], hidden),
            nn.GELU(),
            dropout_layer("MLPHead", dropout),
            nn.Linear(hidden, num_outputs),
        )

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Pool the coarsest feature map and send it through both layers.

        Args:
            features: The feature maps, coarsest last.
        """
        return cast(Tensor, self.layers(features[-1].mean(dim=(-2, -1))))
