"""Tasks: encoding, losses and probabilities, and numbers that a prediction file repeats."""

from __future__ import annotations

import io
import math
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from rn50med.errors import RecipeError
from rn50med.evaluation.metrics import auroc, macro_auroc
from rn50med.evaluation.operating_point import youden
from rn50med.evaluation.predictions import Predictions, stored
from rn50med.parts import build
from rn50med.tasks import Binary, MultiClass, Task

BINARY = Binary(negative="normal", positive="pneumonia")
MULTI = MultiClass(names=("none", "bacteria", "virus"), column="etiology")
TASKS = pytest.mark.parametrize("task", [BINARY, MULTI], ids=["binary", "multi-class"])


def made_up(task: Task, count: int = 80, seed: int = 0) -> Predictions:
    """Return predictions that are better than chance, with logits as a network's 32-bit ones."""
    rng = np.random.default_rng(seed)
    target = np.arange(count) % len(task.classes)
    logits = rng.normal(0, 2, (count, task.num_outputs))
    if task.num_outputs == 1:
        logits[:, 0] += 2 * target
    else:
        logits[np.arange(count), target] += 2
    return Predictions(np.arange(count), stored(logits.astype(np.float32)), target)


@given(st.lists(st.floats(-60, 60), min_size=1, max_size=20), st.integers(0, 2**20 - 1))
@settings(max_examples=60, deadline=None)
def test_binary_equals_a_softmax_over_zero_and_the_logit(values: list[float], bits: int) -> None:
    logits = torch.tensor(values, dtype=torch.float64)[:, None]
    target = torch.tensor([bits >> i & 1 for i in range(len(values))])
    two = torch.cat([torch.zeros_like(logits), logits], dim=1)
    assert torch.allclose(BINARY.loss(logits, target), F.cross_entropy(two, target), rtol=1e-12)
    assert torch.allclose(BINARY.probabilities(logits)[:, 0], two.softmax(dim=1)[:, 1], rtol=1e-12)
    pair = MultiClass(names=BINARY.classes)
    assert torch.allclose(BINARY.loss(logits, target), pair.loss(two, target), rtol=1e-12)


@TASKS
def test_targets_are_the_positions_of_the_classes(task: Binary | MultiClass) -> None:
    for number, name in enumerate(task.classes):
        row = {task.column: name}
        assert task.encode(row) == number
        assert task.stratum(row) == name
        assert task.fault(row) is None
    assert task.target_names(np.arange(len(task.classes))).tolist() == list(task.classes)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("", "empty cell in column 'label'; write one of normal, pneumonia"),
        ("  ", "empty cell in column 'label'; write one of normal, pneumonia"),
        ("pnuemonia", "unknown label 'pnuemonia' in column 'label'; nearest class 'pneumonia'"),
        ("normal ", "unknown label 'normal ' in column 'label'; nearest class 'normal'"),
        ("0", "unknown label '0' in column 'label'; classes are normal, pneumonia"),
    ],
)
def test_a_label_that_is_no_class_is_explained(value: str, said: str) -> None:
    assert BINARY.fault({"label": value}) == said


def test_the_tasks_say_how_many_logits_and_which_probabilities_they_have() -> None:
    assert (BINARY.num_outputs, BINARY.probability_names, BINARY.positive_class) == (
        1, ("pneumonia",), "pneumonia",
    )  # fmt: skip
    assert (MULTI.num_outputs, MULTI.probability_names, MULTI.positive_class) == (3, MULTI.names, None)
    assert MULTI.columns == ("etiology",)


@pytest.mark.parametrize("names", [(), ("one",), ("a", "a"), ("a", ""), ("a", 1)])
def test_classes_that_are_no_classes_are_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(RecipeError, match="give two or more different names"):
        MultiClass(names=names)
    if len(names) == 2:
        with pytest.raises(RecipeError, match="give two or more different names"):
            Binary(negative=names[0], positive=names[1])


def test_the_softmax_of_several_classes_sums_to_one_and_its_loss_is_the_cross_entropy() -> None:
    logits, target = torch.randn(9, 3, dtype=torch.float64), torch.arange(9) % 3
    probability = MULTI.probabilities(logits)
    assert torch.allclose(probability.sum(dim=1), torch.ones(9, dtype=torch.float64))
    by_hand = -probability[torch.arange(9), target].log().mean()
    assert torch.allclose(MULTI.loss(logits, target), by_hand)


