"""Cross-validations against each other: differences within folds, and the spread over seeds."""

from __future__ import annotations

import json
import math
import re
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from made_up_folds import made_up_folds
from made_up_run import made_up_run
from sklearn.metrics import roc_auc_score
from test_compare import binary, brier_of, table

from rn50med.cli import compare
from rn50med.errors import DataError, RecipeError, StorageError
from rn50med.evaluation.fold_differences import fold_differences
from rn50med.evaluation.prediction_file import PredictionFile
from rn50med.evaluation.proportions import wilson
from rn50med.training.crossval import conclude

ONE, OTHER = ([table(seed, good) for seed in seeds] for good, seeds in ((0.5, (0, 1, 2)), (1.0, (3, 4, 5))))


def aurocs(runs):
    return np.array([roc_auc_score(run.target, run.probabilities[:, 1]) for run in runs])


def test_a_difference_is_the_mean_of_those_of_the_folds():
    found = fold_differences(ONE, OTHER, resamples=50)["auroc"]
    apart = aurocs(OTHER) - aurocs(ONE)
    np.testing.assert_allclose(found.by_fold, apart, atol=1e-12)
    assert found.difference.value == pytest.approx(apart.mean(), abs=1e-12)
    assert (found.one, found.other) == pytest.approx((aurocs(ONE).mean(), aurocs(OTHER).mean()), abs=1e-12)
    assert found.as_json()["sd_of_folds"] == pytest.approx(apart.std(ddof=1), abs=1e-12)
    assert found.difference.n == 270


def test_models_of_several_folds_are_not_ranked_together():
    def moved(run, by):
        said = np.stack([run.probabilities[:, 0] + by, run.probabilities[:, 1] - by], axis=1)
        return replace(run, probabilities=said)

    shifted = [moved(run, by) for run, by in zip(OTHER, (0.0, -0.5, 0.5), strict=True)]
    plain = fold_differences(ONE, OTHER, resamples=50)["auroc"]
    assert fold_differences(ONE, shifted, resamples=50)["auroc"].by_fold == pytest.approx(plain.by_fold)


def test_the_interval_is_that_of_drawing_patients_within_each_fold_by_hand():
    figure = fold_differences(ONE, OTHER, resamples=3000)["brier"].difference
    random, drawn = np.random.default_rng(1), []
    for _ in range(1500):
        apart = []
        for one, other in zip(ONE, OTHER, strict=True):
            chosen = random.integers(30, size=30)
            rows = np.concatenate([np.flatnonzero(one.patients == patient) for patient in chosen])
            apart.append(brier_of(other.take(rows)) - brier_of(one.take(rows)))
        drawn.append(np.mean(apart))
    ends = np.quantile(drawn, [0.025, 0.975])
    np.testing.assert_allclose([figure.low, figure.high], ends, atol=0.1 * (ends[1] - ends[0]))


def test_a_fold_where_a_figure_is_undefined_is_left_out_and_told_of():
    lacking = replace(ONE[1], target=np.zeros(90, dtype=int))
    found = fold_differences([ONE[0], lacking], [OTHER[0], lacking], resamples=50)["auroc"]
    assert math.isnan(found.by_fold[1])
    assert found.difference.value == pytest.approx(found.by_fold[0])
    assert found.difference.reason == "undefined in 1 of 2 folds"
    assert found.difference.n == 90
    assert found.as_json()["by_fold"][1] is None
    none = fold_differences([lacking], [lacking], resamples=50)["auroc"]
    assert math.isnan(none.difference.value)
    assert none.difference.reason == "not defined in any fold"


def test_a_fold_of_a_single_patient_leaves_no_interval():
    alone = binary(np.array([0.2, 0.6, 0.7]), np.array([0, 0, 1]), [0, 0, 0])
    figure = fold_differences([ONE[0], alone], [OTHER[0], alone], resamples=50)["brier"].difference
    assert math.isnan(figure.low)
    assert figure.reason == "no interval from a single patient"


