"""Tasks: encoding, losses and probabilities, and numbers that a prediction file repeats."""

from __future__ import annotations

import io
import math
import pickle
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from owned import owned
from torch.nn import functional as F

from rn50med.errors import RecipeError
from rn50med.evaluation.arrays import stored
from rn50med.evaluation.metrics import auroc, macro_auroc
from rn50med.evaluation.operating_point import youden
from rn50med.evaluation.predictions import Predictions, PredictionTable
from rn50med.parts import build
from rn50med.tasks import UNKNOWN, Binary, MultiClass, MultiLabel, Task
from rn50med.testing import check_task

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


@pytest.mark.parametrize("task", [BINARY, MULTI], ids=["binary", "multiclass"])
def test_an_unknown_label_counts_nowhere_in_the_loss_and_a_batch_of_them_costs_nothing(task: Task) -> None:
    torch.manual_seed(0)
    logits, target = torch.randn(6, task.num_outputs), torch.tensor([0, 1, 1, 0, 1, 0])
    target[[1, 4]] = UNKNOWN
    kept = target != UNKNOWN
    torch.testing.assert_close(task.loss(logits, target), task.loss(logits[kept], target[kept]))
    torch.testing.assert_close(task.loss(logits, task.soft(target)), task.loss(logits[kept], target[kept]))
    assert float(task.loss(logits, torch.full((6,), UNKNOWN))) == 0.0


@TASKS
def test_numbers_of_a_prediction_file_equal_those_of_memory(task: Task) -> None:
    predictions = made_up(task)
    frame = pd.DataFrame(
        task.output_columns(predictions.logits, task.operating_point(task.cases(predictions)))
    )
    text = frame.to_csv(index=False, float_format="%.9g")
    read = pd.read_csv(io.StringIO(text))
    assert read["call"].tolist() == frame["call"].tolist()
    for name in frame.columns.drop("call"):
        assert np.array_equal(read[name].to_numpy(), frame[name].to_numpy())
    probability = read[[f"prob_{name}" for name in task.probability_names]].to_numpy()
    logits = read[[f"logit_{name}" for name in task.probability_names]].to_numpy()
    assert np.array_equal(task.stored_probabilities(logits), probability)
    again = Predictions(predictions.index, logits, predictions.target)
    assert task.watched(task.cases(again)) == task.watched(task.cases(predictions))


def test_logits_in_32_bits_survive_nine_digits() -> None:
    logits = np.random.default_rng(0).normal(0, 30, 10_000).astype(np.float32)
    assert np.array_equal(stored(logits).astype(np.float32), logits)


def test_what_is_watched_equals_the_figure_of_the_metrics() -> None:
    binary, multi = made_up(BINARY), made_up(MULTI)
    probability = BINARY.stored_probabilities(binary.logits)[:, 0]
    assert BINARY.watched(BINARY.cases(binary)) == {"auroc": auroc(probability, binary.target)}
    macro, each = macro_auroc(MULTI.stored_probabilities(multi.logits), multi.target)
    expected = {"auroc": macro} | {f"auroc/{n}": v for n, v in zip(MULTI.names, each, strict=True)}
    assert MULTI.watched(MULTI.cases(multi)) == expected
    assert 0.6 < macro < 1


@pytest.mark.parametrize("target", [0, 1])
def test_what_is_undefined_is_nan_and_has_no_operating_point(target: int) -> None:
    alone = Predictions(np.arange(4), np.linspace(-1, 1, 4)[:, None], np.full(4, target))
    assert math.isnan(BINARY.watched(BINARY.cases(alone))["auroc"])
    assert BINARY.operating_point(BINARY.cases(alone)) is None


def test_a_class_that_does_not_occur_is_nan_and_not_averaged_in() -> None:
    full = made_up(MULTI)
    keep = full.target != 2
    lacking = Predictions(full.index[keep], full.logits[keep], full.target[keep])
    watched = MULTI.watched(MULTI.cases(lacking))
    assert math.isnan(watched["auroc/virus"])
    assert watched["auroc"] == pytest.approx((watched["auroc/none"] + watched["auroc/bacteria"]) / 2)


def test_a_binary_call_is_positive_from_the_threshold_on() -> None:
    predictions = made_up(BINARY)
    point = BINARY.operating_point(BINARY.cases(predictions))
    probability = BINARY.stored_probabilities(predictions.logits)
    assert point == youden(probability[:, 0], predictions.target)
    calls = BINARY.calls(probability, point)
    assert calls.tolist() == ["pneumonia" if p >= point.threshold else "normal" for p in probability[:, 0]]
    assert BINARY.calls(np.array([[0.5], [0.4999]]), None).tolist() == ["pneumonia", "normal"]


