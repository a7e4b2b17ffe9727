"""Paired differences against formulas, brute force and each other."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rn50med.evaluation.metrics import auroc
from rn50med.evaluation.paired import paired_auroc, paired_bootstrap
from rn50med.evaluation.resamples import weighted_auroc, weighted_average_precision, weighted_brier


def _two(seed: int, patients: int = 80, each: int = 2) -> tuple[np.ndarray, ...]:
    random = np.random.default_rng(seed)
    target = np.repeat(np.arange(patients) % 2, each)
    shared = np.repeat(random.normal(size=patients), each)
    one = target + shared + 0.5 * random.normal(size=target.size)
    other = 0.6 * target + shared + 0.5 * random.normal(size=target.size)
    squash = 1 / (1 + np.exp(-np.stack([one, other])))
    return squash[0], squash[1], target, np.repeat(np.arange(patients), each)


def test_one_image_per_patient_gives_delongs_paired_variance() -> None:
    one, other, target, patients = _two(0, each=1)
    kernels = [
        (s[target == 1][:, None] > s[target == 0]) + 0.5 * (s[target == 1][:, None] == s[target == 0])
        for s in (one, other)
    ]
    apart = kernels[0] - kernels[1]
    variance = sum(apart.mean(axis=a).var(ddof=1) / apart.shape[1 - a] for a in (0, 1))
    figure = paired_auroc(one, other, target, patients)
    assert figure.value == pytest.approx(auroc(one, target) - auroc(other, target), abs=1e-12)
    half = 1.959963984540054 * math.sqrt(variance)
    assert (figure.low, figure.high) == pytest.approx((figure.value - half, figure.value + half), abs=1e-9)


def test_clustered_and_bootstrap_differences_agree() -> None:
    one, other, target, patients = _two(1, patients=150)
    figure = paired_auroc(one, other, target, patients)
    drawn = paired_bootstrap(weighted_auroc, one, other, target, patients, stratified=True)
    assert drawn.value == pytest.approx(figure.value, abs=1e-12)
    assert (drawn.low, drawn.high) == pytest.approx((figure.low, figure.high), abs=0.012)
    again = paired_bootstrap(weighted_auroc, one, other, target, patients, stratified=True)
    assert again == drawn


def test_swapping_the_models_turns_the_difference_round() -> None:
    one, other, target, patients = _two(2)
    for compare in (paired_auroc, lambda *a: paired_bootstrap(weighted_brier, *a)):
        there, back = compare(one, other, target, patients), compare(other, one, target, patients)
        assert (back.value, back.low, back.high) == pytest.approx((-there.value, -there.high, -there.low))


def test_pairing_is_narrower_than_two_models_apart() -> None:
    one, other, target, patients = _two(3)
    paired = paired_auroc(one, other, target, patients)
    rng = np.random.default_rng(0)
    alone = []
    for _ in range(300):
        rows = [
            np.concatenate([np.flatnonzero(patients == p) for p in rng.integers(80, size=80)]) for _ in "ab"
        ]
        alone.append(auroc(one[rows[0]], target[rows[0]]) - auroc(other[rows[1]], target[rows[1]]))
    assert paired.high - paired.low < 0.8 * np.diff(np.quantile(alone, [0.025, 0.975]))[0]


def test_repeating_rows_of_a_patient_changes_nothing() -> None:
    parts = _two(4)
    once, more = paired_auroc(*parts), paired_auroc(*(np.repeat(part, 4) for part in parts))
    assert (more.low, more.high) == pytest.approx((once.low, once.high), abs=1e-12)


def test_models_that_rank_alike_do_not_differ_and_two_perfect_ones_might() -> None:
    one, _, target, patients = _two(5)
    same = paired_auroc(one, one**3, target, patients)
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)
    noise = np.random.default_rng(0).random((2, target.size)) / 3
    perfect = paired_auroc(target + noise[0], target + noise[1], target, patients)
    assert perfect.value == 0.0
    assert perfect.low < -0.02 < 0.02 < perfect.high


def test_undefined_differences_say_why() -> None:
    assert paired_auroc([0.1, 0.2], [0.2, 0.1], [1, 1], ["a", "b"]).reason == "no negative case"
    ones = paired_bootstrap(weighted_average_precision, [0.1, 0.2], [0.2, 0.1], [1, 1], ["a", "b"])
    assert ones.reason == "not defined on these cases"
    single = paired_bootstrap(weighted_brier, [0.1, 0.2], [0.2, 0.1], [0, 1], ["a", "a"])
    assert single.reason == "no interval from a single patient"
    with pytest.raises(ValueError, match="same images"):
        paired_bootstrap(weighted_brier, [0.1, 0.2], [0.2], [0, 1], ["a", "a"])
    with pytest.raises(ValueError, match="same images"):
        paired_auroc([0.1, 0.2], [0.2], [0, 1], ["a", "a"])
