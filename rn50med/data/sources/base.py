"""What a source is: something that finds images and labels. Adding a kind is one file beside this one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import pandas as pd

from rn50med.data.faults import Faults
from rn50med.data.findings import Finding
from rn50med.data.images import Images
from rn50med.data.manifest import Columns, Manifest, Step, standardise
from rn50med.data.readers import Reader
from rn50med.data.sources.keeping import keep_rows
from rn50med.tasks import Task


@dataclass(frozen=True)
class Place:
    """Where images and labels are, and what of them to take.

    Args:
        source: A word, or the path of a file or folder.
        root: Folder of the images, where it is not the table's own.
        join: What a table of labels and a tree of images have in common: a DICOM keyword, or `file`.
        where: Condition on columns and DICOM keywords; rows that do not meet it are left out.
        seed: Seed of synthetic images.
        reader: Reads image files.
    """

    source: str
    root: str | None = None
    join: str | None = None
    where: str | None = None
    seed: int = 0
    reader: Reader = field(default_factory=Reader)


@dataclass(frozen=True)
class Found:
    """What a source found, before a single cell is checked.

    Args:
        table: One row per image, all text, with a ``source_row`` column.
        images: Where the pixels are.
        columns: Names of the table's columns.
        notes: What was taken for granted, in sentences without names of images or patients.
        flow: What was left out.
        findings: What is to be told besides.
        unread: Images whose DICOM headers cannot be read: their cells of keywords are empty, but not known.
    """

    table: pd.DataFrame
    images: Images
    columns: Columns
    notes: tuple[str, ...] = ()
    flow: tuple[Step, ...] = ()
    findings: tuple[Finding, ...] = ()
    unread: frozenset[str] = frozenset()


class Source(ABC):
    """A place that images and labels come from.

    A subclass in this package, or one that a plug-in imports, is found by itself. It says in `opens` what
    it takes, and in `find` what is there; the rest is the same for all.

    Args:
        place: Where it is.
    """

    kind: ClassVar[str]
    """One word for the manifest, such as ``table``."""

    about: ClassVar[str]
    """What it opens, to stand in a list: ``a folder of class folders``."""

    joins: ClassVar[bool] = False
    """Whether it has a use for ``data.join``."""

    def __init__(self, place: Place) -> None:
        self.place = place

    @classmethod
    @abstractmethod
    def opens(cls, place: Place) -> bool:
        """Return whether a place is of this kind; it opens nothing but what it has to look at.

        Args:
            place: The place.
        """

    @classmethod
    def words(cls) -> Sequence[str]:
        """Return words that stand for sources of this kind, to guess what a misspelt one meant."""
        return ()

    @property
    @abstractmethod
    def name(self) -> str:
        """Name of the source without its path, for messages."""

    @abstractmethod
    def find(self, task: Task, columns: Columns, faults: Faults) -> Found:
        """Return what is there.

        Args:
            task: Knows the label columns and their values.
            columns: Names of the columns that were asked for.
            faults: Where faults that the manifest's own check does not see are noted.

        Raises:
            DataError: If there is nothing to make a manifest of.
        """

    def manifest(self, task: Task, columns: Columns, faults: Faults) -> Manifest:
        """Return the manifest; faults of single rows are noted, not raised.

        Args:
            task: Knows the label columns and their values.
            columns: Names of the columns.
            faults: Where faults are noted.

        Raises:
            DataError: If there is nothing to make a manifest of.
        """
        found = self.find(task, columns, faults)
        table, flow, findings = found.table, found.flow, found.findings
        if self.place.where is not None:
            where = self.place.where
            kept = keep_rows(table, where, found.images, found.columns, faults.source, found.unread)
            table, flow, findings = kept.table, (*flow, kept.step), findings + kept.findings
        table, assumed = standardise(table, found.columns, task, faults)
        return Manifest(self.name, self.kind, table, found.images, found.notes + assumed, flow, findings)