@TASKS
def test_numbers_of_a_prediction_file_equal_those_of_memory(task: Task) -> None:
    predictions = made_up(task)
    frame = pd.DataFrame(task.output_columns(predictions.logits, task.operating_point(predictions)))
    text = frame.to_csv(index=False, float_format="%.9g")
    read = pd.read_csv(io.StringIO(text))
    assert read["call"].tolist() == frame["call"].tolist()
    for name in frame.columns.drop("call"):
        assert np.array_equal(read[name].to_numpy(), frame[name].to_numpy())
    probability = read[[f"prob_{name}" for name in task.probability_names]].to_numpy()
    logits = read[[f"logit_{name}" for name in task.probability_names]].to_numpy()
    assert np.array_equal(task.stored_probabilities(logits), probability)
    again = Predictions(predictions.index, logits, predictions.target)
    assert task.watched(again) == task.watched(predictions)


def test_logits_in_32_bits_survive_nine_digits() -> None:
    logits = np.random.default_rng(0).normal(0, 30, 10_000).astype(np.float32)
    assert np.array_equal(stored(logits).astype(np.float32), logits)


def test_what_is_watched_equals_the_figure_of_the_metrics() -> None:
    binary, multi = made_up(BINARY), made_up(MULTI)
    probability = BINARY.stored_probabilities(binary.logits)[:, 0]
    assert BINARY.watched(binary) == {"auroc": auroc(probability, binary.target)}
    macro, each = macro_auroc(MULTI.stored_probabilities(multi.logits), multi.target)
    expected = {"auroc": macro} | {f"auroc/{n}": v for n, v in zip(MULTI.names, each, strict=True)}
    assert MULTI.watched(multi) == expected
    assert 0.6 < macro < 1


@pytest.mark.parametrize("target", [0, 1])
def test_what_is_undefined_is_nan_and_has_no_operating_point(target: int) -> None:
    alone = Predictions(np.arange(4), np.linspace(-1, 1, 4)[:, None], np.full(4, target))
    assert math.isnan(BINARY.watched(alone)["auroc"])
    assert BINARY.operating_point(alone) is None


def test_a_class_that_does_not_occur_is_nan_and_not_averaged_in() -> None:
    full = made_up(MULTI)
    keep = full.target != 2
    lacking = Predictions(full.index[keep], full.logits[keep], full.target[keep])
    watched = MULTI.watched(lacking)
    assert math.isnan(watched["auroc/virus"])
    assert watched["auroc"] == pytest.approx((watched["auroc/none"] + watched["auroc/bacteria"]) / 2)


def test_a_binary_call_is_positive_from_the_threshold_on() -> None:
    predictions = made_up(BINARY)
    point = BINARY.operating_point(predictions)
    probability = BINARY.stored_probabilities(predictions.logits)
    assert point == youden(probability[:, 0], predictions.target)
    calls = BINARY.calls(probability, point)
    assert calls.tolist() == ["pneumonia" if p >= point.threshold else "normal" for p in probability[:, 0]]
    assert BINARY.calls(np.array([[0.5], [0.4999]]), None).tolist() == ["pneumonia", "normal"]


def test_the_call_of_several_classes_is_the_most_probable_one() -> None:
    assert MULTI.calls(np.array([[0.2, 0.5, 0.3], [0.4, 0.3, 0.3]]), None).tolist() == ["bacteria", "none"]
    assert MULTI.operating_point(made_up(MULTI)) is None


@TASKS
def test_final_figures_agree_with_what_was_watched(task: Task) -> None:
    predictions = made_up(task)
    patients = np.array([f"p{i // 2}" for i in predictions.index])
    figures = task.figures(predictions, patients, task.operating_point(predictions))
    for name, value in task.watched(predictions).items():
        assert figures[name].value == pytest.approx(value, abs=1e-12)


@TASKS
def test_a_checkpoint_and_a_worker_build_the_same_task(task: Task) -> None:
    assert build(task.specification(), Task) == task == pickle.loads(pickle.dumps(task))


@pytest.mark.parametrize("draw", [0.0, 0.49, 0.5, 0.999999])
def test_an_imagined_patient_has_a_class_and_its_finding(draw: float) -> None:
    for task in (BINARY, MULTI):
        labels, shown = task.imagine(draw)
        assert task.fault(labels) is None
        assert bool(shown) == (task.encode(labels) > 0)
