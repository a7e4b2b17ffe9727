"""Every figure of a frozen table: as it was, and as scikit-learn, statsmodels and brute force have it.

``python -m tests.test_figures_golden`` freezes the figures again, once a change of them is meant.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as reference
from statsmodels.api import GLM, families
from statsmodels.stats.proportion import proportion_confint

from rn50med.evaluation.bootstrap import draws, outcome_pattern, percentiles
from rn50med.evaluation.calibration import equal_mass_bins, log_odds
from rn50med.evaluation.figure import Figure
from rn50med.evaluation.figures import binary_figures, multiclass_figures, multilabel_figures

GOLDEN = Path(__file__).parent / "golden"
TABLE, FIGURES = GOLDEN / "predictions.csv", GOLDEN / "figures.json"
CLASSES, LABELS = ["none", "mild", "severe", "fatal"], ["mass", "nodule", "hernia"]
THRESHOLD, PREVALENCE = 0.45, 0.05


def _table() -> pd.DataFrame:
    return pd.read_csv(TABLE)


def _columns(table: pd.DataFrame, kind: str, names: list[str]) -> np.ndarray:
    return table[[f"{kind}_{name}" for name in names]].to_numpy()


def _figures(table: pd.DataFrame) -> dict[str, dict[str, Figure]]:
    patients = table["patient"].to_numpy()
    said, truth = _columns(table, "prob", LABELS), _columns(table, "target", LABELS)
    return {
        "binary": binary_figures(
            table["prob"], table["target"], patients, THRESHOLD, ("no", "yes"), PREVALENCE
        ),
        "multiclass": multiclass_figures(_columns(table, "prob", CLASSES), table["class"], patients, CLASSES),
        "multilabel": multilabel_figures(said, truth, patients, [0.4, None, 0.5], LABELS),
    }


def _plain(figures: dict[str, dict[str, Figure]]) -> dict[str, dict[str, dict[str, object]]]:
    return {task: {key: figure.as_json() for key, figure in part.items()} for task, part in figures.items()}


@pytest.fixture(scope="module")
def figures() -> dict[str, dict[str, Figure]]:
    return _figures(_table())


def test_the_figures_of_the_frozen_table_are_the_frozen_ones(figures: dict[str, dict[str, Figure]]) -> None:
    golden = json.loads(FIGURES.read_text(encoding="utf-8"))
    found = _plain(figures)
    assert {task: list(part) for task, part in found.items()} == {t: list(p) for t, p in golden.items()}
    for task, part in golden.items():
        for key, figure in part.items():
            now = found[task][key]
            assert (now["n"], now.get("reason")) == (figure["n"], figure.get("reason")), (task, key)
            ends = [[each[part] for part in ("value", "low", "high")] for each in (now, figure)]
            for one, other in zip(*ends, strict=True):
                assert one == (other if other is None else pytest.approx(other, abs=1e-9, rel=1e-9)), (
                    task,
                    key,
                )


def _by_hand(said: np.ndarray, target: np.ndarray, calls: np.ndarray | None) -> dict[str, float]:
    """Every figure of a finding, by others' code."""
    x, place, share = log_odds(said), equal_mass_bins(said), target.mean()
    line = np.stack([np.ones_like(x), x], axis=1)
    exact = {"tol": 1e-14, "maxiter": 200}
    gaps = [abs((said - target)[place == k].sum()) for k in np.unique(place)]
    expected = {
        "auroc": reference.roc_auc_score(target, said),
        "auprc": reference.average_precision_score(target, said),
        "brier": reference.brier_score_loss(target, said),
        "log_loss": reference.log_loss(target, said),
        "brier_scaled": 1 - reference.brier_score_loss(target, said) / (share * (1 - share)),
        "ece": sum(gaps) / said.size,
        "calibration_slope": GLM(target, line, families.Binomial()).fit(**exact).params[1],
        "calibration_intercept": GLM(target, line[:, :1], families.Binomial(), offset=x)
        .fit(**exact)
        .params[0],
    }
    if calls is None:
        return expected
    positive, negative = reference.class_likelihood_ratios(target, calls)
    return expected | {
        "sensitivity": reference.recall_score(target, calls),
        "specificity": reference.recall_score(target, calls, pos_label=0),
        "ppv": reference.precision_score(target, calls),
        "npv": reference.precision_score(target, calls, pos_label=0),
        "accuracy": reference.accuracy_score(target, calls),
        "balanced_accuracy": reference.balanced_accuracy_score(target, calls),
        "mcc": reference.matthews_corrcoef(target, calls),
        "lr_positive": positive,
        "lr_negative": negative,
    }


