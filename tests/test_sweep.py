"""The sweep file of the docs: Weights & Biases reads it, `fit` understands it, and test stays closed."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, as_words
from films import write_films
from wandb.sdk.launch.sweeps.utils import create_sweep_command_args, load_sweep_config
from wandb.wandb_agent import Agent
from wandb_file import decoded

from rn50med import Binary

SWEEP: dict[str, Any] = load_sweep_config(str(ROOT / "docs" / "sweep.yaml"))

# of https://docs.wandb.ai/models/sweeps/sweep-config-keys
KEYS = {
    "program", "entity", "project", "description", "name", "method", "metric", "parameters",
    "early_terminate", "command", "run_cap",
}  # fmt: skip
DISTRIBUTIONS = {"uniform", "log_uniform_values", "int_uniform", "q_uniform", "normal"}


def values(parameter: dict[str, Any]) -> list[Any]:
    """Every value of a list, or both ends of a range."""
    return parameter.get("values") or [parameter["min"], parameter["max"]]


def fitted(words: list[str]) -> Any:
    """Return what `fit` understands, without building anything."""
    from rn50med.cli.arguments import prepare
    from rn50med.cli.assembly import Assembly

    class OnlyParsed(Assembly):
        def instantiate_classes(self) -> None:
            """Build nothing."""

    return OnlyParsed(prepare(words)).config


def command(chosen: dict[str, Any]) -> list[str]:
    """Return the words after `fit` as the agent writes them."""
    after = SWEEP["command"][SWEEP["command"].index("fit") + 1 :]
    flags = create_sweep_command_args({"args": {key: {"value": value} for key, value in chosen.items()}})[
        "args"
    ]
    return [word for part in after for word in (flags if part == "${args}" else [part])]


def test_the_sweep_has_the_keys_and_ranges_that_weights_and_biases_knows() -> None:
    assert set(SWEEP) <= KEYS
    assert SWEEP["method"] in {"bayes", "random", "grid"}
    for name, parameter in SWEEP["parameters"].items():
        if "values" in parameter:
            assert set(parameter) == {"values"}, name
        else:
            assert set(parameter) == {"distribution", "min", "max"}, name
            assert parameter["distribution"] in DISTRIBUTIONS
            assert parameter["min"] < parameter["max"]
    macros = [part for part in SWEEP["command"] if part.startswith("${")]
    assert macros == ["${env}", "${interpreter}", "${args}"]
    assert SWEEP["command"][2:5] == ["-m", "rn50med", "fit"]


@pytest.mark.parametrize("end", [0, -1])
def test_fit_understands_the_ends_of_every_range_as_the_agent_writes_them(end: int) -> None:
    chosen = {key: values(parameter)[end] for key, parameter in SWEEP["parameters"].items()}
    config = fitted(command(chosen))
    model = config.model
    assert model.optimizer.init_args.lr == chosen["model.optimizer.lr"]
    assert model.optimizer.init_args.weight_decay == chosen["model.optimizer.weight_decay"]
    assert model.head.init_args.dropout == chosen["model.head.dropout"]
    assert config.data.transforms.init_args.strength == chosen["data.transforms.strength"]
    assert model.regularisation.mixup == chosen["model.regularisation.mixup"]
    assert config.evaluation.test == "never"
    assert config.tracking.wandb == "online"
    task = Binary(**vars(config.task.init_args))
    goal = {"max": "maximize", "min": "minimize"}[task.monitor_mode]
    assert SWEEP["metric"] == {"name": f"val/{task.monitor}", "goal": goal}
    assert SWEEP["early_terminate"]["min_iter"] * 2 >= config.trainer.max_epochs


def test_values_of_every_kind_are_understood_as_python_writes_them() -> None:
    """The agent writes `--key=` and `str(value)`: True, 1e-05, and the name of a class."""
    config = fitted(
        command({
            "data.allow_leakage": True, "model.optimizer.lr": 1e-05, "data.batch_size": 32,
            "model.finetuning": "Layerwise", "model.finetuning.factor": 0.7, "model.head": "GeMHead",
        })
    )  # fmt: skip
    assert config.data.allow_leakage is True
    assert config.model.optimizer.init_args.lr == 1e-05
    assert config.data.batch_size == 32
    assert config.model.finetuning.class_path.endswith(".Layerwise")
    assert config.model.finetuning.init_args.factor == 0.7
    assert config.model.head.class_path.endswith(".GeMHead")


TINY = {
    "model.backbone.weights": "none",
    "data.transforms.size": 32,
    "data.batch_size": 8,
    "trainer.max_epochs": 1,
    "trainer.limit_train_batches": 1,
    "trainer.accelerator": "cpu",
}


@pytest.mark.slow
def test_a_run_of_the_agent_logs_the_metric_and_leaves_test_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the agent's own code, but for the server, and offline."""
    monkeypatch.chdir(tmp_path)
    for name in ("WANDB_RUN_ID", "WANDB_SWEEP_PARAM_PATH", "RN50MED_RUN_FOLDER"):
        monkeypatch.setenv(name, "")  # the agent sets the first two, and both are put back
        monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_SWEEP_ID", "madeup01")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    chosen = {key: values(parameter)[0] for key, parameter in SWEEP["parameters"].items()}
    more = TINY | {
        "data.source": str(write_films(tmp_path / "study", size=32)),
        "output": str(tmp_path / "run"),
    }
    agent = Agent(None, None, sweep_id="madeup01")
    agent._sweep_command = [
        *("--wandb=offline" if part == "--wandb=online" else part for part in SWEEP["command"]),
        *as_words(more),
    ]
    args = {key: {"value": value} for key, value in chosen.items()}
    agent._command_run({"run_id": "tiny0001", "program": SWEEP["program"], "args": args})
    assert agent._run_processes["tiny0001"].wait() == 0
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert "val" in metrics
    assert "test" not in metrics
    assert not list(tmp_path.rglob("test_log.csv"))
    assert not (tmp_path / "run" / "predictions" / "test.csv").exists()
    kept = decoded(next((tmp_path / "run").glob("wandb/**/*.wandb")))
    assert SWEEP["metric"]["name"] in kept["history"]
    assert kept["summary"][f"final/{SWEEP['metric']['name']}"] == metrics["val"]["auroc"]["value"]
    assert kept["config"]["model"]["optimizer"]["init_args"]["lr"] == chosen["model.optimizer.lr"]
    assert str(tmp_path) not in kept["raw"]
