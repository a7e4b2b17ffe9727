"""Net benefit and predictive values by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rn50med.evaluation.decision import decision_curve, net_benefit, predictive_values
from rn50med.evaluation.figures import binary_figures


def _said() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    target = (random.random(150) < 0.3).astype(int)
    return np.round(np.clip(0.3 + 0.3 * target + 0.2 * random.normal(size=150), 0, 1), 1), target


def test_the_decision_curve_is_vickers_formula_at_every_threshold() -> None:
    said, target = _said()
    points = [0.0, 0.1, 0.3, 0.5, 0.9]
    curve = decision_curve(said, target, points)
    for k, point in enumerate(points):
        called, weight = said >= point, point / (1 - point)
        by_hand = ((called & (target == 1)).sum() - weight * (called & (target == 0)).sum()) / 150
        assert curve.model[k] == pytest.approx(by_hand, abs=1e-12)
        assert net_benefit(said, target, point) == curve.model[k]
        assert curve.treat_all[k] == pytest.approx(target.mean() - weight * (1 - target.mean()), abs=1e-12)
    assert not curve.treat_none.any()
    assert binary_figures(said, target, np.arange(150), 0.3)["net_benefit"].value == pytest.approx(
        curve.model[2], abs=1e-12
    )


@pytest.mark.parametrize("point", [1.0, -0.1, math.nan])
def test_a_threshold_without_odds_is_refused(point: float) -> None:
    with pytest.raises(ValueError, match="thresholds"):
        decision_curve([0.5], [1], [point])


def test_net_benefit_is_undefined_where_nothing_is_called_for_good() -> None:
    said, target = _said()
    figure = binary_figures(said, target, np.arange(150), 1.0)["net_benefit"]
    assert figure.reason == "a threshold of 1 has no odds"


def test_predictive_values_at_the_studys_prevalence_are_the_studys() -> None:
    said, target = _said()
    figures = binary_figures(said, target, np.arange(150), 0.5, prevalence=float(target.mean()))
    for key in ("ppv", "npv"):
        assert figures[f"{key}_at_prevalence"].value == pytest.approx(figures[key].value, abs=1e-12)
        assert figures[f"{key}_at_prevalence"].low < figures[key].value < figures[f"{key}_at_prevalence"].high
    rare = binary_figures(said, target, np.arange(150), 0.5, prevalence=0.01)
    expected = predictive_values(rare["sensitivity"].value, rare["specificity"].value, 0.01)
    found = rare["ppv_at_prevalence"].value, rare["npv_at_prevalence"].value
    assert found == pytest.approx([float(each) for each in expected], abs=1e-12)
    assert rare["ppv"] == figures["ppv"]


def test_a_perfect_models_predictive_values_elsewhere_are_not_certain() -> None:
    target = np.arange(60) % 2
    figures = binary_figures(0.1 + 0.8 * target, target, np.arange(60), 0.5, prevalence=0.05)
    assert figures["ppv_at_prevalence"].value == figures["ppv_at_prevalence"].high == 1.0
    assert figures["ppv_at_prevalence"].low < 0.5
    assert figures["npv_at_prevalence"].low < 1.0


@pytest.mark.parametrize("prevalence", [0.0, 1.0, 30.0])
def test_a_prevalence_that_is_no_share_is_refused(prevalence: float) -> None:
    with pytest.raises(ValueError, match="prevalence"):
        binary_figures([0.2, 0.7], [0, 1], ["a", "b"], 0.5, prevalence=prevalence)
