"""Looks at every image once and prepares it once; what is known already is taken from the cache."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from rn50med.data.cache.index import Entry, Index, open_index, remove_index
from rn50med.data.cache.place import cannot_write, make_place
from rn50med.data.cache.records import as_record, from_record
from rn50med.data.cache.shards import Shard, ShardWriter
from rn50med.data.cache.stored import FreshImages, MappedImages
from rn50med.data.cache.work import Outcome, Progress, Work, read_all
from rn50med.data.pixels import Pixels
from rn50med.data.readers import Facts, ImageFault
from rn50med.data.seen import Seen
from rn50med.errors import StorageError

log = logging.getLogger(__name__)


def read_images(work: Work, folder: Path | None, progress: Progress) -> Outcome:
    """Look at every image, and prepare it.

    Args:
        work: Images, and what is to be made of them.
        folder: Of the cache; None to do without.
        progress: Told of images that are done.

    Raises:
        StorageError: If the cache cannot be written.
    """
    if folder is None:
        return _without_cache(work, progress)
    make_place(folder)
    try:
        try:
            return _with_cache(work, folder, progress)
        except sqlite3.OperationalError:  # locked, or the disk is full
            raise
        except sqlite3.DatabaseError:
            log.warning("cache: its index is damaged, and begun anew")
            remove_index(folder)
            return _with_cache(work, folder, progress)
    except StorageError:
        raise
    except (OSError, sqlite3.Error) as error:
        raise cannot_write(folder, error) from error


def _with_cache(work: Work, folder: Path, progress: Progress) -> Outcome:
    with open_index(folder) as index:
        return _Session(work, folder, index, progress).run()


def _without_cache(work: Work, progress: Progress) -> Outcome:
    seen = []
    for outcome, _ in read_all(work, range(len(work.names))):
        seen.append(outcome)
        progress(1)
    good = [name for name, outcome in zip(work.names, seen, strict=True) if isinstance(outcome, Seen)]
    return Outcome(tuple(seen), FreshImages(work.images, good, work.prepare), 0)


class _Session:
    """One pass over the images of a manifest, with the cache.

    Args:
        work: Images, and what is to be made of them.
        folder: Of the cache.
        index: Of the cache, open.
        progress: Told of images that are done.
    """

    def __init__(self, work: Work, folder: Path, index: Index, progress: Progress) -> None:
        self.work = work
        self.folder = folder
        self.index = index
        self.progress = progress
        self.keys = work.keys()
        self.seen: dict[int, Seen | ImageFault] = {}
        self.places: dict[int, Entry] = {}

    def run(self) -> Outcome:
        """Look up, read what is missing, and return everything."""
        missing = self._look_up()
        known = len(self.keys) - len(missing)
        if missing:
            with _alone(self.folder):
                self._sweep()
                missing = self._look_up()  # another process may have done it meanwhile
                self.progress(len(self.keys) - len(missing))
                self._build(missing)
        else:
            self.progress(known)
        seen = tuple(self.seen[row] for row in range(len(self.keys)))
        return Outcome(seen, self._mapped(), known)

    def _look_up(self) -> list[int]:
        """Take what the index knows, and return the rows that it does not know."""
        records = self.index.seen([key for key in self.keys if key is not None])
        shared: dict[Facts, Facts] = {}
        seen = {key: from_record(text, shared) for key, text in records.items()}
        known = {row: seen[key] for row, key in enumerate(self.keys) if key in seen}
        wanted = {row: self.work.prepared_key(one) for row, one in known.items()}
        entries = self.index.prepared(list(wanted.values()))
        whole = {name for name, shard in self.index.shards().items() if shard.whole(self.folder)}
        self.places = {r: entries[k] for r, k in wanted.items() if k in entries and entries[k].shard in whole}
        self.seen = {row: known[row] for row in self.places}
        return [row for row in range(len(self.keys)) if row not in self.places]

    def _sweep(self) -> None:
        """Remove what a killed process left, and forget what is no longer whole."""
        shards = self.index.shards()
        for name in [name for name, shard in shards.items() if not shard.whole(self.folder)]:
            self.index.forget(name)
            del shards[name]
        for path in [*self.folder.glob("*.shard.tmp"), *self.folder.glob("*.shard")]:
            if path.name not in shards:
                path.unlink(missing_ok=True)

    def _build(self, missing: Sequence[int]) -> None:
        writing = _Writing(self.folder, self.index)
        try:
            for row, (seen, pixels) in zip(missing, read_all(self.work, missing), strict=True):
                self.seen[row] = seen
                if isinstance(seen, Seen) and pixels is not None:
                    self.places[row] = writing.add(self.keys[row], seen, self.work.prepared_key(seen), pixels)
                self.progress(1)
            writing.finish()
        finally:
            writing.abandon()

    def _mapped(self) -> MappedImages:
        shards = self.index.shards()
        names = sorted({entry.shard for entry in self.places.values()})
        number = {name: position for position, name in enumerate(names)}
        places = [self.places[row] for row in sorted(self.places)]
        shard_of = np.array([number[place.shard] for place in places], dtype=np.int32)
        row_of = np.array([place.row for place in places], dtype=np.int32)
        return MappedImages(self.folder, [shards[name] for name in names], shard_of, row_of)


class _Writing:
    """Shards in the making, one per type of pixel, with what goes into the index together with them."""

    def __init__(self, folder: Path, index: Index) -> None:
        self.folder = folder
        self.index = index
        self.writers: dict[str, ShardWriter] = {}
        self.records: dict[str, list[tuple[bytes, str]]] = {}
        self.entries: dict[str, dict[bytes, Entry]] = {}

    def add(self, key: bytes | None, seen: Seen, prepared_key: bytes, pixels: Pixels) -> Entry:
        """Write one image; of two of the same bytes the first."""
        kind = f"{pixels.dtype.name} {pixels.shape}"
        if kind in self.writers and self.writers[kind].full:
            self._close(kind)
        if kind not in self.writers:
            self.writers[kind] = ShardWriter(self.folder, pixels)
            self.records[kind], self.entries[kind] = [], {}
        if key is not None:
            self.records[kind].append((key, as_record(seen)))
        writer, entries = self.writers[kind], self.entries[kind]
        if prepared_key not in entries:
            entries[prepared_key] = Entry(writer.name, writer.add(pixels))
        return entries[prepared_key]

    def finish(self) -> None:
        """Finish what is open."""
        for kind in list(self.writers):
            self._close(kind)

    def _close(self, kind: str) -> None:
        shard: Shard = self.writers[kind].finish()
        del self.writers[kind]
        self.index.add(self.records.pop(kind), shard, list(self.entries.pop(kind).items()))

    def abandon(self) -> None:
        """Remove what is not finished."""
        for writer in self.writers.values():
            writer.abandon()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let one process at a time write; the system lets go of the lock of one that is killed."""
    lock = FileLock(folder / "lock", mode=0o600)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.info("data: another process is preparing images; waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
