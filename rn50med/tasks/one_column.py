"""Tasks whose label is one of several classes, written in one column."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from rn50med.errors import RecipeError, listed, nearest
from rn50med.evaluation.arrays import Targets
from rn50med.evaluation.operating_point import Thresholds
from rn50med.tasks.base import UNKNOWN, Columns, Row, Task
from rn50med.tasks.known import check_given


class OneColumn(Task):
    """A task whose label stands in one column and is one of several classes."""

    column: str

    @property
    def columns(self) -> tuple[str, ...]:
        """The label's column."""
        return (self.column,)

    def fault(self, row: Row) -> str | None:
        """Return what is wrong with the label."""
        value, classes = row[self.column], self.classes
        if value in classes:
            return None
        if not value.strip():
            return f"empty cell in column {self.column!r}; write one of {', '.join(classes)}"
        guess = nearest(value, classes)
        hint = f"nearest class {guess!r}" if guess is not None else f"classes are {', '.join(classes)}"
        return f"unknown label {value!r} in column {self.column!r}; {hint}"

    def encode(self, row: Row) -> int:
        """Return the position of the class; of two, the positive one is 1."""
        return self.classes.index(row[self.column])

    def given(self, target: Tensor) -> Tensor:
        """Return class numbers; of one finding its shares, too."""
        last = len(self.classes) - 1
        known = (target == UNKNOWN) | ((target >= 0) & (target <= last))
        if self.exclusive:
            known &= target == target.round()
        names = ", ".join(f"{number} for {name!r}" for number, name in enumerate(self.classes))
        check_given(target, known, f"{names}, and {UNKNOWN} for what is not known")
        return target

    def stratum(self, row: Row) -> str:
        """Return the label."""
        return row[self.column]

    def counts(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Return the number of rows of each class."""
        found = Counter(row[self.column] for row in rows)
        return {"classes": {name: found[name] for name in self.classes}}

    def absent(self, rows: Sequence[Row]) -> dict[str, str]:
        """Return the classes that no row has."""
        found = {row[self.column] for row in rows}
        return {name: f"no image of class {name!r}" for name in self.classes if name not in found}

    def single(self, rows: Sequence[Row]) -> str | None:
        """Return the only class there is, if there is only one."""
        found = {row[self.column] for row in rows}
        if len(found) != 1:
            return None
        return (
            f"only class {listed(map(repr, found))} found in column {self.column!r}; "
            f"a model needs images of {', '.join(self.classes)}"
        )

    @abstractmethod
    def calls(self, probability: NDArray[np.float64], point: Thresholds) -> NDArray[np.str_]:
        """Return the call of each image, as a class name."""

    def call_columns(self, probability: NDArray[np.float64], point: Thresholds) -> Columns:
        """Return the class names of the calls."""
        return {"call": self.calls(probability, point)}

    def target_names(self, target: Targets) -> NDArray[np.str_]:
        """Return the class name of each encoded target."""
        return np.array(self.classes)[target.astype(np.int64)]

    def target_columns(self, target: Targets) -> Columns:
        """Return the class names of the targets."""
        return {"target": self.target_names(target)}


def check_names(names: tuple[str, ...], what: str, least: int) -> None:
    """Refuse names that are too few, not different, empty, or no text.

    Args:
        names: Of classes or labels.
        what: What they are, for the message.
        least: How many there have to be.

    Raises:
        RecipeError: If they are.
    """
    count = {1: "one", 2: "two"}[least]
    if (
        len(names) < least
        or len(set(names)) < len(names)
        or not all(isinstance(name, str) and name for name in names)
    ):
        raise RecipeError(f"task: {what} are {list(names)!r}; give {count} or more different names.")
