"""Rows of images put together into those of studies and patients."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from rn50med.errors import StorageError
from rn50med.evaluation.arrays import UNKNOWN
from rn50med.evaluation.cases import Membership, Unit, grouped
from rn50med.evaluation.prediction_file import PredictionFile, from_rows, joined
from rn50med.evaluation.predictions import Predictions
from rn50med.tasks import Binary, MultiClass

PATIENTS = np.array(["b", "a", "b", "a", "c"])
STUDIES = np.array(["1", "1", "2", "1", "1"])
IMAGES = np.array(["v", "w", "x", "y", "z"])
SCORES = np.array([0.2, 0.9, 0.6, 0.3, 0.5])


def binary(studies=STUDIES):
    truth = np.array([1, 0, 1, 0, 0])
    said = np.stack([1 - SCORES, SCORES], axis=1)
    called = np.array([0, 1, 0, 1, 0])
    names = ("no", "yes")
    return PredictionFile(IMAGES, PATIENTS, names, 1, said, said[:, 1:], truth, called, studies)


def test_images_of_a_patient_make_one_row_in_the_order_of_first_images():
    found = binary().by_case(Unit("patient"))
    assert found.patients.tolist() == ["b", "a", "c"]
    assert found.images.tolist() == ["v", "w", "z"]
    np.testing.assert_allclose(found.probabilities[:, 1], [0.4, 0.6, 0.5], atol=1e-9)
    assert found.target.tolist() == [1, 0, 0]
    assert found.called.tolist() == [0, 1, 0]
    assert np.isnan(found.logits).all()


def test_of_two_classes_the_largest_is_that_of_the_positive_one():
    found = binary().by_case(Unit("patient", "max"))
    np.testing.assert_allclose(found.probabilities, [[0.4, 0.6], [0.1, 0.9], [0.5, 0.5]], atol=1e-9)


def test_a_study_is_one_within_its_patient():
    found = binary().by_case(Unit("study"))
    assert found.images.tolist() == ["v", "w", "x", "z"]
    np.testing.assert_allclose(found.probabilities[:, 1], [0.2, 0.6, 0.6, 0.5], atol=1e-9)


def test_images_stay_as_they_are_where_they_are_judged():
    run = binary()
    assert run.by_case(Unit()) is run


def test_a_file_without_studies_cannot_be_judged_by_them():
    with pytest.raises(StorageError, match="no column study"):
        binary(studies=None).by_case(Unit("study"))


def test_the_largest_of_classes_that_exclude_each_other_have_a_sum_of_one():
    said = np.array([[0.6, 0.3, 0.1], [0.1, 0.1, 0.8]])
    truth = np.array([0, 0])
    run = PredictionFile(IMAGES[:2], PATIENTS[[0, 2]], ("a", "b", "c"), None, said, said, truth, truth)
    found = run.by_case(Unit("patient", "max"))
    np.testing.assert_allclose(found.probabilities, [np.array([0.6, 0.3, 0.8]) / 1.7], atol=1e-9)


def test_a_label_is_known_of_a_case_where_it_is_known_of_any_of_its_images():
    truth = np.array([[UNKNOWN, 1], [0, UNKNOWN], [UNKNOWN, UNKNOWN]])
    said = np.array([[0.2, 0.4], [0.6, 0.8], [0.5, 0.5]])
    run = PredictionFile(IMAGES[:3], np.array(["a", "a", "b"]), ("p", "q"), None, said, said, truth, truth)
    found = run.by_case(Unit("patient", "max"))
    assert found.target.tolist() == [[0, 1], [UNKNOWN, UNKNOWN]]
    np.testing.assert_allclose(found.probabilities[0], [0.6, 0.8])


@pytest.mark.parametrize("images", ["mean", "max"])
@pytest.mark.parametrize("kind", ["binary", "classes"])
def test_cases_of_the_file_are_those_that_the_task_judged(kind, images):
    random = np.random.default_rng(0)
    patients = np.repeat(["c", "a", "b", "d"], 5)
    truth = np.repeat([0, 1, 1, 0], 5)
    if kind == "binary":
        task, logits = Binary(negative="no", positive="yes", column="l"), random.normal(size=(20, 1))
    else:
        task, logits = MultiClass(names=("x", "y", "z"), column="l"), random.normal(size=(20, 3))
    whose = Membership(patients, grouped("patient", patients), images)
    wanted = task.cases(Predictions(np.arange(20), logits, truth), whose)
    said = task.stored_probabilities(logits)
    if kind == "binary":
        said = np.concatenate([1 - said, said], axis=1)
    positive = 1 if kind == "binary" else None
    names = np.arange(20).astype(str)
    run = PredictionFile(names, patients, task.classes, positive, said, logits, truth, truth)
    found = run.by_case(Unit("patient", images))
    columns = slice(1, None) if kind == "binary" else slice(None)
    np.testing.assert_array_equal(found.probabilities[:, columns], wanted.probability)
    np.testing.assert_array_equal(found.target, wanted.target)
    np.testing.assert_array_equal(found.patients, wanted.patients)


def test_the_column_of_studies_is_read_where_it_is_and_kept_by_all_that_is_done():
    rows = pd.DataFrame({"image": ["x", "y"], "patient": ["a", "b"], "study": ["007", "NA"]})
    rows = rows.assign(target="yes", call="no", prob_yes="0.5", logit_yes="0")
    task = {"classes": ["no", "yes"], "positive": "yes"}
    run = from_rows(rows, task, "here")
    assert run.studies.tolist() == ["007", "NA"]
    assert joined([run.take(np.array([1])), run]).studies.tolist() == ["NA", "007", "NA"]
    old = from_rows(rows.drop(columns="study"), task, "here")
    assert old.studies is None
    assert joined([run, old]).studies is None
