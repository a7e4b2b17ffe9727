"""``report``: the same pages from the same tables."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import pytest
from conftest import FilmTable, Outcome
from made_up_run import made_up_run, with_manifest

from rn50med.evaluation.report import write_report


def test_the_report_is_drawn_again_from_the_tables(
    command_line: Callable[..., Outcome], tmp_path: Path
) -> None:
    folder = made_up_run(tmp_path / "run")
    write_report(folder)
    page = (folder / "report.html").read_bytes()
    (folder / "report.html").unlink()
    said = command_line("report", folder)
    assert said.code == 0, said.err
    assert said.out == f"{folder / 'report.html'}\n"
    assert (folder / "report.html").read_bytes() == page


def test_a_folder_without_figures_is_refused(command_line: Callable[..., Outcome], tmp_path: Path) -> None:
    said = command_line("report", tmp_path)
    assert said.code == 5
    assert "is no run folder with final figures" in said.err


def test_pictures_are_those_of_the_listed_errors_and_are_announced(tmp_path: Path) -> None:
    folder = with_manifest(made_up_run(tmp_path / "run"))
    asked: list[int] = []

    def draw(lines: Sequence[int]) -> dict[int, bytes]:
        asked.extend(lines)
        return {line: f"picture of {line}".encode() for line in lines}

    write_report(folder, draw)
    page = (folder / "report.html").read_text()
    assert asked
    assert page.count("<img") >= len(asked)
    for line in asked:
        picture = b64encode(f"picture of {line}".encode()).decode()
        assert f'src="data:image/png;base64,{picture}" alt="Image of line {line}"' in page
    assert "This page holds images of patients." in page
    write_report(folder)
    page = (folder / "report.html").read_text()
    assert "<img" not in page
    assert "images of patients." not in page


@pytest.mark.slow
def test_thumbnails_are_drawn_from_the_images_of_the_run_or_refused(
    command_line: Callable[..., Outcome], film_table: FilmTable
) -> None:
    words = ("--data.source", film_table.path, "--data.transforms.size", 32, "--trainer.max_epochs", 1)
    words += ("--trainer.limit_train_batches", 1, "--evaluation.checks", "false", "--output", "run")
    said = command_line("fit", "--recipe", "chest_xray", *words)
    assert said.code == 0, said.err
    said = command_line("report", "run", "--thumbnails")
    assert said.code == 0, said.err
    wrong = pd.read_csv("run/predictions/test.csv").query("call != target")
    assert ("data:image/png" in Path("run/report.html").read_text()) == bool(len(wrong))
    film_table.put(2, "label", "pneumonia")
    said = command_line("report", "run", "--thumbnails")
    assert said.code == 3
    assert "leave --thumbnails out" in said.err
