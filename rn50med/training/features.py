"""Features of a frozen backbone, computed once for each image."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import cast

import torch
from torch import Tensor

from rn50med.model.heads import Head

log = logging.getLogger(__name__)

Compute = Callable[[Tensor], list[Tensor]]
_BATCH, _SIDE = 2, 5  # of the maps that a head is tried on
_CLOSE = 1e-5  # logits this near are the same in 32 bits


def needed(head: Head) -> list[str]:
    """Return what a head needs of each feature map: nothing, its ``mean``, or the whole ``map``.

    It is found out by trying a copy of the head, its parameters shaken so that zeros hide nothing. A map
    without a gradient is not used. Where maps can be put in the place of their means and the logits stay,
    also in training, the means are all that is needed, which are far smaller.

    Args:
        head: Any head.

    Example:
        >>> from rn50med.model.heads import LinearHead
        >>> needed(LinearHead([256, 512, 1024, 2048], 1))
        ['', '', '', 'mean']
    """
    generator = torch.Generator().manual_seed(0)
    tried = deepcopy(head).cpu().float().eval().requires_grad_(False)
    for parameter in tried.parameters():
        parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    with torch.enable_grad(), torch.autocast("cpu", enabled=False):
        maps = [
            torch.rand(_BATCH, channels, _SIDE, _SIDE, generator=generator).requires_grad_()
            for channels in head.channels
        ]
        logits = tried(maps)
        gradients = torch.autograd.grad(logits.square().sum(), maps, allow_unused=True)
        means = [feature.mean(dim=(-2, -1), keepdim=True) for feature in maps]
        pairs = [(logits, tried(means)), (_in_training(tried, maps), _in_training(tried, means))]
    suffice = all(torch.allclose(one, other, rtol=_CLOSE, atol=_CLOSE) for one, other in pairs)
    kind = "mean" if suffice else "map"
    return ["" if gradient is None else kind for gradient in gradients]


def _in_training(head: Head, maps: list[Tensor]) -> Tensor:
    """Return the logits of a copy that trains: dropout and norms over positions see more than a mean."""
    copy = deepcopy(head).train()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)  # that of the CPU alone
        return cast(Tensor, copy(maps))


class FeatureStore:
    """Keeps what a head needs of the feature maps of each image.

    Args:
        head: The head.
        limit: Memory that they may take, in bytes.
    """

    def __init__(self, head: Head, limit: float) -> None:
        self.needed = needed(head)
        self.channels = head.channels
        self.limit = limit
        self.bytes = 0
        self._kept: dict[tuple[str, int], list[Tensor]] = {}
        self._full = False

    def __len__(self) -> int:
        """Return the number of images whose features are kept."""
        return len(self._kept)

    def features(self, split: str, rows: Sequence[int], image: Tensor, compute: Compute) -> list[Tensor]:
        """Return the features of a batch, computing those that are not kept.

        Args:
            split: Whose numbering `rows` is.
            rows: The images' numbers.
            image: The images, ``(B, C, H, W)``.
            compute: Turns images into feature maps.

        Shape:
            - output: for each level ``(B, C, h, w)``, or ``(B, C, 1, 1)`` where the means suffice or the
              head has no use for it.
        """
        new = [place for place, row in enumerate(rows) if (split, row) not in self._kept]
        fresh: dict[int, list[Tensor]] = {}
        if new:
            with torch.no_grad():
                maps = self._reduced(compute(image if len(new) == len(rows) else image[new]))
            for number, place in enumerate(new):
                fresh[place] = [feature[number] for feature in maps]
                self._keep((split, rows[place]), fresh[place])
        found = [fresh[place] if place in fresh else self._kept[split, row] for place, row in enumerate(rows)]
        levels = iter(torch.stack(level) for level in zip(*found, strict=True))
        return [
            next(levels) if need else image.new_zeros(len(rows), channels, 1, 1)
            for need, channels in zip(self.needed, self.channels, strict=True)
        ]

    def _reduced(self, maps: Sequence[Tensor]) -> list[Tensor]:
        return [
            feature.mean(dim=(-2, -1), keepdim=True) if need == "mean" else feature
            for need, feature in zip(self.needed, maps, strict=True)
            if need
        ]

    def _keep(self, key: tuple[str, int], levels: Sequence[Tensor]) -> None:
        if key in self._kept:  # a balanced batch may have an image twice
            return
        size = sum(level.nbytes for level in levels)
        if self.bytes + size > self.limit:
            if not self._full:
                self._full = True
                log.info(
                    "features: %d images fill %.2g GB; those of the others are computed in every epoch "
                    "(model.finetuning.memory gives more room)", len(self), self.limit / 1e9,
                )  # fmt: skip
            return
        self._kept[key] = [level.clone() for level in levels]
        self.bytes += size
