"""The JSON schema of `metrics.json`: what runs write keeps to it, and what is wrong does not."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from jsonschema import Draft202012Validator

from rn50med import Binary, FineTuneModule, MultiClass, MultiLabel, Ordinal, Regression
from rn50med.evaluation.arrays import UNKNOWN
from rn50med.evaluation.comparison import spread
from rn50med.evaluation.figure import Figure
from rn50med.evaluation.figures_ordinal import KEYS as GRADE_KEYS
from rn50med.evaluation.figures_regression import KEYS as VALUE_KEYS
from rn50med.evaluation.finding import KEYS, PREVALENCE_KEYS
from rn50med.evaluation.operating_rule import Rule
from rn50med.evaluation.pooling import pooled
from rn50med.evaluation.prediction_file import PredictionFile
from rn50med.evaluation.predictions import Predictions
from rn50med.evaluation.protocol import Protocol
from rn50med.evaluation.schema import check_metrics, metrics_schema
from rn50med.training.judging import split_metrics

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = Path(__file__).parent / "golden" / "figures.json"
SCHEMA = metrics_schema()
# Names that have broken a pattern, a path or a page somewhere.
CLASSES = ("none", "mild / <b>", "two\nlines", "threshold")
TASKS = {
    "binary": Binary(negative="normal", positive="pneumonia"),
    "classes": MultiClass(names=CLASSES),
    "labels": MultiLabel(labels=CLASSES),
    "grades": Ordinal(names=CLASSES),
    "number": Regression("age", 0, 100, "years"),
}


def faults(metrics) -> list[str]:
    """Return where metrics break the schema, at the innermost place."""
    found = []
    for error in Draft202012Validator(SCHEMA).iter_errors(metrics):
        while error.context:
            error = max(error.context, key=lambda each: len(each.path))  # noqa: PLW2901
        found.append(f"{error.json_path}: {error.message}")
    return found


def accept(metrics) -> None:
    """Check metrics as a file would hold them."""
    assert faults(json.loads(json.dumps(metrics, allow_nan=False))) == []
    check_metrics(metrics)


def predictions(task, images: int = 90, seed: int = 0) -> Predictions:
    """Return logits that know something, of every class or label."""
    random = np.random.default_rng(seed)
    if isinstance(task, MultiLabel):
        cells = np.arange(images)[:, None] + 2 * np.arange(task.num_outputs)
        target = np.where(cells % 9 == 0, UNKNOWN, (cells % 3 == 0).astype(int))
        target[:, 1] = np.minimum(target[:, 1], 0)  # a label that nobody has
        shift = 2.0 * (target == 1)
    elif isinstance(task, Ordinal):
        target = np.arange(images) % len(task.classes)
        shift = 1.5 * (target[:, None] > np.arange(task.num_outputs))
    elif isinstance(task, Regression):
        target = np.arange(images) * 99.5 / images
        shift = 0.02 * target[:, None]
    else:
        target = np.arange(images) % len(task.classes)
        shift = 2.0 * (np.eye(len(task.classes))[target][:, -task.num_outputs :])
    logits = 1.5 * random.normal(size=(images, task.num_outputs)) + shift
    return Predictions(np.arange(images), logits, target)


def judged(task, protocol: Protocol, images: int = 90) -> dict:
    """Return what `fit` writes of a model that said these things of val and test."""
    module = FineTuneModule(task)
    module.protocol = protocol
    for split, seed in (("val", 0), ("test", 1)):
        found = module.predictions[split] = predictions(task, images, seed)
        if split == "val":
            module.temperature = task.temperature(found) if protocol.temperature else None
        module.cases[split] = task.cases(found, None, module.temperature)
        if split == "val":
            module.operating_point = task.operating_point(module.cases[split], protocol.rule)
    return split_metrics(module, ["val", "test"])


@pytest.fixture(scope="module")
def metrics() -> dict:
    """The metrics of a binary run: every part of a run's file is there."""
    rule = Rule("sensitivity", 0.99, by_lower_limit=True)
    return judged(TASKS["binary"], Protocol(rule=rule, prevalence={"pneumonia": 0.05}))


@pytest.fixture
def spoilt(metrics) -> dict:
    """A copy of them for a test to spoil."""
    return copy.deepcopy(metrics)


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_what_a_run_of_each_task_writes_is_valid(task) -> None:
    accept(judged(task, Protocol(rule=Rule("cost"))))


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_a_run_without_a_temperature_is_valid(task) -> None:
    plain = judged(task, Protocol(temperature=False), 45)
    assert "uncalibrated" not in plain
    accept(plain)


def test_metrics_with_every_part_are_valid(metrics) -> None:
    accept(metrics)
    assert {"protocol", "temperature", "operating_point", "uncalibrated", "val", "test"} == set(metrics)
    assert set(metrics["operating_point"]) >= {"asked", "limit", "reason"}
    assert metrics["test"]["ppv_at_prevalence"]["value"] is not None


