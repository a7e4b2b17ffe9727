"""Folds by label: each keeps its share, unknown counts for nothing, a seed gives the same everywhere."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rn50med.data.splits import (
    SplitPlan,
    Strata,
    connected_groups,
    fold_of,
    make_splits,
    multilabel_fold_of,
    rare_labels,
)
from rn50med.data.splits.labels import deal_labels
from rn50med.errors import DataError

GOLDEN = Path(__file__).parent / "golden" / "splits_multilabel.json"
UNKNOWN = -100

Cohort = tuple[list[str], list[str], NDArray[np.int64]]


def cohort(draw: int, patients: int = 120, labels: int = 6) -> Cohort:
    """Return names, patients and labels: one to five images of a patient, mostly with the same findings."""
    rng = np.random.default_rng(draw)
    of = np.repeat(np.arange(patients), rng.integers(1, 6, patients))
    present = rng.random((patients, labels)) < np.geomspace(0.04, 0.5, labels)
    values = (present[of] ^ (rng.random((len(of), labels)) < 0.05)).astype(np.int64)
    values[rng.random(values.shape) < rng.uniform(0, 0.5, labels)] = UNKNOWN
    names = [f"p{patient:03d}/{number:04d}.png" for number, patient in enumerate(of)]
    return names, [f"{patient:03d}" for patient in of], values


def errors(values: NDArray[np.int64], fold: NDArray[np.int64], folds: int) -> NDArray[np.float64]:
    """Return, for each label's positives and negatives, how far the furthest fold is from its share."""
    held = [np.bincount(fold[column == value], minlength=folds) for value in (1, 0) for column in values.T]
    return np.array([np.abs(count - count.sum() / folds).max() for count in held])


@given(
    draw=st.integers(0, 10**6),
    seed=st.integers(0, 2**63 - 1),
    patients=st.integers(40, 200),
    labels=st.integers(1, 8),
    folds=st.integers(2, 10),
)
@settings(max_examples=40, deadline=None)
def test_each_label_keeps_its_share_in_every_fold(
    draw: int, seed: int, patients: int, labels: int, folds: int
) -> None:
    names, of, values = cohort(draw, patients, labels)
    groups = connected_groups(of)
    fold = multilabel_fold_of(values, groups, names, folds, seed)
    found = errors(values, fold, folds)
    # a patient cannot be parted, so an error of about one patient's images is as good as it gets
    largest = [np.bincount(groups[column == value]).max(initial=1) for value in (1, 0) for column in values.T]
    assert (found <= 2.0 * np.array(largest)).all()
    assert np.abs(np.bincount(fold, minlength=folds) - len(names) / folds).max() <= 10
    rng = np.random.default_rng(0)
    dealt = [rng.integers(0, folds, groups.max() + 1)[groups] for _ in range(10)]
    assert found.mean() < 0.5 * np.mean([errors(values, chance, folds).mean() for chance in dealt])


@given(draw=st.integers(0, 10**6), seed=st.integers(0, 2**31 - 1), shuffle=st.randoms(use_true_random=False))
@settings(max_examples=25, deadline=None)
def test_the_order_of_rows_changes_no_fold(draw: int, seed: int, shuffle: object) -> None:
    names, patients, values = cohort(draw, patients=40)
    turned = list(range(len(names)))
    shuffle.shuffle(turned)  # type: ignore[attr-defined]
    straight = multilabel_fold_of(values, connected_groups(patients), names, 5, seed)
    groups = connected_groups([patients[row] for row in turned])
    mixed = multilabel_fold_of(values[turned], groups, [names[row] for row in turned], 5, seed)
    assert mixed.tolist() == straight[turned].tolist()


@given(draw=st.integers(0, 10**6), seed=st.integers(0, 2**31 - 1), copies=st.integers(0, 30))
@settings(max_examples=25, deadline=None)
def test_no_patient_is_in_two_splits_and_no_image_is_lost(draw: int, seed: int, copies: int) -> None:
    names, patients, values = cohort(draw)
    pixels = [f"hash {number}" for number in range(len(names))]
    rng = np.random.default_rng(draw)
    for row in rng.integers(0, len(names), copies):  # copies of images under other names, of other patients
        names.append(f"copy/{len(names):04d}.png")
        patients.append(f"{int(rng.integers(0, 120)):03d}")
        pixels.append(pixels[row])
        values = np.vstack([values, values[row]])
    groups = connected_groups(patients, pixels)
    made = make_splits(SplitPlan(), [""] * len(names), values, groups, names, seed)
    assert len(made.splits) == len(names)
    assert set(made.splits) == {"train", "val", "test"}
    for key in (patients, pixels, groups.tolist()):
        assert len(set(zip(key, made.splits, strict=True))) == len(set(key))
        assert len(set(zip(key, made.folds, strict=True))) == len(set(key))


def test_the_same_seed_gives_the_folds_of_every_other_machine() -> None:
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    names, patients, values = labelled_by_hand()
    assert len(golden) == 2
    for seed, expected in golden.items():
        fold = multilabel_fold_of(values, connected_groups(patients), names, 5, int(seed))
        assert dict(zip(patients, fold.tolist(), strict=True)) == expected


