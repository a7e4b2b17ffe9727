"""A folder whose folders are the classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from rn50med.data.faults import Faults
from rn50med.data.images import Files
from rn50med.data.manifest import SPLIT_WORDS, Columns
from rn50med.data.readers import dicom
from rn50med.data.sources.base import Found, Place, Source
from rn50med.data.sources.headers import TAGS, columns_of, first_bytes, is_keyword, read_headers, unread_of
from rn50med.data.sources.listing import list_images
from rn50med.data.sources.table import numbered
from rn50med.errors import DataError
from rn50med.tasks import Task

_DEFAULT = Columns()
_PROBED = 8  # images that tell whether they are DICOM files; the first of them may be damaged


class FolderSource(Source):
    """A folder of class folders, with or without train, val and test above them.

    Where the images are DICOM files, their headers say who the patients are.

    Args:
        place: The folder.
    """

    kind = "folder"
    about = "a folder of class folders"

    @classmethod
    def opens(cls, place: Place) -> bool:
        """Return whether it is a folder."""
        return Path(place.source).is_dir()

    @property
    def name(self) -> str:
        """The folder's name; the working folder's, too."""
        return Path(self.place.source).resolve().name

    def find(self, task: Task, columns: Columns, faults: Faults) -> Found:
        """List the folder."""
        folder = Path(self.place.source)
        listing = list_images(folder)
        if not listing.names:
            raise DataError(f"{self.name}: holds no images; give a folder of class folders.")
        table = self._table(listing.names, task)
        patient = "PatientID" if columns.patient == _DEFAULT.patient else columns.patient
        told, unread = self._told(folder, listing.names, patient)
        if patient not in told and patient != _DEFAULT.image:
            raise DataError(
                f"{self.name}: a folder does not say which patient an image is of; "
                "--data.columns.patient image says that each image is its own patient, "
                "and a table can say better."
            )
        table = table.assign(**{tag: cells for tag, cells in told.items() if tag not in table})
        study = columns.study or ("StudyInstanceUID" if "StudyInstanceUID" in told else None)
        split = columns.split and _DEFAULT.split  # made here, like the image; unless it is not wanted
        found = Columns(patient=patient, study=study, split=split)
        images = Files(folder, self.place.reader)
        return Found(numbered(table), images, found, flow=listing.flow, unread=unread)

    def _table(self, names: Sequence[str], task: Task) -> pd.DataFrame:
        """Return images, their classes and, where the folder says them, their splits."""
        if len(task.columns) != 1:
            raise DataError(
                f"{self.name}: class folders give one label an image, and the task has {len(task.columns)}; "
                "give a table."
            )
        parts = [name.split("/") for name in names]
        table = pd.DataFrame({"image": list(names)}, dtype=str)
        if all(part[0].casefold() in SPLIT_WORDS for part in parts):
            table["split"] = [part[0] for part in parts]
            parts = [part[1:] for part in parts]
        if loose := [name for name, part in zip(names, parts, strict=True) if len(part) == 1]:
            raise DataError(
                f"{self.name}: {len(loose)} images lie in no class folder, such as {loose[0]}; put them "
                f"into folders named {', '.join(task.classes)}, or give a table."
            )
        return table.assign(**{task.columns[0]: [part[0] for part in parts]})

    def _told(
        self, folder: Path, names: Sequence[str], patient: str
    ) -> tuple[dict[str, list[str]], frozenset[str]]:
        """Return what the headers of DICOM files say, and the images whose headers cannot be read."""
        if not any(dicom.reads(first_bytes(folder / name)) for name in names[:_PROBED]):
            return {}, frozenset()
        wanted = tuple(dict.fromkeys((*([patient] if is_keyword(patient) else []), *TAGS)))
        headers = read_headers([folder / name for name in names], wanted)
        return columns_of(headers, wanted), unread_of(names, headers)
