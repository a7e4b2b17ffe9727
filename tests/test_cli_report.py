"""``report``: the same pages from the same tables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from conftest import Outcome
from made_up_run import made_up_run

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
