"""Where the cache lies, how large it is, and how it is cleared."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from filelock import FileLock, Timeout

from rn50med.errors import StorageError

CACHE_VARIABLE = "RN50MED_CACHE"
"""Names another place than the default."""

DEFAULT = Path("runs", ".cache")
_TAG = "Signature: 8a477f597d28d172789f06886806bc55\n# Made by rn50med; see https://bford.info/cachedir/\n"
_TAG_NAME = "CACHEDIR.TAG"
_LOCK = "lock"
_OWN = ("index.sqlite", "index.sqlite-journal", _LOCK, _TAG_NAME)


def cache_place(option: str | None) -> Path | None:
    """Return the folder of the cache, or None where there is to be none.

    Args:
        option: A folder, ``none``, or None for the place that ``RN50MED_CACHE`` names, else ``runs/.cache``.
    """
    chosen = option or os.environ.get(CACHE_VARIABLE) or str(DEFAULT)
    return None if chosen == "none" else Path(chosen)


def make_place(folder: Path) -> None:
    """Make the folder, for its owner alone, and mark it as a cache that backups may leave out.

    Args:
        folder: Of the cache.

    Raises:
        StorageError: If it cannot be made, or holds something else.
    """
    tag = folder / _TAG_NAME
    try:
        if folder.is_dir() and any(folder.iterdir()) and not tag.exists():
            raise StorageError(
                f"{folder}: holds something else than a cache; name another folder with --data.cache."
            )
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.chmod(0o700)  # made by `mkdir -p`, it has the mode of the mask
        tag.write_text(_TAG, encoding="utf-8")
    except OSError as error:
        if isinstance(error, StorageError):
            raise
        raise cannot_write(folder, error) from error


def cannot_write(folder: Path, error: Exception) -> StorageError:
    """Return the error of a cache that cannot be written.

    Args:
        folder: Of the cache.
        error: What the system said.
    """
    reason = getattr(error, "strerror", None) or error
    return StorageError(
        f"{folder}: the cache cannot be written ({reason}); make room (`rn50med doctor --clear-cache`), "
        "name another place with --data.cache DIR, or go without it with --data.cache none."
    )


def occupied(folder: Path) -> int:
    """Return the bytes that the cache takes.

    Args:
        folder: Of the cache.
    """
    return sum(path.stat().st_size for path in _files(folder))


def clear(folder: Path) -> int:
    """Remove the cache, and nothing but the cache; return the bytes that are free again.

    Args:
        folder: Of the cache.

    Raises:
        StorageError: If a run is using it.
    """
    if not (folder / _TAG_NAME).is_file():
        return 0
    freed = occupied(folder)
    try:
        with FileLock(folder / _LOCK, timeout=0):
            for path in _files(folder):
                if path.name != _LOCK:  # who waits for it has it open
                    path.unlink(missing_ok=True)
    except Timeout:
        raise StorageError(
            f"{folder}: a run is preparing images there; clear it once that is done."
        ) from None
    except OSError as error:  # Windows removes no file that is mapped
        raise StorageError(
            f"{folder}: is in use ({error.strerror}); clear it once no run needs it."
        ) from error
    if {path.name for path in folder.iterdir()} <= {_LOCK}:
        shutil.rmtree(folder)
    return freed


def _files(folder: Path) -> list[Path]:
    if not (folder / _TAG_NAME).is_file():
        return []  # not ours
    ours = [folder / name for name in _OWN] + [*folder.glob("*.shard"), *folder.glob("*.shard.tmp")]
    return [path for path in ours if path.is_file()]
