"""The figures of a split: their keys, their reasons, their speed."""

from __future__ import annotations

import json
import math
import time

import numpy as np
import pytest

from rn50med.evaluation import metrics
from rn50med.evaluation.figures import binary_figures, multiclass_figures, multilabel_figures

BINARY = {
    "auroc",
    "auprc",
    "sensitivity",
    "specificity",
    "ppv",
    "npv",
    "accuracy",
    "balanced_accuracy",
    "brier",
    "log_loss",
    "lr_positive",
    "lr_negative",
    "mcc",
    "net_benefit",
    "brier_scaled",
    "ece",
    "calibration_slope",
    "calibration_intercept",
}
NEED_NO_CALLS = {
    "auroc",
    "auprc",
    "brier",
    "log_loss",
    "brier_scaled",
    "ece",
    "calibration_slope",
    "calibration_intercept",
}


def _binary(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    target = np.arange(rows) % 2
    said = 1 / (1 + np.exp(-(2 * target - 1 + random.normal(size=rows))))
    return said, target, np.array([f"p{i // 4}" for i in range(rows)])


def test_binary_figures_are_the_metrics_with_intervals_around_them() -> None:
    said, target, patients = _binary(200)
    figures = binary_figures(said, target, patients, 0.5)
    assert set(figures) == BINARY
    calls = said >= 0.5
    expected = {
        "auroc": metrics.auroc(said, target),
        "auprc": metrics.average_precision(said, target),
        "sensitivity": metrics.sensitivity(calls, target),
        "specificity": metrics.specificity(calls, target),
        "ppv": metrics.positive_predictive_value(calls, target),
        "npv": metrics.negative_predictive_value(calls, target),
        "accuracy": metrics.accuracy(calls, target),
        "balanced_accuracy": metrics.balanced_accuracy(calls, target),
        "brier": metrics.brier(said, target),
        "log_loss": metrics.log_loss(said, target),
    }
    for key, value in expected.items():
        figure = figures[key]
        assert figure.value == pytest.approx(value, abs=1e-9), key
        assert figure.low < figure.value < figure.high, key
        assert not figure.reason
    denominators = {"sensitivity": 100, "specificity": 100, "ppv": calls.sum(), "npv": (~calls).sum()}
    for key, figure in figures.items():
        assert figure.n == denominators.get(key, 200), key


def test_a_score_at_the_threshold_is_called_positive() -> None:
    figures = binary_figures([0.5, 0.4], [1, 0], ["a", "b"], 0.5)
    assert figures["sensitivity"].value == figures["specificity"].value == 1.0


def test_perfect_predictions_are_never_certain() -> None:
    target = np.arange(84) % 2
    figures = binary_figures(0.02 + 0.96 * target, target, np.arange(84).astype(str), 0.5)
    for key in ("auroc", "auprc", "sensitivity", "specificity", "ppv", "npv", "accuracy", "mcc"):
        assert figures[key].value == figures[key].high == 1.0
        assert figures[key].low < 0.97, key
    assert figures["lr_positive"].reason == "no false alarm: the ratio is infinite"
    assert figures["lr_negative"].value == 0.0 < figures["lr_negative"].high < 0.2
    assert figures["calibration_slope"].reason == "a probability separates the outcomes"


@pytest.mark.parametrize(
    ("target", "reasons"),
    [
        ([0, 0], {"auroc": "pneumonia", "auprc": "pneumonia", "sensitivity": "pneumonia"}),
        ([1, 1], {"auroc": "normal", "auprc": "normal", "specificity": "normal"}),
    ],
)
def test_a_missing_class_is_named(target: list[int], reasons: dict[str, str]) -> None:
    figures = binary_figures([0.2, 0.7], target, ["a", "b"], 0.5, ("normal", "pneumonia"))
    assert set(figures) == BINARY
    for key, name in (reasons | {"balanced_accuracy": next(iter(reasons.values()))}).items():
        assert math.isnan(figures[key].value), key
        assert figures[key].reason == f"no case of class {name!r}"
    assert not math.isnan(figures["accuracy"].value)


def test_without_a_call_of_a_class_its_predictive_value_is_undefined() -> None:
    figures = binary_figures([0.2, 0.7], [0, 1], ["a", "b"], 0.9, ("normal", "pneumonia"))
    assert figures["ppv"].reason == "no case was called 'pneumonia'"
    assert figures["npv"].value == 0.5


def test_without_an_operating_point_what_needs_calls_is_undefined() -> None:
    figures = binary_figures(*_binary(40), None)
    assert set(figures) == BINARY
    undefined = {key for key, figure in figures.items() if math.isnan(figure.value)}
    assert undefined == BINARY - NEED_NO_CALLS
    assert {figures[key].reason for key in undefined} == {"no operating point"}


def test_no_images_leave_every_figure_undefined() -> None:
    for figures in (
        binary_figures([], [], [], 0.5),
        multiclass_figures(np.empty((0, 2)), [], [], ["a", "b"]),
    ):
        assert all(math.isnan(figure.value) and figure.reason for figure in figures.values())


def test_multiclass_figures_are_the_metrics_with_intervals_around_them() -> None:
    random = np.random.default_rng(0)
    target = random.integers(3, size=150)
    said = random.dirichlet(np.ones(3), 150) * 0.6 + 0.4 * np.eye(3)[target]
    figures = multiclass_figures(said, target, [f"p{i // 2}" for i in range(150)], ["a", "b", "c"])
    macro, each = metrics.macro_auroc(said, target)
    calls = said.argmax(axis=1)
    expected = {
        "auroc": macro,
        **{f"auroc/{name}": value for name, value in zip("abc", each, strict=True)},
        "accuracy": metrics.accuracy(calls, target),
        "balanced_accuracy": metrics.balanced_accuracy(calls, target),
        "brier": metrics.brier(said, target),
        "log_loss": metrics.log_loss(said, target),
    }
    each = {"auprc", "sensitivity", "specificity", "ppv", "npv", "lr_positive", "lr_negative", "ece"}
    each |= {"calibration_slope", "calibration_intercept"}
    assert set(figures) == {*expected, "auprc", "mcc"} | {f"{key}/{name}" for key in each for name in "abc"}
    for key, value in expected.items():
        assert figures[key].value == pytest.approx(value, abs=1e-9), key
        assert figures[key].low < value < figures[key].high, key


def test_a_class_without_images_is_undefined_and_named_in_the_mean() -> None:
    said = np.array([[0.7, 0.2, 0.1], [0.3, 0.6, 0.1], [0.6, 0.3, 0.1]])
    figures = multiclass_figures(said, [0, 1, 1], ["x", "y", "z"], ["a", "b", "c"])
    assert figures["auroc/c"].as_json() == {
        "value": None,
        "low": None,
        "high": None,
        "n": 3,
        "reason": "no case of class 'c'",
    }
    assert figures["auroc"].value == np.mean([figures["auroc/a"].value, figures["auroc/b"].value])
    assert figures["auroc"].reason == "mean of 2 of 3 classes: no case of class 'c'"
    only = multiclass_figures(said, [1, 1, 1], ["x", "y", "z"], ["a", "b", "c"])
    assert only["auroc"].reason == only["auroc/b"].reason == "no case of a class other than 'b'"


def test_columns_have_to_be_classes() -> None:
    with pytest.raises(ValueError, match="2 classes"):
        multiclass_figures(np.ones((3, 3)) / 3, [0, 1, 1], ["x", "y", "z"], ["a", "b"])
    with pytest.raises(ValueError, match="2 labels"):
        multilabel_figures(np.ones((3, 3)) / 3, np.ones((3, 3)), ["x", "y", "z"], [None] * 3, ["a", "b"])


def test_multilabel_figures_are_the_binary_ones_of_each_label_on_its_known_images() -> None:
    random = np.random.default_rng(0)
    target = (random.random((160, 3)) < 0.4).astype(int)
    said = 1 / (1 + np.exp(-(1.5 * target - 0.7 + random.normal(size=target.shape))))
    target[random.random(target.shape) < 0.25] = -100
    patients, names = np.array([f"p{i // 4}" for i in range(160)]), ["a", "b", "c"]
    figures = multilabel_figures(said, target, patients, [0.4, None, 0.6], names)
    assert set(figures) == {"auroc", "auprc"} | {f"{key}/{name}" for key in BINARY for name in names}
    for k, threshold in enumerate([0.4, None, 0.6]):
        known = target[:, k] >= 0
        alone = binary_figures(said[known, k], target[known, k], patients[known], threshold)
        for key, figure in alone.items():
            found = figures[f"{key}/{names[k]}"]
            assert found.as_json() == figure.as_json()
        assert figures[f"accuracy/{names[k]}"].n == known.sum()
    assert figures["auroc"].value == pytest.approx(np.mean([figures[f"auroc/{n}"].value for n in names]))
    assert figures["auroc"].low < figures["auroc"].value < figures["auroc"].high
    assert figures["auroc"].n == (target >= 0).any(axis=1).sum()


@pytest.mark.parametrize("strange", [2, -1])
def test_a_target_that_is_neither_present_absent_nor_unknown_is_refused(strange: int) -> None:
    with pytest.raises(ValueError, match=f"has {strange}; give 0, 1, or -100"):
        multilabel_figures([[0.2], [0.4]], [[1], [strange]], ["x", "y"], [None], ["a"])


def test_every_figure_survives_json() -> None:
    for figures in (
        binary_figures([0.2, 0.7], [0, 0], ["a", "a"], None),
        binary_figures(*_binary(40), 0.5),
    ):
        text = json.dumps({key: figure.as_json() for key, figure in figures.items()}, allow_nan=False)
        for plain in json.loads(text).values():
            assert (None in (plain["value"], plain["low"], plain["high"])) == ("reason" in plain)


def test_the_figures_of_624_images_take_under_two_seconds() -> None:
    said, target, patients = _binary(624)
    start = time.perf_counter()
    binary_figures(said, target, patients, 0.5)
    assert time.perf_counter() - start < 2.0


def test_the_figures_of_14_labels_of_a_thousand_images_take_under_ten_seconds() -> None:
    random = np.random.default_rng(0)
    target = (random.random((1000, 14)) < 0.1).astype(int)
    said = 1 / (1 + np.exp(-(target + random.normal(size=target.shape))))
    start = time.process_time()
    multilabel_figures(said, target, np.arange(1000) // 3, [0.5] * 14, [str(k) for k in range(14)])
    assert time.process_time() - start < 10.0


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("threshold", [None, 0.0, 0.5, 1.0])
@pytest.mark.parametrize(
    ("said", "target", "patients"),
    [
        ([0.2, 0.7], [0, 1], "aa"),
        ([0.5], [1], "a"),
        ([0.0, 1.0, 0.0, 1.0], [1, 0, 0, 1], "abcd"),
        ([0.0] * 6, [0, 1] * 3, "abcdef"),
        ([1.0, 1.0, 0.0], [0, 0, 1], "abc"),
        ([0.1, 0.1, 0.6, 0.6, 0.6, 0.9, 0.2], [0, 1, 0, 1, 1, 0, 1], "aabbccd"),
    ],
)
def test_every_figure_of_any_table_lies_inside_its_interval_or_says_why(
    said: list[float], target: list[int], patients: str, threshold: float | None
) -> None:
    for key, figure in binary_figures(said, target, list(patients), threshold, prevalence=0.1).items():
        ends = figure.low, figure.value, figure.high
        assert not any(math.isinf(end) for end in ends), key
        if any(math.isnan(end) for end in ends):
            assert figure.reason, key
        else:
            assert figure.low <= figure.value <= figure.high, key
