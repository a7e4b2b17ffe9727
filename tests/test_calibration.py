"""Calibration against statsmodels and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from statsmodels.api import GLM, families

from rn50med.evaluation.calibration import (
    Recalibration,
    calibration_error,
    equal_mass_bins,
    log_odds,
    reliability,
)
from rn50med.evaluation.figures import binary_figures
from rn50med.evaluation.logistic import fitted


def _said(
    seed: int, rows: int = 200, slope: float = 1.0, shift: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    logits = 1.5 * random.normal(size=rows)
    target = (random.random(rows) < 1 / (1 + np.exp(-(shift + slope * logits)))).astype(int)
    return np.round(1 / (1 + np.exp(-logits)), 2), target


def _model(said: np.ndarray, target: np.ndarray) -> Recalibration:
    return Recalibration(log_odds(said), target == 1, np.arange(said.size), said.size)


def _statsmodels(x: np.ndarray, target: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    options = {"tol": 1e-14, "maxiter": 200}
    line = np.stack([np.ones_like(x), x], axis=1)
    slope = GLM(target, line, families.Binomial(), freq_weights=weights).fit(**options).params[1]
    shift = GLM(target, line[:, :1], families.Binomial(), offset=x, freq_weights=weights).fit(**options)
    return float(slope), float(shift.params[0])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("slope", "shift"), [(1.0, 0.0), (0.4, -1.0), (2.5, 0.7)])
def test_slope_and_intercept_are_those_of_statsmodels(seed: int, slope: float, shift: float) -> None:
    said, target = _said(seed, slope=slope, shift=shift)
    found = _model(said, target).estimate()
    assert found == pytest.approx(_statsmodels(log_odds(said), target, np.ones(target.size)), abs=1e-9)


def test_slopes_of_resamples_are_those_of_repeated_rows() -> None:
    said, target = _said(7, rows=60)
    counts = np.random.default_rng(0).integers(0, 4, size=(60, 6)).astype(float)
    found = _model(said, target)(counts)
    for r in range(6):
        expected = _statsmodels(log_odds(said), target, counts[:, r])
        assert (found["calibration_slope"][r], found["calibration_intercept"][r]) == pytest.approx(
            expected, abs=1e-9
        )


def test_saturated_probabilities_leave_the_slope_defined() -> None:
    said, target = _said(1)
    said[:3], target[:3] = [0.0, 1.0, 1.0], [1, 0, 1]
    slope, intercept = _model(said, target).estimate()
    expected = _statsmodels(log_odds(said), target, np.ones(target.size))
    assert math.isfinite(slope)
    assert (slope, intercept) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("said", "target", "reason"),
    [
        ([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1], "separates"),
        ([0.1, 0.5, 0.5, 0.9], [0, 0, 1, 1], "separates"),
        ([0.9, 0.8, 0.2, 0.1], [0, 0, 1, 1], "separates"),
        ([0.3, 0.3, 0.3, 0.3], [0, 0, 1, 1], "all probabilities are equal"),
        ([0.1, 0.2, 0.8, 0.9], [1, 1, 1, 1], "no case of class 'negative'"),
    ],
)
def test_a_slope_without_a_maximum_is_undefined_and_says_why(
    said: list[float], target: list[int], reason: str
) -> None:
    figure = binary_figures(said, target, list("abcd"), 0.5)["calibration_slope"]
    assert math.isnan(figure.value)
    assert reason in figure.reason


def test_the_intercept_of_a_model_that_says_too_much_is_below_zero() -> None:
    said, target = _said(0, rows=2000, shift=-1.0)
    figure = binary_figures(said, target, np.arange(2000), 0.5)["calibration_intercept"]
    assert figure.low < -1.0 < figure.high < -0.7


def test_the_slopes_interval_is_as_wide_as_the_likelihoods() -> None:
    said, target = _said(3, rows=1500)
    figure = binary_figures(said, target, np.arange(1500), 0.5)["calibration_slope"]
    x = log_odds(said)
    fit = GLM(target, np.stack([np.ones_like(x), x], axis=1), families.Binomial()).fit()
    assert figure.high - figure.low == pytest.approx(2 * 1.96 * fit.bse[1], rel=0.1)


def test_a_fit_far_from_its_start_converges() -> None:
    x = np.array([-36.0, -1.0, 0.5, 1.0, 36.0, 36.0])
    target = np.array([1.0, 0.0, 1.0, 0.0, 1.0, 1.0])
    line = np.stack([np.ones(6), x], axis=1)
    found = fitted(line, np.zeros(6), target, np.ones((1, 6)), np.array([5.0, 3.0]))[0]
    said = 1 / (1 + np.exp(-(line @ found)))
    assert line.T @ (target - said) == pytest.approx([0.0, 0.0], abs=1e-9)


def test_bins_hold_equal_shares_and_never_part_equal_probabilities() -> None:
    random = np.random.default_rng(0)
    sizes = np.bincount(equal_mass_bins(random.random(1500)))
    assert sizes.tolist() == [100] * 15
    tied = np.round(random.random(1500), 1)
    place = equal_mass_bins(tied)
    assert all(np.unique(place[tied == value]).size == 1 for value in np.unique(tied))
    assert np.unique(place).tolist() == list(range(place.max() + 1))
    assert (np.diff(place[np.argsort(tied)]) >= 0).all()
    for rows in (1, 9, 19, 20, 47, 149):
        sizes = np.bincount(equal_mass_bins(random.random(rows)))
        assert sizes.sum() == rows
        assert sizes.min() >= min(10, rows)


def test_the_ece_is_the_mean_gap_of_its_bins() -> None:
    said, target = _said(5, rows=300)
    place = equal_mass_bins(said)
    gaps = [
        (place == k).mean() * abs(said[place == k].mean() - target[place == k].mean()) for k in set(place)
    ]
    assert calibration_error(said, target) == pytest.approx(sum(gaps), abs=1e-12)
    curve = reliability(said, target, np.arange(300))
    again = sum(point.share.n / 300 * abs(point.probability - point.share.value) for point in curve)
    assert again == pytest.approx(sum(gaps), abs=1e-12)


def test_the_eces_interval_holds_zero_where_the_model_is_calibrated_and_not_where_it_is_not() -> None:
    random = np.random.default_rng(0)
    near = 0
    for _ in range(10):
        said = random.random(600)
        good = binary_figures(said, (random.random(600) < said).astype(int), np.arange(600), None)["ece"]
        near += good.low == 0.0
        bad = binary_figures(said, (random.random(600) < said**3).astype(int), np.arange(600), None)["ece"]
        # The mean of p - p^3 is 1/4.
        assert bad.low < 0.25 < bad.high + 0.03
        assert bad.low > 0.1
    assert near >= 8
