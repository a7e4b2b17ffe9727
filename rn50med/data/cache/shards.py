"""Shards: files of prepared images of one shape and type, written once and mapped into memory."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from rn50med.data.pixels import Pixels

SHARD_BYTES = 128 << 20
"""A shard is closed once it is as large: what a kill can cost, against the number of open files."""

_TYPES: Mapping[str, type] = {"uint8": np.uint8, "uint16": np.uint16}


@dataclass(frozen=True)
class Shard:
    """A finished shard.

    Args:
        name: Of its file.
        kind: ``uint8`` or ``uint16``.
        rows: Number of images.
        shape: Of one image, ``(C, S, S)``.
        changed: Time of its last change, in nanoseconds, as the index knows it.
    """

    name: str
    kind: str
    rows: int
    shape: tuple[int, int, int]
    changed: int

    @property
    def image_bytes(self) -> int:
        """Bytes of one image."""
        return int(np.prod(self.shape)) * np.dtype(self.kind).itemsize

    def whole(self, folder: Path) -> bool:
        """Return whether the file is there, as long as it should be, and as it was left.

        Args:
            folder: Of the cache.
        """
        try:
            found = (folder / self.name).stat()
        except OSError:
            return False
        return found.st_size == self.rows * self.image_bytes and found.st_mtime_ns == self.changed

    def open(self, folder: Path) -> Pixels:
        """Map the shard into memory, ``(rows, C, S, S)``, to be read only.

        Args:
            folder: Of the cache.
        """
        return np.memmap(folder / self.name, _TYPES[self.kind], mode="r", shape=(self.rows, *self.shape))


class ShardWriter:
    """Writes one shard beside its later name; until `finish` nobody else sees it.

    Bytes go through ordinary writes: a full disk is then an error that can be told, where a write to mapped
    memory would kill the process.

    Args:
        folder: Of the cache.
        first: The first image, of which the others have shape and type.
    """

    def __init__(self, folder: Path, first: Pixels) -> None:
        self.folder = folder
        self.kind = first.dtype.name
        self.shape: tuple[int, int, int] = (first.shape[0], first.shape[1], first.shape[2])
        self.name = f"{uuid.uuid4().hex}.shard"
        self.rows = 0
        self._file: IO[bytes] = self._partial.open("xb")

    @property
    def _partial(self) -> Path:
        return self.folder / f"{self.name}.tmp"

    @property
    def full(self) -> bool:
        """Whether the shard is to be finished."""
        return self._file.tell() >= SHARD_BYTES

    def add(self, pixels: Pixels) -> int:
        """Write one image and return its row.

        Args:
            pixels: ``(C, S, S)``.
        """
        self._file.write(np.ascontiguousarray(pixels).tobytes())
        self.rows += 1
        return self.rows - 1

    def finish(self) -> Shard:
        """Bring the shard to the disk, and give it its name."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        path = self.folder / self.name
        self._partial.replace(path)
        return Shard(self.name, self.kind, self.rows, self.shape, path.stat().st_mtime_ns)

    def abandon(self) -> None:
        """Remove what was written."""
        with suppress(OSError):  # a full disk: what is buffered cannot be written, and is not wanted
            self._file.close()
        self._partial.unlink(missing_ok=True)
