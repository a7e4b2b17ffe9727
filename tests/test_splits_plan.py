"""What a recipe says about splits: what cannot be meant is refused, all at once, by its option's name."""

from __future__ import annotations

from datetime import date

import pandas as pd
import pytest
from jsonargparse import ArgumentParser

from rn50med.data.faults import Faults
from rn50med.data.splits import SplitPlan, connected_groups, given_splits, make_splits
from rn50med.data.splits.plan import day_of
from rn50med.errors import RecipeError

SITES = ["Basel", "Bern", "Bern", "Genf", "Genf", "Basel"]
DAYS = [
    "2019-12-31",
    "20200101",
    "2020-06-30T08:15:00",
    "2020/07/01",
    "20210101081500.123+0100",
    "2018.05.05",
]


def splits(plan: SplitPlan, **columns: list[str]) -> tuple[list[str], list[str]]:
    """Return the given splits of a table with these columns, and the faults noted."""
    table = pd.DataFrame({"image": [str(row) for row in range(6)], "split": [""] * 6, **columns})
    faults = Faults("labels.csv")
    return given_splits(plan, table, range(2, 8), faults), [str(fault) for fault in faults.found]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"folds": 1}, "--data.splits.folds: is 1; give 2 to 20."),
        ({"folds": 21}, "--data.splits.folds: is 21; give 2 to 20."),
        ({"folds": 3, "fold": 3}, "--data.splits.fold: is 3; give 0 to 2, one of the folds."),
        ({"fold": -1}, "--data.splits.fold: is -1; give 0 to 4"),
        (
            {"test": ("Bern",)},
            "--data.splits.test: is given without a column; name it with --data.splits.by.",
        ),
        ({"val_from": "2020-01-01"}, "--data.splits.val_from: is given without a column"),
        ({"by": "site"}, "--data.splits.by: nothing says which part of column 'site' is test; give"),
        ({"by": "site", "val": ("Bern",)}, "nothing says which part of column 'site' is test"),
        (
            {"by": "site", "test": ("Bern",), "val_from": "2020-01-01"},
            "--data.splits.by: column 'site' cannot be split by values and by days at once",
        ),
        (
            {"by": "site", "test": ("Bern", "Genf"), "val": ("Bern",)},
            "--data.splits.test: 'Bern' is in --data.splits.val too; leave each value in one.",
        ),
        (
            {"by": "day", "test_from": "1.2.2020"},
            "--data.splits.test_from: '1.2.2020' is no day; write it as",
        ),
        ({"by": "day", "test_from": "2020-02-30"}, "--data.splits.test_from: '2020-02-30' is no day"),
        (
            {"by": "day", "test_from": "2020-02-01", "val_from": "20200201"},
            "--data.splits.val_from: 2020-02-01 is not before --data.splits.test_from, 2020-02-01; val lies",
        ),
    ],
)
def test_a_plan_that_cannot_be_meant_is_refused_by_its_option(options: dict[str, object], said: str) -> None:
    with pytest.raises(RecipeError) as refused:
        SplitPlan(**options)  # type: ignore[arg-type]
    assert said in str(refused.value)


def test_everything_that_is_wrong_with_a_plan_is_told_at_once() -> None:
    with pytest.raises(RecipeError) as refused:
        SplitPlan(folds=1, test=("a", "b"), val=("b",))
    assert [line.strip().split(":")[0] for line in str(refused.value).splitlines()] == [
        "--data.splits.folds",
        "--data.splits.test",
        "--data.splits.val",
        "--data.splits.test",
    ]


def test_a_recipe_and_the_command_line_can_say_all_of_a_plan() -> None:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--splits", type=SplitPlan, default=SplitPlan())
    words = ["--splits.by", "day", "--splits.test_from", "20210101", "--splits.val_from", "2020-01-01"]
    assert parser.instantiate(parser.parse_args(words)).splits == SplitPlan(
        by="day", test_from="20210101", val_from="2020-01-01"
    )
    recipe = {"splits": {"folds": 10, "fold": 3, "by": "site", "test": ["Bern", "Genf"], "val": ["3"]}}
    assert parser.instantiate(parser.parse_object(recipe)).splits == SplitPlan(
        folds=10, fold=3, by="site", test=("Bern", "Genf"), val=("3",)
    )


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2020-01-31", date(2020, 1, 31)),
        (" 20200131 ", date(2020, 1, 31)),
        ("2020/01/31", date(2020, 1, 31)),
        ("2020.01.31", date(2020, 1, 31)),  # DICOM's spelling of old
        ("2020-01-31 00:00:00", date(2020, 1, 31)),  # a spreadsheet's
        ("2020-01-31T10:00:00Z", date(2020, 1, 31)),
        ("20200131101500", date(2020, 1, 31)),
        ("20200131101500.123456+0100", date(2020, 1, 31)),
        *(
            (text, None)
            for text in ("", "2020", "2020-13-01", "2020-0131", "31.01.2020", "20200131-", "202001311")
        ),
    ],
)
def test_days_are_read_in_the_spellings_of_iso_and_dicom(text: str, day: date | None) -> None:
    assert day_of(text) == day


