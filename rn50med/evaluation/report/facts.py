"""What a run folder holds, read again; a file that is not there is left out, not guessed."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from rn50med.errors import StorageError
from rn50med.evaluation.cases import Unit
from rn50med.evaluation.figure import Figure
from rn50med.evaluation.operating_point import OperatingPoint, OperatingPoints, Thresholds, from_plain
from rn50med.evaluation.report.beside import read_manifest
from rn50med.evaluation.report.predicted import Predicted, Told, predicted_of
from rn50med.evaluation.report.predicted_values import Values, values_of
from rn50med.evaluation.report.wording import label, without_advice

SPLITS = ("train", "val", "test")


@dataclass(frozen=True, eq=False)
class Facts:
    """Everything a report says, as found in a run folder.

    Args:
        classes: Names, in the order of the columns; empty where no file names them.
        positive: The positive class of a binary task, else None.
        multilabel: Whether the classes are labels that may occur together.
        point: What is called by: one point, one for each label, or none.
        figures: Split, then key.
        predicted: By split.
        epochs: A row per epoch, numbers in every column.
        audit: The parsed ``audit.json``, empty where there is none.
        environment: The parsed ``environment.json``, empty where there is none.
        missing: Files that were not there.
        unit: What a case is.
        metrics: The parsed ``metrics.json``, empty where there is none.
        values: By split, of a task that predicts a number; else empty.
    """

    classes: tuple[str, ...]
    positive: str | None
    multilabel: bool
    point: Thresholds
    figures: Mapping[str, Mapping[str, Figure]]
    predicted: Mapping[str, Predicted]
    epochs: pd.DataFrame
    audit: Mapping[str, Any]
    environment: Mapping[str, Any]
    missing: tuple[str, ...]
    unit: Unit
    metrics: Mapping[str, Any]
    values: Mapping[str, Values] = field(default_factory=dict)

    @property
    def synthetic(self) -> bool:
        """Whether the images come from the built-in generator."""
        return bool(self.audit.get("synthetic", False))

    @property
    def task(self) -> Mapping[str, Any]:
        """What the run says of its task; empty where it says nothing."""
        return self.environment.get("task") or {}

    @property
    def watched(self) -> str:
        """Key of the figure that chose the epoch and stands first."""
        return str(self.task.get("watched") or "auroc")

    @property
    def never_watched(self) -> bool:
        """Whether that figure was defined in no epoch, so that the last one was kept."""
        found = self.epochs.get(f"val/{self.watched}")
        return found is not None and len(found) > 0 and not bool(found.notna().any())

    @property
    def chosen(self) -> str:
        """What was chosen on val, such as `epoch, temperature and threshold`."""
        thresholds = "thresholds" if isinstance(self.point, OperatingPoints) else "threshold"
        told = ["epoch"] + ([] if self.metrics.get("temperature") is None else ["temperature"])
        told += [] if self.point is None else [thresholds]
        return " and ".join(filter(None, (", ".join(told[:-1]), told[-1])))

    @property
    def number(self) -> str:
        """What number is predicted, with its unit; empty where classes are."""
        name = str(self.task.get("number") or "")
        return f"{name}, in {self.scale}" if name and self.scale else name

    @property
    def scale(self) -> str:
        """Unit of the number that is predicted; empty where it has none, or classes are."""
        return str(self.task.get("unit") or "")

    @property
    def ordered(self) -> bool:
        """Whether the classes are grades, of which the median is called."""
        return bool(self.task.get("ordered", False))

    @property
    def closed(self) -> str:
        """Why there are no figures of test, a clause: nobody opened it, or there is none."""
        splits = self.audit.get("splits") or {"test": {}}
        return "the test set was not opened" if "test" in splits else "the data have no test set"

    @property
    def section(self) -> tuple[str, ...]:
        """Paragraphs that the task says of itself; mostly none."""
        return tuple(str(each) for each in self.task.get("section") or ())

    @property
    def headline_words(self) -> str:
        """What a task of somebody's own says that its figure tells; empty where it says nothing."""
        return str(self.task.get("headline") or "")

    def label(self, key: str) -> str:
        """Return a figure's name for people, by the task's own words where it has some.

        Args:
            key: As in ``metrics.json``.
        """
        return label(key, not self.multilabel, self.task.get("figures") or {})

    def plain_name(self, key: str) -> str:
        """Return a figure's name without what is best.

        Args:
            key: As in ``metrics.json``.
        """
        return without_advice(self.label(key))

    def point_of(self, name: str) -> OperatingPoint | None:
        """Return the operating point of a label, or that of a binary task.

        Args:
            name: The label, or the positive class.
        """
        if isinstance(self.point, OperatingPoints):
            return self.point.by_name.get(name)
        return self.point if name == self.positive else None


