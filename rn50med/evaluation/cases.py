"""Cases: what is judged. A case is an image, or all images of a study or of a patient, put together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rn50med.errors import DataError
from rn50med.evaluation.arrays import UNKNOWN, Floats, Ints, Targets

UnitName = Literal["image", "study", "patient"]
Combination = Literal["mean", "max"]


@dataclass(frozen=True)
class Unit:
    """What a case is.

    Args:
        of: An image, or all images of a study or of a patient.
        images: How the probabilities of a case's images are put together: their mean, or the largest one,
            where one image with the finding is enough; the largest of classes that exclude each other are
            scaled to a sum of 1.

    Example:
        >>> Unit("study").word(2), Unit("patient", "max").word(1)
        ('studies', 'patient')
    """

    of: UnitName = "image"
    images: Combination = "mean"

    def word(self, number: int = 2) -> str:
        """Return what so many cases are called.

        Args:
            number: Of cases.
        """
        return self.of if number == 1 else {"study": "studies"}.get(self.of, f"{self.of}s")

    def as_dict(self) -> dict[str, str]:
        """Return plain types, for a checkpoint."""
        return asdict(self)

    @classmethod
    def from_protocol(cls, plain: Mapping[str, Any] | None) -> Unit:
        """Return the unit that a run's ``metrics.json`` names below ``protocol``; images where it names none.

        Args:
            plain: Its ``protocol``; older runs have none.
        """
        kept = plain or {}
        return cls(kept.get("unit", "image"), kept.get("images", "mean"))


@dataclass(frozen=True, eq=False)
class Cases:
    """What a model said of each case, and what is true: what every figure is computed from.

    Args:
        probability: A column per probability that the task gives, ``(N, P)``; the value, ``(N, 1)``, where
            the target is a number.
        target: As the task encodes it, ``(N,)`` or ``(N, L)``.
        patients: Patient of each case, ``(N,)``.
    """

    probability: Floats
    target: Targets
    patients: NDArray[np.str_]


@dataclass(frozen=True, eq=False)
class Grouping:
    """Which images make a case.

    Args:
        index: Case of each image, ``(N,)``; cases are numbered by their first images.
        first: First image of each case, ``(C,)``, increasing.
    """

    index: Ints
    first: Ints

    @classmethod
    def by(cls, names: ArrayLike) -> Grouping:
        """Group images by the names of their cases.

        Args:
            names: Of each image's case, ``(N,)``.

        Example:
            >>> grouping = Grouping.by(["b", "a", "b"])
            >>> grouping.index.tolist(), grouping.first.tolist()
            ([0, 1, 0], [0, 1])
        """
        _, first, index = np.unique(np.asarray(names), return_index=True, return_inverse=True)
        place = np.empty(first.size, dtype=np.int64)
        place[np.argsort(first, kind="stable")] = np.arange(first.size)
        return cls(place[index.reshape(-1)], np.sort(first).astype(np.int64))

    @classmethod
    def alone(cls, images: int) -> Grouping:
        """Let each image be a case of its own.

        Args:
            images: Their number.
        """
        return cls(np.arange(images), np.arange(images))

    def __len__(self) -> int:
        """Return the number of cases."""
        return self.first.size

    def images(self) -> Ints:
        """Return the number of images of each case, ``(C,)``."""
        return np.bincount(self.index, minlength=len(self)).astype(np.int64)


def grouped(unit: UnitName, patients: ArrayLike, studies: ArrayLike | None = None) -> Grouping:
    """Return the cases of images.

    Args:
        unit: What a case is.
        patients: Patient of each image, ``(N,)``; an image without one is a case of its own.
        studies: Study of each image, ``(N,)``, within its patient; likewise.

    Raises:
        DataError: If studies are wanted, and not known.

    Example:
        >>> grouped("study", ["a", "a", "b", ""], ["1", "1", "1", ""]).index.tolist()
        [0, 0, 1, 2]
    """
    owners = [str(patient) for patient in np.asarray(patients)]
    if unit == "image":
        return Grouping.alone(len(owners))
    if unit == "patient":
        parts = [(owner,) for owner in owners]
    elif studies is None:
        raise DataError(
            "evaluation.unit: is study, and the images have no column of studies; give its name with "
            "--data.columns.study, or --evaluation.unit patient."
        )
    else:
        parts = [(owner, str(each)) for owner, each in zip(owners, np.asarray(studies), strict=True)]  # type: ignore[misc]
    names = ["\0".join(part) if all(part) else f"\0{row}" for row, part in enumerate(parts)]
    return Grouping.by(names)


def combined(
    probability: Floats, grouping: Grouping, images: Combination = "mean", exclusive: bool = False
) -> Floats:
    """Return the probabilities of cases from those of their images.

    Args:
        probability: Of the images, ``(N, P)``; one that is ``nan`` is left out of its case.
        grouping: Of the images.
        images: How they are put together.
        exclusive: Whether the columns are classes that exclude each other, with a sum of 1.

    Shape:
        - output: ``(C, P)``; ``nan`` for a case without any image that is not.

    Example:
        >>> said, grouping = np.array([[0.25], [0.5], [0.75]]), Grouping.by(["a", "b", "a"])
        >>> combined(said, grouping).tolist(), combined(said, grouping, "max").tolist()
        ([[0.5], [0.5]], [[0.75], [0.5]])
    """
    known = ~np.isnan(probability).any(axis=1)
    index, said = grouping.index[known], probability[known]
    shape = len(grouping), probability.shape[1]
    number = np.bincount(index, minlength=len(grouping))[:, None]
    if images == "mean":
        together = np.zeros(shape)
        np.add.at(together, index, said)
        return np.where(number > 0, together / np.maximum(number, 1), np.nan)
    together = np.full(shape, -np.inf)
    np.maximum.at(together, index, said)
    together = np.where(number > 0, together, np.nan)
    return together / together.sum(axis=1, keepdims=True) if exclusive else together


def case_targets(target: Targets, grouping: Grouping) -> Targets:
    """Return the targets of cases: what is known of any of their images; of numbers that of the first.

    Args:
        target: Of the images, ``(N,)`` or ``(N, L)``.
        grouping: Of the images, within which targets that are known are equal.

    Example:
        >>> case_targets(np.array([[1, -100], [-100, 0]]), Grouping.by(["a", "a"])).tolist()
        [[1, 0]]
    """
    if target.dtype.kind == "f":
        return target[grouping.first]
    found = np.full((len(grouping), *target.shape[1:]), UNKNOWN, dtype=np.int64)
    np.maximum.at(found, grouping.index, target)  # UNKNOWN is below every target
    return found


def uneven(target: Targets, grouping: Grouping) -> Ints:
    """Return the cases whose images do not have the same target, as far as it is known, increasing.

    Args:
        target: Of the images, ``(N,)`` or ``(N, L)``.
        grouping: Of the images.

    Example:
        >>> uneven(np.array([0, 1, 1]), Grouping.by(["a", "a", "b"])).tolist()
        [0]
    """
    known = np.isfinite(target) if target.dtype.kind == "f" else target != UNKNOWN
    differs = known & (target != case_targets(target, grouping)[grouping.index])
    rows = differs.reshape(len(target), -1).any(axis=1)
    return np.unique(grouping.index[rows])


@dataclass(frozen=True, eq=False)
class Membership:
    """Which patient and which case each image belongs to.

    Args:
        patients: Patient of each image, ``(N,)``.
        grouping: Of the images into cases.
        images: How the probabilities of a case's images are put together.
    """

    patients: NDArray[np.str_]
    grouping: Grouping
    images: Combination = "mean"

    @classmethod
    def alone(cls, images: int) -> Membership:
        """Let each image be a case and a patient of its own.

        Args:
            images: Their number.
        """
        return cls(np.arange(images).astype(str), Grouping.alone(images))
