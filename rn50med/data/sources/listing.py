"""The image files below a folder, without what operating systems leave there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rn50med.data.manifest import Step
from rn50med.data.sources.headers import starts_like_dicom

IMAGE_SUFFIXES = frozenset({
    ".png", ".jpg", ".jpeg", ".jpe", ".tif", ".tiff", ".bmp", ".webp", ".dcm", ".dicom", ".npy", ".nii",
})  # fmt: skip
"""How the name of an image may end, in lower case; ``.nii.gz`` besides, and DICOM files by any name."""

_LEFT_BEHIND = frozenset({"__macosx", "thumbs.db", "desktop.ini", "dicomdir"})


@dataclass(frozen=True)
class Listing:
    """What lies below a folder.

    Args:
        names: Images, relative to the folder, sorted, with ``/`` between folders.
        others: Files that are no images.
    """

    names: tuple[str, ...]
    others: int

    @property
    def flow(self) -> tuple[Step, ...]:
        """The other files as a step of the flow diagram, where there are any."""
        return (Step("files that are no images", self.others),) if self.others else ()


def list_images(folder: Path) -> Listing:
    """List the images below a folder; hidden files and those of operating systems do not count.

    A file whose name does not say that it is an image is one if it starts as DICOM files do.

    Args:
        folder: Where to look, in all folders below it too.
    """
    names: list[str] = []
    others = 0
    for path in _files(folder):
        if has_image_name(path.name) or starts_like_dicom(path):
            names.append(path.relative_to(folder).as_posix())
        else:
            others += 1
    return Listing(tuple(sorted(names)), others)


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder; links to folders are followed, each folder once."""
    seen: set[tuple[int, int]] = set()
    for where, folders, files in os.walk(folder, followlinks=True):
        found = os.stat(where)
        if (found.st_dev, found.st_ino) in seen:  # a link to a folder above itself
            folders.clear()
            continue
        seen.add((found.st_dev, found.st_ino))
        folders[:] = sorted(name for name in folders if not _is_left_behind(name))
        yield from (Path(where, name) for name in files if not _is_left_behind(name))


def has_image_name(name: str) -> bool:
    """Return whether a file is an image by its name.

    Args:
        name: Its name, with or without folders.

    Example:
        >>> has_image_name("a/1.PNG"), has_image_name("brain.nii.gz"), has_image_name("labels.csv")
        (True, True, False)
    """
    lower = name.casefold()
    return lower.endswith(".nii.gz") or os.path.splitext(lower)[1] in IMAGE_SUFFIXES


def _is_left_behind(name: str) -> bool:
    return name.startswith(".") or name.casefold() in _LEFT_BEHIND