@pytest.mark.parametrize("split", ["val", "test"])
def test_the_metrics_of_a_later_test_hold_one_split(metrics, split) -> None:
    kept = {key: each for key, each in metrics.items() if key not in {"val", "test"} - {split}}
    kept["uncalibrated"] = {split: metrics["uncalibrated"][split]}
    accept(kept)


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_figures_of_a_single_outcome_are_valid(task) -> None:
    module = FineTuneModule(task)
    found = predictions(task)
    alone = Predictions(found.index, found.logits, np.zeros_like(found.target))
    module.predictions["val"], module.cases["val"] = alone, task.cases(alone)
    accept(split_metrics(module, ["val"]))


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel"])
def test_the_frozen_figures_are_valid(task, spoilt) -> None:
    accept(spoilt | {"test": json.loads(GOLDEN.read_text(encoding="utf-8"))[task]})


def folds(task) -> dict:
    """Return what `crossval` writes of three folds, of which one has another outcome undefined."""
    figures = judged(task, Protocol(), 45)
    by_fold = [figures["test"], figures["val"], figures["test"]]
    names = dict.fromkeys(name for each in by_fold for name in each)
    by_fold[1] = by_fold[1] | {"auroc": Figure(np.nan, np.nan, np.nan, 30, "no image").as_json()}
    values = {
        name: [np.nan if each[name]["value"] is None else each[name]["value"] for each in by_fold]
        for name in names
    }
    return {
        "folds": 3,
        "mean": {name: spread(each).as_json() for name, each in values.items()},
        "by_fold": by_fold,
        "pooled": pooled([(said(task, 0), said(task, fold)) for fold in range(3)], resamples=50),
    }


def said(task, seed: int) -> PredictionFile:
    found = predictions(task, 60, seed)
    images = np.array([f"{seed}-{number}" for number in found.index])
    probability = task.stored_probabilities(found.logits)
    positive = 1 if isinstance(task, Binary) else None
    if positive:
        probability = np.concatenate([1 - probability, probability], axis=1)
    several = isinstance(task, MultiLabel)
    called = (probability >= 0.5).astype(int) if several else probability.argmax(axis=1)
    parts = {"logits": task.stored_logits(found.logits), "target": found.target, "called": called}
    return PredictionFile(images, images, task.classes, positive, probability, **parts)


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_what_a_cross_validation_writes_is_valid(task) -> None:
    accept(folds(task))


def test_every_figure_that_rn50med_computes_is_described() -> None:
    told = {pattern[1 : pattern.index("(")] for pattern in SCHEMA["$defs"]["figures"]["patternProperties"]}
    assert told == {*KEYS, *PREVALENCE_KEYS, *GRADE_KEYS, *VALUE_KEYS, "mae_train_median"}
    named = re.fullmatch(r"\^\((.*)\)\(/\[\\s\\S\]\+\)\?\$", SCHEMA["$defs"]["key"]["pattern"])
    assert named is not None
    assert set(named[1].split("|")) == told


def test_every_value_is_described() -> None:
    parts = SCHEMA["$defs"]
    for name in ("run", "crossval", "protocol", "operating_point", "figure", "spread"):
        for key, each in parts[name]["properties"].items():
            known = parts[each["$ref"].rpartition("/")[2]] if "$ref" in each else {}
            assert {"description"} & {*each, *known}, f"{name}.{key}"


def test_metrics_without_a_part_are_refused(metrics) -> None:
    for part in ("protocol", "temperature", "operating_point"):
        assert faults({key: each for key, each in metrics.items() if key != part})
    assert faults({key: each for key, each in metrics.items() if key not in {"val", "test"}})
    whole = folds(TASKS["binary"])
    for part in ("folds", "mean", "by_fold", "pooled"):
        assert faults({key: each for key, each in whole.items() if key != part})


@pytest.mark.parametrize(
    ("place", "wrong"),
    [
        ("test.auroc.value", 1.2),
        ("test.auroc.value", "NaN"),
        ("test.auroc.value", "0.9"),
        ("test.auroc.n", -1),
        ("test.auroc.n", 59.5),
        ("test.auroc.reason", ""),
        ("test.auroc.p_value", 0.01),
        ("test.sensitivity.low", -0.1),
        ("test.specificity.high", 1.0000001),
        ("test.mcc.low", -1.5),
        ("test.net_benefit.value", 1.5),
        ("test.log_loss.value", -0.1),
        ("test.lr_positive.low", -0.1),
        ("test.brier.value", 2.5),
        ("test.ece.value", 1.5),
        ("test.auc", {"value": 0.9, "low": 0.8, "high": 1.0, "n": 60}),
        ("test.auroc/", {"value": 0.9, "low": 0.8, "high": 1.0, "n": 60}),
        ("test.brier", 0.1),
        ("test", {}),
        ("train", {}),
        ("uncalibrated.val.auroc", 0.9),
        ("uncalibrated.val.brier", "0.1"),
        ("uncalibrated.train", {}),
        ("temperature", 0),
        ("temperature", {"mass": -1.0}),
        ("temperature", {}),
        ("operating_point", {}),
        ("operating_point.threshold", 1.5),
        ("operating_point.threshold", None),
        ("operating_point.chosen_on", "test"),
        ("protocol.unit", "lesion"),
        ("protocol.images", "median"),
        ("protocol.rule", "accuracy"),
        ("protocol.prevalence", {"pneumonia": 5}),
        ("protocol.subgroups", "sex"),
        ("protocol.host", "a"),
    ],
)
def test_a_wrong_value_is_refused_at_its_place(spoilt, place, wrong) -> None:
    *path, last = place.split(".")
    node = spoilt
    for name in path:
        node = node[name]
    node[last] = wrong
    found = faults(spoilt)
    assert found
    assert any(error.startswith(".".join(["$", *path[:1]])) for error in found)


