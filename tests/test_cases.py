"""What a case is: images put together by study or patient."""

from __future__ import annotations

import numpy as np
import pytest

from rn50med.errors import DataError
from rn50med.evaluation.arrays import UNKNOWN, stored
from rn50med.evaluation.cases import (
    Cases,
    Grouping,
    Membership,
    Unit,
    case_targets,
    combined,
    grouped,
    uneven,
)
from rn50med.evaluation.operating_rule import Rule
from rn50med.evaluation.predictions import Predictions
from rn50med.evaluation.protocol import Protocol
from rn50med.tasks import Binary, MultiClass, MultiLabel

BINARY = Binary("normal", "pneumonia")


def drawn(images: int = 60, patients: int = 17, outputs: int = 1) -> tuple[Predictions, np.ndarray]:
    """Return predictions of patients with one to several images and one label each."""
    random = np.random.default_rng(0)
    owner = random.integers(patients, size=images)
    truth = (np.arange(patients) % 3 == 0).astype(np.int64)[owner]
    logits = stored(random.normal(size=(images, outputs)) + 2 * truth[:, None])
    return Predictions(np.arange(images), logits, truth), owner.astype(str)


@pytest.mark.parametrize("how", ["mean", "max"])
def test_the_probability_of_a_patient_is_the_mean_or_largest_of_its_images(how: str) -> None:
    predictions, owner = drawn()
    cases = BINARY.cases(predictions, Membership(owner, Grouping.by(owner), how))
    said = BINARY.stored_probabilities(predictions.logits)[:, 0]
    wanted = {name: getattr(said[owner == name], how)() for name in set(owner)}
    assert dict(zip(cases.patients, cases.probability[:, 0], strict=True)) == pytest.approx(wanted, rel=1e-8)
    assert list(cases.patients) == list(dict.fromkeys(owner))  # in the order of their first images
    for name, target in zip(cases.patients, cases.target, strict=True):
        assert set(predictions.target[owner == name]) == {target}


def test_the_largest_probabilities_of_classes_that_exclude_each_other_have_a_sum_of_1() -> None:
    said = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]])
    found = combined(said, Grouping.by(["a", "a", "b"]), "max", exclusive=True)
    assert found == pytest.approx(np.array([[0.7 / 1.6, 0.8 / 1.6, 0.1 / 1.6], [0.2, 0.2, 0.6]]))
    task = MultiClass(("a", "b", "c"))
    predictions = Predictions(np.arange(3), np.log(said), np.array([0, 0, 2]))
    cases = task.cases(
        predictions, Membership(np.array(["p", "p", "q"]), Grouping.by(["p", "p", "q"]), "max")
    )
    assert cases.probability.sum(axis=1) == pytest.approx([1.0, 1.0])


def test_a_label_of_a_patient_is_what_is_known_of_any_image() -> None:
    target = np.array([[1, UNKNOWN], [UNKNOWN, UNKNOWN], [0, 1], [UNKNOWN, 1]])
    grouping = Grouping.by(["a", "a", "b", "b"])
    assert case_targets(target, grouping).tolist() == [[1, UNKNOWN], [0, 1]]
    assert uneven(target, grouping).size == 0
    assert uneven(np.array([[1, 0], [0, UNKNOWN]]), Grouping.by(["a", "a"])).tolist() == [0]


def test_a_study_lies_within_its_patient_and_an_image_without_one_stands_alone() -> None:
    found = grouped("study", ["a", "a", "b", "b", "c"], ["1", "2", "1", "1", ""])
    assert found.index.tolist() == [0, 1, 2, 2, 3]
    assert grouped("patient", ["", "a", "", "a"]).index.tolist() == [0, 1, 2, 1]
    assert grouped("image", ["a", "a"]).index.tolist() == [0, 1]
    with pytest.raises(DataError, match=r"--data\.columns\.study"):
        grouped("study", ["a"], None)


def test_all_images_of_a_patient_have_its_call_and_the_file_gives_its_figures_again() -> None:
    predictions, owner = drawn()
    membership = Membership(owner, Grouping.by(owner))
    cases = BINARY.cases(predictions, membership)
    point = BINARY.operating_point(cases)
    columns = BINARY.output_columns(predictions.logits, point, None, membership)
    for name, said, target in zip(cases.patients, cases.probability[:, 0], cases.target, strict=True):
        calls = set(columns["call"][owner == name])
        assert calls == {"pneumonia" if said >= point.threshold else "normal"}
        assert target in (0, 1)
    figures = BINARY.figures(cases, point)
    assert figures["auroc"].n == len(set(owner))
    right = [
        (said >= point.threshold) == (target == 1)
        for said, target in zip(cases.probability[:, 0], cases.target, strict=True)
    ]
    assert figures["accuracy"].value == pytest.approx(np.mean(right))


def test_an_image_that_cannot_be_read_leaves_its_patients_call_to_the_others() -> None:
    logits = np.array([[3.0], [np.nan], [-3.0], [np.nan]])
    owner = np.array(["a", "a", "b", "c"])
    columns = BINARY.output_columns(logits, None, None, Membership(owner, Grouping.by(owner)))
    assert columns["call"].tolist() == ["pneumonia", "", "normal", ""]


def test_the_interval_of_patients_with_four_equal_films_is_that_of_one_film_each() -> None:
    predictions, _ = drawn(80, 80)
    owner = np.arange(80).astype(str)
    four = Predictions(
        np.arange(320), np.repeat(predictions.logits, 4, axis=0), np.repeat(predictions.target, 4)
    )
    names = np.repeat(owner, 4)
    one = BINARY.headline(BINARY.cases(predictions, Membership(owner, Grouping.by(owner))))
    other = BINARY.headline(BINARY.cases(four, Membership(names, Grouping.by(names))))
    assert (other.value, other.low, other.high, other.n) == (one.value, one.low, one.high, one.n)


def test_a_headline_is_undefined_where_one_class_occurs() -> None:
    alone = Cases(np.array([[0.5], [0.6]]), np.array([1, 1]), np.array(["a", "b"]))
    assert np.isnan(BINARY.headline(alone).value)
    assert BINARY.headline(alone).reason


def test_labels_have_cases_of_their_own_thresholds() -> None:
    task = MultiLabel(("mass", "edema"))
    target = np.array([[1, 0], [1, UNKNOWN], [0, 1], [0, 1]])
    predictions = Predictions(np.arange(4), np.array([[2.0, -1], [1, 0], [-1, 3], [-2, 1]]), target)
    owner = np.array(["a", "a", "b", "c"])
    cases = task.cases(predictions, Membership(owner, Grouping.by(owner)))
    assert cases.target.tolist() == [[1, 0], [0, 1], [0, 1]]
    points = task.operating_point(cases)
    assert points.by_name["mass"].sensitivity == points.by_name["edema"].specificity == 1.0


def test_a_protocol_survives_plain_types() -> None:
    protocol = Protocol(
        Rule("sensitivity", 0.9, by_lower_limit=True), "study", "max", False, {"mass": 0.2}, ("sex",)
    )
    assert Protocol.from_plain(protocol.as_plain()) == protocol
    assert Unit.from_protocol(protocol.published(Unit("study", "max"))) == Unit("study", "max")
    assert Unit.from_protocol(None) == Unit("image")
