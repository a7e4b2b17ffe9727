"""What the folder of a cross-validation holds: its folds, each a run, and what they say together."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rn50med.errors import StorageError
from rn50med.evaluation.arrays import Floats
from rn50med.evaluation.cases import Unit
from rn50med.evaluation.comparison import Spread
from rn50med.evaluation.figure import Figure
from rn50med.evaluation.metrics import roc_points
from rn50med.evaluation.report.facts import Facts, read_facts

HELD_OUT = "test"
"""What the files of a fold call the images that it held out; they are no test images."""


@dataclass(frozen=True, eq=False)
class Folds:
    """Everything the report of a cross-validation says.

    Args:
        each: What each fold's run folder holds.
        mean: Each figure over the folds, in the order of ``metrics.json``.
        pooled: Figures of all held-out cases together.
        note: How those were made.
        temperatures: Of each fold, one or one for each label.
        unit: What a case is.
    """

    each: tuple[Facts, ...]
    mean: Mapping[str, Spread]
    pooled: Mapping[str, Figure]
    note: str
    temperatures: tuple[tuple[float, ...], ...]
    unit: Unit

    @property
    def first(self) -> Facts:
        """The first fold, for what all of them share."""
        return self.each[0]

    def figures(self, fold: int) -> Mapping[str, Figure]:
        """Return the figures of what a fold held out.

        Args:
            fold: From 0.
        """
        return self.each[fold].figures.get(HELD_OUT, {})

    def roc(self, fold: int, index: int) -> tuple[Floats, Floats] | None:
        """Return a fold's ROC curve, 1 - specificity and sensitivity; None where it has none.

        Args:
            fold: From 0.
            index: Place of the class or label that is told from the rest.
        """
        predicted = self.each[fold].predicted.get(HELD_OUT)
        points = None if predicted is None else roc_points(*predicted.against_the_rest(index))
        return points if points is not None and points[0].size else None


def is_crossval(folder: Path) -> bool:
    """Whether a folder is that of a finished cross-validation.

    Args:
        folder: Perhaps a run folder.
    """
    path = folder / "metrics.json"
    return path.is_file() and "by_fold" in _json(path)


def read_folds(folder: Path) -> Folds:
    """Read the folder of a cross-validation.

    Args:
        folder: All its folds are finished.

    Raises:
        StorageError: If a file cannot be read.
    """
    metrics = _json(folder / "metrics.json")
    pooled = metrics.get("pooled") or {}
    return Folds(
        each=tuple(read_facts(folder / f"fold-{fold}") for fold in range(int(metrics["folds"]))),
        mean={key: _spread(plain) for key, plain in metrics["mean"].items()},
        pooled={key: _figure(plain) for key, plain in (pooled.get("figures") or {}).items()},
        note=str(pooled.get("note", "")),
        temperatures=tuple(tuple(each) for each in pooled.get("temperatures") or ()),
        unit=Unit.from_protocol(metrics.get("protocol")),
    )


def _json(path: Path) -> dict[str, Any]:
    try:
        plain: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StorageError(f"{path.name}: cannot be read ({error}); run crossval again.") from error
    return plain


def _number(plain: float | None) -> float:
    return math.nan if plain is None else float(plain)


def _spread(plain: Mapping[str, Any]) -> Spread:
    value, sd, lowest, highest = (_number(plain[key]) for key in ("value", "sd", "lowest", "highest"))
    return Spread(value, sd, lowest, highest, int(plain["n"]), str(plain.get("reason", "")))


def _figure(plain: Mapping[str, Any]) -> Figure:
    value, low, high = (_number(plain[key]) for key in ("value", "low", "high"))
    return Figure(value, low, high, int(plain["n"]), str(plain.get("reason", "")))
