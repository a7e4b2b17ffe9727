"""Every recipe that is shipped: it parses, says what it is for, and trains on the phantom."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import ONE_STEP, ROOT, Outcome, as_words

from rn50med.recipe import load_recipe

CommandLine = Callable[..., Outcome]
RECIPES = sorted(path.stem for path in (ROOT / "recipes").glob("*.yaml"))


def tiny(every: int) -> list[str]:
    """Return options of a short training on two patients of so many: to draw films is what takes the time."""
    patients = ", ".join(f"patient-{number:04d}" for number in range(330) if number % every < 2)
    return as_words(ONE_STEP | {"data.batch_size": 8, "data.where": f"patient in ({patients})"})


every_recipe = pytest.mark.parametrize("name", RECIPES)


def test_the_recipes_that_were_promised_are_there() -> None:
    assert set(RECIPES) >= {
        "bone_age", "brain_mri", "breast_ultrasound", "chest_xray", "chest_xray_findings",
        "diabetic_retinopathy", "histopathology", "skin_lesion",
    }  # fmt: skip


def commands(name: str) -> list[str]:
    """Return what follows the recipe's name in the two commands of its heading."""
    text = (ROOT / "recipes" / f"{name}.yaml").read_text(encoding="utf-8")
    head = text[: text.index("seed_everything")]
    return re.findall(rf"#   python -m rn50med fit --recipe {name}\b(.*)", head)


@every_recipe
def test_a_recipe_builds_what_it_names_with_the_options_it_tells_of(name: str) -> None:
    """Through the parser of `fit`: every key is one, every class is found, and the parts fit together."""
    from rn50med.cli.arguments import prepare
    from rn50med.cli.assembly import Assembly

    words = commands(name)[1].split()
    assembly = Assembly(prepare(["--recipe", name, "--model.backbone.weights", "none", *words]))
    assert assembly.data.source == words[words.index("--data.source") + 1]
    assert assembly.data.transforms.channels == assembly.module.backbone.in_channels
    assert assembly.module.task.num_outputs >= 1
    assert assembly.data.transforms.specification()["class_path"].startswith("rn50med.data.transforms.")
    assert load_recipe(name)["data"]["source"] == "phantom"


@every_recipe
def test_a_recipe_says_how_to_run_it_and_what_it_is_for(name: str) -> None:
    text = (ROOT / "recipes" / f"{name}.yaml").read_text(encoding="utf-8")
    head = text[: text.index("seed_everything")]
    assert len(commands(name)) == 2
    assert "synthetic" in commands(name)[0]
    assert "--data.source" in commands(name)[1]
    assert "synthetic" in text[text.index("source: phantom") :].splitlines()[0]
    if name != "chest_xray":  # whose films are the reader's own
        assert "Meant for" in head
        assert re.search(r"CC BY|licence: see|agreement", head)


def test_findings_that_are_uncertain_are_taken_as_the_recipe_says() -> None:
    task: dict[str, Any] = load_recipe("chest_xray_findings")["task"]["init_args"]
    assert len(task["labels"]) == len(set(task["labels"])) == 14
    assert task["unknown"] == "ignore"
    assert set(task["unknown_of"]) <= set(task["labels"])


def trained(command_line: CommandLine, name: str, *words: str) -> dict[str, Any]:
    outcome = command_line("fit", "--recipe", name, *words)
    assert outcome.code == 0, outcome.err
    assert "SYNTHETIC" in outcome.err
    folder = Path(outcome.out.splitlines()[-1])
    assert (folder / "checkpoints" / "best.ckpt").is_file()
    metrics: dict[str, Any] = json.loads((folder / "metrics.json").read_text())
    return metrics


def test_a_recipe_trains_on_the_phantom(command_line: CommandLine) -> None:
    """The one of several labels; the rest is among the slow tests."""
    name = "chest_xray_findings"
    assert trained(command_line, name, *tiny(24))["test"]


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in RECIPES if name != "chest_xray_findings"])
def test_every_other_recipe_trains_on_the_phantom(command_line: CommandLine, name: str) -> None:
    assert trained(command_line, name, *tiny(8))["test"]


@pytest.mark.slow
@every_recipe
@pytest.mark.timeout(1800)
def test_a_recipe_learns_from_the_phantom_as_it_is_shipped(command_line: CommandLine, name: str) -> None:
    """From random weights: what it reaches is better than chance."""
    metrics = trained(command_line, name, "--model.backbone.weights", "none")
    test = {key: figure["value"] for key, figure in metrics["test"].items()}
    if "mae" in test:  # of a number: its own chance
        assert test["mae"] < 0.9 * test["mae_train_median"]
    else:
        assert test["auroc"] > 0.55
