"""Temperature scaling, by val alone."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_softmax
from sklearn.linear_model import LogisticRegression

from rn50med.evaluation.arrays import UNKNOWN
from rn50med.evaluation.predictions import Predictions
from rn50med.evaluation.temperature import Temperature, sigmoid_temperature, softmax_temperature
from rn50med.tasks import Binary, MultiClass, MultiLabel


def overconfident(factor: float, images: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Return logits `factor` times what they should be, and outcomes."""
    random = np.random.default_rng(1)
    logits = random.normal(0.0, 1.5, images)
    return factor * logits, (random.random(images) < expit(logits)).astype(np.int64)


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_the_temperature_is_that_of_an_unpenalised_regression_without_intercept(factor: float) -> None:
    logits, target = overconfident(factor)
    model = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-10, max_iter=1000)
    slope = model.fit(logits[:, None], target).coef_[0, 0]
    assert sigmoid_temperature(logits, target) == pytest.approx(1 / slope, rel=1e-5)


def test_the_temperature_of_classes_minimises_their_log_loss() -> None:
    random = np.random.default_rng(2)
    target = random.integers(3, size=300)
    logits = random.normal(size=(300, 3)) + 1.2 * np.eye(3)[target]
    found = softmax_temperature(4 * logits, target)

    def loss(temperature: float) -> float:
        return -log_softmax(4 * logits / temperature, axis=1)[np.arange(300), target].mean()

    wanted = minimize_scalar(loss, bounds=(0.1, 40), method="bounded", options={"xatol": 1e-8}).x
    assert found == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize(
    ("logits", "target"),
    [([-1.0, -2.0, 1.0], [0, 0, 1]), ([1.0, -1.0, 0.5], [1, 1, 1]), ([1.0, -1.0] * 9, [0, 1] * 9)],
    ids=["told apart without a fault", "one outcome", "the wrong way round"],
)
def test_where_val_asks_for_none_the_temperature_is_1(logits: list[float], target: list[int]) -> None:
    assert sigmoid_temperature(logits, target) == 1.0


def test_each_label_has_its_own_temperature_from_its_known_images() -> None:
    one, truth = overconfident(3.0)
    other, more = overconfident(0.5)
    known = np.arange(400) % 3 > 0
    target = np.stack([np.where(known, truth, UNKNOWN), more], axis=1)
    task = MultiLabel(("mass", "edema"))
    found = task.temperature(Predictions(np.arange(400), np.stack([one, other], axis=1), target))
    wanted = sigmoid_temperature(one[known], truth[known]), sigmoid_temperature(other, more)
    assert found == Temperature(wanted, ("mass", "edema"))
    assert Temperature.from_plain(found.as_plain()) == found
    assert list(found.as_plain()) == ["mass", "edema"]


def test_it_lowers_vals_log_loss_and_moves_no_rank() -> None:
    logits, target = overconfident(4.0)
    task, predictions = Binary("no", "yes"), Predictions(np.arange(400), logits[:, None], target)
    temperature = task.temperature(predictions)
    before, after = task.cases(predictions), task.cases(predictions, None, temperature)
    assert task.calibration(after)["log_loss"] < task.calibration(before)["log_loss"]
    assert task.calibration(after)["ece"] < task.calibration(before)["ece"]
    assert task.watched(after) == task.watched(before)
    assert task.calibration(after)["calibration_slope"] == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("task", [Binary("a", "b"), MultiClass(("a", "b", "c")), MultiLabel(("a", "b"))])
def test_a_prediction_file_holds_scaled_probabilities_and_the_networks_own_logits(task: object) -> None:
    random = np.random.default_rng(3)
    target = random.integers(2, size=(40, *task.target_shape))
    signal = np.eye(3)[target] if task.exclusive else target.reshape(40, -1) - 0.5
    logits = random.normal(size=(40, task.num_outputs)) + 2 * signal
    temperature = task.temperature(Predictions(np.arange(40), logits, target))
    columns = task.output_columns(logits, None, temperature)
    name = task.probability_names[0]
    assert np.array_equal(columns[f"logit_{name}"], logits[:, 0])
    assert np.array_equal(columns[f"prob_{name}"], task.stored_probabilities(logits, temperature)[:, 0])
    assert not np.array_equal(columns[f"prob_{name}"], task.stored_probabilities(logits)[:, 0])