@pytest.mark.parametrize("part", ["value", "low", "high", "n"])
def test_a_figure_without_a_part_is_refused(spoilt, part) -> None:
    del spoilt["val"]["npv"][part]
    assert faults(spoilt) == [f"$.val.npv: '{part}' is a required property"]


def test_what_is_undefined_says_why_and_has_no_interval(spoilt) -> None:
    figure = {"value": None, "low": None, "high": None, "n": 0}
    spoilt["test"]["auroc"] = figure
    assert faults(spoilt) == ["$.test.auroc: 'reason' is a required property"]
    with pytest.raises(ValueError, match=r"test\.auroc: is undefined without a reason"):
        check_metrics(spoilt)
    spoilt["test"]["auroc"] = figure | {"reason": "no image", "low": 0.5}
    assert faults(spoilt)
    with pytest.raises(ValueError, match=r"test\.auroc: is undefined, with low 0\.5"):
        check_metrics(spoilt)


@pytest.mark.parametrize(("end", "value", "word"), [("low", 0.999, "below"), ("high", 0.001, "above")])
def test_a_value_outside_its_interval_is_refused(spoilt, end, value, word) -> None:
    spoilt["test"]["auroc"][end] = value
    with pytest.raises(ValueError, match=rf"test\.auroc: value .* is {word} its {end} {value}"):
        check_metrics(spoilt)


def test_a_mean_outside_the_range_of_its_folds_is_refused() -> None:
    spread_out = {"value": 0.9, "sd": 0.1, "lowest": 0.91, "highest": 0.95, "n": 3}
    with pytest.raises(ValueError, match=r"mean\.auroc: value 0\.9 is below its lowest 0\.91"):
        check_metrics({"mean": {"auroc": spread_out}})


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_a_number_that_json_cannot_hold_is_refused_wherever_it_is(spoilt, number) -> None:
    spoilt["uncalibrated"]["val"]["brier"] = number
    spoilt["test"]["brier"]["low"] = number
    with pytest.raises(ValueError, match=r"uncalibrated\.val\.brier: is .*; .*test\.brier\.low: is "):
        check_metrics(spoilt)


def test_rounding_is_no_contradiction() -> None:
    check_metrics({"val": {"mcc": {"value": 1.0, "low": 0.5, "high": 1.0 - 1e-16, "n": 9}}})


def test_the_page_of_the_documentation_says_what_the_schema_says() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    parts = SCHEMA["$defs"]
    for pattern, each in parts["figures"]["patternProperties"].items():
        assert f"| `{pattern[1 : pattern.index('(')]}` | {each['title']} | {each['description']} |\n" in page
    for part in ("figure", "protocol", "operating_point", "spread"):
        for key, each in parts[part]["properties"].items():
            assert f"| `{key}` | {each['description']} |\n" in page
    told = len(re.findall(r"^\| `", page, re.MULTILINE))
    assert told == len(parts["figures"]["patternProperties"]) + sum(
        len(parts[part]["properties"]) for part in ("figure", "protocol", "operating_point", "spread")
    )


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["chest_xray", "chest_xray_findings", "diabetic_retinopathy"])
def test_the_metrics_of_a_real_run_are_valid(recipe, command_line) -> None:
    small = {"model.backbone.weights": "none", "data.transforms.size": 32, "trainer.max_epochs": 1}
    few = {"trainer.limit_train_batches": 2, "trainer.accelerator": "cpu", "evaluation.checks": "false"}
    words = [word for key, value in (small | few).items() for word in (f"--{key}", value)]
    outcome = command_line("fit", "--recipe", recipe, "--output", "run", *words)
    assert outcome.code == 0, outcome.err
    accept(json.loads(Path("run/metrics.json").read_text(encoding="utf-8")))
    assert len(pd.read_csv("run/predictions/test.csv"))
    assert command_line("test", "--run", "run").code == 0
    (again,) = Path("run/test").glob("*/metrics.json")
    accept(json.loads(again.read_text(encoding="utf-8")))