def test_the_call_of_several_classes_is_the_most_probable_one() -> None:
    assert MULTI.calls(np.array([[0.2, 0.5, 0.3], [0.4, 0.3, 0.3]]), None).tolist() == ["bacteria", "none"]
    assert MULTI.operating_point(MULTI.cases(made_up(MULTI))) is None


@TASKS
def test_final_figures_agree_with_what_was_watched(task: Task) -> None:
    predictions = made_up(task)
    patients = np.array([f"p{i // 2}" for i in predictions.index])
    figures = task.figures(owned(task, predictions, patients), task.operating_point(task.cases(predictions)))
    for name, value in task.watched(task.cases(predictions)).items():
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


EVERY = (
    BINARY,
    MULTI,
    MultiLabel(("mass", "nodule")),
    MultiLabel(("mass",), unknown="negative"),
    MultiLabel(tuple(f"finding {k}" for k in range(14)), unknown_of={"finding 3": "positive"}),
)


@pytest.mark.parametrize("task", EVERY, ids=lambda task: f"{type(task).__name__}-{len(task.classes)}")
def test_every_task_keeps_the_contract(task: Task) -> None:
    check_task(task)


@pytest.mark.parametrize("task", EVERY[:3], ids=lambda task: type(task).__name__)
def test_a_checkpoint_names_a_task_by_the_package_as_it_always_did(task: Task) -> None:
    assert task.specification()["class_path"] == f"rn50med.tasks.{type(task).__name__}"


def test_a_checkpoint_from_before_the_package_still_opens() -> None:
    written = {
        "class_path": "rn50med.tasks.Binary",
        "init_args": {"negative": "normal", "positive": "pneumonia", "column": "label"},
    }
    assert build(written, Task) == BINARY


