"""Figures under weights are those of rows repeated as often."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics as reference

from rn50med.evaluation import resamples
from rn50med.evaluation.bootstrap import draws
from rn50med.evaluation.counting import (
    matthews_correlation,
    negative_likelihood_ratio,
    positive_likelihood_ratio,
)


def _tied(seed: int, rows: int = 50) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    target = (random.random(rows) < 0.4).astype(int)
    scores = np.round(np.clip(0.4 + 0.2 * target + 0.3 * random.normal(size=rows), 0.1, 0.9), 1)
    return scores, target, random.integers(0, 4, size=(6, rows)).astype(float)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("weighted", "plain"),
    [
        (resamples.weighted_auroc, reference.roc_auc_score),
        (resamples.weighted_average_precision, reference.average_precision_score),
        (resamples.weighted_brier, reference.brier_score_loss),
        (resamples.weighted_log_loss, reference.log_loss),
    ],
)
def test_weights_count_as_repeated_rows(seed: int, weighted: object, plain: object) -> None:
    scores, target, weights = _tied(seed)
    found = weighted(scores, target, weights)
    for row, value in zip(weights.astype(int), found, strict=True):
        expected = plain(np.repeat(target, row), np.repeat(scores, row))
        assert value == pytest.approx(expected, abs=1e-9)


def test_without_an_outcome_a_ranking_figure_is_nan() -> None:
    scores, target, weights = _tied(0)
    weights = np.stack([weights[0] * (target == 1), weights[0] * (target == 0), weights[0] * 0])
    assert np.isnan(resamples.weighted_auroc(scores, target, weights)).all()
    assert np.isnan(resamples.weighted_average_precision(scores, target, weights)).all()


def test_a_draw_is_the_same_in_blocks_of_any_size() -> None:
    whole, parts = list(draws(7, seed=3)), list(draws(7, seed=3, images=400_000))
    assert len(whole) == 1
    assert len(parts) == 200
    assert (np.concatenate(parts, axis=1) == whole[0]).all()
    assert (whole[0].sum(axis=0) == 7).all()


@pytest.mark.parametrize("seed", range(4))
def test_ratios_and_correlation_of_calls_agree_with_scikit_learn(seed: int) -> None:
    scores, target, _ = _tied(seed)
    calls = scores >= 0.5
    expected = reference.class_likelihood_ratios(target, calls)
    found = positive_likelihood_ratio(calls, target), negative_likelihood_ratio(calls, target)
    assert found == pytest.approx(expected, abs=1e-9)
    classes, called = np.random.default_rng(seed).integers(4, size=(2, 80))
    for truth, said in ((target, calls), (classes, called)):
        expected = reference.matthews_corrcoef(truth, said)
        assert matthews_correlation(said, truth) == pytest.approx(expected, abs=1e-9)


def test_ratios_and_correlation_without_a_divisor_are_not_zero() -> None:
    assert positive_likelihood_ratio([1, 0], [1, 0]) == math.inf
    assert negative_likelihood_ratio([1, 0], [1, 0]) == 0.0
    assert math.isnan(positive_likelihood_ratio([0, 0], [1, 0]))
    assert math.isnan(matthews_correlation([0, 0], [1, 0]))
    assert math.isnan(positive_likelihood_ratio([1, 0], [1, 1]))
