"""Strata: what folds keep in proportion, whatever the task is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)  # arrays have no one truth value to compare by
class Strata:
    """What folds keep in proportion: one class of each image, or several labels that may occur together.

    Args:
        values: Number of each image's class, shape ``(N,)``; or 1, 0, or anything else where it is unknown,
            of each label, shape ``(N, L)``.
        names: Of the classes, in alphabetical order, or of the labels.
    """

    values: NDArray[np.int64]
    names: tuple[str, ...]

    @classmethod
    def of(
        cls, given: Strata | Sequence[str] | NDArray[np.int64], names: Sequence[str] | None = None
    ) -> Strata:
        """Return strata from whatever a task says.

        Args:
            given: Class names; or class numbers, shape ``(N,)``; or labels, shape ``(N, L)``.
            names: Of the class numbers or labels; without them, their numbers stand for them.

        Example:
            >>> Strata.of(["wet", "dry", "wet"]).values
            array([1, 0, 1])
            >>> Strata.of(np.array([0, 1, 0]), ["wet", "dry"]).values
            array([1, 0, 1])
        """
        if isinstance(given, Strata):
            return given
        values = np.asarray(given)
        if values.ndim == 2:
            columns = range(values.shape[1])
            return cls(values.astype(np.int64), tuple(names or (str(k) for k in columns)))
        if values.dtype.kind in "iu" and names is not None:
            values = np.asarray(names, dtype=str)[
                values
            ]  # folds do not depend on the order of a recipe's classes
        kinds, number = np.unique(values, return_inverse=True)
        return cls(number.astype(np.int64), tuple(str(kind) for kind in kinds.tolist()))

    @property
    def several(self) -> bool:
        """Whether labels may occur together."""
        return self.values.ndim == 2

    def take(self, rows: NDArray[np.int64]) -> Strata:
        """Return the strata of some images.

        Args:
            rows: Their positions.
        """
        return Strata(self.values[rows], self.names)
