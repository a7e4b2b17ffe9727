"""``inspect`` by its real command line: findings, exit codes, and the files that it writes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from conftest import FilmTable, Outcome
from PIL import Image as Pillow

Command = Callable[..., Outcome]

NO_CACHE = ("--data.cache", "none")


@pytest.fixture
def table(film_table: FilmTable) -> FilmTable:
    """Films whose patients' and images' names can be recognised."""
    film_table.cells["patient_id"] = "CANARY-" + film_table.cells["patient_id"]
    film_table.write()
    return film_table


def test_good_images_are_ready_to_fit_and_the_guess_is_told(command_line: Command, table: FilmTable) -> None:
    said = command_line("inspect", table.path, *NO_CACHE)
    assert said.code == 0
    assert "task: Binary (the column 'label' is named like a label and has two values)" in said.out
    assert re.search(r"^patients +\d+ +\d+ +\d+$", said.out, re.MULTILINE)
    assert said.out.splitlines()[-1] == "labels.csv: ready to fit: 48 images, 0 errors, 1 warning"


def test_what_is_wrong_is_told_with_code_row_and_remedy_and_exits_with_3(
    command_line: Command, table: FilmTable
) -> None:
    table.image(2).write_bytes(b"")
    table.image(5).write_bytes(b"<!doctype html><title>log in</title>")
    table.put(9, "label", "pnuemonia")
    said = command_line("inspect", table.path, "--recipe", "chest_xray", *NO_CACHE)
    assert said.code == 3
    assert re.search(r"^error +empty ", said.out, re.MULTILINE)
    assert "row 2\n" in said.out
    assert re.search(r"^error +web-page ", said.out, re.MULTILINE)
    assert re.search(r"^error +unknown-label ", said.out, re.MULTILINE)
    assert "nearest class 'pneumonia'" in " ".join(said.out.split())
    assert "-> copy the file again" in said.out
    assert said.out.splitlines()[-1].startswith("labels.csv: not ready to fit: 48 images, 3 errors")
    assert "Traceback" not in said.err


def test_a_leak_stops_unless_it_is_allowed(command_line: Command, table: FilmTable) -> None:
    patients = table.cells["patient_id"].str.removeprefix("CANARY-").astype(int)
    table.cells["split"] = [("train", "train", "val", "test")[patient // 2 % 4] for patient in patients]
    table.put(2, "split", "test")
    words = ("inspect", table.path, "--recipe", "chest_xray", *NO_CACHE)
    stopped = command_line(*words)
    allowed = command_line(*words, "--data.allow_leakage", "true")
    assert stopped.code == 3
    assert "patient 'CANARY-0000' is in splits test, train" in " ".join(stopped.out.split())
    assert allowed.code == 0
    assert re.search(r"^allowed +patient-leak ", allowed.out, re.MULTILINE)


def test_the_written_recipe_inspects_again_without_a_guess(
    command_line: Command, table: FilmTable, tmp_path: Path
) -> None:
    recipe = tmp_path / "my study.yaml"
    first = command_line("inspect", table.path, "--write", recipe, *NO_CACHE)
    assert first.code == 0
    assert first.out.splitlines()[-1] == f"python -m rn50med fit --recipe '{recipe}' --data.cache none"
    again = command_line("inspect", table.path, "--recipe", recipe, *NO_CACHE)
    assert again.code == 0
    assert "guessed" not in again.out
    assert first.out.splitlines()[:-1] == again.out.splitlines()
    third = command_line("inspect", table.path, "--write", recipe, *NO_CACHE)
    assert third.code == 5
    assert "is there already" in third.messages[0]


def test_facts_page_and_preview_name_nobody(command_line: Command, table: FilmTable, tmp_path: Path) -> None:
    table.image(2).rename(table.folder / "CANARY.png")
    table.put(2, "image", "CANARY.png")
    facts, page, grid = (tmp_path / name for name in ("a.json", "a.html", "a.png"))
    said = command_line("inspect", table.path, "--json", facts, "--page", page, "--preview", grid, *NO_CACHE)
    assert said.code == 0
    for path in (facts, page):
        assert "CANARY" not in path.read_text(encoding="utf-8")
    assert json.loads(facts.read_text())["images"]["read"] == 48
    with Pillow.open(grid) as picture:
        assert picture.info == {}
        assert len(picture.convert("L").getcolors(256) or []) > 50
    assert "<img" not in page.read_text(encoding="utf-8")


class Links(HTMLParser):
    """Collects everything that a page would load or lead to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in {"src", "href", "srcset", "action"}]


def test_thumbnails_are_on_the_page_when_asked_for_and_nothing_is_loaded(
    command_line: Command, table: FilmTable, tmp_path: Path
) -> None:
    table.image(4).write_bytes(table.image(2).read_bytes())
    table.image(7).write_bytes(b"")
    page = tmp_path / "a.html"
    said = command_line("inspect", table.path, "--page", page, "--thumbnails", *NO_CACHE)
    assert said.code == 3
    text = page.read_text(encoding="utf-8")
    links = Links()
    links.feed(text)
    assert all(link.startswith("data:image/png;base64,") for link in links.found)
    assert "http" not in re.sub(r"http-equiv", "", text)
    assert "not ready to fit" in text


def test_thumbnails_show_the_images_of_a_finding(
    command_line: Command, table: FilmTable, tmp_path: Path
) -> None:
    table.image(3).write_bytes(table.image(2).read_bytes())
    page = tmp_path / "a.html"
    command_line("inspect", table.path, "--page", page, "--thumbnails", *NO_CACHE)
    assert page.read_text(encoding="utf-8").count("<img") == 2


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 2, "no source is named"),
        (("a.csv", "b.csv"), 2, "2 sources are named"),
        (("nothing.csv",), 3, "nothing.csv"),
        (("phantom", "--model.backbone.weights", "none"), 2, "--model.backbone.weights has no effect here"),
        (("phantom", "--recipe", "chest_xray", "--write", "x.yaml"), 2, "leave one out"),
        (("phantom", "--json", "not/there/a.json"), 5, "a folder that is there"),
        (("phantom", "--write", "recipe.txt"), 2, "end it in .yaml"),
    ],
)
def test_what_cannot_be_done_is_one_message(
    command_line: Command, words: tuple, code: int, said: str
) -> None:
    outcome = command_line("inspect", *words)
    assert outcome.code == code
    assert len(outcome.messages) == 1
    assert said in outcome.messages[0]


def test_options_may_stand_before_the_source(command_line: Command, table: FilmTable) -> None:
    said = command_line("inspect", "--data.root", table.folder, "--data.cache=none", table.path)
    assert said.code == 0