def _agree(found: dict[str, Figure], expected: dict[str, float], name: str = "") -> None:
    for key, value in expected.items():
        assert found[f"{key}{name}"].value == pytest.approx(value, abs=1e-9, rel=1e-9), f"{key}{name}"


def test_the_binary_figures_are_those_of_scikit_learn_and_statsmodels(
    figures: dict[str, dict[str, Figure]],
) -> None:
    table, found = _table(), figures["binary"]
    said, target = table["prob"].to_numpy(), table["target"].to_numpy()
    assert np.unique(said).size < 100  # ties, across the outcomes
    calls = said >= THRESHOLD
    _agree(found, _by_hand(said, target, calls))
    alarms, hits = (calls & (target == 0)).sum(), (calls & (target == 1)).sum()
    odds = found["lr_positive"].value * PREVALENCE / (1 - PREVALENCE)
    odds_no = found["lr_negative"].value * PREVALENCE / (1 - PREVALENCE)
    more = {
        "net_benefit": (hits - alarms * THRESHOLD / (1 - THRESHOLD)) / len(table),
        "ppv_at_prevalence": odds / (1 + odds),
        "npv_at_prevalence": 1 / (1 + odds_no),
    }
    _agree(found, more)


def test_figures_of_classes_and_labels_are_those_of_each_against_the_rest(
    figures: dict[str, dict[str, Figure]],
) -> None:
    table, found = _table(), figures["multiclass"]
    said, index = _columns(table, "prob", CLASSES), table["class"].to_numpy()
    calls, areas = said.argmax(axis=1), []
    for k, name in enumerate(CLASSES[:3]):
        expected = _by_hand(said[:, k], (index == k).astype(int), calls == k)
        dropped = {"brier", "log_loss", "brier_scaled", "accuracy", "balanced_accuracy", "mcc"}
        _agree(found, {key: value for key, value in expected.items() if key not in dropped}, f"/{name}")
        areas.append((expected["auroc"], expected["auprc"]))
    assert found["auroc/fatal"].reason == found["lr_positive/fatal"].reason == "no case of class 'fatal'"
    overall = {
        "auroc": np.mean([area for area, _ in areas]),
        "auprc": np.mean([area for _, area in areas]),
        "accuracy": reference.accuracy_score(index, calls),
        "balanced_accuracy": reference.balanced_accuracy_score(index, calls),
        "log_loss": reference.log_loss(index, said, labels=range(4)),
        "mcc": reference.matthews_corrcoef(index, calls),
    }
    _agree(found, overall)
    assert found["auprc"].reason == "mean of 3 of 4 classes: no case of class 'fatal'"


def test_figures_of_labels_are_those_of_their_known_images(figures: dict[str, dict[str, Figure]]) -> None:
    table, found, areas = _table(), figures["multilabel"], []
    for name, threshold in (("mass", 0.4), ("nodule", None)):
        target = table[f"target_{name}"].to_numpy()
        known = target >= 0
        assert not known.all()
        said, target = table[f"prob_{name}"].to_numpy()[known], target[known]
        expected = _by_hand(said, target, None if threshold is None else said >= threshold)
        _agree(found, expected, f"/{name}")
        areas.append(expected["auprc"])
    assert found["auprc"].value == pytest.approx(np.mean(areas), abs=1e-9)
    assert found["auprc/hernia"].reason == "no positive case"
    assert "no positive case of 'hernia'" in found["auprc"].reason


