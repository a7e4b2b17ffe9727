"""Small things that the checks share: groups of equal keys, rows of the source, and plurals."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

from rn50med.data.manifest import ROW, Manifest
from rn50med.errors import listed

Key = TypeVar("Key")

MOST_DETAILS = 100
"""Sentences that name images, for the console: more is not read."""


class Hashed(Protocol):
    """What the checks of copies need to know of an image; `rn50med.data.seen.Seen` does."""

    @property
    def content(self) -> str:
        """SHA-256 of its bytes."""

    @property
    def pixels(self) -> str:
        """SHA-256 of its values."""


def groups(keys: Iterable[Key | None]) -> dict[Key, list[int]]:
    """Return the positions of each key, None left out.

    Args:
        keys: One for each image.

    Example:
        >>> groups(["a", "b", None, "a"])
        {'a': [0, 3], 'b': [1]}
    """
    found: dict[Key, list[int]] = defaultdict(list)
    for position, key in enumerate(keys):
        if key is not None:
            found[key].append(position)
    return dict(found)


def studies(manifest: Manifest) -> list[str | None]:
    """Return the study of each image, None where there is none or where it means nothing by itself.

    Where studies are numbered anew for each patient (``study1`` of many), a study is no more than its
    patient says already.

    Args:
        manifest: The images.
    """
    if "study" not in manifest.table:
        return [None] * len(manifest)
    names = [name or None for name in manifest.column("study")]
    patients = manifest.column("patient")
    members = groups(names).values()
    shared = sum(len(rows) for rows in members if len({patients[row] for row in rows}) > 1)
    numbered = shared > sum(map(len, members)) / 2
    return [None] * len(names) if numbered else list(names)


def study_keys(manifest: Manifest) -> list[str]:
    """Return text that images of one study have in common, and no others.

    For `rn50med.data.splits.connected_groups`: an image without a study has a text of its own.

    Args:
        manifest: The images.
    """
    named = studies(manifest)
    return [f"study {name}" if name else f"image {i}" for i, name in enumerate(named)]


def lines_of(manifest: Manifest, positions: Iterable[int]) -> tuple[int, ...]:
    """Return the lines of the source that hold these images, in order.

    Args:
        manifest: The images.
        positions: Of images in the manifest.
    """
    chosen = list(positions)
    lines = manifest.table[ROW].to_numpy()
    return tuple(sorted({int(lines[position]) for position in chosen}))


def names_of(manifest: Manifest, positions: Sequence[int], most: int = 4) -> str:
    """Return the names of the first images, for details alone.

    Args:
        manifest: The images.
        positions: Of images in the manifest.
        most: How many to name.
    """
    names = manifest.table["image"].to_numpy()
    return listed((names[position] for position in positions), most)


def many(number: int, what: str, plural: str | None = None) -> str:
    """Return a number with its noun.

    Args:
        number: How many.
        what: The noun.
        plural: Its plural where that is not an added s.

    Example:
        >>> many(1, "image"), many(1200, "image"), many(2, "study", "studies")
        ('1 image', '1200 images', '2 studies')
    """
    return f"{number} {what if number == 1 else plural or what + 's'}"


def shares(counts: dict[str, int]) -> str:
    """Return counts by name, most first.

    Args:
        counts: Of each name.

    Example:
        >>> shares({"PA": 1, "AP": 30})
        '30 AP, 1 PA'
    """
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return listed((f"{number} {name}" for name, number in ordered), 12)
