"""A pooling between mean and maximum, learnt, and one matrix."""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import cast

import torch
from torch import Tensor, nn

from rn50med.errors import RecipeError
from rn50med.model.heads.base import Head, dropout_layer, widened

_FLOOR = 1e-6  # as in the authors' code: what a feature of 0 is taken for, since it has no logarithm


class GeMHead(Head):
    r"""Generalised-mean pooling, dropout, one linear layer.

    A channel with the values x becomes :math:`(\frac{1}{n} \sum x^p)^{1/p}`: their mean at p = 1, their
    maximum as p grows. p is learnt, one for all channels. It suits small findings, which a mean over the
    whole film dilutes; a bright speck of noise counts for more as well.

    Args:
        channels: Channels of each feature map, coarsest last.
        num_outputs: Number of logits, K, at least 1.
        p: What p starts from, above 0. It stays above 0, since its logarithm is what is learnt.
        dropout: Probability of dropping a pooled feature while training, in [0, 1].

    Shape:
        - features: the last of them, ``(B, C, H, W)``, is used; what is below 0 counts as 0.
        - output: ``(B, K)``.

    Raises:
        RecipeError: If ``p`` is not above 0.

    Source:
        Radenović et al., *Fine-tuning CNN image retrieval with no human annotation*, TPAMI 2019,
        section 3.2; arXiv:1711.02512.

    Example:
        >>> import torch
        >>> head = GeMHead([256, 2048], num_outputs=3)
        >>> head([torch.rand(2, 256, 8, 8), torch.rand(2, 2048, 4, 4)]).shape
        torch.Size([2, 3])
    """

    def __init__(
        self, channels: Sequence[int], num_outputs: int, p: float = 3.0, dropout: float = 0.2
    ) -> None:
        super().__init__(channels, num_outputs)
        if not p > 0:
            raise RecipeError(f"GeMHead: p={p!r}; give a number above 0, such as 3.")
        self.log_p = nn.Parameter(torch.tensor(log(p)))
        self.dropout = dropout_layer("GeMHead", dropout)
        self.linear = nn.Linear(channels[-1], num_outputs)

    def pooled(self, features: Sequence[Tensor]) -> Tensor:
        """Return the generalised mean of each channel, ``(B, C)``.

        The power is taken in logarithms, so that no value is too large for it.

        Args:
            features: The feature maps, coarsest last.
        """
        values = widened(features[-1]).clamp(min=_FLOOR).log().flatten(2)
        p = self.log_p.exp()
        mean = torch.logsumexp(p * values, dim=2) - log(values.shape[2])
        return (mean / p).exp()

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Pool the coarsest feature map and weigh its channels.

        Args:
            features: The feature maps, coarsest last.
        """
        return cast(Tensor, self.linear(self.dropout(self.pooled(features).to(features[-1].dtype))))
