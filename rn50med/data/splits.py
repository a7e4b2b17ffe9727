"""Splits by patient: images of one patient, or of identical bytes, stay together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import StratifiedGroupKFold

from rn50med.errors import DataError

SPLITS = ("train", "val", "test")


def connected_groups(patients: Sequence[str], contents: Sequence[str]) -> NDArray[np.int64]:
    """Return the group of each image: images connected by patient or by identical bytes.

    Args:
        patients: Patient of each image.
        contents: Hash of each image's bytes.

    Example:
        >>> connected_groups(["a", "a", "b", "c"], ["1", "2", "2", "3"])
        array([0, 0, 0, 1])
    """
    count = len(patients)
    names = [("patient", name) for name in patients] + [("content", name) for name in contents]
    _, node = np.unique(np.array([f"{kind}:{name}" for kind, name in names]), return_inverse=True)
    image = np.concatenate([np.arange(count), np.arange(count)])
    size = count + int(node.max(initial=-1)) + 1
    links = coo_matrix((np.ones(2 * count), (image, node + count)), shape=(size, size))
    _, label = connected_components(links, directed=False)
    return _numbered(label[:count])


def _numbered(labels: NDArray[np.int32]) -> NDArray[np.int64]:
    """Number labels in the order in which they first appear."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse].astype(np.int64)


def fold_of(
    strata: Sequence[str], groups: NDArray[np.int64], names: Sequence[str], folds: int, seed: int
) -> NDArray[np.int64]:
    """Return a fold for each image, whole groups together, classes in proportion.

    The order of the rows does not matter: images are sorted by name first.

    Args:
        strata: Class of each image.
        groups: Group of each image.
        names: A unique name of each image.
        folds: Number of folds.
        seed: Another seed gives other folds.

    Raises:
        DataError: If a class has fewer groups than there are folds; the message does not name the source.
    """
    order = np.argsort(np.asarray(names, dtype=str), kind="stable")
    classes, group = np.asarray(strata)[order], _numbered(groups[order].astype(np.int32))
    for name in np.unique(classes):
        held = len(np.unique(group[classes == name]))
        if held < folds:
            raise DataError(
                f"class {str(name)!r} has {held} patients, too few for {folds} patient-wise folds; "
                "add patients, or give a split column with train, val and test."
            )
    fold = np.empty(len(order), dtype=np.int64)
    splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    for number, (_, held_out) in enumerate(splitter.split(np.zeros(len(order)), classes, group)):
        fold[order[held_out]] = number
    return fold


def assign_splits(
    given: Sequence[str], strata: Sequence[str], groups: NDArray[np.int64], names: Sequence[str], seed: int
) -> tuple[list[str], str]:
    """Complete a table's splits, and say in a sentence where they come from.

    Args:
        given: Split of each image as the table has it; empty text throughout where it has none.
        strata: Class of each image.
        groups: Group of each image.
        names: A unique name of each image.
        seed: Seed of the splits that are made.

    Raises:
        DataError: If classes are too rare, or train or test is missing; the message does not name the source.
    """
    present = set(given)
    if present == {""}:
        fold = fold_of(strata, groups, names, folds=5, seed=seed)
        made = np.select([fold == 0, fold == 1], ["test", "val"], default="train")
        return made.tolist(), (
            f"Made by rn50med: five patient-wise folds, seed {seed}; fold 0 test, fold 1 val."
        )
    if missing := {"train", "test"} - present:
        raise DataError(
            f"the split column has no {' and no '.join(sorted(missing))} rows; "
            "add them, or leave the column out to have all splits made by patient."
        )
    if "val" in present:
        return list(given), "As the source gives them."
    rest = np.flatnonzero(np.asarray(given) == "train")
    rows = rest.tolist()
    fold = fold_of([strata[i] for i in rows], groups[rest], [names[i] for i in rows], folds=5, seed=seed)
    completed = np.asarray(given, dtype=object)
    completed[rest[fold == 0]] = "val"
    return completed.tolist(), (
        f"Train and test as the source gives them; val made by rn50med: "
        f"fold 0 of five patient-wise folds of train, seed {seed}."
    )
