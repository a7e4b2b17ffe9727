"""Splits: whole groups stay together, nothing is lost, classes keep their shares, seeds are kept."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rn50med.data.splits import assign_splits, connected_groups, fold_of
from rn50med.errors import DataError

GOLDEN = Path(__file__).parent / "golden" / "splits.json"
PATIENTS = 60


def cohort(seed: int, classes: int = 2, patients: int = PATIENTS) -> tuple[list[str], list[str], list[str]]:
    """Return names, patients and classes of a made-up cohort with one to five images per patient."""
    rng = np.random.default_rng(seed)
    of = [patient for patient in range(patients) for _ in range(int(rng.integers(1, 6)))]
    names = [f"p{patient:03d}/{number:04d}.png" for number, patient in enumerate(of)]
    return names, [f"{patient:03d}" for patient in of], [f"class {patient % classes}" for patient in of]


def folds(
    names: Sequence[str], patients: Sequence[str], strata: Sequence[str], seed: int = 0
) -> dict[str, int]:
    groups = connected_groups(patients, names)  # no two images are identical
    return dict(zip(names, fold_of(strata, groups, names, 5, seed).tolist(), strict=True))


def brute_force_groups(patients: Sequence[str], contents: Sequence[str]) -> list[int]:
    """Merge images that share a patient or bytes until nothing changes."""
    label = list(range(len(patients)))
    changed = True
    while changed:
        changed = False
        for i in range(len(label)):
            for j in range(i):
                linked = patients[i] == patients[j] or contents[i] == contents[j]
                if linked and label[i] != label[j]:
                    label[i] = label[j] = min(label[i], label[j])
                    changed = True
    return label


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from("uvwxyz")), max_size=12))
@settings(max_examples=150, deadline=None)
def test_a_group_is_what_patients_and_identical_images_connect(images: list[tuple[str, str]]) -> None:
    patients, contents = [p for p, _ in images], [c for _, c in images]
    found = connected_groups(patients, contents).tolist()
    expected = brute_force_groups(patients, contents)
    same = [[a == b for a in found] for b in found]
    assert same == [[a == b for a in expected] for b in expected]
    assert sorted(set(found)) == list(range(len(set(found))))


def test_an_identical_image_joins_two_patients() -> None:
    groups = connected_groups(["a", "a", "b", "b", "c"], ["1", "same", "same", "4", "5"])
    assert groups.tolist() == [0, 0, 0, 0, 1]


def test_a_patient_named_as_an_images_hash_is_not_mixed_up_with_it() -> None:
    assert connected_groups(["x", "y"], ["y", "x"]).tolist() == [0, 1]


@given(seed=st.integers(0, 2**31 - 1), draw=st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_no_patient_is_in_two_splits_and_no_image_is_lost(seed: int, draw: int) -> None:
    names, patients, strata = cohort(draw)
    contents = [f"{number - number % 7 // 6}" for number in range(len(names))]  # some copies, across patients
    groups = connected_groups(patients, contents)
    splits, _ = assign_splits([""] * len(names), strata, groups, names, seed)
    assert len(splits) == len(names)
    assert set(splits) == {"train", "val", "test"}
    for key in (patients, contents, groups.tolist()):
        assert len(set(zip(key, splits, strict=True))) == len(set(key))


@given(seed=st.integers(0, 2**31 - 1), classes=st.integers(2, 4))
@settings(max_examples=25, deadline=None)
def test_classes_keep_their_shares_in_every_fold(seed: int, classes: int) -> None:
    names, patients, strata = cohort(seed, classes, patients=200)
    fold = folds(names, patients, strata, seed)
    whole = Counter(strata)
    for number in range(5):
        held = [stratum for name, stratum in zip(names, strata, strict=True) if fold[name] == number]
        assert len(held) == pytest.approx(len(names) / 5, rel=0.15)
        for name, count in whole.items():
            assert held.count(name) / len(held) == pytest.approx(count / len(names), abs=0.06)


@given(seed=st.integers(0, 2**31 - 1), shuffle=st.randoms(use_true_random=False))
@settings(max_examples=25, deadline=None)
def test_the_order_of_rows_changes_no_split(seed: int, shuffle: object) -> None:
    rows = list(zip(*cohort(3), strict=True))
    turned = list(rows)
    shuffle.shuffle(turned)  # type: ignore[attr-defined]
    straight = folds(*map(list, zip(*rows, strict=True)), seed=seed)
    assert folds(*map(list, zip(*turned, strict=True)), seed=seed) == straight


def test_another_seed_gives_other_splits() -> None:
    assert folds(*cohort(0), seed=0) != folds(*cohort(0), seed=1)


def test_the_same_seed_gives_the_splits_of_every_other_machine() -> None:
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    for seed, expected in golden.items():
        names, patients, strata = cohort(0, classes=3)
        groups = connected_groups(patients, names)
        made, _ = assign_splits([""] * len(names), strata, groups, names, int(seed))
        assert dict(zip(patients, made, strict=True)) == expected


def test_splits_of_the_source_are_left_alone() -> None:
    names, patients, strata = cohort(0)
    given_splits = ["test" if int(p) % 5 == 0 else "val" if int(p) % 5 == 1 else "train" for p in patients]
    made, origin = assign_splits(given_splits, strata, connected_groups(patients, names), names, 0)
    assert made == given_splits
    assert origin == "As the source gives them."


def test_where_val_alone_is_missing_it_is_fold_0_of_five_of_train() -> None:
    names, patients, strata = cohort(0)
    given_splits = ["test" if int(patient) % 4 == 0 else "train" for patient in patients]
    groups = connected_groups(patients, names)
    made, origin = assign_splits(given_splits, strata, groups, names, 7)
    rest = [i for i, split in enumerate(given_splits) if split == "train"]
    fold = fold_of([strata[i] for i in rest], groups[rest], [names[i] for i in rest], 5, 7)
    expected = list(given_splits)
    for position, number in zip(rest, fold, strict=True):
        expected[position] = "val" if number == 0 else "train"
    assert made == expected
    assert len(set(zip(patients, made, strict=True))) == len(set(patients))
    assert "fold 0 of five patient-wise folds of train, seed 7" in origin


def test_without_splits_fold_0_is_test_and_fold_1_val() -> None:
    names, patients, strata = cohort(0)
    groups = connected_groups(patients, names)
    made, origin = assign_splits([""] * len(names), strata, groups, names, 0)
    fold = fold_of(strata, groups, names, 5, 0)
    assert [{0: "test", 1: "val"}.get(int(number), "train") for number in fold] == made
    assert "five patient-wise folds, seed 0" in origin


@pytest.mark.parametrize(
    ("present", "said"),
    [
        (["train", "val"], "the split column has no test rows"),
        (["test"], "the split column has no train rows"),
        (["val"], "the split column has no test and no train rows"),
    ],
)
def test_a_split_column_without_train_or_test_is_refused(present: list[str], said: str) -> None:
    names, patients, strata = cohort(0)
    splits = [present[i % len(present)] for i in range(len(names))]
    with pytest.raises(DataError, match=said):
        assign_splits(splits, strata, connected_groups(patients, names), names, 0)


def test_a_class_with_fewer_patients_than_folds_is_refused_by_name() -> None:
    names, patients, strata = cohort(0)
    strata = ["rare" if int(patient) < 4 else "common" for patient in patients]
    with pytest.raises(DataError, match=r"class 'rare' has 4 patients, too few for 5 patient-wise folds"):
        folds(names, patients, strata)
