"""Each task is learnt from the phantom by a shipped recipe, with a head that one key puts in: minutes each.

The bars stand well above chance, and below what one training with seed 0 came to on two cores, which is
beside each.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from conftest import Outcome

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@dataclass(frozen=True)
class Learnt:
    """A recipe, the head in place of its own, how long it is trained, and what it passes on test."""

    recipe: str
    task: str
    head: str
    size: int
    epochs: int
    bars: dict[str, float]


LEARNT = (
    Learnt("chest_xray", "Binary", "MLPHead", 128, 8, {"auroc": 0.95}),  # 1.000
    Learnt("brain_mri", "MultiClass", "GeMHead", 96, 6, {"auroc": 0.95}),  # 1.000
    Learnt("chest_xray_findings", "MultiLabel", "AttentionHead", 128, 14, {"auroc": 0.65}),  # 0.718
    Learnt(  # 0.964 and 0.802
        "diabetic_retinopathy",
        "Ordinal",
        "MultiScaleHead",
        96,
        6,
        {"auroc_above": 0.9, "kappa_quadratic": 0.6},
    ),
    Learnt("bone_age", "Regression", "CosineHead", 32, 8, {"pearson": 0.8}),  # 0.913
)
"""Of `Regression` the error has a bar as well: half of that of always saying the median of train."""


def trained(command_line: Callable[..., Outcome], learnt: Learnt) -> Path:
    outcome = command_line(
        "fit", "--recipe", learnt.recipe, "--model.head", learnt.head, "--model.backbone.weights", "none",
        "--data.transforms.size", learnt.size, "--trainer.max_epochs", learnt.epochs,
        "--trainer.accelerator", "cpu",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    return Path(outcome.out.splitlines()[-1])


@pytest.mark.parametrize("learnt", LEARNT, ids=lambda learnt: learnt.task)
def test_a_task_is_learnt_with_another_head_by_one_key(
    command_line: Callable[..., Outcome], learnt: Learnt
) -> None:
    folder = trained(command_line, learnt)
    recipe = yaml.safe_load((folder / "recipe.yaml").read_text())
    assert recipe["task"]["class_path"].endswith(f".{learnt.task}")
    assert recipe["model"]["head"]["class_path"].endswith(f".{learnt.head}")
    test: dict[str, Any] = json.loads((folder / "metrics.json").read_text())["test"]
    reached = {key: test[key]["value"] for key in learnt.bars}
    assert all(reached[key] > bar for key, bar in learnt.bars.items()), reached
    if learnt.task == "Regression":
        the_number_is_told_as_one(folder, test)
    else:
        simpler_models_are_surpassed(folder)


def simpler_models_are_surpassed(folder: Path) -> None:
    """The lower end of the network's interval is above chance; a linear model of thumbnails is behind it."""
    baselines = json.loads((folder / "checks.json").read_text())["baselines"]
    assert baselines["network"]["auroc"]["low"] > 0.5
    assert baselines["linear"]["network_less_linear"]["value"] > 0.05
    assert baselines["network"]["log_loss"] < baselines["prevalence"]["log_loss"]


def the_number_is_told_as_one(folder: Path, test: dict[str, Any]) -> None:
    assert test["mae"]["value"] < 0.5 * test["mae_train_median"]["value"]
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["temperature"] is metrics["operating_point"] is None
    assert list(pd.read_csv(folder / "predictions" / "test.csv")) == ["image", "patient", "target", "value"]
    facts = json.loads((folder / "environment.json").read_text())["training"]
    epochs = pd.read_csv(folder / "metrics.csv")
    assert facts["best_epoch"] == epochs["epoch"][epochs["val/mae"].idxmin()]
    assert facts["verdict"]["best_epoch"] == facts["best_epoch"]
    assert facts["verdict"]["monitor"] == "mae"