def read_facts(folder: Path) -> Facts:
    """Read the files of a run folder that a report needs.

    Args:
        folder: The run folder.

    Raises:
        StorageError: If the folder is not there, or a file in it cannot be read.
    """
    if not folder.is_dir():
        raise StorageError(f"{folder}: no such run folder; give one that `fit` wrote.")
    names = ["metrics.json", "audit.json", "environment.json", "metrics.csv"]
    names += ["predictions/val.csv", "predictions/test.csv"]
    metrics, audit, environment = (read_json(folder / name) for name in names[:3])
    task = environment.get("task") or {}
    classes = tuple(str(name) for name in task.get("classes") or audit.get("classes") or ())
    tables = {split: _table(folder / "predictions" / f"{split}.csv") for split in ("val", "test")}
    positive = task.get("positive") or _single(classes, tables.values())
    point = from_plain(metrics.get("operating_point") or None)
    protocol = metrics.get("protocol") or {}
    unit, groups = Unit.from_protocol(protocol), protocol.get("subgroups")
    manifest = read_manifest(folder / "manifest.csv", None if groups is None else frozenset(groups))
    multilabel = isinstance(point, OperatingPoints) or _several(classes, audit, tables.values())
    told = Told(classes, positive, multilabel, unit, manifest)
    return Facts(
        classes=classes,
        positive=positive,
        multilabel=multilabel,
        point=point,
        figures={split: _figures(metrics[split]) for split in ("val", "test") if metrics.get(split)},
        predicted={
            split: predicted_of(table, told, f"predictions/{split}.csv")
            for split, table in tables.items()
            if classes and len(table)
        },
        epochs=_table(folder / "metrics.csv").apply(pd.to_numeric, errors="coerce"),
        audit=audit,
        environment=environment,
        missing=tuple(name for name in names if not (folder / name).is_file()),
        unit=unit,
        metrics=metrics,
        values={
            split: values_of(table, told, f"predictions/{split}.csv")
            for split, table in tables.items()
            if not classes and "value" in table
        },
    )


def _single(classes: tuple[str, ...], tables: Iterable[pd.DataFrame]) -> str | None:
    """Return the class that alone has a probability, as in the predictions of a binary task."""
    told = {name for table in tables for name in classes if f"prob_{name}" in table}
    return told.pop() if len(classes) == 2 and len(told) == 1 else None


def _several(classes: tuple[str, ...], audit: Mapping[str, Any], tables: Iterable[pd.DataFrame]) -> bool:
    """Whether the files count or predict labels that may occur together."""
    counted = any("labels" in split for split in (audit.get("splits") or {}).values())
    return counted or any(f"target_{name}" in table for table in tables for name in classes[:1])


def read_json(path: Path) -> dict[str, Any]:
    """Return what a JSON file of a run holds, nothing where there is no such file.

    Args:
        path: The file.

    Raises:
        StorageError: If it cannot be read, or holds no table of names.
    """
    if not path.is_file():
        return {}
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StorageError(f"{path.name}: cannot be read ({error}); restore it or run again.") from error
    if not isinstance(plain, dict):
        raise StorageError(f"{path.name}: holds no table of names; restore it or run again.")
    return plain


def _table(path: Path) -> pd.DataFrame:
    if not path.is_file():
        return pd.DataFrame()
    try:
        # As text: a class may be called `NA` or `None`, and a patient 007.
        return pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise StorageError(f"{path.name}: cannot be read ({error}); restore it or run again.") from error


def _figures(plain: Mapping[str, Mapping[str, Any]]) -> dict[str, Figure]:
    return {
        key: Figure(
            _number(part.get("value")),
            _number(part.get("low")),
            _number(part.get("high")),
            int(part.get("n", 0)),
            str(part.get("reason", "")),
        )
        for key, part in plain.items()
    }


def _number(plain: float | None) -> float:
    return math.nan if plain is None else float(plain)
