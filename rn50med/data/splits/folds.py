"""Patient-wise folds: whole groups stay together, classes and labels keep their shares."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rn50med.data.findings import Finding
from rn50med.data.splits.classes import deal_classes
from rn50med.data.splits.groups import numbered
from rn50med.data.splits.labels import deal_labels
from rn50med.data.splits.strata import Strata
from rn50med.errors import DataError, listed

_REMEDY = "or give a split column with train, val and test."


def fold_of(
    strata: Strata | Sequence[str] | NDArray[np.int64],
    groups: NDArray[np.int64],
    names: Sequence[str],
    folds: int,
    seed: int,
) -> NDArray[np.int64]:
    """Return a fold for each image, whole groups together, classes or labels in proportion.

    The order of the rows does not matter: images are sorted by name first.

    Args:
        strata: Class of each image, as text or as a number, shape ``(N,)``; or labels, 1, 0 or unknown, shape
            ``(N, L)``.
        groups: Group of each image.
        names: A unique name of each image.
        folds: Number of folds.
        seed: Another seed gives other folds.

    Raises:
        DataError: If a class, or all there is, has fewer groups than there are folds; the message does not
            name the source.
    """
    order = np.argsort(np.asarray(names, dtype=str), kind="stable")
    sorted_strata, group = Strata.of(strata).take(order), numbered(groups[order])
    _need_groups(sorted_strata, group, folds)
    deal = deal_labels if sorted_strata.several else deal_classes
    fold = np.empty(len(order), dtype=np.int64)
    fold[order] = deal(sorted_strata.values, group, folds, seed)[group]
    return fold


def multilabel_fold_of(
    labels: NDArray[np.int64], groups: NDArray[np.int64], names: Sequence[str], folds: int, seed: int
) -> NDArray[np.int64]:
    """Return a fold for each image, whole groups together, labels in proportion.

    Args:
        labels: 1, 0, or anything else where it is unknown, shape ``(N, L)``.
        groups: Group of each image.
        names: A unique name of each image.
        folds: Number of folds.
        seed: Another seed gives other folds.

    Raises:
        DataError: If there are fewer groups than folds; the message does not name the source.
    """
    return fold_of(Strata.of(labels.reshape(len(names), -1)), groups, names, folds, seed)


def _need_groups(strata: Strata, group: NDArray[np.int64], folds: int) -> None:
    """Refuse what cannot be dealt: too few groups, in all or of a class."""
    if strata.several:
        held = len(np.unique(group))
        rare = [f"there {'is' if held == 1 else 'are'} {_patients(held)}"] if held < folds else []
        more = "add patients"
    else:
        pairs = np.unique(np.stack([strata.values, group], axis=1), axis=0)
        held_by = np.bincount(pairs[:, 0], minlength=len(strata.names)).tolist()
        rare = [
            f"class {name!r} has {_patients(held)}"
            for name, held in zip(strata.names, held_by, strict=True)
            if 0 < held < folds
        ]
        more = "add patients, take the class out"
    if rare:
        raise DataError(f"{' and '.join(rare)}, too few for {folds} patient-wise folds; {more}, {_REMEDY}")


def _patients(number: int) -> str:
    return f"{number} patient{'' if number == 1 else 's'}"


def rare_labels(strata: Strata, groups: NDArray[np.int64], folds: int) -> tuple[Finding, ...]:
    """Return a warning where labels have too few patients for every fold to have one.

    Args:
        strata: Of the images; classes that exclude each other give none, for `fold_of` refuses rare ones.
        groups: Group of each image.
        folds: Number of folds.
    """
    if not strata.several:
        return ()
    found = []
    for value, word in ((1, "positive"), (0, "negative")):
        held = [len(np.unique(groups[strata.values[:, k] == value])) for k in range(len(strata.names))]
        rare = [f"{name!r} ({n})" for name, n in zip(strata.names, held, strict=True) if n < folds]
        if rare:
            message = (
                f"Fewer than {folds} patients, the number of folds, are {word} for {listed(rare)}: some "
                "folds have none, and figures there are undefined."
            )
            remedy = "add such patients, ask for fewer folds, or take the label out"
            found.append(Finding("rare-class", "warning", message, remedy))
    return tuple(found)
