"""Subgroups: figures of groups, their differences, and what is not shown."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rn50med.evaluation.bands import banded
from rn50med.evaluation.cases import Grouping
from rn50med.evaluation.metrics import auroc
from rn50med.evaluation.report.predicted import shared_cells
from rn50med.evaluation.subgroups import subgroups


def _images(rows: int = 240, each: int = 2) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    target = np.repeat(random.integers(2, size=rows // each), each)
    said = 1 / (1 + np.exp(-(2 * target - 1 + random.normal(size=rows))))
    return said, target, np.repeat(np.arange(rows // each), each)


def test_a_groups_figures_are_those_of_its_images_alone() -> None:
    said, target, patients = _images()
    values = np.where(patients % 3 == 0, "a", "b")
    for row in subgroups(values.tolist(), said, target, patients, 0.5, "site"):
        inside = values == row.value
        assert (row.images, row.patients) == (inside.sum(), np.unique(patients[inside]).size)
        assert row.figures["auroc"].value == pytest.approx(auroc(said[inside], target[inside]))
        found = (said[inside] >= 0.5)[target[inside] == 1].mean()
        assert row.figures["sensitivity"].value == pytest.approx(found)
        apart = auroc(said[inside], target[inside]) - auroc(said[~inside], target[~inside])
        assert row.differences["auroc"].value == pytest.approx(apart)
        assert row.differences["auroc"].low < apart < row.differences["auroc"].high
        assert not row.note


def test_the_difference_of_separate_groups_agrees_with_a_bootstrap() -> None:
    said, target, patients = _images(600)
    values = np.where(patients % 2 == 0, "a", "b")
    row = subgroups(values.tolist(), said, target, patients, 0.5)[0]
    random, draws = np.random.default_rng(0), []
    for _ in range(600):
        rows = (2 * random.integers(300, size=300)[:, None] + [0, 1]).ravel()
        a = values[rows] == "a"
        draws.append(auroc(said[rows][a], target[rows][a]) - auroc(said[rows][~a], target[rows][~a]))
    figure = row.differences["auroc"]
    assert (figure.low, figure.high) == pytest.approx(np.quantile(draws, [0.025, 0.975]), abs=0.012)


def test_patients_in_both_groups_make_the_difference_surer() -> None:
    """Each patient has one film of either view: what is shared by the films of a patient falls out."""
    random = np.random.default_rng(1)
    target = np.repeat(np.arange(200) % 2, 2)
    shared = np.repeat(random.normal(size=200), 2)
    said = 1 / (1 + np.exp(-(target + shared + 0.3 * random.normal(size=400))))
    view = ["pa", "lateral"] * 200
    both = subgroups(view, said, target, np.repeat(np.arange(200), 2), 0.5)[0]
    apart = subgroups(view, said, target, np.arange(400), 0.5)[0]
    assert both.patients == 200
    for key in ("auroc", "sensitivity", "specificity"):
        one, other = both.differences[key], apart.differences[key]
        assert one.value == other.value
        assert one.high - one.low < 0.7 * (other.high - other.low)


@pytest.mark.parametrize(
    ("sizes", "shown"),
    [
        ({"a": 60, "b": 50, "c": 5}, {"a"}),
        ({"a": 50, "b": 40, "c": 4, "d": 4}, {"a"}),
        ({"a": 50, "b": 40, "c": 6, "d": 4}, {"a", "b"}),
        ({"a": 95, "b": 5}, set()),
        ({"a": 50, "b": 10}, {"a", "b"}),
    ],
)
def test_a_hidden_group_cannot_be_found_by_subtraction(sizes: dict[str, int], shown: set[str]) -> None:
    values = [name for name, size in sizes.items() for _ in range(size)]
    rows = len(values)
    table = subgroups(values, np.linspace(0, 1, rows), np.arange(rows) % 2, np.arange(rows), 0.5)
    assert [row.value for row in table] == sorted(sizes)
    assert {row.value for row in table if not row.suppressed} == shown
    for row in table:
        if row.suppressed:
            assert (row.images, row.patients, row.figures, row.differences) == (None, None, {}, {})
    hidden = [size for name, size in sizes.items() if name not in shown]
    assert not hidden or (len(hidden) > 1 and sum(hidden) >= 10)


def test_ages_of_a_patient_within_a_band_are_one_group_and_of_two_bands_leave_the_others_in_bands() -> None:
    ages = ["41", "43", "64", "66", "17"]
    cells = shared_cells(ages, Grouping.by(["a", "a", "b", "b", "c"]), "PatientAge")
    assert cells == ("41", "several", "17")
    names, group = banded(cells, "PatientAge")
    assert [names[k] for k in group] == ["40 to 64", "several", "under 18"]
    assert shared_cells(ages[:2], Grouping.by(["a", "a"]), "site") == ("several",)


def test_a_group_called_like_what_is_missing_is_one_group() -> None:
    names, group = banded(["not given", "", "a"], "site")
    assert (names, group.tolist()) == (["a", "not given"], [1, 1, 0])


def test_a_column_that_fixes_the_label_is_held_against_all_of_the_other_outcome() -> None:
    said, target, patients = _images()
    cause = np.where(target == 0, "none", np.where(patients % 3 == 0, "virus", "bacterium"))
    rows = {row.value: row for row in subgroups(cause.tolist(), said, target, patients, 0.5, "etiology")}
    against = (cause == "virus") | (target == 0)
    virus = rows["virus"]
    assert virus.figures["auroc"].value == pytest.approx(auroc(said[against], target[against]))
    assert virus.figures["sensitivity"].value == (said[cause == "virus"] >= 0.5).mean()
    assert virus.figures["specificity"].reason == "no negative case"
    assert "all negative cases" in virus.note
    other = (cause == "bacterium") | (target == 0)
    apart = auroc(said[against], target[against]) - auroc(said[other], target[other])
    assert virus.differences["auroc"].value == pytest.approx(apart)
    assert "all positive cases" in rows["none"].note
    assert math.isnan(rows["none"].differences["auroc"].value)


def test_a_group_with_one_outcome_by_chance_is_undefined_and_says_so() -> None:
    values = ["a"] * 20 + ["b"] * 20
    target = [1] * 20 + [0, 1] * 10
    row = subgroups(values, np.linspace(0, 1, 40), target, np.arange(40), None)[0]
    assert row.figures["auroc"].reason == "no negative case"
    assert row.figures["sensitivity"].reason == "no operating point"
    assert not row.note


def test_a_perfect_group_differs_with_an_interval_that_has_width() -> None:
    said, target, patients = _images()
    inside = patients < 20
    said[inside] = 0.02 + 0.96 * target[inside]
    row = subgroups(np.where(inside, "a", "b").tolist(), said, target, patients, 0.5)[0]
    assert row.figures["auroc"].value == 1.0
    for key in ("auroc", "sensitivity", "specificity"):
        assert row.differences[key].high - row.differences[key].low > 0.05


@pytest.mark.parametrize(
    ("values", "column", "names"),
    [
        (
            ["3", "17.9", "18", "39", "40", "64", "65", "90"],
            "age",
            ["under 18", "18 to 39", "40 to 64", "65 and over"],
        ),
        (["006M", "045Y"], "PatientAge", ["under 18", "40 to 64"]),
        (["1", "2", "3"], "stage", ["1", "2", "3"]),
        ([str(n) for n in range(8)], "pages", ["under 1", "1 to under 3", "3 to under 5", "5 and over"]),
        (["1", "2", "x"], "age", ["1", "2", "x"]),
        (["b", "nan", "a", " "], "site", ["a", "b", "not given"]),
        ([""] * 3, "site", ["not given"]),
    ],
)
def test_columns_become_groups(values: list[str], column: str, names: list[str]) -> None:
    found, group = banded(values, column)
    assert found == names
    assert set(group.tolist()) == set(range(len(names)))


def test_quarters_hold_a_quarter_each() -> None:
    random = np.random.default_rng(0)
    names, group = banded([f"{value:.4f}" for value in random.normal(size=400)], "dose")
    assert len(names) == 4
    assert np.abs(np.bincount(group) - 100).max() <= 1


def test_another_number_of_values_is_refused() -> None:
    with pytest.raises(ValueError, match="1 for 2 images"):
        subgroups(["a"], [0.1, 0.2], [0, 1], ["x", "y"], 0.5)