def test_equal_calls_in_all_folds_do_not_say_that_no_patient_differs():
    figure = fold_differences(ONE, ONE, resamples=50)["sensitivity"].difference
    number = sum(len(set(run.patients[run.target == 1])) for run in ONE)
    assert (figure.value, figure.high) == (0.0, pytest.approx(wilson(0.0, number)[1]))


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """Cross-validations that several tests start from."""
    folder = tmp_path_factory.mktemp("shelf")
    for name, options in {"a0": {}, "a1": {"seed": 1}, "b1": {"seed": 1, "head": "b"}}.items():
        conclude(made_up_folds(folder / name, **options))
    return folder


@pytest.fixture
def made(shelf, tmp_path):
    """Copies of them, which a test may spoil: heads a and b, seeds 0 and 1."""
    shutil.copytree(shelf, tmp_path, dirs_exist_ok=True)
    return [str(tmp_path / name) for name in ("a0", "a1", "b1")]


def test_two_recipes_on_the_same_folds_are_paired(made, tmp_path, capsys):
    one, _, other = made
    path = tmp_path / "b1" / "fold-1" / "predictions" / "test.csv"  # the order of the rows is of no account
    pd.read_csv(path, dtype=str).sample(frac=1, random_state=0).to_csv(path, index=False)
    assert compare.run([one, other, "--json", str(tmp_path / "out.json")]) == 0
    out = capsys.readouterr().out
    assert "mean of 3 folds that held out the same images, 144 images of 36 patients\n" in out
    assert "patients were drawn within each fold" in out
    facts = json.loads((tmp_path / "out.json").read_text())
    assert facts["case"] == "pair of cross-validations"
    means = [json.loads((tmp_path / name / "metrics.json").read_text())["mean"] for name in ("a0", "b1")]
    for key in ("auroc", "sensitivity", "brier", "log_loss"):
        found = facts["figures"][key]
        assert [found["one"], found["other"]] == pytest.approx([m[key]["value"] for m in means], abs=1e-9)
        assert found["difference"]["value"] == pytest.approx(np.mean(found["by_fold"]), abs=1e-12)
        assert found["difference"]["low"] <= found["difference"]["value"] <= found["difference"]["high"]
    each = ", ".join(f"{value:+.3f}" for value in facts["figures"]["auroc"]["by_fold"])
    assert f"auroc, B - A in each fold: {each}\n" in out


