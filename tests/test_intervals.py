"""Intervals against plain DeLong, statsmodels, brute force and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from rn50med.evaluation import intervals
from rn50med.evaluation.arrays import UNKNOWN
from rn50med.evaluation.metrics import auroc, label_auroc, weighted_average_precision

Z = 1.959963984540054


def _images(seed: int, patients: int = 40, each: int = 1, mixed: bool = False) -> tuple[np.ndarray, ...]:
    """Scores, targets and patients; films of a patient are alike, and mixed ones have both outcomes."""
    random = np.random.default_rng(seed)
    outcome = np.repeat(np.arange(patients) % 2, each)
    if mixed:
        outcome = (random.random(outcome.size) < 0.3 + 0.4 * outcome).astype(int)
    shared = np.repeat(random.normal(size=patients), each)
    scores = outcome + 0.8 * shared + 0.6 * random.normal(size=outcome.size)
    return np.round(scores, 1), outcome, np.repeat(np.array([f"p{i}" for i in range(patients)]), each)


def _kernel(scores: np.ndarray, target: np.ndarray) -> np.ndarray:
    high, low = scores[target == 1][:, None], scores[target == 0][None, :]
    return (high > low) + 0.5 * (high == low)


def _logit_ends(value: float, variance: float) -> tuple[float, float]:
    half = Z * math.sqrt(variance) / (value * (1 - value))
    centre = math.log(value / (1 - value))
    return 1 / (1 + math.exp(half - centre)), 1 / (1 + math.exp(-half - centre))


def _obuchowski(scores: np.ndarray, target: np.ndarray, groups: np.ndarray) -> float:
    """The formula as printed, by loops."""
    kernel = _kernel(scores, target)
    value, (m, n) = kernel.mean(), kernel.shape
    positive, negative = groups[target == 1], groups[target == 0]
    names = sorted(set(groups))
    x = {g: kernel[positive == g].mean(axis=1).sum() - (positive == g).sum() * value for g in names}
    y = {g: kernel[:, negative == g].mean(axis=0).sum() - (negative == g).sum() * value for g in names}
    i10, i01, every = len(set(positive)), len(set(negative)), len(names)
    s10 = i10 / ((i10 - 1) * m) * sum(v * v for v in x.values())
    s01 = i01 / ((i01 - 1) * n) * sum(v * v for v in y.values())
    s11 = every / (every - 1) * sum(x[g] * y[g] for g in names)
    return s10 / m + s01 / n + 2 * s11 / (m * n)


@pytest.mark.parametrize("seed", range(4))
def test_one_image_per_patient_gives_delong_itself(seed: int) -> None:
    scores, target, groups = _images(seed)
    kernel = _kernel(scores, target)
    variance = (
        kernel.mean(axis=1).var(ddof=1) / kernel.shape[0]
        + kernel.mean(axis=0).var(ddof=1) / (kernel.shape[1])
    )
    figure = intervals.auroc_interval(scores, target, groups)
    assert figure.value == pytest.approx(auroc(scores, target), abs=1e-12)
    assert (figure.low, figure.high) == pytest.approx(_logit_ends(figure.value, variance), abs=1e-9)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("mixed", [False, True])
def test_several_images_per_patient_give_obuchowskis_variance(seed: int, mixed: bool) -> None:
    scores, target, groups = _images(seed, each=4, mixed=mixed)
    figure = intervals.auroc_interval(scores, target, groups)
    expected = _logit_ends(figure.value, _obuchowski(scores, target, groups))
    assert (figure.low, figure.high) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("mixed", [False, True])
def test_repeating_every_row_for_the_same_patient_changes_no_interval(mixed: bool) -> None:
    # These proportions have design effects above 1: below it, the cap at the number of images would show.
    scores, target, groups = _images(4, each=2, mixed=mixed)
    scores = np.clip(0.5 + 0.2 * scores, 0, 1)
    again = [np.repeat(part, 4, axis=0) for part in (scores, target, groups)]
    said = np.stack([1 - again[0], again[0]], axis=1)
    pairs = [
        (intervals.auroc_interval(scores, target, groups), intervals.auroc_interval(*again)),
        (
            intervals.macro_auroc_interval(said[::4], target, groups),
            intervals.macro_auroc_interval(said, again[1], again[2]),
        ),
        (
            intervals.proportion_interval(scores > 0.5, groups),
            intervals.proportion_interval(again[0] > 0.5, again[2]),
        ),
        (
            intervals.mean_proportion_interval(scores > 0.5, target, groups),
            intervals.mean_proportion_interval(again[0] > 0.5, again[1], again[2]),
        ),
        (
            intervals.bootstrap_interval(weighted_average_precision, [scores, target * 1.0], groups),
            intervals.bootstrap_interval(weighted_average_precision, [again[0], again[1] * 1.0], again[2]),
        ),
    ]
    for once, repeated in pairs:
        assert (repeated.value, repeated.low, repeated.high) == pytest.approx(
            (once.value, once.low, once.high), abs=1e-9
        )


def test_the_order_of_rows_and_the_names_of_patients_do_not_matter() -> None:
    scores, target, groups = _images(5, each=3, mixed=True)
    order = np.random.default_rng(0).permutation(scores.size)
    renamed = np.array([f"x{name[::-1]}" for name in groups])
    once = intervals.auroc_interval(scores, target, groups)
    other = intervals.auroc_interval(scores[order], target[order], renamed[order])
    assert (other.low, other.high) == pytest.approx((once.low, once.high), abs=1e-12)


@pytest.mark.parametrize(("value", "low", "high"), [(1.0, 0.722, 1.0), (0.0, 0.0, 0.278)])
def test_a_perfect_or_inverse_ranking_has_an_interval_with_width(
    value: float, low: float, high: float
) -> None:
    target = np.array([0] * 30 + [1] * 10)
    figure = intervals.auroc_interval(target if value else 1 - target, target, np.arange(40))
    assert figure.value == value
    assert (figure.low, figure.high) == pytest.approx((low, high), abs=1e-3)
    # Four films of each patient are still ten patients.
    again = [np.repeat(part, 4) for part in (target if value else 1 - target, target, np.arange(40))]
    assert intervals.auroc_interval(*again).low == pytest.approx(figure.low)


def test_a_constant_score_and_a_single_positive_patient_have_an_interval_with_width() -> None:
    target = np.array([0] * 20 + [1] * 5)
    constant = intervals.auroc_interval(np.full(25, 0.5), target, np.arange(25))
    assert constant.value == 0.5
    assert constant.high - constant.low > 0.5
    random = np.random.default_rng(0).normal(size=25)
    single = intervals.auroc_interval(random, target, np.append(np.arange(20), [99] * 5))
    assert single.high - single.low > 0.5


@pytest.mark.parametrize("seed", range(3))
def test_the_macro_of_two_complementary_classes_is_the_binary_figure(seed: int) -> None:
    scores, target, groups = _images(seed, each=2)
    said = np.stack([-scores, scores], axis=1)
    binary = intervals.auroc_interval(scores, target, groups)
    macro = intervals.macro_auroc_interval(said, target, groups)
    assert (macro.value, macro.low, macro.high) == pytest.approx((binary.value, binary.low, binary.high))


def test_the_macro_interval_agrees_with_a_patient_bootstrap() -> None:
    random = np.random.default_rng(0)
    target = np.repeat(random.integers(3, size=120), 2)
    said = np.eye(3)[target] + np.repeat(random.normal(size=(120, 3)), 2, axis=0)
    figure = intervals.macro_auroc_interval(said, target, np.repeat(np.arange(120), 2))
    draws = []
    for _ in range(400):
        rows = (2 * random.integers(120, size=120)[:, None] + [0, 1]).ravel()
        draws.append(np.mean([auroc(said[rows, k], target[rows] == k) for k in range(3)]))
    assert (figure.low, figure.high) == pytest.approx(np.quantile(draws, [0.025, 0.975]), abs=0.01)


def test_the_interval_of_labels_agrees_with_a_patient_bootstrap() -> None:
    """Findings of a patient go together, films of a patient are alike, and a quarter is unknown."""
    random = np.random.default_rng(0)
    ill = random.normal(size=(150, 1))
    target = np.repeat((0.7 * ill + random.normal(size=(150, 4)) > 0.5).astype(int), 2, axis=0)
    said = target + np.repeat(0.8 * ill + 0.6 * random.normal(size=(150, 4)), 2, axis=0)
    said += 0.3 * random.normal(size=said.shape)
    target[random.random(target.shape) < 0.25] = UNKNOWN
    figure = intervals.label_auroc_interval(said, target, np.repeat(np.arange(150), 2))
    draws = []
    for _ in range(400):
        rows = (2 * random.integers(150, size=150)[:, None] + [0, 1]).ravel()
        draws.append(label_auroc(said[rows], target[rows])[0])
    assert (figure.low, figure.high) == pytest.approx(np.quantile(draws, [0.025, 0.975]), abs=0.01)
    images = intervals.label_auroc_interval(said, target, np.arange(300))
    assert images.high - images.low < 0.9 * (figure.high - figure.low)


def test_labels_that_repeat_each_other_have_the_interval_of_one() -> None:
    scores, target, groups = _images(0, each=2)
    one = intervals.auroc_interval(scores, target, groups)
    three = intervals.label_auroc_interval(np.tile(scores, (3, 1)).T, np.tile(target, (3, 1)).T, groups)
    assert (three.value, three.low, three.high) == pytest.approx((one.value, one.low, one.high))


def test_a_perfect_macro_has_an_interval_with_width() -> None:
    target = np.arange(30) % 3
    figure = intervals.macro_auroc_interval(np.eye(3)[target], target, np.arange(30))
    assert figure.value == figure.high == 1.0
    assert 0.7 < figure.low < 0.95


@pytest.mark.parametrize(("hits", "rows"), [(42, 42), (0, 30), (7, 30), (1, 1), (0, 1)])
def test_one_image_per_patient_gives_wilsons_interval(hits: int, rows: int) -> None:
    figure = intervals.proportion_interval(np.arange(rows) < hits, np.arange(rows))
    assert (figure.low, figure.high) == pytest.approx(
        proportion_confint(hits, rows, method="wilson"), abs=1e-9
    )
    assert figure.low < figure.high
    assert figure.low <= figure.value <= figure.high


def test_images_of_one_patient_are_one_image() -> None:
    figure = intervals.proportion_interval([True, False] * 10, ["p"] * 20)
    assert (figure.low, figure.high) == pytest.approx(intervals.wilson(0.5, 1.0))
    assert figure.n == 20


def test_a_proportion_never_counts_more_than_its_images() -> None:
    """Opposite images of each patient look better than independence; that is not believed."""
    figure = intervals.proportion_interval([True, False] * 30, np.repeat(np.arange(30), 2))
    assert (figure.low, figure.high) == pytest.approx(intervals.wilson(0.5, 60.0))


def test_the_mean_of_two_perfect_proportions_is_not_certain() -> None:
    figure = intervals.mean_proportion_interval(np.ones(40), np.arange(40) % 2, np.arange(40))
    assert figure.value == figure.high == 1.0
    assert figure.low < 0.95


def test_a_bootstrap_draws_patients_and_not_images() -> None:
    values, groups = np.repeat(np.arange(30.0), 4), np.repeat(np.arange(30), 4)

    def mean(numbers: np.ndarray, weights: np.ndarray) -> np.ndarray:
        assert (weights.reshape(len(weights), 30, 4) == weights[:, ::4, None]).all()
        return weights @ numbers / weights.sum(axis=1)

    by_patient = intervals.bootstrap_interval(mean, [values], groups)
    expected = 2 * Z * np.arange(30).std() / math.sqrt(30)
    assert by_patient.high - by_patient.low == pytest.approx(expected, rel=0.08)
    assert intervals.bootstrap_interval(mean, [values], groups) == by_patient


def test_a_bootstrap_leaves_out_resamples_without_the_outcome() -> None:
    target = np.array([1.0] + [0.0] * 9)
    figure = intervals.bootstrap_interval(
        weighted_average_precision, [np.arange(10.0), target], np.arange(10)
    )
    assert math.isfinite(figure.low)
    assert math.isfinite(figure.high)


def test_a_bootstrap_of_one_patient_says_why_it_has_no_interval() -> None:
    plain = intervals.bootstrap_interval(
        lambda values, weights: weights @ values / weights.sum(axis=1), [np.array([1.0, 2.0])], ["p", "p"]
    ).as_json()
    assert plain == {
        "value": 1.5,
        "low": None,
        "high": None,
        "n": 2,
        "reason": "no interval from a single patient",
    }


@pytest.mark.parametrize(("target", "reason"), [([], "no cases"), ([1, 1], "no negative case")])
def test_an_undefined_figure_says_why(target: list[int], reason: str) -> None:
    figure = intervals.auroc_interval([0.5] * len(target), target, list(range(len(target))))
    assert figure.as_json() == {"value": None, "low": None, "high": None, "n": len(target), "reason": reason}


def test_intervals_cover_what_they_promise_where_patients_have_four_films() -> None:
    """60 patients x 4 films; the true AUROC is that of the binormal model, 0.90."""
    random = np.random.default_rng(1)
    groups, target = np.repeat(np.arange(60), 4), np.repeat(np.arange(60) % 2, 4)
    # d' = sqrt(2) * probit(0.9) for unit variance, 0.7 of it shared by a patient's films.
    shift, repetitions = 1.8124, 300
    inside, naive = 0, 0
    for _ in range(repetitions):
        noise = np.repeat(random.normal(size=60), 4) * math.sqrt(0.7)
        scores = shift * target + noise + random.normal(size=240) * math.sqrt(0.3)
        figure = intervals.auroc_interval(scores, target, groups)
        inside += figure.low <= 0.9 <= figure.high
        plain = intervals.auroc_interval(scores, target, np.arange(240))
        naive += plain.low <= 0.9 <= plain.high
    # 0.95 within four binomial standard errors, 0.0126 each; images as patients reach 0.73.
    assert inside / repetitions > 0.90
    assert naive / repetitions < 0.85
