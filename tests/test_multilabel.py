"""Labels that may occur together: what a cell may hold, what an unknown one counts for, and each figure."""

from __future__ import annotations

import io
import math
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from jsonargparse import ArgumentError, ArgumentParser
from owned import owned
from torch.nn import functional as F

from rn50med.cli.classes import with_types
from rn50med.errors import RecipeError
from rn50med.evaluation.arrays import stored
from rn50med.evaluation.figures import binary_figures
from rn50med.evaluation.metrics import auroc
from rn50med.evaluation.operating_point import OperatingPoints, as_plain, from_plain, youden
from rn50med.evaluation.predictions import Predictions
from rn50med.parts import build
from rn50med.tasks import UNKNOWN, MultiLabel, Task

LABELS = ("mass", "nodule", "hernia")
TASK = MultiLabel(LABELS)
POLICIES = MultiLabel(LABELS, unknown="ignore", unknown_of={"nodule": "negative", "hernia": "positive"})


def row(mass: str = "0", nodule: str = "0", hernia: str = "0") -> dict[str, str]:
    return {"mass": mass, "nodule": nodule, "hernia": hernia}


def made_up(count: int = 90, seed: int = 0, labels: int = 3) -> Predictions:
    """Return predictions better than chance, one target in five unknown."""
    rng = np.random.default_rng(seed)
    target = (rng.random((count, labels)) < 0.3).astype(np.int64)
    logits = rng.normal(0, 1, target.shape) + 1.5 * target
    target[rng.random(target.shape) < 0.2] = UNKNOWN
    return Predictions(np.arange(count), stored(logits.astype(np.float32)), target)


@pytest.mark.parametrize(
    ("cell", "meaning"),
    [("1", 1), ("1.0", 1), ("0", 0), ("0.0", 0)]
    + [(cell, UNKNOWN) for cell in ("", "  ", "-1", "-1.0", "nan", "NaN")],
)
def test_a_cell_says_present_absent_or_unknown(cell: str, meaning: int) -> None:
    assert TASK.fault(row(mass=cell)) is None
    assert TASK.encode(row(mass=cell)) == [meaning, 0, 0]


@pytest.mark.parametrize("cell", ["2", "yes", "true", "1,0", " 1", "0.5", "-100", "inf", "None", "1e0"])
def test_anything_else_is_refused_and_explained(cell: str) -> None:
    assert TASK.fault(row(nodule=cell)) == (
        f"unknown label {cell!r} in column 'nodule'; "
        "write 1 (present), 0 (absent), or -1 or nothing where nobody ruled on it"
    )
    with pytest.raises(ValueError, match="unknown label"):
        TASK.encode(row(nodule=cell))


def test_every_wrong_cell_of_a_row_is_named_at_once() -> None:
    said = TASK.fault(row("x", "1", "2"))
    assert said is not None
    assert said.startswith(
        "unknown label 'x' in column 'mass', unknown label '2' in column 'hernia'; write 1"
    )


def test_an_unknown_label_is_encoded_by_the_policy_of_its_column() -> None:
    assert POLICIES.encode(row("", "", "")) == [UNKNOWN, 0, 1]
    assert POLICIES.encode(row("1", "1", "0")) == [1, 1, 0]
    assert MultiLabel(LABELS, unknown="positive").encode(row("", "-1", "nan")) == [1, 1, 1]
    strict = MultiLabel(LABELS, unknown="positive", unknown_of={"mass": "ignore"})
    assert strict.encode(row("", "-1", "nan")) == [UNKNOWN, 1, 1]


def test_what_is_no_label_or_policy_is_refused_all_at_once() -> None:
    with pytest.raises(RecipeError, match="give one or more different names"):
        MultiLabel(())
    with pytest.raises(RecipeError, match="give one or more different names"):
        MultiLabel(("a", "a"))
    with pytest.raises(RecipeError) as refused:
        MultiLabel(LABELS, unknown="maybe", unknown_of={"nodul": "ignore", "mass": "no"})
    assert str(refused.value).splitlines() == [
        "task.unknown: is 'maybe'; give one of ignore, negative, positive.",
        "  task.unknown_of: there is no label 'nodul'; did you mean 'nodule'?",
        "  task.unknown_of.mass: is 'no'; give one of ignore, negative, positive.",
    ]