def test_the_ends_of_a_bootstrap_are_those_of_rows_repeated_as_drawn(
    figures: dict[str, dict[str, Figure]],
) -> None:
    table = _table()
    said, target = table["prob"].to_numpy(), table["target"].to_numpy()
    index = np.unique(table["patient"], return_inverse=True)[1]
    patients = index.max() + 1

    def ends(counts: np.ndarray, figure: object) -> tuple[float, float]:
        rows = [np.repeat(np.arange(target.size), count[index].astype(int)) for count in counts.T]
        return percentiles(np.array([figure(target[row], said[row]) for row in rows]))

    drawn = np.concatenate(list(draws(patients)), axis=1)
    expected = {
        "auprc": reference.average_precision_score,
        "brier": lambda t, s: np.square(s - t).mean(),
        "mcc": lambda t, s: np.corrcoef(t, s >= THRESHOLD)[0, 1],
    }
    found = figures["binary"]
    for key, figure in expected.items():
        assert (found[key].low, found[key].high) == pytest.approx(ends(drawn, figure), abs=1e-9), key
    pattern = outcome_pattern(target == 1, index, patients)
    assert set(pattern) == {0, 1, 2}
    drawn = np.concatenate(list(draws(patients, strata=pattern)), axis=1)
    for k in range(3):
        assert (drawn[pattern == k].sum(axis=0) == (pattern == k).sum()).all()

    def ratio(t: np.ndarray, s: np.ndarray) -> float:
        return (s[t == 1] >= THRESHOLD).mean() / (s[t == 0] >= THRESHOLD).mean()

    end = found["lr_positive"]
    assert (end.low, end.high) == pytest.approx(ends(drawn, ratio), abs=1e-9)


def test_wilsons_interval_on_the_effective_number(figures: dict[str, dict[str, Figure]]) -> None:
    """Kish's design effect of the hits, by loops."""
    table, found = _table(), figures["binary"]
    hits = (table["prob"] >= THRESHOLD) == (table["target"] == 1)
    share = hits.mean()
    excess = [(part - share).sum() ** 2 for _, part in hits.groupby(table["patient"])]
    number = hits.size / max(1.0, sum(excess) / (hits.size * share * (1 - share)))
    ends = proportion_confint(share * number, number, method="wilson")
    assert (found["accuracy"].low, found["accuracy"].high) == pytest.approx(ends, abs=1e-9)


def _made_up() -> pd.DataFrame:
    """The table as it was frozen: alike films of 70 patients, ties, a class and a label without images."""
    random = np.random.default_rng(4)
    patient = np.sort(np.append(np.arange(70), random.integers(70, size=130)))
    ill = random.normal(size=(70, 6))[patient]
    target = (ill[:, 0] + 0.6 * random.normal(size=200) > 0.3).astype(int)

    def probability(outcome: np.ndarray, shared: np.ndarray) -> np.ndarray:
        logits = 1.2 * outcome - 0.8 + 0.7 * shared + 0.7 * random.normal(size=200)
        return np.round(1 / (1 + np.exp(-logits)), 2)

    table = pd.DataFrame({"patient": [f"p{n:02d}" for n in patient], "target": target})
    table["prob"] = probability(target, ill[:, 1])
    index = np.clip(np.digitize(ill[:, 2] + 0.5 * random.normal(size=200), [0.0, 0.9]), 0, 2)
    logits = np.eye(4)[index] * 1.3 + 0.8 * random.normal(size=(200, 4)) - [0, 0, 0, 1]
    table["class"] = index
    said = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    for k, name in enumerate(CLASSES[:-1]):
        table[f"prob_{name}"] = np.round(said[:, k], 3)
    table["prob_fatal"] = np.round(1 - sum(table[f"prob_{name}"] for name in CLASSES[:-1]), 3)
    for k, name in enumerate(LABELS):
        found = (ill[:, 3 + k] + 0.5 * random.normal(size=200) > 0.7).astype(int) * (name != "hernia")
        table[f"prob_{name}"] = probability(found, ill[:, 3 + k])
        table[f"target_{name}"] = np.where(random.random(200) < 0.2, -100, found)
    return table


if __name__ == "__main__":
    if not TABLE.exists():
        _made_up().to_csv(TABLE, index=False, lineterminator="\n")
    text = json.dumps(_plain(_figures(_table())), indent=1) + "\n"
    FIGURES.write_text(text, encoding="utf-8", newline="\n")
