"""The index of the cache: what was seen of which image, and in which shard its prepared pixels are.

It is an SQLite file, which a process that is killed leaves as it was before its last transaction. Images
are known by hashes alone: the index holds no names, paths or patients.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rn50med.data.cache.shards import Shard

_NAME = "index.sqlite"

_TABLES = """
CREATE TABLE IF NOT EXISTS seen (key BLOB PRIMARY KEY, record TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS shard (
    name TEXT PRIMARY KEY, kind TEXT, rows INTEGER, shape TEXT, changed INTEGER
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS prepared (
    key BLOB PRIMARY KEY, shard TEXT NOT NULL, row INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TEMP TABLE wanted (key BLOB PRIMARY KEY) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Entry:
    """Where the prepared pixels of an image are.

    Args:
        shard: Name of the shard.
        row: In it.
    """

    shard: str
    row: int


class Index:
    """The index, opened.

    Args:
        connection: To its file.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._base = connection

    def seen(self, keys: Sequence[bytes]) -> dict[bytes, str]:
        """Return the records of the images that were seen before.

        Args:
            keys: Of images.
        """
        self._want(keys)
        return dict(self._base.execute("SELECT key, record FROM wanted JOIN seen USING (key)"))

    def prepared(self, keys: Sequence[bytes]) -> dict[bytes, Entry]:
        """Return where prepared pixels are, of those that are there.

        Args:
            keys: Of prepared images.
        """
        self._want(keys)
        found = self._base.execute("SELECT key, shard, row FROM wanted JOIN prepared USING (key)")
        return {key: Entry(shard, row) for key, shard, row in found}

    def _want(self, keys: Iterable[bytes]) -> None:
        self._base.execute("DELETE FROM wanted")
        self._base.executemany("INSERT OR IGNORE INTO wanted VALUES (?)", ((key,) for key in keys))

    def shards(self) -> dict[str, Shard]:
        """Return every shard by its name."""
        rows = self._base.execute("SELECT name, kind, rows, shape, changed FROM shard")
        return {
            name: Shard(name, kind, count, tuple(json.loads(shape)), changed)
            for name, kind, count, shape, changed in rows
        }

    def add(
        self,
        records: Sequence[tuple[bytes, str]],
        shard: Shard | None = None,
        entries: Sequence[tuple[bytes, Entry]] = (),
    ) -> None:
        """Note what was seen, and a finished shard with its images, all or nothing.

        Args:
            records: Keys of images with their records.
            shard: Finished, where there is one.
            entries: Keys of its prepared images.
        """
        with self._transaction():
            self._base.executemany("INSERT OR REPLACE INTO seen VALUES (?, ?)", records)
            if shard is not None:
                row = (shard.name, shard.kind, shard.rows, json.dumps(shard.shape), shard.changed)
                self._base.execute("INSERT OR REPLACE INTO shard VALUES (?, ?, ?, ?, ?)", row)
            rows = ((key, entry.shard, entry.row) for key, entry in entries)
            self._base.executemany("INSERT OR REPLACE INTO prepared VALUES (?, ?, ?)", rows)

    def forget(self, shard: str) -> None:
        """Forget a shard and its images.

        Args:
            shard: Its name.
        """
        with self._transaction():
            self._base.execute("DELETE FROM prepared WHERE shard = ?", (shard,))
            self._base.execute("DELETE FROM shard WHERE name = ?", (shard,))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._base.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._base.execute("ROLLBACK")
            raise
        self._base.execute("COMMIT")


@contextmanager
def open_index(folder: Path) -> Iterator[Index]:
    """Open the index of a cache.

    Args:
        folder: Of the cache.

    Raises:
        sqlite3.DatabaseError: If it is damaged.
    """
    with closing(_connect(folder / _NAME)) as connection:
        yield Index(connection)


def remove_index(folder: Path) -> None:
    """Remove the index; shards that none knows of are swept later.

    Args:
        folder: Of the cache.
    """
    for name in (_NAME, f"{_NAME}-journal"):
        (folder / name).unlink(missing_ok=True)


def _connect(path: Path) -> sqlite3.Connection:
    # no transactions but our own, and a minute's patience where another process writes
    connection = sqlite3.connect(path, timeout=60, isolation_level=None)
    try:
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.executescript(_TABLES)
    except sqlite3.OperationalError:  # locked or full: not damaged
        connection.close()
        raise
    except sqlite3.DatabaseError:
        connection.close()
        raise
    path.chmod(0o600)
    return connection
