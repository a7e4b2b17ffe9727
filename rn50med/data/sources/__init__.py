"""Sources: where images and labels come from. Each kind is one file, found by itself."""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from rn50med.data.readers import Reader
from rn50med.data.sources.base import Found, Place, Source
from rn50med.data.sources.folder import FolderSource
from rn50med.data.sources.listing import IMAGE_SUFFIXES, Listing, has_image_name, list_images
from rn50med.data.sources.phantom import PhantomSource
from rn50med.data.sources.table import TableSource
from rn50med.data.sources.tables import TABLE_SUFFIXES, read_table
from rn50med.errors import DataError, nearest

__all__ = [
    "IMAGE_SUFFIXES", "TABLE_SUFFIXES", "FolderSource", "Found", "Listing", "PhantomSource", "Place",
    "Source", "TableSource", "has_image_name", "kinds", "list_images", "open_source", "read_table",
]  # fmt: skip


def open_source(
    source: str,
    root: str | None = None,
    seed: int = 0,
    *,
    join: str | None = None,
    where: str | None = None,
    reader: Reader = Reader(),  # noqa: B008 - frozen
) -> Source:
    """Return the source that a word or path means.

    Args:
        source: A table, a folder of class folders, an ``.npz`` in MedMNIST's layout, the name of a MedMNIST
            set, or ``phantom``.
        root: Folder of the images, where it is not the table's own.
        seed: Seed of synthetic films.
        join: DICOM keyword, or `file`, by which rows of a table and images below the root are joined.
        where: Condition on columns and DICOM keywords; rows that do not meet it are left out.
        reader: Reads image files.

    Raises:
        DataError: If there is no such source.
    """
    place = Place(source, root, join, where, seed, reader)
    found = next((kind for kind in kinds() if kind.opens(place)), None)
    if found is None:
        raise _no_source(source)
    if join is not None and not found.joins:
        raise DataError(
            f"{source}: data.join has no use here; it joins a table of labels to the images below a root."
        )
    return found(place)


def kinds() -> list[type[Source]]:
    """Return every kind of source: those of plug-ins first, so that they can take a place for their own."""
    for module in pkgutil.iter_modules(__path__):
        import_module(f"{__name__}.{module.name}")
    found = [kind for kind in _below(Source) if not inspect.isabstract(kind)]  # type: ignore[type-abstract]
    return sorted(found, key=lambda kind: (kind.__module__.startswith(f"{__name__}."), kind.__module__))


def _below(base: type[Source]) -> Iterator[type[Source]]:
    for kind in base.__subclasses__():
        yield kind
        yield from _below(kind)


def _no_source(source: str) -> DataError:
    """Return what to say of a source that nothing opens."""
    path = Path(source)
    *others, last = sorted(kind.about for kind in kinds())
    about = f"{', '.join(others)}, or {last}"
    if path.is_file():
        return DataError(f"{source}: is no table or other source; give {about}.")
    beside = path.parent.glob("*") if path.parent.is_dir() else ()
    by_name = {found.name: str(found) for found in beside}
    words = {word: word for kind in kinds() for word in kind.words()}
    guess = nearest(path.name, [*by_name, *words])
    hint = f"did you mean {(by_name | words)[guess]!r}? " if guess else ""
    return DataError(f"{source}: no such table or folder; {hint}give {about}.")
