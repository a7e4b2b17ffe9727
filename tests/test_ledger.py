"""The ledger of test openings, and what permuted test labels cannot move."""

from __future__ import annotations

import csv
import json
import os
import re
import stat
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from conftest import ONE_STEP, FilmTable, Outcome, as_words

from rn50med import FineTuneModule
from rn50med.evaluation.operating_rule import Rule
from rn50med.training.ledger import HEADER, append, ledger_of


def rows_of(path: Path) -> list[list[str]]:
    return list(csv.reader(path.read_text(encoding="utf-8").splitlines()))


def facts_of(folder: Path, name: str = "environment") -> dict[str, object]:
    return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))


@pytest.fixture
def fit(film_table: FilmTable, command_line: Callable[..., Outcome]) -> Callable[..., Outcome]:
    """Return what fits on a table of films with splits."""
    film_table.split_by_patient()

    def run(*words: str) -> Outcome:
        outcome = command_line(
            "fit", "--recipe", "chest_xray", "--data.source", film_table.path, *as_words(ONE_STEP), *words
        )
        assert outcome.code == 0, outcome.err
        return outcome

    return run


def test_each_opening_of_the_same_images_is_counted_and_told(
    fit: Callable[..., Outcome], command_line: Callable[..., Outcome]
) -> None:
    first = fit()
    assert "test: these images are opened for the 1st time (test_log.csv)" in first.err
    run = Path(first.out.splitlines()[-1])
    ledger = Path("runs") / "test_log.csv"
    again = command_line("test", "--run", run)
    assert again.code == 0, again.err
    assert "opened for the 2nd time" in again.err
    assert "opened for" not in command_line("test", "--run", run, "--split", "val").err
    header, *rows = rows_of(ledger)
    assert tuple(header) == HEADER
    assert [row[1] for row in rows] == [run.name, run.name]
    assert len({row[0] for row in rows}) == 1
    assert all(re.fullmatch(r"[0-9a-f]{64}", row[0]) and row[2].endswith("Z") for row in rows)
    assert stat.S_IMODE(ledger.stat().st_mode) == 0o600
    assert facts_of(run)["test_openings"] == 1
    assert "The test images were opened for the 1st time." in (run / "report.html").read_text()
    assert "openings" not in (run / "metrics.json").read_text()


@pytest.mark.slow
def test_permuted_test_labels_move_no_threshold_and_are_the_same_images(
    fit: Callable[..., Outcome], film_table: FilmTable
) -> None:
    rule = ("--evaluation.rule", "sensitivity", "--evaluation.at_least", "0.7", "--evaluation.by_lower_limit",
            "true")  # fmt: skip
    fit("--output", "one", *rule)
    test = film_table.cells["split"] == "test"
    label = film_table.cells["label"]
    flipped = label.map(dict(zip(label.unique(), label.unique()[::-1], strict=True)))
    film_table.cells.loc[test, "label"] = flipped[test]
    film_table.write()
    outcome = fit("--output", "other", *rule)
    assert "opened for the 2nd time" in outcome.err
    one, other = (facts_of(Path(name), "metrics") for name in ("one", "other"))
    assert one["operating_point"] == other["operating_point"]
    assert one["val"] == other["val"]
    assert one["test"] != other["test"]
    module = FineTuneModule.load_from_checkpoint(Path("one/checkpoints/best.ckpt"))
    assert module.protocol.rule == Rule("sensitivity", 0.7, by_lower_limit=True)
    assert one["temperature"] == other["temperature"] == module.temperature.as_plain()
    assert module.operating_point.as_dict() == one["operating_point"]
    point = one["operating_point"]
    assert point["limit"] == one["val"]["sensitivity"]["low"]
    report, card = (Path("one", name).read_text() for name in ("report.html", "model_card.md"))
    for text in (report, card):
        assert (
            "chosen on val for sensitivity of at least 0.7 by its lower 95 % limit, and then frozen" in text
        )
        assert f"lower limit {point['limit']:.3f}" in text
        assert "a default, not a clinical choice" not in text


@pytest.mark.slow
def test_a_test_set_that_stays_closed_and_a_fold_leave_no_row(
    fit: Callable[..., Outcome], command_line: Callable[..., Outcome]
) -> None:
    fit("--output", "closed", "--evaluation.test", "never")
    fold = ("--data.splits.crossval", "3", "--data.columns.split", "null")
    outcome = fit("--output", "fold", *fold)
    assert "opened for" not in outcome.err
    assert not list(Path().rglob("test_log.csv"))
    assert facts_of(Path("closed"))["test_openings"] is None
    assert facts_of(Path("fold"))["test_openings"] is None
    page = Path("fold/report.html").read_text()
    assert "A fold, not a test." in page
    assert "No count of how often the test set was opened" not in page
    assert "No count of how often" not in Path("closed/report.html").read_text()


@pytest.mark.slow
def test_a_ledger_that_cannot_be_written_stops_no_run_and_another_table_is_left_alone(
    fit: Callable[..., Outcome],
) -> None:
    theirs = "patient,score\n1,0.5\n"
    Path("test_log.csv").write_text(theirs)
    outcome = fit("--output", "run")
    assert (
        "warning (test-log): test_log.csv cannot be written (it is another table of that name)" in outcome.err
    )
    assert Path("test_log.csv").read_text() == theirs
    assert facts_of(Path("run"))["test_openings"] is None


def test_an_unknown_rule_or_an_idle_number_is_refused_before_images_are_read(
    command_line: Callable[..., Outcome],
) -> None:
    words = ("fit", "--recipe", "chest_xray", "--data.source", "nowhere.csv")
    idle = command_line(*words, "--evaluation.by_lower_limit", "true")
    assert idle.code == 2
    assert "evaluation.by_lower_limit: has no effect with the rule youden" in idle.err
    assert command_line(*words, "--evaluation.rule", "sensitivty").code == 2


def _append(path: Path) -> int:
    return append(path, "a" * 64, f"run {os.getpid()}, of two")


def test_processes_that_write_at_once_count_each_other(tmp_path: Path) -> None:
    path = tmp_path / "test_log.csv"
    with ProcessPoolExecutor(2) as pool:
        counts = list(pool.map(_append, [path] * 20))
    assert sorted(counts) == list(range(1, 21))
    assert {len(row) for row in rows_of(path)} == {3}
    assert append(path, "b" * 64, "other images") == 1


def test_a_row_that_was_cut_off_spoils_no_later_one(tmp_path: Path) -> None:
    path = tmp_path / "test_log.csv"
    append(path, "a" * 64, "run")
    with path.open("a") as file:
        file.write("aaaa")
    assert append(path, "a" * 64, "run") == 2
    assert append(path, "a" * 64, "run") == 3


def test_runs_of_the_default_place_share_a_ledger(tmp_path: Path) -> None:
    default = tmp_path / "runs" / "chest_xray" / "20260101T000000Z-abcd"
    default.mkdir(parents=True)
    (default.parent / "latest").write_text(default.name)
    assert ledger_of(default) == tmp_path / "runs" / "test_log.csv"
    assert ledger_of(tmp_path / "runs" / "mine") == tmp_path / "runs" / "test_log.csv"
