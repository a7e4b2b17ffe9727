"""Prepared images, wherever they are: mapped from the cache, or read again each time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rn50med.data.cache.shards import Shard
from rn50med.data.images import Images
from rn50med.data.pixels import Pixels
from rn50med.data.readers import Image, ImageFault
from rn50med.errors import DataError, StorageError

MOST_OPEN = 100
"""Shards that are mapped at once: some systems let a process open 256 files."""

Prepare = Callable[[Image], Pixels]
"""The deterministic part of the transforms: an image to integers, ``(C, S, S)``."""


class PreparedImages(ABC):
    """The images of a manifest after the deterministic part of the transforms, by row."""

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of images."""

    @abstractmethod
    def one(self, row: int) -> Pixels:
        """Return one image, ``(C, S, S)``, ``uint8`` or ``uint16``, not to be written to."""

    @abstractmethod
    def take(self, rows: Sequence[int]) -> PreparedImages:
        """Return some of the images, in a new order of rows.

        Args:
            rows: Of the manifest.
        """

    def gather(self, rows: Sequence[int] | NDArray[np.int64]) -> Pixels:
        """Return images as one new array, ``(B, C, S, S)``.

        Where some have 8 bits and some 16, all get 16, 255 becoming 65535.

        Args:
            rows: Of the manifest.
        """
        images = [self.one(int(row)) for row in rows]
        if len({image.dtype for image in images}) > 1:
            images = [i.astype(np.uint16) * np.uint16(257) if i.dtype == np.uint8 else i for i in images]
        return np.stack(images)


class MappedImages(PreparedImages):
    """Images in the shards of a cache; each process maps a shard when it first needs it.

    Args:
        folder: Of the cache.
        shards: That hold the images.
        shard_of: Position in ``shards`` for each row.
        row_of: Row in that shard for each row.
    """

    def __init__(
        self, folder: Path, shards: Sequence[Shard], shard_of: NDArray[np.int32], row_of: NDArray[np.int32]
    ) -> None:
        self.folder = folder.absolute()
        self.shards = tuple(shards)
        self.shard_of = shard_of
        self.row_of = row_of
        self._maps: dict[int, Pixels] = {}

    def __getstate__(self) -> dict[str, object]:
        """Leave the maps behind: another process has its own."""
        return {**self.__dict__, "_maps": {}}

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.shard_of)

    def take(self, rows: Sequence[int]) -> MappedImages:
        """Return some of the images, in the same shards."""
        kept = np.asarray(rows, dtype=np.int64)
        return MappedImages(self.folder, self.shards, self.shard_of[kept], self.row_of[kept])

    def one(self, row: int) -> Pixels:
        """Return a view of the mapped file."""
        image: Pixels = self._map(int(self.shard_of[row]))[self.row_of[row]]
        return image

    def _map(self, number: int) -> Pixels:
        """Return a shard, mapped; of the many of a large set a hundred stay open, for each is a file."""
        if number not in self._maps:
            try:
                opened = self.shards[number].open(self.folder)
            except (OSError, ValueError) as error:  # the second of a file that was cut off
                raise StorageError(
                    f"{self.folder}: the cache was changed while it was in use ({error}); start again."
                ) from error
            if len(self._maps) >= MOST_OPEN:
                del self._maps[next(iter(self._maps))]
            self._maps[number] = opened
        return self._maps[number]


class FreshImages(PreparedImages):
    """Images that are read again each time, where there is no cache.

    Args:
        images: Of the source.
        names: Of each row.
        prepare: The deterministic part of the transforms.
    """

    def __init__(self, images: Images, names: Sequence[str], prepare: Prepare) -> None:
        self.images = images
        self.names = tuple(names)
        self.prepare = prepare

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.names)

    def take(self, rows: Sequence[int]) -> FreshImages:
        """Return some of the images."""
        return FreshImages(self.images, [self.names[row] for row in rows], self.prepare)

    def one(self, row: int) -> Pixels:
        """Read and prepare an image.

        Raises:
            DataError: If that does not go any more.
        """
        try:
            return prepared(self.images.read(self.names[row]).image, self.prepare)
        except ImageFault as fault:
            raise DataError(f"{self.names[row]} {fault}") from fault


def prepared(image: Image, prepare: Prepare) -> Pixels:
    """Apply the deterministic part of the transforms.

    Args:
        image: As it was read.
        prepare: The pipeline.

    Raises:
        ImageFault: If it fails, or does not give integers; the message does not name the image.
    """
    try:
        pixels = np.asarray(prepare(image))
    except Exception as error:  # a pipeline of anybody's, in which MONAI wraps every error in one of its own
        cause = error
        while cause.__cause__ is not None and not isinstance(cause, DataError):
            cause = cause.__cause__  # type: ignore[assignment]
        if isinstance(cause, DataError):
            raise ImageFault(str(cause), getattr(cause, "code", "transform")) from error
        raise ImageFault(f"cannot be prepared ({type(cause).__name__}: {cause})", "transform") from error
    if pixels.dtype not in (np.uint8, np.uint16) or pixels.ndim != 3:
        raise ImageFault(
            f"is prepared as {pixels.dtype} of shape {pixels.shape}; the transforms have to give uint8 or "
            "uint16, (C, S, S)",
            "transform",
        )
    return pixels
