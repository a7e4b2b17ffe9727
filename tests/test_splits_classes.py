"""Folds by class: those of scikit-learn, to the last one, and faster."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from rn50med.data.splits.classes import deal_classes
from rn50med.data.splits.groups import numbered


def reference(
    classes: NDArray[np.int64], groups: NDArray[np.int64], folds: int, seed: int
) -> NDArray[np.int64]:
    fold = np.empty(len(classes), dtype=np.int64)
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # classes with fewer images than folds
        for number, (_, held) in enumerate(splitter.split(classes, classes, groups)):
            fold[held] = number
    return fold


@given(
    draw=st.integers(0, 2**31 - 1),
    seed=st.integers(0, 2**32 - 1),
    images=st.integers(40, 300),
    classes=st.integers(1, 12),
    folds=st.integers(2, 20),
    alike=st.booleans(),
)
@example(draw=0, seed=0, images=300, classes=9, folds=20, alike=True)  # sums of eight and more go another way
@settings(max_examples=60, deadline=None)
def test_the_folds_are_those_of_scikit_learn(
    draw: int, seed: int, images: int, classes: int, folds: int, alike: bool
) -> None:
    rng = np.random.default_rng(draw)
    # groups that are alike tie at every step, where only the order of sums and of folds decides
    group = np.arange(images) // 2 if alike else numbered(rng.integers(0, images, images))
    kind = numbered((np.arange(images) // 2) % classes if alike else rng.integers(0, classes, images))
    if group.max() + 1 < folds or np.bincount(kind).max() < folds:
        return
    assert (
        deal_classes(kind, group, folds, seed)[group].tolist() == reference(kind, group, folds, seed).tolist()
    )


@pytest.mark.slow
def test_the_folds_of_many_groups_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    group, kind = numbered(rng.integers(0, 30_000, 100_000)), rng.integers(0, 5, 100_000)
    assert deal_classes(kind, group, 5, 1)[group].tolist() == reference(kind, group, 5, 1).tolist()