class SumLoss(MultiLabel):
    def loss(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return super().loss(logits, target) * len(logits)


class Shy(Binary):
    def output_columns(self, *given: Any) -> dict[str, np.ndarray]:
        columns = super().output_columns(*given)
        return columns | {"call": np.where(columns["call"] == "", "normal", columns["call"])}


class Percent(MultiClass):
    def probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        return 100 * super().probabilities(logits)


class Batched(MultiLabel):
    def probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        return (logits - logits.mean(dim=0)).sigmoid()


class Careless(Binary):
    def fault(self, row: Mapping[str, str]) -> None:
        return None


class Whimsical(Binary):
    def imagine(self, draw: float) -> tuple[dict[str, str], tuple[int, ...]]:
        return super().imagine(np.random.default_rng().random())


class Forgetful(Binary):
    """Takes itself for another whenever it is built again."""

    __hash__ = Binary.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other


class Blind(MultiClass):
    def watched(self, predictions: Predictions) -> dict[str, float]:
        return {"accuracy": 1.0}


class Counts(MultiLabel):
    def counts(self, rows: Sequence[Mapping[str, str]]) -> dict[str, Any]:
        return {"classes": {}}


class Weighted(MultiClass):
    """Its loss is a mean weighted by class, which parts of a batch do not add up to."""

    loss_words = "weighted cross-entropy"

    def loss(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        if target.ndim > 1:
            return super().loss(logits, target)
        return torch.nn.functional.cross_entropy(logits, target, weight=torch.tensor([1.0, 9.0]).double())


class Hard(MultiClass):
    """Its loss knows no shares."""

    loss_words = "cross-entropy"

    def loss(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.nll_loss(logits.log_softmax(dim=-1), target)


class Renamed(MultiClass):
    def target_columns(self, target: np.ndarray) -> dict[str, np.ndarray]:
        return {"truth": super().target_columns(target)["target"]}


TWO = ("a", "b")


@pytest.mark.parametrize(
    ("task", "said"),
    [
        (SumLoss(TWO), "its loss is no mean"),
        (Shy(*TWO), "calls have to be empty where logits are nan"),
        (Percent(TWO), r"has probabilities outside \[0, 1\]"),
        (Batched(TWO), "a probability depends on the rest of its batch"),
        (Careless(*TWO), "finds no fault with"),
        (Whimsical(*TWO), "imagine gives another patient"),
        (Forgetful(*TWO), "rebuilt from a checkpoint it is another"),
        (Blind(TWO), "does not watch 'auroc'"),
        (Counts(TWO), "it has to count"),
        (Weighted(TWO), "its loss is no mean of as many numbers as its terms say"),
        (Hard(TWO), "its loss of soft targets is another"),
        (Renamed(TWO), r"its prediction file lacks \['target'\], which the report reads"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_task_that_breaks_a_promise_is_told_which(task: Task, said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        check_task(task)


def test_what_one_column_lacks_is_named() -> None:
    rows = [{"etiology": name} for name in ("none", "none", "virus")]
    assert MULTI.counts(rows) == {"classes": {"none": 2, "bacteria": 0, "virus": 1}}
    assert MULTI.absent(rows) == {"bacteria": "no image of class 'bacteria'"}
    assert MULTI.untrained(rows) == ("bacteria",)
    assert MULTI.strata(rows).tolist() == [0, 0, 2]
    assert MULTI.single(rows) is None
    assert MULTI.single(rows[:2]) == (
        "only class 'none' found in column 'etiology'; a model needs images of none, bacteria, virus"
    )
    assert MULTI.single([]) is None
    assert MULTI.strata([]).shape == (0,)


@pytest.mark.parametrize("task", EVERY[:3], ids=lambda task: type(task).__name__)
def test_a_class_that_a_split_lacks_moves_no_other_class(task: Task) -> None:
    """A class map made anew for each split gave class 1 the number 0 where class 0 did not occur."""
    rows = [task.imagine((i + 0.5) / 40)[0] for i in range(40)]
    whole = task.strata(rows)
    highest = [task.columns[0], task.classes[-1]]
    lacking = [i for i, row in enumerate(rows) if row[highest[0]] in {highest[1], "1"}]
    assert 0 < len(lacking) < len(rows)
    assert np.array_equal(task.strata([rows[i] for i in lacking]), whole[lacking])


def test_a_class_that_is_undefined_does_not_count_as_zero() -> None:
    """torchmetrics' default averages an absent class in as 0."""
    perfect = Predictions(np.arange(4), 20 * np.eye(3)[[0, 1, 0, 1]], np.array([0, 1, 0, 1]))
    assert MULTI.watched(MULTI.cases(perfect))["auroc"] == 1.0
    labels = MultiLabel(("mass", "nodule"))
    target = np.array([[0, 0], [1, 0], [0, UNKNOWN], [1, 0]])
    logits = np.array([[-5.0, 1.0], [5.0, 2.0], [-4.0, 3.0], [4.0, 4.0]])
    watched = labels.watched(labels.cases(Predictions(np.arange(4), logits, target)))
    assert watched["auroc"] == watched["auroc/mass"] == 1.0


def test_the_auroc_is_of_probabilities_and_not_of_calls() -> None:
    """An AUROC that is fed the most probable class knows no ranking."""
    logits = np.array([-3.0, -2.0, -1.0, -0.5])
    target = np.array([0, 0, 1, 1])
    below_one_half = Predictions(np.arange(4), logits[:, None], target)
    assert BINARY.calls(BINARY.stored_probabilities(logits[:, None]), None).tolist() == ["normal"] * 4
    assert BINARY.watched(BINARY.cases(below_one_half))["auroc"] == 1.0
    one = MultiLabel(("mass",))
    assert one.watched(one.cases(Predictions(np.arange(4), logits[:, None], target[:, None])))["auroc"] == 1.0
    never = np.stack([np.full(4, 5.0), logits, np.full(4, -9.0)], axis=1)
    watched = MULTI.watched(MULTI.cases(Predictions(np.arange(4), never, target)))
    assert watched["auroc/bacteria"] == 1.0


@pytest.mark.parametrize("task", [BINARY, MultiLabel(("mass",))], ids=["binary", "multi-label"])
def test_the_auroc_of_a_split_is_no_mean_of_its_batches(task: Task) -> None:
    """Each batch below is ranked perfectly, and all of them together are not."""
    logits = torch.tensor([[0.0], [1.0], [10.0], [11.0], [20.0], [21.0]])
    target = torch.tensor([0, 1] * 3).reshape(6, *task.target_shape)
    table = PredictionTable(task.num_outputs, task.target_shape)
    for rows in torch.arange(6).split(2):
        table.update(rows, logits[rows], target[rows])
    found = task.watched(task.cases(table.predictions()))["auroc"]
    assert found == auroc(logits[:, 0].numpy(), target.ravel().numpy()) == pytest.approx(6 / 9)
