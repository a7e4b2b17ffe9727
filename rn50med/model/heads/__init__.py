"""Heads: feature maps in, logits out.

A head is swapped by one key of a recipe, and every one of them keeps the contract of
`rn50med.testing.check_head`.
"""

from __future__ import annotations

from rn50med.model.heads.attention import AttentionHead
from rn50med.model.heads.base import Head, HeadFactory
from rn50med.model.heads.cosine import CosineHead
from rn50med.model.heads.gem import GeMHead
from rn50med.model.heads.linear import LinearHead
from rn50med.model.heads.mlp import MLPHead
from rn50med.model.heads.multiscale import MultiScaleHead

__all__ = [
    "AttentionHead",
    "CosineHead",
    "GeMHead",
    "Head",
    "HeadFactory",
    "LinearHead",
    "MLPHead",
    "MultiScaleHead",
]

# Recipes and checkpoints name a class by this package, wherever in it the class is written.
for _head in (Head, LinearHead, MLPHead, GeMHead, AttentionHead, CosineHead, MultiScaleHead):
    _head.__module__ = __name__
