"""The image files below a folder, without what operating systems leave there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from rn50med.data.manifest import Step
from rn50med.data.readers.nifti import GZIP
from rn50med.data.readers.reader import FAMILIES
from rn50med.data.sources.headers import first_bytes
from rn50med.errors import DataError

IMAGE_SUFFIXES = frozenset({
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".dcm", ".dicom",
    ".npy", ".nii",
})  # fmt: skip
"""How the name of an image may end, in lower case; ``.nii.gz`` besides, and any name by its first bytes."""

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

    A file whose name does not say that it is an image is one if its first bytes are those of a format that
    is read; of what is packed by gzip they do not tell what it is.

    Args:
        folder: Where to look, in all folders below it too.

    Raises:
        DataError: If a folder cannot be listed, or the name of a file could not be written into a table.
    """
    names: list[str] = []
    others = 0
    for path in _files(folder):
        if not _is_text(path.name):
            raise DataError(
                f"{folder}: the name of a file, {path.name!a}, is no text in UTF-8, as of an old system; "
                "rename it."
            )
        if has_image_name(path.name) or _starts_like_image(path):
            names.append(path.relative_to(folder).as_posix())
        else:
            others += 1
    return Listing(tuple(sorted(names)), others)


def _starts_like_image(path: Path) -> bool:
    head = first_bytes(path)
    return not head.startswith(GZIP) and any(family.reads(head) for family in FAMILIES)


def _is_text(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder; links to folders are followed, each folder once."""
    seen: set[tuple[int, int]] = set()
    for where, folders, files in os.walk(folder, onerror=_refuse_folder, followlinks=True):
        found = os.stat(where)
        if (found.st_dev, found.st_ino) in seen:  # a link to a folder above itself
            folders.clear()
            continue
        seen.add((found.st_dev, found.st_ino))
        folders[:] = sorted(name for name in folders if not _is_left_behind(name))
        yield from (Path(where, name) for name in files if not _is_left_behind(name))


def _refuse_folder(error: OSError) -> NoReturn:
    raise DataError(
        f"{error.filename}: the folder cannot be listed ({error.strerror}); check its name and access rights."
    ) from error


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
