"""The rules of an operating point: by brute force, with ties, and where nothing reaches what is asked."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
from owned import owned

from rn50med.errors import RecipeError
from rn50med.evaluation.operating_point import OperatingPoint, OperatingPoints, as_plain, from_plain, youden
from rn50med.evaluation.operating_rule import Rule, choose
from rn50med.evaluation.predictions import Predictions
from rn50med.evaluation.proportions import proportion_interval
from rn50med.tasks import UNKNOWN, Binary, MultiLabel
from rn50med.training.judging import Evaluation

SEEDS = pytest.mark.parametrize("seed", range(5))
DIGITS = pytest.mark.parametrize("digits", [1, 8])


def drawn(seed: int, digits: int, images: int = 80) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return scores, many of them alike where digits are few, targets, and patients of some images each."""
    random = np.random.default_rng(seed)
    target = np.append([0, 1], random.integers(2, size=images - 2))
    scores = np.round(np.clip(0.4 + 0.2 * target + 0.2 * random.normal(size=images), 0, 1), digits)
    return scores, target, random.integers(images // 3, size=images).astype(str)


def shares(scores: np.ndarray, target: np.ndarray, threshold: float) -> tuple[float, float]:
    calls = scores >= threshold
    return float(calls[target == 1].mean()), float((~calls[target == 0]).mean())


def thresholds(scores: np.ndarray) -> np.ndarray:
    return np.unique(scores)  # each calls at least one image


@SEEDS
@DIGITS
@pytest.mark.parametrize("at_least", [0.5, 0.9, 1.0])
@pytest.mark.parametrize("name", ["sensitivity", "specificity"])
def test_what_is_asked_is_reached_and_nothing_that_reaches_it_is_better(
    seed: int, digits: int, at_least: float, name: str
) -> None:
    scores, target, _ = drawn(seed, digits)
    point = choose(scores, target, Rule(name, at_least))
    own, other = (0, 1) if name == "sensitivity" else (1, 0)
    reached = shares(scores, target, point.threshold)
    assert (point.sensitivity, point.specificity) == pytest.approx(reached, abs=1e-12)
    all_of_them = [shares(scores, target, threshold) for threshold in thresholds(scores)]
    enough = [pair for pair in all_of_them if pair[own] >= at_least]
    if not enough:
        assert point.reason == "no threshold reaches it, and the most specific was taken"
        assert reached[own] == max(pair[own] for pair in all_of_them)
        return
    assert point.reason == ""
    assert reached[own] >= at_least
    best = max(pair[other] for pair in enough)
    assert reached[other] == best
    assert reached[own] == max(pair[own] for pair in enough if pair[other] == best)


@SEEDS
@pytest.mark.parametrize("name", ["sensitivity", "specificity"])
def test_a_lower_limit_is_that_of_the_final_figures_and_no_better_point_has_it(seed: int, name: str) -> None:
    scores, target, patients = drawn(seed, 2, 150)
    point = choose(scores, target, Rule(name, 0.8, by_lower_limit=True), patients)
    outcome = 1 if name == "sensitivity" else 0

    def limit(threshold: float) -> float:
        hits = (scores[target == outcome] >= threshold) == bool(outcome)
        return proportion_interval(hits, patients[target == outcome]).low

    assert point.limit == limit(point.threshold)
    assert point.limit >= 0.8
    other = 1 - (0 if outcome else 1)
    mine = shares(scores, target, point.threshold)[other]
    better = [t for t in thresholds(scores) if shares(scores, target, t)[other] > mine]
    assert all(limit(threshold) < 0.8 for threshold in better)


def test_images_of_one_patient_make_a_lower_limit_lower() -> None:
    scores, target, _ = drawn(0, 8)
    films, truth = np.repeat(scores, 4), np.repeat(target, 4)
    rule = Rule("sensitivity", 0.8, by_lower_limit=True)
    alone = choose(films, truth, rule)
    assert alone == choose(films, truth, rule, np.arange(320))
    together = choose(films, truth, rule, np.repeat(np.arange(80), 4))
    assert together == choose(scores, target, rule)
    assert together.threshold < alone.threshold


def test_a_lower_limit_that_few_images_cannot_reach_gives_the_most_sensitive_point_and_says_so() -> None:
    point = choose([0.1, 0.2, 0.6, 0.9], [0, 1, 0, 1], Rule("sensitivity", 0.95, by_lower_limit=True))
    assert (point.sensitivity, point.specificity) == (1.0, 0.5)
    assert point.threshold == pytest.approx(0.15)
    assert point.limit == pytest.approx(0.342, abs=1e-3)
    assert point.reason == "no threshold reaches it, and the most sensitive was taken"


@SEEDS
@DIGITS
@pytest.mark.parametrize("price", [0.3, 1.0, 7.0])
def test_nothing_that_calls_an_image_is_cheaper(seed: int, digits: int, price: float) -> None:
    scores, target, _ = drawn(seed, digits)

    def cost(threshold: float) -> float:
        calls = scores >= threshold
        return float((calls & (target == 0)).sum() + price * (~calls & (target == 1)).sum())

    point = choose(scores, target, Rule("cost", false_negative_cost=price))
    assert cost(point.threshold) == pytest.approx(min(cost(t) for t in thresholds(scores)))
    assert bool(point.reason) == (price * target.sum() < cost(point.threshold))


def test_of_equally_cheap_points_the_most_sensitive_is_taken() -> None:
    point = choose([0.1, 0.3, 0.5, 0.7], [0, 1, 0, 1], Rule("cost"))
    assert (point.sensitivity, point.specificity) == (1.0, 0.5)
    misses = choose([0.1, 0.2, 0.3], [1, 0, 0], Rule("cost", false_negative_cost=0.1))
    assert misses.reason == "calling no case at all would cost less"


def test_the_default_is_youdens_and_is_stored_as_before() -> None:
    scores, target, patients = drawn(0, 8)
    point = choose(scores, target, patients=patients)
    assert point == youden(scores, target)
    assert list(point.as_dict()) == ["threshold", "rule", "sensitivity", "specificity"]


@pytest.mark.parametrize(
    "rule", [Rule("sensitivity", 0.99, by_lower_limit=True), Rule("cost", false_negative_cost=5.0)]
)
def test_a_point_keeps_what_was_asked_in_a_checkpoint(rule: Rule) -> None:
    scores, target, _ = drawn(1, 8)
    point = choose(scores, target, rule)
    assert point.rule == rule.name
    assert point.asked == rule.asked
    assert from_plain(json.loads(json.dumps(as_plain(point)))) == point
    assert Rule(**json.loads(json.dumps(asdict(rule)))) == rule


def test_a_checkpoint_of_before_there_were_rules_is_read() -> None:
    old = {"threshold": 0.5, "rule": "youden", "sensitivity": 1.0, "specificity": 0.5}
    assert OperatingPoint.from_dict(old) == OperatingPoint(0.5, "youden", 1.0, 0.5)


def test_tasks_follow_the_rule_on_the_images_where_a_label_is_known() -> None:
    scores, target, patients = drawn(2, 8)
    logits = np.log(np.clip(scores, 0.01, 0.99) / (1 - np.clip(scores, 0.01, 0.99)))
    rule = Rule("sensitivity", 0.8, by_lower_limit=True)
    task, index = Binary("normal", "pneumonia"), np.arange(80)
    one = task.operating_point(owned(task, Predictions(index, logits[:, None], target), patients), rule)
    probability = task.stored_probabilities(logits[:, None])[:, 0]
    assert one == choose(probability, target, rule, patients)
    known = index < 60
    both = np.stack([np.where(known, target, UNKNOWN), np.zeros(80, np.int64)], axis=1)
    predictions = Predictions(index, np.stack([logits, logits], axis=1), both)
    labels = MultiLabel(("mass", "hernia"))
    points = labels.operating_point(owned(labels, predictions, patients), rule)
    wanted = choose(probability[known], target[known], rule, patients[known])
    assert points == OperatingPoints({"mass": wanted, "hernia": None})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rule": "sensitivity", "at_least": 0.0}, "evaluation.at_least: is 0.0; give a share above 0"),
        ({"rule": "specificity", "at_least": 95.0}, "evaluation.at_least: is 95.0"),
        ({"rule": "sensitivity", "at_least": float("nan")}, "evaluation.at_least: is nan"),
        ({"rule": "cost", "false_negative_cost": -1.0}, "evaluation.false_negative_cost: is -1.0"),
        ({"rule": "cost", "false_negative_cost": float("inf")}, "evaluation.false_negative_cost: is inf"),
        ({"by_lower_limit": True}, "by_lower_limit: has no effect with the rule youden; .* sensitivity or"),
        ({"rule": "cost", "at_least": 0.9}, "at_least: has no effect with the rule cost"),
        ({"rule": "sensitivity", "false_negative_cost": 2.0}, "give --evaluation.rule cost"),
    ],
)
def test_what_cannot_be_followed_or_would_do_nothing_is_refused(
    options: dict[str, object], message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        Evaluation(**options)
