"""Images of a split as a dataset, and the order in which they are drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, DistributedSampler

from rn50med.data.pixels import Pixels
from rn50med.data.transforms import Transforms, light, seeded

Batch = dict[str, Tensor]


class EpochSampler(DistributedSampler[Any]):
    """Yields (epoch, image) pairs, so that an image's random draws depend on nothing else.

    Train is shuffled by seed and epoch and filled up so that every rank has as many; val and test are
    dealt out in order and never filled up.

    Args:
        images: Rows of the manifest to draw from.
        seed: Seed of the shuffling.
        shuffle: Whether to shuffle, for train.
        ranks: Number of processes.
        rank: This one.
    """

    def __init__(
        self, images: Sequence[int], seed: int, shuffle: bool, ranks: int = 1, rank: int = 0
    ) -> None:
        super().__init__(images, num_replicas=ranks, rank=rank, shuffle=shuffle, seed=seed)  # type: ignore[arg-type]
        self.images = np.asarray(images, dtype=np.int64)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Yield this rank's share of the epoch that `set_epoch` told."""
        order = self.images
        if self.shuffle:
            order = np.random.default_rng([self.seed, self.epoch]).permutation(order)
            short = -len(order) % self.num_replicas
            order = np.concatenate([order, order[:short]])
        return ((self.epoch, int(image)) for image in order[self.rank :: self.num_replicas])

    def __len__(self) -> int:
        """Return the number of images of this rank."""
        if self.shuffle:
            return (len(self.images) + self.num_replicas - 1) // self.num_replicas
        return len(range(self.rank, len(self.images), self.num_replicas))


class ImageDataset(Dataset[Batch]):
    """Prepared images of a split, transformed as they are asked for.

    Args:
        pixels: All prepared images, ``(N, C, S, S)``.
        targets: As the task encodes them, ``(N,)`` or ``(N, K)``.
        transforms: The pair of pipelines.
        train: Whether to apply the random one.
        seed: Seed of the random draws.
    """

    def __init__(
        self, pixels: Pixels, targets: Tensor, transforms: Transforms, train: bool, seed: int
    ) -> None:
        self.pixels = pixels
        self.targets = targets
        self.pipeline = transforms.train if train else transforms.eval
        self.seed = seed

    def __len__(self) -> int:
        """Return the number of images of all splits: rows of the manifest index them."""
        return len(self.pixels)

    def __getitem__(self, key: tuple[int, int]) -> Batch:
        """Return image, target and index of a row of the manifest in an epoch."""
        return self.__getitems__([key])[0]

    def __getitems__(self, keys: Sequence[tuple[int, int]]) -> list[Batch]:
        """Return the images of a batch; torch's loaders ask for them together."""
        with light():
            return [self._item(epoch, image) for epoch, image in keys]

    def _item(self, epoch: int, image: int) -> Batch:
        tensor = seeded(self.pipeline, self.pixels[image], (self.seed, epoch, image))
        return {"image": tensor, "target": self.targets[image], "index": torch.tensor(image)}
