"""Directions instead of lengths."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rn50med.errors import RecipeError
from rn50med.model.heads.base import Head, dropout_layer, widened

_SHORTEST = 1e-3  # far below the length of any image's features; keeps the gradient of a blank one finite


class CosineHead(Head):
    r"""Global average pooling, dropout, and the cosine between the features and a direction for each class.

    A logit is :math:`s \cos(h, w_k) + b_k`, with a scale s that is learnt. How bright or how contrasty an
    image is lengthens its features and changes no logit, and a frequent class cannot win by longer weights;
    what the length of the features had to say is lost.

    Args:
        channels: Channels of each feature map, coarsest last.
        num_outputs: Number of logits, K, at least 1.
        scale: What s starts from, above 0; without it a softmax could not become sure.
        dropout: Probability of dropping a pooled feature while training, in [0, 1].

    Shape:
        - features: the last of them, ``(B, C, H, W)``, is used.
        - output: ``(B, K)``.

    Raises:
        RecipeError: If ``scale`` is not above 0.

    Source:
        Gidaris & Komodakis, *Dynamic few-shot visual learning without forgetting*, CVPR 2018, section 3.2;
        arXiv:1804.09458. The bias is not part of it: a sigmoid needs one, since features after a ReLU are
        never negative and their cosines huddle on one side of 0.

    Example:
        >>> import torch
        >>> head = CosineHead([256, 2048], num_outputs=3)
        >>> head([torch.rand(2, 256, 8, 8), torch.rand(2, 2048, 4, 4)]).shape
        torch.Size([2, 3])
    """

    def __init__(
        self, channels: Sequence[int], num_outputs: int, scale: float = 10.0, dropout: float = 0.2
    ) -> None:
        super().__init__(channels, num_outputs)
        if not scale > 0:
            raise RecipeError(f"CosineHead: scale={scale!r}; give a number above 0, such as 10.")
        self.dropout = dropout_layer("CosineHead", dropout)
        self.weight = nn.Parameter(torch.randn(num_outputs, channels[-1]) / channels[-1] ** 0.5)
        self.scale = nn.Parameter(torch.tensor(float(scale)))
        self.bias = nn.Parameter(torch.zeros(num_outputs))

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Pool the coarsest feature map and compare its direction with each class's.

        Args:
            features: The feature maps, coarsest last.
        """
        pooled = widened(self.dropout(features[-1].mean(dim=(-2, -1))))
        cosine = F.cosine_similarity(pooled[:, None], widened(self.weight)[None], dim=2, eps=_SHORTEST)
        return self.scale * cosine + self.bias
