"""The block `study` of a recipe: it is taken, kept with the run, and asked for by the guidelines."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
from conftest import ROOT

from rn50med.cli.arguments import prepare
from rn50med.cli.assembly import Assembly
from rn50med.errors import RecipeError
from rn50med.evaluation.report.checklist_items import CLAIM, TRIPOD_AI
from rn50med.evaluation.study import Study, title_of
from rn50med.recipe import dump_yaml, load_recipe

NAMES = tuple(field.name for field in fields(Study))
ALREADY = ("--recipe", "chest_xray", "--model.backbone.weights", "none")


def test_recipe_and_command_line_give_the_study_and_the_recipe_of_the_run_keeps_it(tmp_path: Path) -> None:
    words = 'To help readers: "second look", not a first one\nover two lines'
    block = {"intended_use": words, "dates": "2017 to 2018", "population": ""}
    (tmp_path / "ours.yaml").write_text(dump_yaml({"study": block}), encoding="utf-8")
    given = (*ALREADY, "--recipe", str(tmp_path / "ours.yaml"), "--study.dates", "2019 to 2021")
    resolved = Assembly(prepare(given)).resolved()
    assert tuple(resolved["study"]) == NAMES
    kept = tmp_path / "recipe.yaml"
    kept.write_text(dump_yaml(resolved), encoding="utf-8")
    study = Study.from_recipe(load_recipe(str(kept)))
    assert study == Study(intended_use=words, dates="2019 to 2021")
    assert study.given() == (
        ("Intended use", 'To help readers: "second look", not a first one over two lines'),
        ("Dates", "2019 to 2021"),
    )


def test_a_misspelt_key_of_the_study_is_refused_with_the_nearest() -> None:
    with pytest.raises(RecipeError, match=r"did you mean '--study\.reference_standard'"):
        Assembly(prepare((*ALREADY, "--study.reference_standart", "biopsy")))


def test_a_number_is_not_taken_for_the_words_of_an_author(tmp_path: Path) -> None:
    (tmp_path / "ours.yaml").write_text("study:\n  dates: 2019\n", encoding="utf-8")
    with pytest.raises(RecipeError, match=r"study\.dates: 2019 is not text; quote it"):
        Assembly(prepare((*ALREADY, "--recipe", str(tmp_path / "ours.yaml"))))


@pytest.mark.parametrize(
    "recipe", [{}, {"study": None}, {"study": "text"}, {"study": {"dates": None, "x": "y"}}]
)
def test_a_recipe_without_a_study_gives_an_empty_one(recipe: dict[str, object]) -> None:
    assert Study.from_recipe(recipe) == Study()
    assert Study.from_recipe(recipe).given() == ()


def test_every_key_of_the_study_answers_an_item_and_every_item_asks_for_a_key_that_is_there() -> None:
    asked = {name for guideline in (CLAIM, TRIPOD_AI) for item in guideline.items for name in item.study}
    assert asked == set(NAMES)


def test_the_docs_tell_of_every_key() -> None:
    text = (ROOT / "docs" / "report.md").read_text(encoding="utf-8")
    assert [name for name in NAMES if f"| `{name}` |" not in text] == []
    assert title_of(NAMES[2]) == "Intended use"