@pytest.mark.parametrize("task", [TASK, POLICIES], ids=["plain", "policies"])
def test_a_checkpoint_and_a_worker_build_the_same_task(task: MultiLabel) -> None:
    specification = task.specification()
    assert specification["class_path"] == "rn50med.tasks.MultiLabel"
    assert build(specification, Task) == task == pickle.loads(pickle.dumps(task))
    assert hash(build(specification, Task)) == hash(task)


def test_the_policies_given_are_kept_whatever_the_caller_does_with_them() -> None:
    policies = {"mass": "positive"}
    task = MultiLabel(["mass", "nodule"], unknown_of=policies)  # type: ignore[arg-type]
    policies["nodule"] = "positive"
    assert task.unknown_of == {"mass": "positive"}
    assert task.labels == ("mass", "nodule")


def test_counts_tell_what_is_written_and_what_becomes_of_it() -> None:
    rows = [row("1", "", "0"), row("0", "-1", "0"), row("1", "1", "nan")]
    counts = POLICIES.counts(rows)
    assert counts["classes"] == {"mass": 2, "nodule": 1, "hernia": 0}
    assert counts["labels"] == {
        "mass": {"positive": 2, "negative": 1, "unknown": 0, "unknown_is": "ignore"},
        "nodule": {"positive": 1, "negative": 0, "unknown": 2, "unknown_is": "negative"},
        "hernia": {"positive": 0, "negative": 2, "unknown": 1, "unknown_is": "positive"},
    }
    assert POLICIES.strata(rows).tolist() == [[1, 0, 0], [0, 0, 0], [1, 1, 1]]
    assert POLICIES.stratum(rows[2]) == "mass, nodule, hernia"


def test_a_label_without_both_outcomes_is_named_with_what_it_lacks() -> None:
    rows = [row("1", "", "0"), row("0", "-1", "0")]
    assert TASK.absent(rows) == {
        "nodule": "no positive and no negative image of label 'nodule'",
        "hernia": "no positive image of label 'hernia'",
    }
    assert TASK.untrained(rows) == ("nodule", "hernia")
    assert TASK.single(rows) is None
    said = TASK.single(rows[1:])
    assert said is not None
    assert said.startswith("no label has both a positive and a negative image in columns 'mass', 'nodule'")
    assert TASK.strata([]).shape == (0, 3)


def test_the_loss_with_half_of_the_labels_blanked_is_the_loss_on_the_sub_table() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(40, 6, generator=generator, dtype=torch.float64)
    target = torch.randint(2, (40, 6), generator=generator)
    by_label, by_image = target.clone(), target.clone()
    by_label[:, 3:], by_image[20:] = UNKNOWN, UNKNOWN
    half = MultiLabel(("a", "b", "c"))
    whole = MultiLabel(tuple("abcdef"))
    assert torch.allclose(whole.loss(logits, by_label), half.loss(logits[:, :3], target[:, :3]), rtol=1e-14)
    assert torch.allclose(whole.loss(logits, by_image), whole.loss(logits[:20], target[:20]), rtol=1e-14)
    entries = torch.rand(40, 6, generator=generator) < 0.5
    scattered = torch.where(entries, target, UNKNOWN)
    by_hand = F.binary_cross_entropy_with_logits(logits[entries], target[entries].double())
    assert torch.allclose(whole.loss(logits, scattered), by_hand, rtol=1e-14)


def test_an_unknown_label_moves_no_weight() -> None:
    logits = torch.randn(8, 3, requires_grad=True)
    target = torch.randint(2, (8, 3))
    target[::2, 1] = UNKNOWN
    TASK.loss(logits, target).backward()
    assert logits.grad is not None
    assert (logits.grad[::2, 1] == 0).all()
    assert (logits.grad[1::2, 1] != 0).all()


def test_a_batch_without_a_known_label_costs_nothing_and_still_has_a_gradient() -> None:
    logits = torch.randn(4, 3, requires_grad=True)
    loss = TASK.loss(logits, torch.full((4, 3), UNKNOWN))
    assert loss.item() == 0.0
    loss.backward()
    assert logits.grad is not None
    assert (logits.grad == 0).all()


