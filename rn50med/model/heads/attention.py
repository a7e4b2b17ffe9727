"""Pooling that learns where to look, and one matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from rn50med.model.heads.base import Head, dropout_layer, hidden_units, widened


class AttentionHead(Head):
    r"""Gated attention over positions, dropout, one linear layer.

    Each position has a weight, :math:`a \propto \exp(w^T (\tanh V h \odot \sigma(U h)))`, and the head sees
    the weighted mean of the positions h. It starts almost as a plain mean. It suits small findings and
    shows where it looked, see `attention`; with few patients it may learn to look at a marker instead.

    Args:
        channels: Channels of each feature map, coarsest last.
        num_outputs: Number of logits, K, at least 1; they share one map of attention.
        hidden: Rows of V and of U, at least 1.
        dropout: Probability of dropping a pooled feature while training, in [0, 1].

    Shape:
        - features: the last of them, ``(B, C, H, W)``, is used.
        - output: ``(B, K)``.

    Source:
        Ilse et al., *Attention-based deep multiple instance learning*, ICML 2018, equation 9;
        arXiv:1802.04712. V and U have biases, as in the authors' code.

    Example:
        >>> import torch
        >>> head = AttentionHead([256, 2048], num_outputs=3)
        >>> features = [torch.rand(2, 256, 8, 8), torch.rand(2, 2048, 4, 4)]
        >>> head(features).shape, head.attention(features).shape
        (torch.Size([2, 3]), torch.Size([2, 4, 4]))
    """

    def __init__(
        self, channels: Sequence[int], num_outputs: int, hidden: int = 128, dropout: float = 0.2
    ) -> None:
        super().__init__(channels, num_outputs)
        hidden = hidden_units("AttentionHead", hidden)
        self.signal = nn.Linear(channels[-1], hidden)  # V
        self.gate = nn.Linear(channels[-1], hidden)  # U
        self.score = nn.Linear(hidden, 1, bias=False)  # w; a bias would drop out of the softmax
        self.dropout = dropout_layer("AttentionHead", dropout)
        self.linear = nn.Linear(channels[-1], num_outputs)

    def attention(self, features: Sequence[Tensor]) -> Tensor:
        """Return how much each position counts, ``(B, H, W)``; the weights of an image sum to 1.

        Args:
            features: The feature maps, coarsest last.
        """
        last = features[-1]
        positions = last.flatten(2).transpose(1, 2)
        scores = self.score(self.signal(positions).tanh() * self.gate(positions).sigmoid())
        return widened(scores[..., 0]).softmax(dim=1).reshape(len(last), *last.shape[-2:])

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Pool the coarsest feature map by its attention and weigh its channels.

        Args:
            features: The feature maps, coarsest last.
        """
        pooled = torch.sum(features[-1] * self.attention(features)[:, None], dim=(-2, -1))
        return cast(Tensor, self.linear(self.dropout(pooled.to(features[-1].dtype))))