def labelled_by_hand() -> Cohort:
    """Return a cohort that hangs on no generator: patient p has p % 4 + 1 images."""
    rows = [(patient, number) for patient in range(60) for number in range(patient % 4 + 1)]
    values = [
        [int(p % 2 == 0), int(p % 7 == 0), int((p + n) % 3 == 0), UNKNOWN if p % 5 else 1] for p, n in rows
    ]
    return [f"{p:02d}-{n}.png" for p, n in rows], [f"{p:02d}" for p, _ in rows], np.array(values)


def test_another_seed_gives_other_folds() -> None:
    names, patients, values = cohort(0)
    groups = connected_groups(patients)
    one, other = (multilabel_fold_of(values, groups, names, 5, seed).tolist() for seed in (0, 1))
    assert one != other


@pytest.mark.parametrize("unknown", [UNKNOWN, -1, 2])
def test_whatever_is_neither_1_nor_0_is_unknown(unknown: int) -> None:
    names, patients, values = cohort(1)
    groups = connected_groups(patients)
    written = np.where(values == UNKNOWN, unknown, values)
    expected = multilabel_fold_of(values, groups, names, 5, 0).tolist()
    assert multilabel_fold_of(written, groups, names, 5, 0).tolist() == expected


def test_a_label_that_nobody_ruled_on_changes_no_fold() -> None:
    names, patients, values = cohort(2)
    groups = connected_groups(patients)
    wider = np.hstack([values, np.full((len(names), 1), UNKNOWN)])
    assert fold_of(wider, groups, names, 5, 0).tolist() == fold_of(values, groups, names, 5, 0).tolist()


def test_images_are_spread_evenly_where_nothing_is_known_of_them() -> None:
    groups = np.arange(100)
    fold = deal_labels(np.full((100, 3), UNKNOWN), groups, 5, 0)
    assert np.bincount(fold).tolist() == [20] * 5


def test_a_label_of_as_many_patients_as_folds_is_in_every_fold() -> None:
    rng = np.random.default_rng(0)
    common = (rng.random((400, 3)) < 0.4).astype(np.int64)
    rare = np.zeros((400, 1), dtype=np.int64)
    rare[rng.permutation(400)[:5]] = 1
    fold = deal_labels(np.hstack([common, rare]), np.arange(400), 5, 0)
    assert sorted(fold[rare[:, 0] == 1].tolist()) == [0, 1, 2, 3, 4]


def test_counts_stay_whole_with_twenty_folds_and_a_patient_of_most_images() -> None:
    rng = np.random.default_rng(0)
    groups = np.concatenate([np.zeros(900_000, dtype=np.int64), np.arange(1, 101)])
    values = (rng.random((len(groups), 2)) < 0.5).astype(np.int64)
    fold = deal_labels(values, groups, 20, 0)
    others = np.bincount(fold[1:], minlength=20)
    assert others[fold[0]] == 0
    assert others.sum() == 100


def test_rare_labels_are_a_warning_with_their_number_of_patients() -> None:
    names, patients, _ = cohort(0)
    rare = [[int(patient in {"001", "002"}), 1] for patient in patients]
    strata = Strata.of(np.array(rare), ("hernia", "support"))
    groups = connected_groups(patients)
    made = make_splits(SplitPlan(), [""] * len(names), strata, groups, names, 0)
    assert [finding.code for finding in made.findings] == ["rare-class", "rare-class"]
    assert {finding.severity for finding in made.findings} == {"warning"}
    assert (
        "Fewer than 5 patients, the number of folds, are positive for 'hernia' (2)"
        in made.findings[0].message
    )
    assert "are negative for 'support' (0)" in made.findings[1].message
    assert not rare_labels(strata, groups, 2)[:-1]


def test_fewer_patients_than_folds_are_refused() -> None:
    values = np.ones((8, 2), dtype=np.int64)
    groups = np.array([0, 0, 1, 1, 2, 2, 3, 3])
    with pytest.raises(
        DataError, match="there are 4 patients, too few for 5 patient-wise folds; add patients"
    ):
        multilabel_fold_of(values, groups, [str(n) for n in range(8)], 5, 0)


def test_the_caller_need_not_know_whether_labels_exclude_each_other() -> None:
    names, patients, values = cohort(0)
    groups = connected_groups(patients)
    text = [("no", "yes")[value] for value in (values[:, -1] == 1).astype(int)]
    numbers = (values[:, -1] == 1).astype(np.int64)
    by_text = fold_of(text, groups, names, 5, 0).tolist()
    assert fold_of(numbers, groups, names, 5, 0).tolist() == by_text
    # a recipe that names its classes in another order has the same folds
    assert fold_of(Strata.of(1 - numbers, ["yes", "no"]), groups, names, 5, 0).tolist() == by_text
    assert fold_of(values, groups, names, 5, 0).shape == (len(names),)
