"""Images of a split as a dataset, and the order in which they are drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, DistributedSampler

from rn50med.data.balancing import Rows, balanced_order, turns
from rn50med.data.cache import PreparedImages
from rn50med.data.transforms import Transforms, light, seeded
from rn50med.errors import DataError, RecipeError, Rn50MedError

Batch = dict[str, Tensor]


class EpochSampler(DistributedSampler[Any]):
    """Yields (epoch, image) pairs, so that an image's random draws depend on nothing else.

    Train is shuffled by seed and epoch and filled up so that every rank has as many; val and test are
    dealt out in order and never filled up.

    Where there are groups, train draws each of them equally often instead, as many images as before: rare
    classes several times an epoch, frequent ones not all. Which time it is is yielded too, so that an image
    that comes again is transformed otherwise.

    Args:
        images: Rows of the manifest to draw from.
        seed: Seed of the shuffling.
        shuffle: Whether to shuffle, for train.
        ranks: Number of processes.
        rank: This one.
        groups: Of images to draw equally often, as `class_groups` returns them; with `shuffle` only.
    """

    def __init__(
        self,
        images: Sequence[int],
        seed: int,
        shuffle: bool,
        ranks: int = 1,
        rank: int = 0,
        groups: Sequence[Rows] | None = None,
    ) -> None:
        super().__init__(images, num_replicas=ranks, rank=rank, shuffle=shuffle, seed=seed)  # type: ignore[arg-type]
        self.images = np.asarray(images, dtype=np.int64)
        self.groups = groups if shuffle else None

    def __iter__(self) -> Iterator[tuple[int, ...]]:
        """Yield this rank's share of the epoch that `set_epoch` told."""
        if self.groups is not None:
            return self._balanced(self.groups)
        order = self.images
        if self.shuffle:
            order = np.random.default_rng([self.seed, self.epoch]).permutation(order)
            short = -len(order) % self.num_replicas
            order = np.concatenate([order, order[:short]])
        return ((self.epoch, int(image)) for image in order[self.rank :: self.num_replicas])

    def _balanced(self, groups: Sequence[Rows]) -> Iterator[tuple[int, int, int]]:
        random = np.random.default_rng([self.seed, self.epoch])
        order = balanced_order(groups, len(self) * self.num_replicas, random)
        drawn = np.stack([order, turns(order)], axis=1)[self.rank :: self.num_replicas]
        return ((self.epoch, image, turn) for image, turn in drawn.tolist())

    def __len__(self) -> int:
        """Return the number of images of this rank."""
        if self.shuffle:
            return (len(self.images) + self.num_replicas - 1) // self.num_replicas
        return len(range(self.rank, len(self.images), self.num_replicas))


class ImageDataset(Dataset[Batch]):
    """Prepared images of all splits, transformed as they are asked for.

    Args:
        images: Prepared.
        names: Of the images, for messages.
        targets: As the task encodes them, ``(N,)`` or ``(N, K)``.
        transforms: The pair of pipelines.
        train: Whether to apply the random one.
        seed: Seed of the random draws.
    """

    def __init__(
        self,
        images: PreparedImages,
        names: Sequence[str],
        targets: Tensor,
        transforms: Transforms,
        train: bool,
        seed: int,
    ) -> None:
        self.images = images
        self.names = names
        self.targets = targets
        self.pipeline = transforms.train if train else transforms.eval
        self.seed = seed
        # scaling alone does not ask how many images there are; a pipeline of somebody's own may
        random = train and transforms.is_random
        self.together = not random and type(transforms).eval is Transforms.eval

    def __len__(self) -> int:
        """Return the number of images of all splits: rows of the manifest index them."""
        return len(self.images)

    def __getitem__(self, key: tuple[int, ...]) -> Batch:
        """Return image, target and index of a row of the manifest in an epoch."""
        return {name: values[0] for name, values in self.__getitems__([key]).items()}

    def __getitems__(self, keys: Sequence[tuple[int, ...]]) -> Batch:
        """Return the images of a batch, collated; torch's loaders ask for them together.

        Args:
            keys: Epoch and row of each, and which time it is where it comes more than once.
        """
        if not isinstance(keys[0], tuple):
            raise RecipeError(
                "data: the sampler was replaced by one that does not say which epoch it is, as "
                "trainer.overfit_batches does; use trainer.limit_train_batches."
            )
        rows = [row for _, row, *_ in keys]
        with light():
            if self.together:
                image = self._transformed(rows[0], lambda: self.pipeline(self.images.gather(rows)))
            else:
                image = torch.stack([self._item(key) for key in keys])
        index = torch.tensor(rows)
        return {"image": image, "target": self.targets[index], "index": index}

    def _item(self, key: tuple[int, ...]) -> Tensor:
        row = key[1]
        return self._transformed(row, lambda: seeded(self.pipeline, self.images.one(row), (self.seed, *key)))

    def _transformed(self, row: int, transform: Callable[[], Any]) -> Tensor:
        """Apply a transform; one that fails stops, with the name of the image."""
        try:
            return cast(Tensor, transform())
        except Rn50MedError:
            raise
        except Exception as error:  # whatever somebody's transform raises
            cause: BaseException = error
            while cause.__cause__ is not None:  # MONAI wraps every error in one of its own
                cause = cause.__cause__
            raise DataError(
                f"{self.names[row]}: its transform failed ({type(cause).__name__}: {cause}); "
                "mend the transform."
            ) from error


def as_it_is(batch: Batch) -> Batch:
    """Return a batch that the dataset has collated already; for a DataLoader's ``collate_fn``.

    Args:
        batch: Of `ImageDataset`.
    """
    return batch


def poor_batch(images: int, batch_size: int) -> int:
    """Return how many images the last batch of an epoch has where that is too few for batch norm, else 0.

    One batch alone is never left out, since nothing would be trained on.

    Args:
        images: Of the epoch.
        batch_size: Of the others.

    Example:
        >>> poor_batch(25, 8), poor_batch(26, 8), poor_batch(24, 8), poor_batch(5, 8)
        (1, 0, 0, 0)
    """
    rest = images % batch_size
    return rest if images > batch_size and rest < max(2, batch_size // 4) else 0