def test_without_a_column_the_sources_own_splits_are_given() -> None:
    own = ["train", "test", "", "val", "train", "train"]
    assert splits(SplitPlan(), split=own) == (own, [])


def test_two_hospitals_train_and_the_third_is_test() -> None:
    made, faults = splits(SplitPlan(by="site", test=("Genf",)), site=SITES)
    assert not faults
    assert made == ["train", "train", "train", "test", "test", "train"]
    made, _ = splits(
        SplitPlan(by="site", test=("Genf",), val=("Basel",)), site=[f" {site}" for site in SITES]
    )
    assert made == ["val", "train", "train", "test", "test", "val"]


def test_the_newest_days_are_test() -> None:
    made, faults = splits(SplitPlan(by="day", test_from="2020-07-01"), day=DAYS)
    assert not faults
    assert made == ["train", "train", "train", "test", "test", "train"]
    made, _ = splits(SplitPlan(by="day", test_from="2020-07-01", val_from="2020-01-01"), day=DAYS)
    assert made == ["train", "val", "val", "test", "test", "train"]


def test_a_column_of_the_plan_stands_above_the_sources_splits() -> None:
    made, _ = splits(SplitPlan(by="site", test=("Genf",)), site=SITES, split=["val"] * 6)
    assert set(made) == {"train", "test"}


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        (
            SplitPlan(by="sites", test=("Bern",)),
            "--data.splits.by: no column named 'sites'; did you mean 'site'? The columns are image, split,",
        ),
        (
            SplitPlan(by="site", test=("Bren",)),
            "--data.splits.test: no value named 'Bren'; did you mean 'Bern'? Column 'site' holds Basel,",
        ),
        (
            SplitPlan(by="site", test=("Bern",), val=("Aarau",)),
            "--data.splits.val: no value named 'Aarau'. Column",
        ),
        (SplitPlan(by="site", test=("Basel", "Bern", "Genf")), "--data.splits.by: leaves no image for train"),
        (
            SplitPlan(by="day", test_from="2022-01-01"),
            "--data.splits.test_from: leaves no image for test in column",
        ),
        (
            SplitPlan(by="day", test_from="2018-01-02", val_from="2018-01-01"),
            "--data.splits.val_from: leaves no image for val in column 'day'; choose other parts.",
        ),
    ],
)
def test_a_plan_that_does_not_fit_the_table_is_a_fault_with_a_guess(plan: SplitPlan, said: str) -> None:
    _, faults = splits(plan, site=SITES, day=DAYS)
    assert any(said in fault for fault in faults), faults


def test_empty_cells_and_cells_that_are_no_day_are_listed_by_row() -> None:
    days = ["2020-01-01", "", "soon", "2021-01-01", " ", "2020-01-01"]
    _, faults = splits(SplitPlan(by="day", test_from="2021-01-01"), day=days)
    empty = "empty cell in column 'day', which the splits go by; fill it in or take the row out"
    assert sorted(faults) == [
        f"row 3: {empty}",
        "row 4: 'soon' in column 'day' is no day; write it as 2024-01-31 or 20240131",
        f"row 6: {empty}",
    ]


def test_val_is_made_by_patient_of_the_train_part_of_a_column() -> None:
    patients = [f"{number // 2:03d}" for number in range(120)]
    names = [f"{number:03d}.png" for number in range(120)]
    table = pd.DataFrame({"site": ["Genf" if int(p) >= 45 else "Bern" for p in patients], "split": ""})
    plan = SplitPlan(by="site", test=("Genf",))
    given = given_splits(plan, table, range(2, 122), Faults("labels.csv"))
    strata = ["ab"[int(patient) % 2] for patient in patients]
    made = make_splits(plan, given, strata, connected_groups(patients), names, 3)
    assert made.origin == (
        "By column 'site': test Genf; val made by rn50med: "
        "fold 0 of five patient-wise folds of train, seed 3."
    )
    assert [split == "test" for split in made.splits] == (table["site"] == "Genf").tolist()
    assert made.splits.count("val") == 18
    assert len(set(zip(patients, made.splits, strict=True))) == 60


def test_the_origin_says_the_days_and_values_of_a_column() -> None:
    groups, names = connected_groups([str(n) for n in range(6)]), [str(n) for n in range(6)]
    by_day = SplitPlan(by="day", test_from="20200701", val_from="2020-01-01")
    made = make_splits(by_day, splits(by_day, day=DAYS)[0], SITES, groups, names, 0)
    assert made.origin == "By column 'day': test from 2020-07-01 on; val from 2020-01-01 on."
    by_site = SplitPlan(by="site", test=("Genf",), val=("Bern",))
    made = make_splits(by_site, splits(by_site, site=SITES)[0], SITES, groups, names, 0)
    assert made.origin == "By column 'site': test Genf; val Bern."
