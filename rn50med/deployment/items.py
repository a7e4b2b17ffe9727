"""Images to predict: what files, folders and tables stand for, and which of them make a case."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from rn50med.data.manifest import ROW, find_columns
from rn50med.data.manifest import Columns as ColumnNames
from rn50med.data.readers import dicom
from rn50med.data.sources import TABLE_SUFFIXES, list_images, read_table
from rn50med.data.sources.headers import first_bytes, read_headers
from rn50med.data.sources.table import image_paths
from rn50med.errors import DataError
from rn50med.evaluation.cases import Membership, grouped
from rn50med.training.module import FineTuneModule

log = logging.getLogger(__name__)

_PATIENT, _STUDY = "PatientID", "StudyInstanceUID"


@dataclass(frozen=True)
class Item:
    """An image to predict.

    Args:
        name: As the table of predictions calls it.
        path: Its file.
        patient: Where a table says so, or the header of a DICOM file that no table names; else empty.
        study: Likewise.
    """

    name: str
    path: Path
    patient: str = ""
    study: str = ""


@dataclass(frozen=True)
class Tables:
    """How tables of images to predict are read.

    Args:
        root: Folder that image paths are relative to; the table's own where it is None.
        columns: Names of the columns.
    """

    root: str | Path | None = None
    columns: ColumnNames = field(default_factory=ColumnNames)


def find_images(places: Sequence[str | Path], tables: Tables | None = None) -> list[Item]:
    """List the images that files, folders and tables stand for.

    A table says whose its images are, or nobody does. Of files and folders, the headers of DICOM files do.

    Args:
        places: Image files; folders, with all images below them; tables with an image column.
        tables: How tables are read.

    Raises:
        DataError: If a place is not there, or holds no images.
    """
    known = Tables() if tables is None else tables
    listed = [(_is_table(path), path) for path in map(Path, places)]
    found = [
        (table, item)
        for table, path in listed
        for item in (_of_table(path, known) if table else _of_files(path))
    ]
    if not found:
        raise DataError("predict: no images were given; name files, folders or a table after --images.")
    owned = iter(_owned([item for table, item in found if not table]))
    return [item if table else next(owned) for table, item in found]


def _is_table(place: Path) -> bool:
    return place.suffix.lower() in TABLE_SUFFIXES and place.is_file()


def _of_files(place: Path) -> list[Item]:
    if place.is_dir():
        names = list_images(place).names
        if not names:
            raise DataError(f"{place}: holds no images; give another folder.")
        return [Item((place / name).as_posix(), place / name) for name in names]
    if not place.is_file():
        raise DataError(f"{place}: there is no such file or folder; mend the path after --images.")
    return [Item(place.as_posix(), place)]


def _owned(items: Sequence[Item]) -> list[Item]:
    """Return items with patient and study, where the header of a DICOM file says them."""
    of_dicom = [item for item in items if dicom.reads(first_bytes(item.path))]
    headers = read_headers([item.path for item in of_dicom], (_PATIENT, _STUDY)) if of_dicom else []
    said = {
        item: replace(item, patient=header.said.get(_PATIENT, ""), study=header.said.get(_STUDY, ""))
        for item, header in zip(of_dicom, headers, strict=True)
    }
    return [said.get(item, item) for item in items]


def _of_table(place: Path, tables: Tables) -> list[Item]:
    table = read_table(place)
    have = [str(column) for column in table.columns if column != ROW]
    columns = find_columns(tables.columns, have, place.name, ("image",))
    patients, studies = (
        table[columns[name]].tolist() if name in columns else [""] * len(table)
        for name in ("patient", "study")
    )
    root = place.parent if tables.root is None else Path(tables.root)
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; give the folder of the images with --data.root.")
    images, _ = image_paths(table[columns["image"]].tolist(), root)
    rows = zip(images, patients, studies, strict=True)
    return [Item(name, root / name, patient, study) for name, patient, study in rows]


def membership(module: FineTuneModule, items: Sequence[Item]) -> Membership:
    """Return the cases of images: an image whose patient or study nobody names is one of its own.

    Args:
        module: It knows what a case is.
        items: The images.
    """
    patients = np.array([item.patient for item in items], dtype=str)
    studies = np.array([item.study for item in items], dtype=str)
    return Membership(patients, grouped(module.unit.of, patients, studies), module.unit.images)


def tell_alone(module: FineTuneModule, items: Sequence[Item]) -> None:
    """Say how many cases the images make, and how many of them are called alone for want of a name.

    It is said where the model was judged by patients or studies: many images of one patient may be as many
    patients whose headers say ``anonymous``.

    Args:
        module: It knows what a case is.
        items: The images.
    """
    unit = module.unit.of
    if unit == "image":
        return
    cases = len(membership(module, items).grouping)
    log.info("predict: %d images of %s, each with one call", len(items), f"{cases} {module.unit.word(cases)}")
    alone = sum(not item.patient or (unit == "study" and not item.study) for item in items)
    if alone:
        log.warning(
            "predict: the model was judged, and its threshold chosen, by %s: %d of %d images have no %s and "
            "are called alone; give a table with that column.", unit, alone, len(items), unit,
        )  # fmt: skip


def tell_each_alone(module: FineTuneModule) -> None:
    """Say that maps are of single images, although the model was judged by patients or studies.

    Args:
        module: It knows what a case is.
    """
    if module.unit.of != "image":
        log.warning(
            "explain: the model was judged, and its threshold chosen, by %s; probability and call beside a "
            "map are of its image alone, and those of the %s may be others.", module.unit.of, module.unit.of,
        )  # fmt: skip
