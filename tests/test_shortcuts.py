"""What is told without the content of an image: planted shortcuts are found, and none where none is."""

from __future__ import annotations

import numpy as np
import pytest

from rn50med.evaluation.arrays import UNKNOWN
from rn50med.evaluation.cases import Cases
from rn50med.evaluation.intervals import auroc_interval, label_auroc_interval, macro_auroc_interval
from rn50med.evaluation.linear import linear_logits
from rn50med.evaluation.shortcuts import in_bins, in_categories, shortcut
from rn50med.evaluation.thumbnails import borders


def binary(cases):
    return auroc_interval(cases.probability[:, 0], cases.target, cases.patients)


def probe(learnt, judged, truth, judged_truth):
    """Return what a linear model of a feature reaches, an image being its own patient."""
    logits = linear_logits(learnt, truth, judged, 1)
    patients = np.arange(len(judged)).astype(str)
    return shortcut("The feature", Cases(1 / (1 + np.exp(-logits)), judged_truth, patients), binary, ("ill",))


def halves(feature, truth):
    """Return the first half to learn from and the second to judge, in bins."""
    half = len(truth) // 2
    learnt, judged = in_bins(feature[:half], feature[half:])
    return learnt, judged, truth[:half], truth[half:]


@pytest.fixture
def random():
    return np.random.default_rng(11)


def films(random, number=240):
    """Return films of noise, and whether each is of somebody ill; nothing gives it away."""
    return random.integers(20, 120, (number, 1, 64, 64), dtype=np.uint8), np.arange(number) % 2


def test_a_border_that_holds_the_label_is_a_finding(random):
    pixels, truth = films(random)
    pixels[truth == 1, :, :3, 10:20] = 200  # a marker at the upper edge
    found = probe(*halves(borders(pixels), truth))
    assert found["auroc"]["value"] == 1.0
    assert found["finding"]
    assert "The feature alone" in found["message"]


def test_a_square_inside_is_no_shortcut_of_the_border(random):
    pixels, truth = films(random)
    pixels[truth == 1, :, 20:40, 20:40] = 200
    found = probe(*halves(borders(pixels), truth))
    assert not found["finding"]
    assert "message" not in found


def test_a_relation_that_rises_and_falls_is_seen(random):
    """Files of the ill are the smallest and the largest, as of two scanners."""
    truth = np.arange(400) % 2
    size = np.where(truth == 1, random.choice([1000.0, 9000.0], 400), 5000.0) + random.normal(0, 300, 400)
    found = probe(*halves(size[:, None], truth))
    assert found["auroc"]["value"] > 0.95
    assert found["finding"]


def test_a_size_of_few_among_many_alike_is_seen(random):
    """One image in twenty has another height, and all of these are of the ill."""
    height = np.full(800, 512.0)
    truth = np.arange(800) % 2
    height[(truth == 1) & (random.random(800) < 0.1)] = 600.0
    learnt, judged, first, _ = halves(height[:, None], truth)
    logits = linear_logits(learnt, first, judged, 1)[:, 0]
    assert logits[height[400:] == 600].min() > logits[height[400:] == 512].max()


def test_a_value_that_many_share_has_a_bin_of_its_own(random):
    numbers = np.concatenate([np.full(900, 50.0), random.uniform(60, 90, 50), random.uniform(10, 40, 50)])
    learnt, judged = in_bins(numbers[:, None], np.array([[50.0], [75.0], [20.0]]))
    assert learnt.shape[0] == 1000
    assert len({tuple(row) for row in judged}) == 3


def test_an_unknown_number_has_a_bin_of_its_own():
    learnt, judged = in_bins(np.array([[1.0], [np.nan], [np.nan], [1.0]]), np.array([[np.nan], [1.0]]))
    assert learnt.shape == (4, 2)
    assert judged[0].tolist() != judged[1].tolist()


@pytest.mark.parametrize("value", [7.0, np.nan])
def test_what_is_the_same_for_all_has_no_bins(value):
    learnt, judged = in_bins(np.full((5, 2), value), np.full((3, 2), value))
    assert learnt.shape == (5, 0)
    assert judged.shape == (3, 0)


def test_a_site_that_treats_the_ill_is_a_finding(random):
    truth = np.arange(300) % 2
    site = np.where(random.random(300) < 0.85, np.where(truth == 1, "clinic", "practice"), "elsewhere")
    cells = [[name, "same"] for name in site]
    learnt, judged = in_categories(cells[:150], cells[150:])
    assert learnt.shape[1] == 3
    found = probe(learnt, judged, truth[:150], truth[150:])
    assert found["finding"]
    assert found["auroc"]["value"] > 0.85


def test_a_site_that_train_does_not_have_is_none_of_its_sites():
    _, judged = in_categories([["here"], ["there"]], [["new"], ["here"]])
    assert judged.sum(axis=1).tolist() == [0.0, 1.0]


def test_a_high_figure_of_few_patients_is_no_finding():
    truth = np.array([0, 0, 0, 1, 1, 1])
    cases = Cases(np.array([0.1, 0.4, 0.3, 0.2, 0.6, 0.7])[:, None], truth, np.arange(6).astype(str))
    found = shortcut("The border", cases, binary, ("ill",))
    assert found["auroc"]["value"] > 0.6
    assert not found["finding"]


def test_a_low_figure_of_many_patients_is_no_finding(random):
    truth = np.arange(4000) % 2
    cases = Cases((truth * 0.25 + random.normal(size=4000))[:, None], truth, np.arange(4000).astype(str))
    found = shortcut("The border", cases, binary, ("ill",))
    assert 0.5 < found["auroc"]["low"] < found["auroc"]["value"] < 0.6
    assert not found["finding"]


def labels_of(cases):
    return label_auroc_interval(cases.probability, cases.target, cases.patients)


def test_one_label_of_many_that_is_given_away_is_named(random):
    target = (random.random((400, 14)) < 0.3).astype(int)
    said = random.random((400, 14))
    said[:, 5] += target[:, 5]
    target[::9] = UNKNOWN
    names = [f"label {k}" for k in range(14)]
    found = shortcut("The site", Cases(said, target, np.arange(400).astype(str)), labels_of, names)
    assert found["auroc"]["value"] < 0.6
    assert found["finding"]
    assert "'label 5'" in found["message"]
    assert sum(f"'{name}'" in found["message"] for name in names) == 1
    assert set(found["each"]) == set(names)


def test_fourteen_labels_that_nothing_gives_away_seldom_make_a_finding(random):
    names = [str(k) for k in range(14)]
    wrong = 0
    for _ in range(40):
        target = (random.random((150, 14)) < 0.3).astype(int)
        cases = Cases(random.random((150, 14)), target, np.arange(150).astype(str))
        wrong += shortcut("The site", cases, labels_of, names)["finding"]
    assert wrong <= 4


def test_a_class_that_is_given_away_is_named(random):
    target = np.arange(300) % 3
    said = random.random((300, 3))
    said[target == 2, 2] += 1

    def macro(cases):
        return macro_auroc_interval(cases.probability, cases.target, cases.patients)

    found = shortcut("The border", Cases(said, target, np.arange(300).astype(str)), macro, ("a", "b", "c"))
    assert found["finding"]
    assert "for 'c'" in found["message"]
    assert "for 'a'" not in found["message"]
