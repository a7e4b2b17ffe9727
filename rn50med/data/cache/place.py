"""Where the cache lies, how large it is, and how it is cleared."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from rn50med.errors import StorageError

CACHE_VARIABLE = "RN50MED_CACHE"
"""Names another place than the default."""

DEFAULT = Path("runs", ".cache")
_TAG = "Signature: 8a477f597d28d172789f06886806bc55\n# Made by rn50med; see https://bford.info/cachedir/\n"
_OWN = ("index.sqlite", "index.sqlite-journal", "lock", "CACHEDIR.TAG")


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
    tag = folder / "CACHEDIR.TAG"
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
    """
    freed = occupied(folder)
    for path in _files(folder):
        path.unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        shutil.rmtree(folder)
    return freed


def _files(folder: Path) -> list[Path]:
    if not (folder / "CACHEDIR.TAG").is_file():
        return []  # not ours
    ours = [folder / name for name in _OWN] + [*folder.glob("*.shard"), *folder.glob("*.shard.tmp")]
    return [path for path in ours if path.is_file()]
