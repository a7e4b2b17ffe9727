"""Figures against scikit-learn and by hand, ties and missing classes included."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics as reference

from rn50med.errors import NumericalError
from rn50med.evaluation import metrics

TOLERANCE = 1e-9


def _tied(seed: int, rows: int = 90) -> tuple[np.ndarray, np.ndarray]:
    """Scores of few distinct values, so that ties cross the outcomes."""
    random = np.random.default_rng(seed)
    target = (random.random(rows) < 0.4).astype(int)
    return np.round(np.clip(0.4 + 0.2 * target + 0.3 * random.normal(size=rows), 0, 1), 1), target


@pytest.mark.parametrize("seed", range(6))
def test_ranking_figures_agree_with_scikit_learn_under_ties(seed: int) -> None:
    scores, target = _tied(seed)
    assert metrics.auroc(scores, target) == pytest.approx(
        reference.roc_auc_score(target, scores), abs=TOLERANCE
    )
    assert metrics.average_precision(scores, target) == pytest.approx(
        reference.average_precision_score(target, scores), abs=TOLERANCE
    )


def test_auroc_is_the_share_of_pairs_ranked_rightly() -> None:
    scores, target = _tied(7, 30)
    pairs = [
        1.0 if high > low else 0.5 if high == low else 0.0
        for high in scores[target == 1]
        for low in scores[target == 0]
    ]
    assert metrics.auroc(scores, target) == pytest.approx(np.mean(pairs), abs=TOLERANCE)


@pytest.mark.parametrize("seed", range(4))
def test_weights_count_as_repeated_rows(seed: int) -> None:
    scores, target = _tied(seed, 40)
    weights = np.random.default_rng(seed).integers(0, 4, size=(5, 40))
    found = metrics.weighted_average_precision(scores, target.astype(float), weights.astype(float))
    for row, value in zip(weights, found, strict=True):
        repeated = reference.average_precision_score(np.repeat(target, row), np.repeat(scores, row))
        assert value == pytest.approx(repeated, abs=TOLERANCE)


@pytest.mark.parametrize("seed", range(4))
def test_probability_figures_agree_with_scikit_learn(seed: int) -> None:
    scores, target = _tied(seed)
    said = np.clip(scores, 0.01, 0.99)
    assert metrics.brier(said, target) == pytest.approx(
        reference.brier_score_loss(target, said), abs=TOLERANCE
    )
    assert metrics.log_loss(said, target) == pytest.approx(reference.log_loss(target, said), abs=TOLERANCE)


def test_a_saturated_probability_costs_what_it_costs_in_scikit_learn() -> None:
    said, target = np.array([0.0, 1.0, 1.0]), np.array([1, 1, 0])
    assert metrics.log_loss(said, target) == pytest.approx(
        reference.log_loss(target, said, labels=[0, 1]), abs=TOLERANCE
    )


@pytest.mark.parametrize("seed", range(4))
def test_figures_of_calls_agree_with_scikit_learn(seed: int) -> None:
    scores, target = _tied(seed)
    calls = scores >= 0.5
    expected = {
        "sensitivity": reference.recall_score(target, calls),
        "specificity": reference.recall_score(target, calls, pos_label=0),
        "positive_predictive_value": reference.precision_score(target, calls),
        "negative_predictive_value": reference.precision_score(target, calls, pos_label=0),
        "accuracy": reference.accuracy_score(target, calls),
        "balanced_accuracy": reference.balanced_accuracy_score(target, calls),
    }
    for name, value in expected.items():
        assert getattr(metrics, name)(calls, target) == pytest.approx(value, abs=TOLERANCE), name


@pytest.mark.parametrize("seed", range(4))
def test_multiclass_figures_agree_with_scikit_learn(seed: int) -> None:
    random = np.random.default_rng(seed)
    said = np.round(random.dirichlet(np.ones(4), 80), 1) + 0.01
    said /= said.sum(axis=1, keepdims=True)
    target = random.integers(4, size=80)
    macro, each = metrics.macro_auroc(said, target)
    assert macro == pytest.approx(reference.roc_auc_score(target, said, multi_class="ovr"), abs=TOLERANCE)
    assert each == pytest.approx(
        reference.roc_auc_score(np.eye(4)[target], said, average=None), abs=TOLERANCE
    )
    assert metrics.log_loss(said, target) == pytest.approx(reference.log_loss(target, said), abs=TOLERANCE)
    by_hand = np.mean([sum((said[i] - np.eye(4)[target[i]]) ** 2) for i in range(80)])
    assert metrics.brier(said, target) == pytest.approx(by_hand, abs=TOLERANCE)
    calls = said.argmax(axis=1)
    assert metrics.balanced_accuracy(calls, target) == pytest.approx(
        reference.balanced_accuracy_score(target, calls), abs=TOLERANCE
    )


def test_a_class_that_does_not_occur_is_not_averaged_in() -> None:
    said = np.array([[0.7, 0.2, 0.1], [0.3, 0.6, 0.1], [0.6, 0.3, 0.1]])
    macro, each = metrics.macro_auroc(said, [0, 1, 1])
    assert np.isnan(each).tolist() == [False, False, True]
    assert macro == pytest.approx(np.nanmean(each))


def test_the_auroc_of_labels_agrees_with_scikit_learn_on_their_known_images() -> None:
    random = np.random.default_rng(0)
    target = random.integers(2, size=(90, 4))
    said = np.round(random.random(target.shape) + 0.3 * target, 1)
    target[random.random(target.shape) < 0.3] = -100
    target[:, 3] = np.where(target[:, 3] == 1, -100, target[:, 3])
    macro, each = metrics.label_auroc(said, target)
    known = target != -100
    expected = [reference.roc_auc_score(target[known[:, k], k], said[known[:, k], k]) for k in range(3)]
    assert each[:3].tolist() == pytest.approx(expected, abs=TOLERANCE)
    assert math.isnan(each[3])
    assert macro == pytest.approx(np.mean(expected), abs=TOLERANCE)
    assert math.isnan(metrics.label_auroc(said, np.full_like(target, -100))[0])


@pytest.mark.parametrize("target", [[0, 0, 0], [1, 1, 1], []])
def test_what_is_undefined_is_nan_and_never_zero(target: list[int]) -> None:
    scores = [0.2, 0.5, 0.9][: len(target)]
    assert math.isnan(metrics.auroc(scores, target))
    assert math.isnan(metrics.average_precision(scores, target))
    assert math.isnan(metrics.balanced_accuracy([0] * len(target), target))
    assert math.isnan(metrics.positive_predictive_value([False] * len(target), target))
    assert math.isnan(metrics.negative_predictive_value([True] * len(target), target))
    assert [points.size for points in metrics.roc_points(scores, target)] == [0, 0]
    assert [points.size for points in metrics.precision_recall_points(scores, target)] == [0, 0]
    outcomes = set(target)
    assert math.isnan(metrics.sensitivity([True] * len(target), target)) == (1 not in outcomes)
    assert math.isnan(metrics.specificity([True] * len(target), target)) == (0 not in outcomes)
    assert math.isnan(metrics.accuracy([True] * len(target), target)) == (not target)
    assert math.isnan(metrics.brier(scores, target)) == (not target)
    assert math.isnan(metrics.log_loss(scores, target)) == (not target)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_score_that_is_not_finite_is_refused(bad: float) -> None:
    for figure in (metrics.auroc, metrics.average_precision, metrics.brier, metrics.log_loss):
        with pytest.raises(NumericalError, match="1 of 2 values are not finite"):
            figure([bad, 0.5], [0, 1])


@pytest.mark.parametrize("target", [[-100, 1], [2, 1], [0, 1, 1]])
def test_unknown_labels_and_unlike_lengths_are_refused(target: list[int]) -> None:
    for figure in (metrics.auroc, metrics.brier, metrics.sensitivity):
        with pytest.raises(ValueError, match="target"):
            figure([0.5, 0.5], target)
