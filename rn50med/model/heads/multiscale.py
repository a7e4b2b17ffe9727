"""Fine and coarse feature maps together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from rn50med.model.heads.base import Head, dropout_layer

_STAGES = 3  # of ResNet-50 the stages 3, 4 and 5, which see 1/8, 1/16 and 1/32 of the resolution


class MultiScaleHead(Head):
    """Global average pooling of the last three feature maps, each normalised, dropout, one linear layer.

    Texture and small findings, which the coarsest map has lost, stay in sight; the finer maps also know
    most of scanner and noise, so look at another site's images before you trust it.

    Args:
        channels: Channels of each feature map, coarsest last.
        num_outputs: Number of logits, K, at least 1.
        dropout: Probability of dropping a pooled feature while training, in [0, 1].

    Shape:
        - features: the last three ``(B, C, H, W)``, or as many as there are, are used.
        - output: ``(B, K)``.

    Source:
        Liu et al., *ParseNet: looking wider to see better*, section 3.3, arXiv:1506.04579: maps of several
        stages have to be normalised before they are joined. By layer norm here: Ba et al.,
        arXiv:1607.06450.

    Example:
        >>> import torch
        >>> head = MultiScaleHead([256, 2048], num_outputs=3)
        >>> head([torch.rand(2, 256, 8, 8), torch.rand(2, 2048, 4, 4)]).shape
        torch.Size([2, 3])
    """

    def __init__(self, channels: Sequence[int], num_outputs: int, dropout: float = 0.2) -> None:
        super().__init__(channels, num_outputs)
        used = list(channels[-_STAGES:])
        self.norms = nn.ModuleList(nn.LayerNorm(count) for count in used)
        self.dropout = dropout_layer("MultiScaleHead", dropout)
        self.linear = nn.Linear(sum(used), num_outputs)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Pool and normalise each of the feature maps, and weigh the channels of all.

        Args:
            features: The feature maps, coarsest last.
        """
        used = features[-len(self.norms) :]
        pooled = [norm(maps.mean(dim=(-2, -1))) for norm, maps in zip(self.norms, used, strict=True)]
        return cast(Tensor, self.linear(self.dropout(torch.cat(pooled, dim=1))))