def test_cross_validations_that_judge_patients_are_compared_by_patient(made, tmp_path, capsys):
    unit = {"unit": "patient", "images": "max"}
    for path in tmp_path.glob("*/fold-*/metrics.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"protocol": unit}))
    assert compare.run([made[0], made[2], "--json", str(tmp_path / "out.json")]) == 0
    assert "held out the same images, 36 patients\n" in capsys.readouterr().out
    facts = json.loads((tmp_path / "out.json").read_text())
    assert (facts["unit"], facts["cases"], facts["figures"]["auroc"]["difference"]["n"]) == (
        "patient",
        36,
        36,
    )
    values = []
    for fold in range(3):
        rows = pd.read_csv(tmp_path / "a0" / f"fold-{fold}" / "predictions" / "test.csv").groupby("patient")
        values.append(roc_auc_score(rows["target"].first() == "pneumonia", rows["prob_pneumonia"].max()))
    assert facts["figures"]["auroc"]["one"] == pytest.approx(np.mean(values), abs=1e-9)


def test_cross_validations_that_judge_other_things_are_refused(made, tmp_path):
    for path in (tmp_path / "a0").glob("fold-*/metrics.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"protocol": {"unit": "patient"}}))
    with pytest.raises(DataError, match=r"judges patients by the mean of their images, and .* images"):
        compare.run([made[0], made[2]])


def test_folds_that_were_dealt_otherwise_are_refused_with_their_number(made, tmp_path):
    folds = [tmp_path / "b1" / f"fold-{fold}" for fold in range(2)]
    folds[0].rename(tmp_path / "kept")
    folds[1].rename(folds[0])
    (tmp_path / "kept").rename(folds[1])
    conclude(tmp_path / "b1")
    with pytest.raises(DataError, match=r"3 folds and .* 3, and 96 of their images were held out in another"):
        compare.run([made[0], made[2]])


def test_folds_of_other_images_are_refused(made, tmp_path):
    for path in (
        tmp_path / "b1" / "fold-2" / "predictions" / "test.csv",
        tmp_path / "b1/predictions/oof.csv",
    ):
        path.write_text(path.read_text().replace("/2/", "/other/"))
    with pytest.raises(DataError, match=r"48 of the 48 of .*fold-2 are not in"):
        compare.run([made[0], made[2]])


def test_a_cross_validation_and_a_run_are_refused(made, tmp_path):
    run = made_up_run(tmp_path / "run")
    (run / "recipe.yaml").write_text("model: {head: c}\n")
    with pytest.raises(RecipeError, match=r"a0 is a cross-validation and .*run a run"):
        compare.run([made[0], str(run)])


def test_an_unfinished_cross_validation_is_refused(made, tmp_path):
    (tmp_path / "b1" / "metrics.json").unlink()
    with pytest.raises(StorageError, match="b1: has folds that are not finished"):
        compare.run([made[0], made[2]])


def test_what_was_held_out_is_compared_alone(made):
    with pytest.raises(RecipeError, match="compared on what was held out"):
        compare.run([made[0], made[2], "--split", "val"])


def test_two_recipes_with_several_cross_validations_are_refused(made):
    with pytest.raises(RecipeError, match="a cross-validation each"):
        compare.run(made)


def test_seeds_of_one_recipe_give_the_spread_of_their_means(made, tmp_path, capsys):
    assert compare.run([*made[:2], "--json", str(tmp_path / "out.json")]) == 0
    means = [json.loads((tmp_path / name / "metrics.json").read_text())["mean"] for name in ("a0", "a1")]
    values = [each["auroc"]["value"] for each in means]
    facts = json.loads((tmp_path / "out.json").read_text())
    assert (facts["seeds"], facts["same_folds"]) == ([0, 1], True)
    assert facts["figures"]["auroc"]["value"] == pytest.approx(np.mean(values), abs=1e-12)
    assert facts["figures"]["auroc"]["sd"] == pytest.approx(np.std(values, ddof=1), abs=1e-12)
    said = f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f} ({min(values):.3f} to {max(values):.3f})"
    assert re.search(rf"^auroc +{re.escape(said)}$", capsys.readouterr().out, re.MULTILINE)


def test_seeds_whose_folds_were_dealt_anew_are_told_of(made, tmp_path, capsys):
    path = tmp_path / "a1" / "predictions" / "oof.csv"
    rows = pd.read_csv(path, dtype=str)
    rows.assign(fold=[str((int(fold) + 1) % 3) for fold in rows["fold"]]).to_csv(path, index=False)
    assert compare.run(made[:2]) == 0
    assert "their folds were dealt anew" in capsys.readouterr().out


@pytest.mark.parametrize("several", ["labels", "classes"])
def test_figures_of_each_label_or_class_are_compared(several):
    random = np.random.default_rng(0)
    names, patients = np.arange(60).astype(str), np.arange(60) // 2

    def fold(shift):
        if several == "labels":
            truth = random.integers(0, 2, (60, 3))
            said = 1 / (1 + np.exp(-random.normal(size=(60, 3)) - shift * truth))
            called = (said > 0.5).astype(int)
        else:
            truth = np.arange(60) % 3
            said = np.exp(random.normal(size=(60, 3)) + shift * np.eye(3)[truth])
            said /= said.sum(axis=1, keepdims=True)
            called = said.argmax(axis=1)
        return PredictionFile(names, patients, ("p", "q", "r"), None, said, said, truth, called)

    one = [fold(1.0) for _ in range(2)]
    truths = [run.target for run in one]
    other = [replace(fold(1.0), target=truth) for truth in truths]
    found = fold_differences(one, other, resamples=50)
    assert {"auroc", "auroc/p", "sensitivity/q"} <= set(found)
    each = [found[f"auroc/{name}"].difference.value for name in "pqr"]
    assert found["auroc"].difference.value == pytest.approx(np.mean(each), abs=1e-12)
    assert found["auroc"].difference.low < found["auroc"].difference.high
