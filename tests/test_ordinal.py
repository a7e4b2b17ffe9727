"""Ordinal: grades, their conditional loss, their median call and their figures."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from lightning.pytorch import Trainer
from made_up_tasks import made_up_of
from owned import owned
from sklearn.metrics import cohen_kappa_score, roc_auc_score
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from rn50med.evaluation.arrays import stored
from rn50med.evaluation.comparison import differences
from rn50med.evaluation.figures import multiclass_figures
from rn50med.evaluation.figures_ordinal import above, median_grade, ordinal_figures
from rn50med.evaluation.linear import linear_logits
from rn50med.evaluation.pooling import temperatures_of
from rn50med.evaluation.prediction_file import read_prediction_file
from rn50med.evaluation.predictions import Predictions
from rn50med.evaluation.report import write_report
from rn50med.evaluation.temperature import softmax_temperature
from rn50med.losses import ClassCounts
from rn50med.model.backbone import ResNet50
from rn50med.tasks import UNKNOWN, Binary, MultiClass, MultiLabel, Ordinal
from rn50med.testing import check_task
from rn50med.training.checkpoints import Best
from rn50med.training.module import FineTuneModule

GRADES = ("none", "mild", "moderate", "severe")
TASK = Ordinal(names=GRADES, column="grade")


def drawn(images: int = 200, seed: int = 0) -> tuple[Predictions, np.ndarray]:
    """Return predictions that are better than chance, of patients with up to three images."""
    random = np.random.default_rng(seed)
    target = random.integers(len(GRADES), size=images)
    steps = target[:, None] - np.arange(len(GRADES) - 1) - 0.5
    logits = stored((1.5 * steps + random.normal(0, 1.5, steps.shape)).astype(np.float32))
    return Predictions(np.arange(images), logits, target), random.integers(90, size=images).astype(str)


def by_hand(logits: torch.Tensor) -> torch.Tensor:
    """Return the probabilities of the grades as products of conditional ones."""
    steps = logits.sigmoid()
    reached = torch.cat([torch.ones(len(logits), 1, dtype=logits.dtype), steps.cumprod(dim=1)], dim=1)
    return reached - torch.cat([reached[:, 1:], torch.zeros(len(logits), 1, dtype=logits.dtype)], dim=1)


@pytest.mark.parametrize("grades", [2, 3, 5])
def test_it_keeps_the_contract_of_a_task(grades: int) -> None:
    check_task(Ordinal(tuple(f"grade {k}" for k in range(grades))))


def test_probabilities_are_products_of_conditional_ones_and_sum_to_one() -> None:
    logits = 3 * torch.randn(50, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = TASK.probabilities(logits)
    assert torch.allclose(found, by_hand(logits), rtol=0, atol=1e-12)
    assert torch.allclose(found.sum(dim=1), torch.ones(50, dtype=torch.float64))


def test_a_tiny_probability_keeps_its_digits() -> None:
    """A difference of two products would be 0 here."""
    logits = torch.tensor([[50.0, 0.0, 0.0], [-800.0, 0.0, 0.0]], dtype=torch.float64)
    found = TASK.class_logits(logits)
    assert found[0, 0].item() == pytest.approx(-50.0, rel=1e-12)
    assert found[1, 1].item() == pytest.approx(-800.0 + math.log(0.5), rel=1e-12)
    assert found.isfinite().all()


def test_the_loss_is_the_mean_over_the_steps_that_each_case_comes_to() -> None:
    """Step k is asked of rows that have reached grade k: the subsets of the paper, one after the other."""
    found, _ = drawn(40)
    logits, target = torch.from_numpy(found.logits), torch.from_numpy(found.target)
    total, pairs = 0.0, 0
    for k in range(len(GRADES) - 1):
        rows = target >= k
        goes_on = (target[rows] > k).double()
        total += F.binary_cross_entropy_with_logits(logits[rows, k], goes_on, reduction="sum").item()
        pairs += int(rows.sum())
    assert TASK.loss(logits, target).item() == pytest.approx(total / pairs, rel=1e-12)
    likelihood = by_hand(logits)[torch.arange(40), target].log().sum().item()
    assert TASK.loss(logits, target).item() == pytest.approx(-likelihood / pairs, rel=1e-9)


def test_a_case_that_did_not_reach_a_grade_moves_no_further_step() -> None:
    logits = torch.zeros(2, 3, requires_grad=True)
    TASK.loss(logits, torch.tensor([0, 1])).backward()
    moved = (logits.grad != 0).tolist()
    assert moved == [[True, False, False], [True, True, False]]


def test_an_unknown_grade_is_left_out_of_the_loss() -> None:
    logits = torch.randn(3, 3)
    alone = TASK.loss(logits[:2], torch.tensor([1, 3]))
    assert torch.allclose(TASK.loss(logits, torch.tensor([1, 3, UNKNOWN])), alone, rtol=1e-6)
    assert TASK.loss(logits[:1], torch.tensor([UNKNOWN])).item() == 0


def test_two_grades_equal_a_binary_finding() -> None:
    two, one = Ordinal(("a", "b")), Binary("a", "b")
    logits = torch.linspace(-5, 5, 12, dtype=torch.float64)[:, None]
    target = torch.arange(12) % 2
    assert torch.allclose(two.loss(logits, target), one.loss(logits, target), rtol=1e-12)
    assert torch.allclose(two.probabilities(logits)[:, 1], one.probabilities(logits)[:, 0], rtol=1e-12)


def test_the_call_is_the_median_and_not_the_most_probable_grade() -> None:
    said = np.array([[0.4, 0.15, 0.1, 0.35], [0.5, 0.0, 0.0, 0.5], [0.1, 0.2, 0.3, 0.4]])
    assert TASK.calls(said, None).tolist() == ["mild", "none", "moderate"]
    assert median_grade(said).tolist() == [1, 0, 2]


def test_the_median_is_off_by_the_fewest_grades_that_the_probabilities_allow() -> None:
    said = np.random.default_rng(0).dirichlet(np.full(4, 0.5), size=200)
    distance = np.abs(np.arange(4)[:, None] - np.arange(4))
    expected = said @ distance
    called = median_grade(said)
    assert np.allclose(expected[np.arange(200), called], expected.min(axis=1), rtol=0, atol=1e-12)


def test_a_prediction_file_reads_like_that_of_several_classes() -> None:
    found, _ = drawn()
    temperature = TASK.temperature(found)
    columns = TASK.output_columns(found.logits, None, temperature)
    read = pd.read_csv(io.StringIO(pd.DataFrame(columns).to_csv(index=False, float_format="%.9g")))
    logits = read[[f"logit_{name}" for name in GRADES]].to_numpy()
    assert np.array_equal(logits, TASK.stored_logits(found.logits))
    twin = MultiClass(GRADES)
    said = twin.stored_probabilities(logits, temperature)
    assert np.array_equal(said, read[[f"prob_{name}" for name in GRADES]].to_numpy())
    assert np.array_equal(said, TASK.cases(found, temperature=temperature).probability)
    assert temperature.values == (softmax_temperature(logits, found.target),)
    assert temperature.values[0] != 1.0
    assert read["call"].tolist() == TASK.calls(said, None).tolist()


def test_kappa_and_distance_are_those_of_scikit_learn_and_of_the_mean() -> None:
    found, patients = drawn()
    figures = TASK.figures(owned(TASK, found, patients), None)
    called = median_grade(TASK.stored_probabilities(found.logits))
    oracle = cohen_kappa_score(found.target, called, weights="quadratic", labels=range(4))
    assert figures["kappa_quadratic"].value == pytest.approx(oracle, abs=1e-12)
    assert figures["mae_grades"].value == pytest.approx(np.abs(called - found.target).mean(), abs=1e-12)
    assert figures["accuracy"].value == pytest.approx((called == found.target).mean(), abs=1e-12)
    for key in ("kappa_quadratic", "mae_grades", "auroc_above"):
        assert figures[key].low < figures[key].value < figures[key].high


def test_the_interval_of_kappa_is_that_of_drawing_patients() -> None:
    found, patients = drawn(120)
    figure = TASK.figures(owned(TASK, found, patients), None)["kappa_quadratic"]
    called = median_grade(TASK.stored_probabilities(found.logits))
    random, names = np.random.default_rng(1), np.unique(patients)
    rows = {name: np.flatnonzero(patients == name) for name in names}
    drawn_again = []
    for _ in range(400):
        picked = np.concatenate([rows[name] for name in random.choice(names, len(names))])
        drawn_again.append(
            cohen_kappa_score(found.target[picked], called[picked], weights="quadratic", labels=range(4))
        )
    low, high = np.quantile(drawn_again, [0.025, 0.975])
    assert figure.low == pytest.approx(low, abs=0.02)
    assert figure.high == pytest.approx(high, abs=0.02)


def test_the_auroc_above_a_grade_is_that_of_scikit_learn() -> None:
    found, patients = drawn()
    cases = owned(TASK, found, patients)
    figures, each = TASK.figures(cases, None), []
    for k, name in enumerate(GRADES[:-1]):
        beyond = cases.probability[:, k + 1 :].sum(axis=1)
        each.append(roc_auc_score(found.target > k, stored(beyond)))
        assert figures[f"auroc_above/{name}"].value == pytest.approx(each[-1], abs=1e-12)
    assert figures["auroc_above"].value == pytest.approx(np.mean(each), abs=1e-12)
    assert TASK.headline(cases) == figures["auroc_above"]
    assert TASK.watched(cases)["auroc_above"] == pytest.approx(np.mean(each), abs=1e-12)


def test_the_other_figures_are_those_of_several_classes_with_its_own_calls() -> None:
    found, patients = drawn()
    cases = owned(TASK, found, patients)
    called = median_grade(cases.probability)
    plain = multiclass_figures(cases.probability, cases.target, patients, GRADES, called)
    figures = TASK.figures(cases, None)
    assert {key: figures[key] for key in plain} == plain
    most = multiclass_figures(cases.probability, cases.target, patients, GRADES)
    assert most["accuracy"] != plain["accuracy"]
    assert most["auroc"] == plain["auroc"]


def test_a_grade_that_nobody_has_is_left_out_of_the_mean_and_named() -> None:
    found, patients = drawn()
    keep = found.target < 3
    few = Predictions(found.index[keep], found.logits[keep], found.target[keep])
    cases = owned(TASK, few, patients[keep])
    figures = TASK.figures(cases, None)
    assert math.isnan(figures["auroc_above/moderate"].value)
    assert figures["auroc_above/moderate"].reason == "no case above class 'moderate'"
    assert figures["auroc_above"].reason == "mean of 2 of 3 cuts: no case above class 'moderate'"
    watched = TASK.watched(cases)
    assert math.isnan(watched["auroc_above/moderate"])
    assert figures["auroc_above"].value == pytest.approx(watched["auroc_above"], abs=1e-12)


@pytest.mark.parametrize("grade", range(4))
def test_one_grade_alone_has_no_ranking_and_says_why(grade: int) -> None:
    random = np.random.default_rng(0)
    figures = ordinal_figures(random.dirichlet(np.ones(4), 6), np.full(6, grade), np.arange(6), GRADES)
    assert math.isnan(figures["auroc_above"].value)
    assert figures["auroc_above"].reason
    assert not math.isnan(figures["mae_grades"].value)


def test_no_images_leave_every_figure_undefined() -> None:
    figures = ordinal_figures(np.empty((0, 4)), [], [], GRADES)
    assert all(math.isnan(figure.value) and figure.reason for figure in figures.values())
    some, patients = drawn(30)
    assert set(figures) == set(TASK.figures(owned(TASK, some, patients), None))


def test_perfect_grades_have_intervals_with_a_width() -> None:
    target = np.arange(40) % 4
    figures = ordinal_figures(np.eye(4)[target], target, np.arange(40), GRADES)
    assert figures["kappa_quadratic"].value == 1
    assert 0.5 < figures["kappa_quadratic"].low < 1
    assert figures["mae_grades"].value == figures["mae_grades"].low == 0
    assert 0 < figures["mae_grades"].high < 0.3


def test_a_constant_right_call_has_no_kappa() -> None:
    figures = ordinal_figures(np.tile([0.9, 0.05, 0.03, 0.02], (5, 1)), np.zeros(5), np.arange(5), GRADES)
    assert figures["kappa_quadratic"].reason == "only one class occurs and is called"
    assert math.isnan(figures["kappa_quadratic"].value)
    assert figures["mae_grades"].value == 0


def test_more_than_a_grade_is_the_sum_of_those_beyond_it() -> None:
    said = np.random.default_rng(0).dirichlet(np.ones(5), 20)
    assert np.allclose(above(said), 1 - said.cumsum(axis=1)[:, :-1], rtol=0, atol=1e-8)


def test_the_phantom_shows_a_finding_more_for_each_grade() -> None:
    shown = [TASK.imagine((k + 0.5) / 4) for k in range(4)]
    assert [labels["grade"] for labels, _ in shown] == list(GRADES)
    assert [findings for _, findings in shown] == [(), (0,), (0, 1), (0, 1, 2)]


def test_a_linear_model_of_each_step_asks_it_of_those_who_came_to_it() -> None:
    asked = TASK.questions(np.array([0, 2, 3]))
    assert asked.tolist() == [[0, UNKNOWN, UNKNOWN], [1, 1, 0], [1, 1, 1]]
    numbers = np.arange(40) % 4
    learnt = np.stack([numbers + 0.1 * np.sin(np.arange(40)), np.cos(np.arange(40))], axis=1)
    logits = linear_logits(learnt, TASK.questions(numbers), learnt, TASK.num_outputs)
    said = TASK.cases(Predictions(np.arange(40), stored(logits), numbers))
    assert TASK.watched(said)["auroc_above"] > 0.99
    assert TASK.questions(np.empty(0, np.int64)).shape == (0, 3)


def test_a_loss_learns_its_counts_from_the_rows_it_is_given() -> None:
    rows = [{"grade": name, "label": name} for name in ("none", "none", "severe")]
    assert MultiClass(GRADES, "grade").class_counts(rows) == ClassCounts(((2, 0, 0, 1),), exclusive=True)
    assert Binary("none", "severe").class_counts(rows) == ClassCounts(((2, 1),), exclusive=False)
    assert TASK.class_counts(rows) is None
    findings = MultiLabel(("mass", "edema"), unknown_of={"edema": "positive"})
    cells = [{"mass": "1", "edema": "-1"}, {"mass": "-1", "edema": "0"}]
    assert findings.class_counts(cells) == ClassCounts(((0, 1), (1, 1)), exclusive=False)


def test_the_report_leads_with_the_figure_that_is_watched_and_says_how_grades_are_called(
    tmp_path: Path,
) -> None:
    found, _ = drawn(120)
    folder = made_up_of(TASK, tmp_path / "run", found.logits, found.target)
    write_report(folder)
    page, card = ((folder / name).read_text() for name in ("report.html", "model_card.md"))
    kept = json.loads((folder / "metrics.json").read_text())["test"]
    assert "AUROC of more than a grade on test" in page
    assert f'<div class="big">{kept["auroc_above"]["value"]:.3f}</div>' in page
    assert f"AUROC of more than a grade on test: **{kept['auroc_above']['value']:.3f}**" in card
    assert "The median grade is called." in page
    assert "The most probable class is called." not in page
    for text in ("Quadratic-weighted kappa", "Mean distance in grades", "AUROC of more than moderate"):
        assert text in page
    assert "canary" not in page + card


def test_runs_of_grades_are_compared_and_pooled_like_those_of_classes(tmp_path: Path) -> None:
    found, _ = drawn(120)
    other, _ = drawn(120, seed=5)
    told = {"classes": GRADES, "positive": None}
    runs = []
    for name, logits in (("one", found.logits), ("two", 0.5 * found.logits + 0.1 * other.logits)):
        folder = made_up_of(TASK, tmp_path / name, stored(logits), found.target)
        runs.append(read_prediction_file(folder / "predictions" / "test.csv", told))
    apart = differences([runs[0]], [runs[1]], resamples=50)
    assert apart["log_loss"].difference.value != 0
    assert apart["accuracy"].one == pytest.approx((runs[0].called == found.target).mean())
    assert temperatures_of(runs[0])[0] == pytest.approx(TASK.temperature(found).values[0], rel=1e-4)


def test_a_step_of_training_moves_every_logit(tmp_path: Path) -> None:
    module = FineTuneModule(TASK, ResNet50(weights="none", in_channels=1))
    random = np.random.default_rng(0)
    images = torch.from_numpy(random.random((8, 1, 32, 32), dtype=np.float32))
    target = torch.arange(8) % 4
    loader = DataLoader(TensorDataset(images, target), batch_size=4)
    trainer = Trainer(
        max_epochs=1, accelerator="cpu", logger=False, enable_progress_bar=False, default_root_dir=tmp_path,
        callbacks=[Best("val/auroc_above", tmp_path)], enable_model_summary=False,
    )  # fmt: skip
    before = module.head.linear.weight.detach().clone()
    trainer.fit(module, loader, loader)
    assert (module.head.linear.weight != before).any(dim=1).all()
    kept = FineTuneModule.load_from_checkpoint(tmp_path / "best.ckpt")
    assert kept.task == TASK
    assert kept.predict_step({"image": images}, 0).shape == (8, 4)
    assert not math.isnan(trainer.callback_metrics["val/auroc_above"].item())
