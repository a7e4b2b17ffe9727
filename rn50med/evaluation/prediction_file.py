"""A prediction file, read again: what was said of each image, what is true, and what was called."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rn50med.errors import StorageError
from rn50med.evaluation.arrays import UNKNOWN, Floats, Ints, Targets, stored
from rn50med.evaluation.cases import Grouping, Unit, case_targets, combined, grouped

_MEND = "restore the file, or run again."
_ARRAYS = ("images", "patients", "probabilities", "logits", "target", "called")


@dataclass(frozen=True, eq=False)
class PredictionFile:
    """What a prediction file holds, a row per image, or per case.

    Args:
        images: Names, ``(N,)``; of a case, that of its first image.
        patients: Of the images, ``(N,)``.
        names: Of the classes, or of the labels, K of them.
        positive: Position of the one class that a probability is of, for a finding that is present or
            absent; else None.
        probabilities: Of every class or label, ``(N, K)``; the value, ``(N, 1)``, of a task without classes.
        logits: Likewise; of a finding that is present or absent, ``(N, 1)``; of a value none, ``(N, 0)``.
        target: Class numbers, ``(N,)``; of labels 0, 1 or -100, ``(N, K)``; true values, ``(N,)``.
        called: Class numbers, ``(N,)``; of labels 0 or 1, ``(N, K)``; of values 0.
        studies: Of the images, ``(N,)``; None where the file has no such column.
    """

    images: NDArray[np.str_]
    patients: NDArray[np.str_]
    names: tuple[str, ...]
    positive: int | None
    probabilities: Floats
    logits: Floats
    target: Targets
    called: Ints
    studies: NDArray[np.str_] | None = None

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.images)

    @property
    def several(self) -> bool:
        """Whether the names are labels that may occur together."""
        return self.target.ndim == 2

    @property
    def continuous(self) -> bool:
        """Whether a value was predicted, not a class or label."""
        return not self.names

    def take(self, rows: NDArray[np.int64]) -> PredictionFile:
        """Return some of the rows.

        Args:
            rows: Their positions, in the order wanted.
        """
        arrays: dict[str, Any] = {name: getattr(self, name)[rows] for name in _ARRAYS}
        return replace(self, **arrays, studies=None if self.studies is None else self.studies[rows])

    def by_case(self, unit: Unit) -> PredictionFile:
        """Return a row per case, in the order of their first images.

        A case has the call that its images share and what is known of any of them. It has no logits of its
        own: they are ``nan``.

        Args:
            unit: What a case is, and how its images are put together.

        Raises:
            StorageError: If a case is a study, and the file has no studies.

        Example:
            >>> names, truth, said = np.array(["x", "y", "z"]), np.array([0, 1, 0]), np.array([0.2, 0.9, 0.4])
            >>> both = np.stack([1 - said, said], axis=1)
            >>> patients = np.array(["a", "b", "a"])
            >>> run = PredictionFile(names, patients, ("no", "yes"), 1, both, said[:, None], truth, truth)
            >>> run.by_case(Unit("patient")).probabilities[:, 1].round(6).tolist()
            [0.3, 0.9]
        """
        if unit.of == "image":
            return self
        if unit.of == "study" and self.studies is None:
            raise StorageError(f"predictions: a case is a study, and there is no column study; {_MEND}")
        grouping = grouped(unit.of, self.patients, self.studies)
        return replace(
            self.take(grouping.first),
            probabilities=self._together(grouping, unit),
            logits=np.full((len(grouping), self.logits.shape[1]), np.nan),
            target=case_targets(self.target, grouping),
        )

    def _together(self, grouping: Grouping, unit: Unit) -> Floats:
        """Return the probabilities of cases, as `Task.cases` has them."""
        if self.positive is None:
            exclusive = not (self.several or self.continuous)
            return stored(combined(self.probabilities, grouping, unit.images, exclusive))
        said = stored(combined(self.probabilities[:, [self.positive]], grouping, unit.images))
        return np.where(np.arange(len(self.names)) == self.positive, said, 1.0 - said)


def joined(runs: Sequence[PredictionFile]) -> PredictionFile:
    """Return the rows of several prediction files of one task, one after the other.

    Args:
        runs: At least one.
    """
    arrays: dict[str, Any] = {name: np.concatenate([getattr(run, name) for run in runs]) for name in _ARRAYS}
    studies = [run.studies for run in runs if run.studies is not None]
    return replace(runs[0], **arrays, studies=np.concatenate(studies) if len(studies) == len(runs) else None)


def read_rows(path: Path) -> pd.DataFrame:
    """Read a table as text: a class may be called `NA`, and a patient 007.

    Args:
        path: A ``.csv`` that a run wrote.

    Raises:
        StorageError: If it cannot be read.
    """
    try:
        return pd.read_csv(path, dtype=str, keep_default_na=False)
    except FileNotFoundError as error:
        raise StorageError(f"{path}: there is no such file; give a finished run.") from error
    except (OSError, ValueError) as error:
        raise StorageError(f"{path}: cannot be read ({error}); {_MEND}") from error


def read_prediction_file(path: Path, task: Mapping[str, Any]) -> PredictionFile:
    """Read a prediction file.

    Args:
        path: Such as ``predictions/test.csv`` of a run.
        task: The run's ``task`` in ``environment.json``: ``classes``, and ``positive`` where there is one.

    Raises:
        StorageError: If it cannot be read, or lacks columns.
    """
    return from_rows(read_rows(path), task, str(path))


def from_rows(rows: pd.DataFrame, task: Mapping[str, Any], where: str) -> PredictionFile:
    """Return what the rows of a prediction file say.

    Args:
        rows: Text.
        task: As for `read_prediction_file`.
        where: Their file, for messages.

    Raises:
        StorageError: If columns are lacking, or do not hold what they should.
    """
    names = tuple(str(name) for name in task.get("classes") or ())
    if not (names or "value" in rows) or "image" not in rows or "patient" not in rows:
        raise StorageError(f"{where}: is no prediction file of a run; give one that `fit` wrote.")
    if not names:
        return _of_values(rows, where)
    several = f"target_{names[0]}" in rows
    positive = None if several or task.get("positive") is None else names.index(str(task["positive"]))
    said = list(names) if positive is None else [names[positive]]
    probability = _numbers(rows, [f"prob_{name}" for name in said], where)
    logits = _numbers(rows, [f"logit_{name}" for name in said], where)
    if positive is not None:
        own = np.arange(len(names)) == positive
        probability = np.where(own, probability, 1.0 - probability)
    read = _label_columns if several else _class_columns
    target, called = read(rows, names, where)
    image, patient = (rows[name].to_numpy(dtype=str) for name in ("image", "patient"))
    studies = rows["study"].to_numpy(dtype=str) if "study" in rows else None
    return PredictionFile(image, patient, names, positive, probability, logits, target, called, studies)


def _of_values(rows: pd.DataFrame, where: str) -> PredictionFile:
    """Return what the rows of a task without classes say."""
    said, target = (_numbers(rows, [name], where) for name in ("value", "target"))
    image, patient = (rows[name].to_numpy(dtype=str) for name in ("image", "patient"))
    none, called = np.empty((len(rows), 0)), np.zeros(len(rows), np.int64)
    studies = rows["study"].to_numpy(dtype=str) if "study" in rows else None
    return PredictionFile(image, patient, (), None, said, none, target[:, 0], called, studies)


def _need(rows: pd.DataFrame, columns: Iterable[str], where: str) -> None:
    if absent := [column for column in columns if column not in rows]:
        raise StorageError(f"{where}: has no column {', '.join(absent)}; {_MEND}")


def _numbers(rows: pd.DataFrame, columns: Sequence[str], where: str) -> Floats:
    _need(rows, columns, where)
    try:
        numbers = rows[list(columns)].astype(float).to_numpy()
    except ValueError as error:
        raise StorageError(f"{where}: {error}; {_MEND}") from error
    return np.asarray(numbers, dtype=np.float64)


def _class_columns(rows: pd.DataFrame, names: Sequence[str], where: str) -> tuple[Ints, Ints]:
    _need(rows, ("target", "call"), where)
    number = {name: index for index, name in enumerate(names)}
    if strange := sorted((set(rows["target"]) | set(rows["call"])) - set(names)):
        raise StorageError(f"{where}: {strange[0]!r} is none of its run's classes; {_MEND}")
    target, called = (np.array([number[cell] for cell in rows[key]], np.int64) for key in ("target", "call"))
    return target, called


def _label_columns(rows: pd.DataFrame, names: Sequence[str], where: str) -> tuple[Ints, Ints]:
    columns = {key: [f"{key}_{name}" for name in names] for key in ("target", "call")}
    _need(rows, [*columns["target"], *columns["call"]], where)
    target, called = (rows[columns[key]].to_numpy(dtype=str) for key in ("target", "call"))
    truth = np.where(target == "1", 1, np.where(target == "0", 0, UNKNOWN))
    return truth.astype(np.int64), (called == "1").astype(np.int64)
