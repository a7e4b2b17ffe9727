"""The operating point by brute force, under ties and under rounding."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rn50med.evaluation.metrics import sensitivity, specificity
from rn50med.evaluation.operating_point import OperatingPoint, youden


def _written(scores: np.ndarray) -> np.ndarray:
    return np.array([float(f"{score:.9g}") for score in scores])


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("digits", [1, 8])
def test_no_threshold_has_a_larger_sum_of_sensitivity_and_specificity(seed: int, digits: int) -> None:
    random = np.random.default_rng(seed)
    target = np.append([0, 1], random.integers(2, size=58))
    scores = np.round(np.clip(0.4 + 0.2 * target + 0.2 * random.normal(size=60), 0, 1), digits)
    point = youden(scores, target)
    calls = scores >= point.threshold
    assert point.sensitivity == pytest.approx(sensitivity(calls, target), abs=1e-12)
    assert point.specificity == pytest.approx(specificity(calls, target), abs=1e-12)
    for threshold in [*np.unique(scores), 2.0]:
        other = scores >= threshold
        gain = sensitivity(other, target) + specificity(other, target)
        assert gain <= point.sensitivity + point.specificity + 1e-12


def test_of_equally_good_points_the_most_sensitive_is_taken() -> None:
    point = youden([0.1, 0.3, 0.5, 0.7], [0, 1, 0, 1])
    assert (point.threshold, point.sensitivity, point.specificity) == (pytest.approx(0.2), 1.0, 0.5)


@settings(deadline=None, max_examples=150)
@given(st.lists(st.tuples(st.floats(0, 1), st.sampled_from([-1, 0, 1])), min_size=1, max_size=20))
def test_writing_nine_digits_changes_no_call(rows: list[tuple[float, int]]) -> None:
    """Neighbours a few float64 or float32 steps apart are the hard case."""
    base = np.array([score for score, _ in rows])
    near = np.concatenate([base, np.clip(base * (1 + 1e-12), 0, 1), np.float32(base).astype(float)])
    target = np.arange(near.size) % 2
    point = youden(near, target)
    assert 0.0 <= point.threshold <= 1.0
    assert ((near >= point.threshold) == (_written(near) >= point.threshold)).all()


def test_float32_neighbours_are_told_apart() -> None:
    low = np.float32(0.75)
    high = np.nextafter(low, np.float32(1))
    point = youden(np.array([low, high], dtype=np.float64), [0, 1])
    assert float(low) < point.threshold < float(high)
    assert (point.sensitivity, point.specificity) == (1.0, 1.0)


@pytest.mark.parametrize("scores", [[0.9, 0.1], [0.5, 0.5], [1.0, 1.0]])
def test_scores_of_no_use_call_every_image_positive(scores: list[float]) -> None:
    assert youden(scores, [0, 1]) == OperatingPoint(0.0, "youden", 1.0, 0.0)


@pytest.mark.parametrize(
    ("scores", "target", "message"),
    [
        ([0.1, 0.2], [0, 0], "no positive case"),
        ([0.1, 0.2], [1, 1], "no negative case"),
        ([], [], "no positive case"),
        ([-2.0, 2.0], [0, 1], "not logits"),
    ],
)
def test_what_has_no_operating_point_is_refused(scores: list[float], target: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        youden(scores, target)


def test_it_survives_json() -> None:
    point = youden(np.random.default_rng(0).random(50), np.arange(50) % 2)
    assert OperatingPoint.from_dict(json.loads(json.dumps(point.as_dict()))) == point
    with pytest.raises(ValueError, match="rule, specificity missing"):
        OperatingPoint.from_dict({"threshold": 0.5, "sensitivity": 1.0})
