"""Checked arrays that every figure starts from."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rn50med.errors import NumericalError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Targets = NDArray[np.int64 | np.float64]
"""Class numbers, findings that are 0, 1 or unknown, or numbers on a scale, which are always known."""

UNKNOWN = -100
"""Target of a label that nobody ruled on: PyTorch's ``ignore_index``."""


SIGNIFICANT_DIGITS = 9
"""Digits that a stored number keeps: enough to tell two 32-bit floats apart."""


def stored(values: NDArray[Any], digits: int = SIGNIFICANT_DIGITS) -> NDArray[np.float64]:
    """Round numbers to what a prediction file holds, so that file and memory give equal figures.

    Args:
        values: Any numbers.
        digits: That are kept.

    Example:
        >>> stored(np.array([1 / 3]))
        array([0.33333333])
    """
    wide = np.asarray(values, dtype=np.float64)
    flat = [float(f"{value:.{digits}g}") for value in wide.ravel()]
    return np.array(flat, dtype=np.float64).reshape(np.shape(values))


def finite(numbers: ArrayLike, what: str) -> Floats:
    """Return numbers as float64 and refuse those that are not finite.

    Args:
        numbers: Scores or probabilities.
        what: Their name, for the error.

    Raises:
        NumericalError: If one is ``nan`` or infinite: it has no place in a ranking.

    Example:
        >>> finite([0.25, 1], "scores").tolist()
        [0.25, 1.0]
    """
    array = np.asarray(numbers, dtype=np.float64)
    bad = int(array.size - np.isfinite(array).sum())
    if bad:
        raise NumericalError(
            f"{what}: {bad} of {array.size} values are not finite; train again with a lower learning rate "
            "or in 32-bit."
        )
    return array


def indices(target: ArrayLike, num_classes: int, rows: int) -> Ints:
    """Return targets as int64 class indices and refuse those outside the classes.

    Args:
        target: Class indices, shape ``(N,)``. Leave unknown labels out.
        num_classes: Number of classes, K.
        rows: N, the number of scores they belong to.

    Raises:
        ValueError: If a value is not in 0 to K - 1, or their number is not N.

    Example:
        >>> indices([0, 1, 1], 2, 3).tolist()
        [0, 1, 1]
    """
    array = _whole(target)
    if array.shape != (rows,):
        raise ValueError(f"target: shape {array.shape} for {rows} rows; give one target per row.")
    if array.size and (array.min() < 0 or array.max() >= num_classes):
        raise ValueError(
            f"target: values from {array.min()} to {array.max()}; give class indices from 0 to "
            f"{num_classes - 1} and leave unknown labels out."
        )
    return array


def _whole(target: ArrayLike) -> Ints:
    """Return whole numbers as int64, and refuse others, which a cast would turn into another class."""
    given = np.asarray(target)
    with np.errstate(invalid="ignore"):  # of nan
        array = given.astype(np.int64)
    if not np.array_equal(array, given):
        raise ValueError(f"target: has {given[array != given].flat[0]}; give whole numbers.")
    return array


def labels(target: ArrayLike, shape: tuple[int, ...]) -> Ints:
    """Return targets of several labels as int64 and refuse those that are neither 0, 1 nor unknown.

    Args:
        target: 0, 1, or -100 where nobody ruled on the label, shape ``(N, L)``.
        shape: ``(N, L)``, that of the probabilities they belong to.

    Raises:
        ValueError: If a value is none of these, or the shape is another.

    Example:
        >>> labels([[0, 1], [UNKNOWN, 1]], (2, 2)).tolist()
        [[0, 1], [-100, 1]]
    """
    array = _whole(target)
    if array.shape != shape:
        raise ValueError(f"target: shape {array.shape} for probabilities of {shape}; give one per label.")
    strange = np.setdiff1d(array, [0, 1, UNKNOWN])
    if strange.size:
        raise ValueError(f"target: has {strange[0]}; give 0, 1, or {UNKNOWN} where a label is unknown.")
    return array


def patients_of(groups: ArrayLike) -> tuple[Ints, int]:
    """Return each image's patient as a number from 0, and how many patients there are.

    Args:
        groups: Patient of each image, shape ``(N,)``: text or numbers.

    Example:
        >>> index, patients = patients_of(["b", "a", "b"])
        >>> index.tolist(), patients
        ([1, 0, 1], 2)
    """
    names, index = np.unique(np.asarray(groups), return_inverse=True)
    return index.astype(np.int64), int(names.size)
