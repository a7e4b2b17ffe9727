"""Simpler models on the same cases, and paired differences of AUROCs whatever is told apart."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from rn50med.evaluation.arrays import UNKNOWN
from rn50med.evaluation.baselines import baselines, losses, majority_accuracy, prevalence_of
from rn50med.evaluation.cases import Cases
from rn50med.evaluation.intervals import auroc_interval, label_auroc_interval, macro_auroc_interval
from rn50med.evaluation.linear import INVERSE_PENALTY, linear_logits
from rn50med.evaluation.paired import paired_auroc
from rn50med.evaluation.paired_cases import paired_headline
from rn50med.evaluation.sampling import sampled
from rn50med.evaluation.thumbnails import borders, thumbnails


def binary(cases):
    return auroc_interval(cases.probability[:, 0], cases.target, cases.patients)


def macro(cases):
    return macro_auroc_interval(cases.probability, cases.target, cases.patients)


def of_labels(cases):
    return label_auroc_interval(cases.probability, cases.target, cases.patients)


@pytest.fixture
def random():
    return np.random.default_rng(5)


def two_scores(random, patients=40, films=3):
    """Return truth, patients and two scores that are right in part for the same reason."""
    whose = np.repeat(np.arange(patients), films).astype(str)
    truth = np.repeat(np.arange(patients) % 2, films)
    shared = truth + random.normal(size=truth.size)
    return truth, whose, shared + random.normal(size=truth.size), shared + random.normal(size=truth.size)


def classes(random, cases=60):
    target = np.arange(cases) % 3
    said = np.exp(random.normal(size=(cases, 3)) + 1.5 * np.eye(3)[target])
    return Cases(said / said.sum(axis=1, keepdims=True), target, np.arange(cases).astype(str))


def labels(random, cases=80):
    target = (random.random((cases, 3)) < [0.5, 0.3, 0.6]).astype(int)
    said = 1 / (1 + np.exp(-random.normal(size=target.shape) - target))
    target[random.random(target.shape) < 0.1] = UNKNOWN
    return Cases(said, target, np.repeat(np.arange(cases // 2), 2).astype(str))


def test_a_paired_difference_of_a_finding_equals_that_of_compare(random):
    truth, whose, one, other = two_scores(random)
    figure = paired_headline(*(Cases(s[:, None], truth, whose) for s in (one, other)), binary)
    expected = paired_auroc(one, other, truth, whose)
    assert figure.low < figure.value < figure.high
    assert (figure.value, figure.low, figure.high) == pytest.approx(
        (expected.value, expected.low, expected.high), abs=1e-12
    )


def test_two_classes_that_exclude_each_other_have_the_difference_of_one_finding(random):
    truth, whose, one, other = two_scores(random)
    pair = [Cases(np.stack([-s, s], axis=1), truth, whose) for s in (one, other)]
    figure, expected = paired_headline(*pair, macro), paired_auroc(one, other, truth, whose)
    assert (figure.value, figure.low, figure.high) == pytest.approx(
        (expected.value, expected.low, expected.high), abs=1e-12
    )


def test_every_image_repeated_under_its_patient_does_not_move_the_interval(random):
    truth, whose, one, other = two_scores(random)
    once = paired_headline(*(Cases(s[:, None], truth, whose) for s in (one, other)), binary)
    four = [Cases(np.repeat(s, 4)[:, None], np.repeat(truth, 4), np.repeat(whose, 4)) for s in (one, other)]
    again = paired_headline(*four, binary)
    assert (again.value, again.low, again.high) == pytest.approx((once.value, once.low, once.high), abs=1e-12)


@pytest.mark.parametrize(("make", "headline"), [(classes, macro), (labels, of_labels)])
def test_the_width_of_a_mean_difference_is_that_of_drawing_patients(random, make, headline):
    one = make(random)
    worse = one.probability + random.normal(scale=0.2, size=one.probability.shape)
    other = Cases(worse, one.target, one.patients)
    figure = paired_headline(one, other, headline)
    assert figure.value == pytest.approx(headline(one).value - headline(other).value, abs=1e-12)
    drawn = []
    names = np.unique(one.patients)
    for _ in range(150):
        chosen = random.choice(names, names.size)
        rows = np.concatenate([np.flatnonzero(one.patients == name) for name in chosen])
        pair = [
            Cases(each.probability[rows], each.target[rows], each.patients[rows]) for each in (one, other)
        ]
        drawn.append(headline(pair[0]).value - headline(pair[1]).value)
    assert (figure.high - figure.low) / (2 * 1.96 * np.std(drawn)) == pytest.approx(1.0, abs=0.25)


def test_two_scores_that_rank_alike_differ_by_nothing(random):
    truth, whose, one, _ = two_scores(random)
    figure = paired_headline(
        Cases(one[:, None], truth, whose), Cases(2 * one[:, None] + 1, truth, whose), binary
    )
    assert (figure.value, figure.low, figure.high) == (0.0, 0.0, 0.0)


def test_two_perfect_scores_that_rank_differently_have_a_difference_with_width():
    truth, whose = np.arange(20) % 2, np.arange(20).astype(str)
    one, other = truth + np.linspace(0, 0.5, 20), truth + np.linspace(0.5, 0, 20)
    figure = paired_headline(Cases(one[:, None], truth, whose), Cases(other[:, None], truth, whose), binary)
    assert figure.value == 0.0
    assert figure.low < -0.05 < 0.05 < figure.high


def test_cases_of_one_class_have_no_difference():
    cases = Cases(np.array([[0.1], [0.2]]), np.array([1, 1]), np.array(["a", "b"]))
    figure = paired_headline(cases, cases, binary)
    assert np.isnan(figure.value)
    assert figure.reason


def test_other_cases_are_not_paired(random):
    truth, whose, one, other = two_scores(random)
    with pytest.raises(ValueError, match="not the same"):
        paired_headline(Cases(one[:, None], truth, whose), Cases(other[:, None], 1 - truth, whose), binary)


def test_prevalence_and_majority_are_counted_by_hand():
    train = Cases(np.zeros((5, 3)), np.array([0, 0, 2, 2, 2]), np.array(list("abcde")))
    judged = Cases(np.zeros((4, 3)), np.array([0, 1, 2, 2]), np.array(list("abcd")))
    assert prevalence_of(train).tolist() == [0.4, 0.0, 0.6]
    assert majority_accuracy(prevalence_of(train), judged) == 0.5


def test_an_unknown_label_counts_in_no_prevalence_and_no_accuracy():
    target = np.array([[1, 0], [UNKNOWN, 0], [1, 1], [0, UNKNOWN]])
    cases = Cases(np.full((4, 2), 0.5), target, np.array(list("abcd")))
    assert prevalence_of(cases).tolist() == [2 / 3, 1 / 3]
    # Label one: said present, right in 2 of 3; label two: said absent, right in 2 of 3.
    assert majority_accuracy(prevalence_of(cases), cases) == pytest.approx(2 / 3)


def test_losses_equal_those_of_scikit_learn(random):
    one, several, many = labels(random), classes(random), labels(random)
    first = Cases(one.probability[:, :1], (one.target[:, 0] == 1).astype(int), one.patients)
    assert losses(first)["log_loss"] == pytest.approx(
        log_loss(first.target, first.probability[:, 0]), abs=1e-12
    )
    assert losses(first)["brier"] == pytest.approx(
        brier_score_loss(first.target, first.probability[:, 0]), abs=1e-12
    )
    assert losses(several)["log_loss"] == pytest.approx(
        log_loss(several.target, several.probability), abs=1e-12
    )
    each = []
    for k in range(3):
        known = many.target[:, k] != UNKNOWN
        each.append(log_loss(many.target[known, k], many.probability[known, k]))
    assert losses(many)["log_loss"] == pytest.approx(np.mean(each), abs=1e-12)


def test_baselines_hold_the_network_beside_the_simpler_models(random):
    truth, whose, one, other = two_scores(random)
    network, linear = (Cases(1 / (1 + np.exp(-s))[:, None], truth, whose) for s in (2 * one, other))
    train = Cases(np.zeros((4, 1)), np.array([0, 1, 1, 1]), np.array(list("abcd")))
    found = baselines(train, network, linear, binary)
    assert found["network"]["auroc"]["value"] == pytest.approx(roc_auc_score(truth, one), abs=1e-12)
    assert found["prevalence"]["auroc"]["value"] == 0.5
    assert found["prevalence"]["log_loss"] == pytest.approx(
        log_loss(truth, np.full(truth.size, 0.75)), abs=1e-12
    )
    assert found["prevalence"]["brier"] == pytest.approx((0.75**2 + 0.25**2) / 2, abs=1e-12)
    assert found["prevalence"]["accuracy"] == 0.5
    expected = paired_auroc(one, other, truth, whose)
    assert found["linear"]["network_less_linear"]["low"] == pytest.approx(expected.low, abs=1e-12)


@pytest.mark.parametrize("number", [2, 4])
def test_the_linear_model_is_scikit_learns(random, number):
    target = np.arange(90) % number
    learnt = random.normal(size=(90, 5)) * [1, 10, 0.1, 1, 1] + target[:, None]
    judged = random.normal(size=(20, 5))
    model = make_pipeline(StandardScaler(), LogisticRegression(C=INVERSE_PENALTY)).fit(learnt, target)
    outputs = 1 if number == 2 else number
    logits = linear_logits(learnt, target, judged, outputs)
    if outputs == 1:
        assert logits[:, 0] == pytest.approx(model.decision_function(judged), abs=1e-9)
    else:
        assert np.exp(logits) == pytest.approx(model.predict_proba(judged), abs=1e-9)


def test_the_linear_model_leaves_unknown_labels_out(random):
    target = (random.random((60, 2)) < 0.5).astype(int)
    learnt = random.normal(size=(60, 3)) + target[:, :1]
    hidden = target.copy()
    hidden[::3, 1] = UNKNOWN
    logits = linear_logits(learnt, hidden, learnt, 2)
    scaled = StandardScaler().fit_transform(learnt)
    known = hidden[:, 1] != UNKNOWN
    model = LogisticRegression(C=INVERSE_PENALTY).fit(scaled[known], hidden[known, 1])
    assert logits[:, 1] == pytest.approx(model.decision_function(scaled), abs=1e-9)


def test_what_is_constant_or_has_one_class_gives_all_images_the_same_logit():
    learnt = np.ones((6, 2))
    assert np.ptp(linear_logits(learnt, np.arange(6) % 2, learnt, 1)) == 0.0
    assert not linear_logits(learnt, np.ones(6, int), learnt, 1).any()


def test_a_class_that_was_not_learnt_is_the_least_probable(random):
    target = np.array([0, 2] * 10)
    learnt = random.normal(size=(20, 2)) + target[:, None]
    logits = linear_logits(learnt, target, learnt, 3)
    assert np.isfinite(logits).all()
    assert (logits.argmin(axis=1) == 1).all()


@pytest.mark.parametrize("side", [16, 32, 50, 100])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_a_thumbnails_pixel_is_the_mean_of_its_part(random, side, kind):
    images = random.integers(0, np.iinfo(kind).max, (2, 3, side, side), dtype=kind, endpoint=True)
    found = thumbnails(images).reshape(2, 16, 16)
    edges = [k * side // 16 for k in range(17)]
    for row, column in [(0, 0), (3, 11), (15, 15)]:
        part = images[1, :, edges[row] : edges[row + 1], edges[column] : edges[column + 1]]
        assert found[1, row, column] == pytest.approx(part.mean() / np.iinfo(kind).max, abs=1e-12)


def test_an_image_smaller_than_a_thumbnail_is_enlarged():
    images = np.arange(64, dtype=np.uint8).reshape(1, 1, 8, 8)
    found = thumbnails(images).reshape(16, 16) * 255
    assert found[::2, ::2] == pytest.approx(images[0, 0], abs=1e-9)


def test_the_border_does_not_see_inside(random):
    images = random.integers(0, 255, (3, 1, 100, 100), dtype=np.uint8)
    other = images.copy()
    other[..., 6:94, 6:94] = 0
    assert (borders(images) == borders(other)).all()
    other[0, 0, 50, 5] ^= 255
    assert (borders(images)[0] != borders(other)[0]).any()
    assert borders(images).shape == (3, 32)


def test_the_same_images_in_16_bits_have_the_same_numbers(random):
    images = random.integers(0, 255, (3, 1, 40, 40), dtype=np.uint8)
    wide = images.astype(np.uint16) * np.uint16(257)
    assert thumbnails(wide) == pytest.approx(thumbnails(images), abs=1e-12)
    assert borders(wide) == pytest.approx(borders(images), abs=1e-12)


@pytest.mark.parametrize("most", [7, 100, 500])
def test_a_sample_keeps_the_proportions(random, most):
    target = random.permutation(np.repeat([0, 1, 2], [600, 300, 100]))
    drawn = sampled(target, most, seed=3)
    assert len(set(drawn.tolist())) == most
    assert np.abs(np.bincount(target[drawn], minlength=3) - most * np.array([0.6, 0.3, 0.1])).max() <= 1
    assert (drawn == sampled(target, most, seed=3)).all()
    assert (drawn != sampled(target, most, seed=4)).any()


def test_a_sample_of_labels_keeps_the_rare_one(random):
    target = np.zeros((1000, 2), int)
    target[:, 0] = np.arange(1000) % 2
    target[:50, 1] = 1
    target[::7] = np.where(target[::7] == 1, 1, UNKNOWN)
    assert target[sampled(target, 100, seed=0), 1].clip(0).sum() == 5


def test_few_cases_are_all_taken():
    assert sampled(np.array([0, 1, 0]), 3, seed=0).tolist() == [0, 1, 2]
