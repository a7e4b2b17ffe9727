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

from rn50med.data.gate import ALLOWABLE
from rn50med.data.splits import SplitPlan, assign_splits, connected_groups, fold_of, make_splits
from rn50med.errors import DataError, RecipeError

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


def brute_force_groups(images: Sequence[tuple[str, ...]]) -> list[int]:
    """Merge images that share a key of one kind until nothing changes."""
    label = list(range(len(images)))
    changed = True
    while changed:
        changed = False
        for i in range(len(label)):
            for j in range(i):
                linked = any(a == b != "" for a, b in zip(images[i], images[j], strict=True))
                if linked and label[i] != label[j]:
                    label[i] = label[j] = min(label[i], label[j])
                    changed = True
    return label


@given(
    st.lists(
        st.tuples(st.sampled_from("abcdef"), st.sampled_from("uvwxyz"), st.sampled_from(["", "a", "u", "s"])),
        min_size=1,
        max_size=12,
    )
)
@settings(max_examples=150, deadline=None)
def test_a_group_is_what_patients_studies_and_identical_images_connect(
    images: list[tuple[str, str, str]],
) -> None:
    found = connected_groups(*map(list, zip(*images, strict=True))).tolist()
    expected = brute_force_groups(images)
    same = [[a == b for a in found] for b in found]
    assert same == [[a == b for a in expected] for b in expected]
    assert list(dict.fromkeys(found)) == list(range(len(set(found))))  # numbered as they appear


def test_an_empty_key_joins_nobody() -> None:
    assert connected_groups(["", "", "a", "a"]).tolist() == [0, 1, 2, 2]
    assert connected_groups(["a", "b", "c"], ["", "", ""]).tolist() == [0, 1, 2]
    assert connected_groups([]).tolist() == []


def test_a_study_joins_two_patients() -> None:
    assert connected_groups(["a", "b", "c"], ["1", "2", "3"], ["study", "study", ""]).tolist() == [0, 0, 1]


def test_kinds_of_keys_that_are_not_one_per_image_are_refused() -> None:
    with pytest.raises(ValueError, match=r"keys: have lengths \[2, 1\]"):
        connected_groups(["a", "b"], ["1"])


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
        (["test"], "the split column has no train rows"),
        (["val"], "the split column has no train rows"),
    ],
)
def test_a_split_column_without_train_is_refused(present: list[str], said: str) -> None:
    names, patients, strata = cohort(0)
    splits = [present[i % len(present)] for i in range(len(names))]
    with pytest.raises(DataError, match=said):
        assign_splits(splits, strata, connected_groups(patients, names), names, 0)


@pytest.mark.parametrize("present", [["train", "val"], ["train"]])
def test_splits_without_a_test_are_an_error_that_can_be_allowed(present: list[str]) -> None:
    names, patients, strata = cohort(0)
    splits = [present[i % len(present)] for i in range(len(names))]
    groups = connected_groups(patients, names)
    made = make_splits(SplitPlan(), splits, strata, groups, names, 0)
    assert set(made.splits) == {"train", "val"}
    assert [each.code for each in made.findings if each.severity == "error"] == ["no-test"]
    assert "no-test" in ALLOWABLE


def test_a_class_with_fewer_patients_than_folds_is_refused_by_name() -> None:
    names, patients, strata = cohort(0)
    strata = ["rare" if int(patient) < 4 else "common" for patient in patients]
    with pytest.raises(DataError, match=r"class 'rare' has 4 patients, too few for 5 patient-wise folds"):
        folds(names, patients, strata)


def test_every_class_with_fewer_patients_than_folds_is_named() -> None:
    names, patients, strata = cohort(0)
    strata = ["ab"[int(patient) % 2] if int(patient) < 4 else "common" for patient in patients]
    with pytest.raises(
        DataError, match="class 'a' has 2 patients and class 'b' has 2 patients, too few for 5"
    ):
        folds(names, patients, strata)


@given(seed=st.integers(0, 2**31 - 1), fold=st.integers(0, 4), draw=st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_val_made_of_train_never_holds_a_row_of_test(seed: int, fold: int, draw: int) -> None:
    names, patients, strata = cohort(draw)
    # test rows stand first and in between, so that a position within train taken for a row would hit them
    given_splits = ["test" if int(p) < 10 or int(p) % 3 == 0 else "train" for p in patients]
    groups = connected_groups(patients, names)
    made = make_splits(SplitPlan(fold=fold), given_splits, strata, groups, names, seed)
    for before, after, number in zip(given_splits, made.splits, made.folds, strict=True):
        assert (after == "test") == (before == "test")
        assert (number is None) == (before == "test")
        assert (after == "val") == (number == fold)
    assert len(set(zip(patients, made.splits, strict=True))) == len(set(patients))
    assert "val" in made.splits


@pytest.mark.parametrize(("folds", "fold", "val"), [(3, 0, 1), (10, 9, 0), (20, 7, 8)])
def test_any_fold_can_be_test_and_the_next_one_is_val(folds: int, fold: int, val: int) -> None:
    names, patients, strata = cohort(0, patients=120)
    groups = connected_groups(patients, names)
    made = make_splits(SplitPlan(folds=folds, fold=fold), [""] * len(names), strata, groups, names, 4)
    expected = fold_of(strata, groups, names, folds, 4).tolist()
    assert list(made.folds) == expected
    assert list(made.splits) == [{fold: "test", val: "val"}.get(number, "train") for number in expected]
    assert made.origin.endswith(f"patient-wise folds, seed 4; fold {fold} test, fold {val} val.")


def test_two_folds_are_refused_where_nothing_would_be_left_to_train_on() -> None:
    names, patients, strata = cohort(0)
    groups = connected_groups(patients, names)
    plan = SplitPlan(folds=2)
    with pytest.raises(RecipeError, match=r"--data\.splits\.folds: 2 folds are used up by test and val"):
        make_splits(plan, [""] * len(names), strata, groups, names, 0)
    given_splits = ["test" if int(patient) % 4 == 0 else "train" for patient in patients]
    assert "val" in make_splits(plan, given_splits, strata, groups, names, 0).splits


def test_images_whose_split_is_given_are_in_no_fold() -> None:
    names, patients, strata = cohort(0)
    given_splits = [("train", "val", "test")[int(patient) % 3] for patient in patients]
    made = make_splits(SplitPlan(), given_splits, strata, connected_groups(patients, names), names, 0)
    assert set(made.folds) == {None}
    assert not made.findings