def test_one_label_is_a_binary_task() -> None:
    predictions = made_up(labels=1)
    task, known = MultiLabel(("mass",)), predictions.target[:, 0] != UNKNOWN
    probability = task.stored_probabilities(predictions.logits)[known, 0]
    target = predictions.target[known, 0]
    patients = np.array([f"p{i // 2}" for i in range(90)])
    point = task.operating_point(task.cases(predictions))
    assert point == OperatingPoints({"mass": youden(probability, target)})
    figures = task.figures(owned(task, predictions, patients), point)
    expected = binary_figures(probability, target, patients[known], point.threshold("mass"))
    assert {key: figures[f"{key}/mass"] for key in expected} == expected
    assert figures["auroc"] == expected["auroc"]
    assert set(figures) == {"auroc", "auprc"} | {f"{key}/mass" for key in expected}


def test_each_label_is_judged_on_its_known_images_alone() -> None:
    predictions = made_up()
    probability, watched = (
        TASK.stored_probabilities(predictions.logits),
        TASK.watched(TASK.cases(predictions)),
    )
    each = []
    for k, name in enumerate(LABELS):
        known = predictions.target[:, k] != UNKNOWN
        assert watched[f"auroc/{name}"] == auroc(probability[known, k], predictions.target[known, k])
        each.append(watched[f"auroc/{name}"])
    assert watched["auroc"] == pytest.approx(np.mean(each), rel=1e-15)
    figures = TASK.figures(
        owned(TASK, predictions, predictions.index.astype(str)), TASK.operating_point(TASK.cases(predictions))
    )
    assert {name: figures[name].value for name in watched} == pytest.approx(watched, abs=1e-12)
    # whatever the model says of images where a label is unknown changes nothing
    hidden = predictions.logits.copy()
    hidden[predictions.target == UNKNOWN] *= -7
    other = Predictions(predictions.index, hidden, predictions.target)
    assert (
        TASK.figures(
            owned(TASK, other, predictions.index.astype(str)), TASK.operating_point(TASK.cases(other))
        )
        == figures
    )


def test_a_label_that_is_undefined_is_nan_with_its_reason_and_not_averaged_in() -> None:
    full = made_up()
    full.target[:, 1][full.target[:, 1] == 1] = 0
    full.target[:, 2] = UNKNOWN
    watched, point = TASK.watched(TASK.cases(full)), TASK.operating_point(TASK.cases(full))
    assert math.isnan(watched["auroc/nodule"])
    assert math.isnan(watched["auroc/hernia"])
    assert watched["auroc"] == watched["auroc/mass"]
    assert [name for name in LABELS if point.by_name[name] is None] == ["nodule", "hernia"]
    figures = TASK.figures(owned(TASK, full, full.index.astype(str)), point)
    assert figures["auroc"].reason == (
        "mean of 1 of 3 labels: no positive case of 'nodule', no known case of 'hernia'"
    )
    assert figures["auroc/nodule"].reason == "no positive case"
    assert figures["sensitivity/nodule"].reason == "no operating point"
    assert figures["brier/nodule"].value > 0
    assert figures["brier/hernia"].reason == figures["auroc/hernia"].reason == "no known case"
    full.target[:, 0] = UNKNOWN
    assert math.isnan(TASK.watched(TASK.cases(full))["auroc"])
    nothing = TASK.figures(owned(TASK, full, full.index.astype(str)), point)["auroc"]
    assert (math.isnan(nothing.value), nothing.reason) == (
        True,
        "no label has both a positive and a negative case",
    )


def test_numbers_of_a_prediction_file_equal_those_of_memory() -> None:
    predictions = made_up()
    point = TASK.operating_point(TASK.cases(predictions))
    columns = TASK.target_columns(predictions.target) | TASK.output_columns(predictions.logits, point)
    kinds = ("target", "prob", "logit", "call")
    assert list(columns) == [f"{kind}_{name}" for kind in kinds for name in LABELS]
    text = pd.DataFrame(columns).to_csv(index=False, float_format="%.9g")
    read = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)
    logits = read[[f"logit_{name}" for name in LABELS]].astype(float).to_numpy()
    target = [TASK.encode({n: r[f"target_{n}"] for n in LABELS}) for r in read.to_dict("records")]
    again = Predictions(predictions.index, logits, np.array(target))
    assert np.array_equal(again.target, predictions.target)
    assert TASK.watched(TASK.cases(again)) == TASK.watched(TASK.cases(predictions))
    probability = read[[f"prob_{name}" for name in LABELS]].astype(float).to_numpy()
    for k, name in enumerate(LABELS):
        called = probability[:, k] >= point.by_name[name].threshold
        assert read[f"call_{name}"].tolist() == np.where(called, "1", "0").tolist()


