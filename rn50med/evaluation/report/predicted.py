"""What was predicted of the cases of a split, as its file and the manifest say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.special import expit, softmax

from rn50med.errors import StorageError
from rn50med.evaluation.arrays import UNKNOWN, Bools, Floats, Ints, patients_of, stored
from rn50med.evaluation.bands import SEVERAL, one_band
from rn50med.evaluation.cases import Grouping, Unit, case_targets, combined, grouped
from rn50med.evaluation.report.beside import beside


@dataclass(frozen=True, eq=False)
class Predicted:
    """The predictions of a split, a row per case, without names of images and patients.

    Args:
        probabilities: Of every class or label, shape ``(N, K)``.
        raw: Likewise, before the temperature; None where the file has no logits.
        target: Class indices, shape ``(N,)``; of labels 0, 1 or -100, shape ``(N, K)``.
        called: Class indices of the calls, shape ``(N,)``, -1 where there is none; of labels 0, 1 or -1,
            shape ``(N, K)``.
        patients: Number of patients.
        groups: Patient of each case as a number from 0, shape ``(N,)``.
        images: Number of images of each case, shape ``(N,)``.
        lines: Line of ``manifest.csv`` of each case's first image, shape ``(N,)``; empty where it is not
            known.
        columns: Cells of columns of the manifest, such as sex and site, a tuple of N each.
    """

    probabilities: Floats
    raw: Floats | None
    target: Ints
    called: Ints
    patients: int
    groups: Ints
    images: Ints
    lines: Ints
    columns: Mapping[str, tuple[str, ...]]

    def known(self, index: int) -> Bools:
        """Return on which cases it is known whether a class or label is there, shape ``(N,)``.

        Args:
            index: Its place among the classes or labels.
        """
        if self.target.ndim == 1:
            return np.ones(self.target.size, dtype=np.bool_)
        return np.asarray(self.target[:, index] != UNKNOWN)

    def against_the_rest(self, index: int) -> tuple[Floats, Bools]:
        """Return scores of one class or label and whether it is there, on the cases where that is known.

        Args:
            index: Its place among the classes or labels.
        """
        if self.target.ndim == 1:
            return self.probabilities[:, index], self.target == index
        known = self.known(index)
        return self.probabilities[known, index], self.target[known, index] == 1

    def by_case(self, grouping: Grouping, unit: Unit) -> Predicted:
        """Return a row per case of what has a row per image.

        Args:
            grouping: Of the images.
            unit: How they are put together.
        """
        exclusive = self.target.ndim == 1 and self.probabilities.shape[1] > 2

        def together(said: Floats) -> Floats:
            if self.target.ndim == 1 and not exclusive:  # of two classes, the other one has the rest
                one = stored(combined(said[:, 1:], grouping, unit.images))
                return np.concatenate([1.0 - one, one], axis=1)
            return stored(combined(said, grouping, unit.images, exclusive))

        first = grouping.first
        return replace(
            self,
            probabilities=together(self.probabilities),
            raw=None if self.raw is None else together(self.raw),
            target=case_targets(self.target, grouping).astype(np.int64),
            called=self.called[first],
            groups=self.groups[first],
            images=grouping.images(),
            lines=self.lines[first] if self.lines.size else self.lines,
            columns={name: shared_cells(cells, grouping, name) for name, cells in self.columns.items()},
        )


def shared_cells(cells: Sequence[str], grouping: Grouping, column: str = "") -> tuple[str, ...]:
    """Return the cell of each case, that of its first image, `SEVERAL` where its images are of other groups.

    Args:
        cells: Of a column of the manifest, one for each image.
        grouping: Of the images.
        column: Its name: ages may differ within their band.
    """
    held: list[list[str]] = [[] for _ in range(len(grouping))]
    for case, cell in zip(grouping.index.tolist(), cells, strict=True):
        held[case].append(cell)
    return tuple(each[0] if one_band(each, column) else SEVERAL for each in held)


@dataclass(frozen=True, eq=False)
class Told:
    """What a run says of its predictions.

    Args:
        classes: Names, in the order of the columns.
        positive: The positive class of a binary task, else None.
        multilabel: Whether the classes are labels that may occur together.
        unit: What a case is.
        manifest: As `read_manifest` gives it.
    """

    classes: tuple[str, ...]
    positive: str | None
    multilabel: bool
    unit: Unit
    manifest: pd.DataFrame


def predicted_of(table: pd.DataFrame, told: Told, name: str) -> Predicted:
    """Return the cases of a prediction file.

    Args:
        table: Its rows, text.
        told: Of the run.
        name: Of the file, for messages.

    Raises:
        StorageError: If columns are missing.
    """
    rows = table if told.multilabel else _of_known_class(table, told, name)
    each = _labelled(rows, told, name) if told.multilabel else _classed(rows, told)
    if told.unit.of == "image":
        return each
    if told.unit.of == "study":
        _need(rows, ["study"], name)
    studies = rows.get("study")
    return each.by_case(grouped(told.unit.of, rows["patient"], studies), told.unit)


def _of_known_class(table: pd.DataFrame, told: Told, name: str) -> pd.DataFrame:
    """Return the rows whose target is a class of the run; only a file of another hand has others."""
    shown = told.classes if told.positive is None else (told.positive,)
    _need(table, ("patient", "target", *(f"prob_{each}" for each in shown)), name)
    return table[table["target"].isin(told.classes)]


def _classed(rows: pd.DataFrame, told: Told) -> Predicted:
    number = {each: index for index, each in enumerate(told.classes)}
    shown = list(told.classes) if told.positive is None else [told.positive]
    said, logits = _numbers(rows, "prob", shown), _logits(rows, shown)
    raw = None
    if told.positive is not None:
        own = np.arange(len(told.classes)) == number[told.positive]
        said = np.where(own, said, 1.0 - said)
        if logits is not None:
            raw = np.where(own, expit(logits), expit(-logits))
    elif logits is not None:
        raw = np.asarray(softmax(logits, axis=1), dtype=np.float64)
    calls = rows["call"] if "call" in rows else [""] * len(rows)
    groups, patients = patients_of(rows["patient"])
    return Predicted(
        probabilities=said,
        raw=raw,
        target=np.array([number[each] for each in rows["target"]], dtype=np.int64),
        called=np.array([number.get(each, -1) for each in calls], dtype=np.int64),
        patients=patients,
        groups=groups,
        images=np.ones(len(rows), dtype=np.int64),
        **beside(rows, told.manifest),
    )


def _labelled(rows: pd.DataFrame, told: Told, name: str) -> Predicted:
    columns = {kind: [f"{kind}_{each}" for each in told.classes] for kind in ("prob", "target", "call")}
    _need(rows, ("patient", *columns["prob"], *columns["target"]), name)
    target = rows[columns["target"]].to_numpy(dtype=str)
    call = rows.reindex(columns=columns["call"], fill_value="").to_numpy(dtype=str)
    logits = _logits(rows, list(told.classes))
    groups, patients = patients_of(rows["patient"])
    return Predicted(
        probabilities=_numbers(rows, "prob", list(told.classes)),
        raw=None if logits is None else np.asarray(expit(logits), dtype=np.float64),
        target=np.where(target == "1", 1, np.where(target == "0", 0, UNKNOWN)),
        called=np.where(call == "1", 1, np.where(call == "0", 0, -1)),
        patients=patients,
        groups=groups,
        images=np.ones(len(rows), dtype=np.int64),
        **beside(rows, told.manifest),
    )


def _need(table: pd.DataFrame, columns: Iterable[str], name: str) -> None:
    if absent := [column for column in columns if column not in table]:
        raise StorageError(f"{name}: no column {', '.join(absent)}; restore it or run again.")


def _numbers(rows: pd.DataFrame, kind: str, names: Sequence[str]) -> Floats:
    return rows[[f"{kind}_{each}" for each in names]].astype(float).to_numpy()


def _logits(rows: pd.DataFrame, names: Sequence[str]) -> Floats | None:
    return _numbers(rows, "logit", names) if {f"logit_{each}" for each in names} <= set(rows) else None