def test_an_image_that_could_not_be_read_is_not_called() -> None:
    logits = np.array([[0.0, 3.0, -3.0], [np.nan] * 3])
    columns = TASK.output_columns(logits, None)
    assert [columns[f"call_{name}"].tolist() for name in LABELS] == [["1", ""], ["1", ""], ["0", ""]]


def test_operating_points_survive_plain_types_whatever_the_labels_are_called() -> None:
    labels = ("threshold", "rule", "sensitivity")
    predictions = made_up()
    predictions.target[:, 2] = 0
    point = MultiLabel(labels).operating_point(MultiLabel(labels).cases(predictions))
    plain = as_plain(point)
    assert plain is not None
    assert plain["sensitivity"] is None
    assert plain["rule"]["rule"] == "youden"
    assert from_plain(plain) == point


def test_imagined_patients_have_the_findings_of_their_labels() -> None:
    task = MultiLabel(tuple(f"finding {k}" for k in range(14)))
    drawn = [task.imagine((i + 0.5) / 4000) for i in range(4000)]
    assert drawn == [task.imagine((i + 0.5) / 4000) for i in range(4000)]
    cells = pd.DataFrame([labels for labels, _ in drawn])
    shown = np.array([[k in findings for k in range(14)] for _, findings in drawn])
    known = cells.isin(["0", "1"]).to_numpy()
    assert np.array_equal((cells == "1").to_numpy()[known], shown[known])
    assert set(np.unique(cells)) == {"", "-1", "0", "1"}
    assert 0.045 < 1 - known.mean() < 0.055
    prevalence = shown.mean(axis=0)
    assert prevalence.min() > 0.13
    assert prevalence.max() < 0.42
    assert len(np.unique(prevalence.round(2))) > 7
    correlation = np.corrcoef(shown.T) - np.eye(14)
    assert abs(correlation).max() < 0.07  # four standard errors of independent draws


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), TASK),
        (("--task.unknown", "negative"), MultiLabel(LABELS, "negative")),
        (("--task.unknown_of", "{mass: positive}"), MultiLabel(LABELS, unknown_of={"mass": "positive"})),
    ],
)
def test_the_command_line_builds_it_from_words(words: tuple[str, ...], expected: MultiLabel) -> None:
    with_types(MultiLabel)
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(Task, "task")
    given = ["--task", "MultiLabel", "--task.labels", "[mass, nodule, hernia]", *words]
    config = parser.parse_args(given)
    assert parser.instantiate(config).task == expected
    again = parser.parse_string(parser.dump(config))
    assert parser.instantiate(again).task == expected


@pytest.mark.parametrize("words", [("--task.unknown", "no"), ("--task.unknown_of", "{mass: 1}")])
def test_a_policy_that_there_is_not_is_refused_before_anything_is_built(words: tuple[str, ...]) -> None:
    with_types(MultiLabel)
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(Task, "task")
    with pytest.raises(ArgumentError, match="ignore"):
        parser.parse_args(["--task", "MultiLabel", "--task.labels", "[mass]", *words])


def test_a_blank_may_say_that_a_finding_is_absent_while_minus_one_stays_unknown() -> None:
    task = MultiLabel(("edema", "mass"), unknown_of={"edema": "positive"}, blank="negative")
    row = {"edema": "", "mass": "-1"}
    assert task.encode(row) == [0, UNKNOWN]
    assert task.encode({"edema": "-1", "mass": "nan"}) == [1, 0]
    assert task.counts([row])["labels"]["mass"]["unknown"] == 1
    assert task.counts([row])["labels"]["edema"]["negative"] == 1
    assert task.ruled({"edema": "-1", "mass": "1"}) == [UNKNOWN, 1], "before any policy"
