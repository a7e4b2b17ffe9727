"""Runs against each other, from their folders: pairs, seeds, and seeds of two recipes."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from made_up_run import LABELS, made_up_labels, made_up_run
from scipy.stats import rankdata
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from rn50med.cli import compare
from rn50med.cli.compared import unit_of
from rn50med.errors import DataError, RecipeError, StorageError
from rn50med.evaluation.arrays import UNKNOWN
from rn50med.evaluation.cases import Unit
from rn50med.evaluation.comparable import comparable
from rn50med.evaluation.comparison import differences, spread
from rn50med.evaluation.intervals import auroc_interval
from rn50med.evaluation.paired import paired_auroc
from rn50med.evaluation.pooling import pooled, temperatures_of
from rn50med.evaluation.prediction_file import PredictionFile
from rn50med.evaluation.proportions import wilson


def binary(scores, truth, patients, threshold=0.5):
    names = np.array([f"image {row}" for row in range(len(scores))])
    said = np.stack([1 - scores, scores], axis=1)
    logits = np.log(said[:, 1:] / said[:, :1])
    called = (scores >= threshold).astype(int)
    return PredictionFile(names, np.asarray(patients), ("no", "yes"), 1, said, logits, truth, called)


def table(seed, good=1.0, rows=90, patients=30):
    """Scores of a finding that are rounded, so that some tie."""
    truth = np.random.default_rng(7).integers(0, 2, rows)
    random = np.random.default_rng(seed)
    scores = np.round(1 / (1 + np.exp(-(good * (truth - 0.5) * 2 + random.normal(size=rows)))), 2)
    return binary(scores.clip(0.01, 0.99), truth, np.arange(rows) % patients)


def repeated(run, counts):
    """The rows of a run, those of each patient as often as they were drawn."""
    return run.take(np.repeat(np.arange(len(run)), counts[run.patients].astype(int)))


def test_figures_under_a_draw_are_those_of_the_rows_repeated():
    run = table(0)
    counts = np.random.default_rng(1).integers(0, 4, (30, 5)).astype(float)
    figures = comparable(run)
    for number in range(5):
        drawn = repeated(run, counts[:, number])
        said, truth = drawn.probabilities[:, 1], drawn.target
        wanted = {
            "auroc": roc_auc_score(truth, said),
            "brier": brier_score_loss(truth, said),
            "log_loss": log_loss(truth, said),
            "sensitivity": drawn.called[truth == 1].mean(),
            "specificity": 1 - drawn.called[truth == 0].mean(),
        }
        for key, value in wanted.items():
            assert figures[key].statistic(counts)[number] == pytest.approx(value, abs=1e-12)


def test_classes_are_judged_one_against_the_rest():
    random = np.random.default_rng(0)
    truth = np.arange(60) % 3
    logits = random.normal(size=(60, 3)) + np.eye(3)[truth]
    said = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    names = np.array([str(row) for row in range(60)])
    called = said.argmax(axis=1)
    run = PredictionFile(names, np.arange(60) // 2, ("a", "b", "c"), None, said, logits, truth, called)
    found = {key: figure.statistic(np.ones((30, 1)))[0] for key, figure in comparable(run).items()}
    assert found["auroc"] == pytest.approx(roc_auc_score(truth, said, multi_class="ovr"), abs=1e-12)
    assert found["auroc/b"] == pytest.approx(roc_auc_score(truth == 1, said[:, 1]), abs=1e-12)
    assert found["accuracy"] == pytest.approx((called == truth).mean(), abs=1e-12)
    assert found["sensitivity/c"] == pytest.approx((called == truth)[truth == 2].mean(), abs=1e-12)
    assert found["log_loss"] == pytest.approx(log_loss(truth, said), abs=1e-12)
    assert list(found)[:4] == ["auroc", "accuracy", "brier", "log_loss"]


def test_labels_are_judged_where_they_are_known_and_one_that_never_occurs_is_left_out():
    random = np.random.default_rng(0)
    truth = random.integers(0, 2, (60, 3))
    truth[:, 2] = 0
    truth[::5, 0] = UNKNOWN
    said = random.random((60, 3))
    names = np.array([str(row) for row in range(60)])
    called = (said >= 0.5).astype(int)
    run = PredictionFile(names, np.arange(60) // 2, ("a", "b", "c"), None, said, said, truth, called)
    found = {key: figure.statistic(np.ones((30, 1)))[0] for key, figure in comparable(run).items()}
    known = truth[:, 0] != UNKNOWN
    one = roc_auc_score(truth[known, 0], said[known, 0])
    assert found["auroc/a"] == pytest.approx(one, abs=1e-12)
    assert found["auroc"] == pytest.approx((one + roc_auc_score(truth[:, 1], said[:, 1])) / 2, abs=1e-12)
    assert math.isnan(found["auroc/c"])
    assert math.isnan(found["sensitivity/c"])
    assert found["brier/a"] == pytest.approx(np.mean((said[known, 0] - truth[known, 0]) ** 2), abs=1e-12)
    pair = differences([run], [run])
    assert math.isnan(pair["auroc/c"].difference.value)
    assert pair["auroc"].difference.value == 0.0


def brute_force(one, other, statistic, resamples=1500, strata=None):
    """Patients drawn and rows put together by hand, then runs."""
    random = np.random.default_rng(5)
    patients = np.unique(one[0].patients)
    strata = np.zeros(len(patients)) if strata is None else strata
    found = []
    for _ in range(resamples):
        chosen = np.concatenate(
            [random.choice(patients[strata == s], (strata == s).sum()) for s in np.unique(strata)]
        )
        rows = np.concatenate([np.flatnonzero(one[0].patients == patient) for patient in chosen])
        means = [
            np.mean([statistic(side[k].take(rows)) for k in random.integers(len(side), size=len(side))])
            for side in (one, other)
        ]
        found.append(means[1] - means[0])
    return np.quantile(found, [0.025, 0.975])


def brier_of(run):
    return np.mean((run.probabilities[:, 1] - run.target) ** 2)


def auroc_of(run):
    positive = run.target == 1
    ranks = rankdata(run.probabilities[:, 1])[positive]
    return (ranks - (len(ranks) + 1) / 2).mean() / (~positive).sum()


def pattern(run):
    each = [run.target[run.patients == patient] for patient in np.unique(run.patients)]
    return np.array([0 if not t.any() else 2 if t.all() else 1 for t in each])


@pytest.mark.parametrize("seeds", [1, 3])
def test_intervals_are_those_of_a_bootstrap_by_hand(seeds):
    one = [table(seed, good=0.6) for seed in range(seeds)]
    other = [table(10 + seed, good=1.2) for seed in range(seeds)]
    found = differences(one, other, resamples=4000)
    figure = found["brier"].difference
    assert figure.value == pytest.approx(
        np.mean([brier_of(r) for r in other]) - np.mean([brier_of(r) for r in one])
    )
    ends = brute_force(one, other, brier_of)
    width = ends[1] - ends[0]
    np.testing.assert_allclose([figure.low, figure.high], ends, atol=0.1 * width)
    if seeds > 1:
        figure = found["auroc"].difference
        ends = brute_force(one, other, auroc_of, resamples=600, strata=pattern(one[0]))
        np.testing.assert_allclose([figure.low, figure.high], ends, atol=0.15 * (ends[1] - ends[0]))


def test_two_single_runs_are_compared_by_delong():
    one, other = table(0, good=0.6), table(1, good=1.2)
    wanted = paired_auroc(other.probabilities[:, 1], one.probabilities[:, 1], one.target, one.patients)
    assert differences([one], [other])["auroc"].difference == wanted


def test_more_seeds_that_differ_widen_the_interval():
    bad, good = table(0, good=0.2), table(1, good=2.0)
    alike = differences([table(2)] * 3, [good] * 3)["brier"].difference
    apart = differences([table(2)] * 3, [bad, good, good])["brier"].difference
    assert apart.high - apart.low > 1.3 * (alike.high - alike.low)


def test_the_order_of_the_runs_turns_the_sign():
    one, other = table(0, good=0.6), table(1, good=1.2)
    for key, found in differences([one], [other]).items():
        back = differences([other], [one])[key].difference
        np.testing.assert_allclose(
            [back.value, back.low, back.high],
            [-found.difference.value, -found.difference.high, -found.difference.low],
            atol=1e-12,
        )


def test_equal_calls_do_not_say_that_no_patient_differs():
    run = table(0)
    figure = differences([run], [run])["sensitivity"].difference
    assert figure.value == 0.0
    number = len(set(run.patients[run.target == 1]))
    assert figure.high == -figure.low == pytest.approx(1.959964**2 / (number + 1.959964**2), abs=1e-6)


def test_a_single_patient_has_no_interval():
    run = binary(np.array([0.2, 0.6, 0.7]), np.array([0, 0, 1]), [0, 0, 0])
    figure = differences([run], [run])["brier"].difference
    assert math.isnan(figure.low)
    assert figure.reason == "no interval from a single patient"


def test_the_spread_has_one_less_in_its_standard_deviation_and_leaves_out_what_is_undefined():
    values = [0.7, 0.9, 0.8, math.nan]
    found = spread(values)
    assert found.value == pytest.approx(0.8)
    assert found.sd == pytest.approx(0.1)
    assert (found.lowest, found.highest, found.n) == (0.7, 0.9, 3)
    assert spread([math.nan]).as_json() == {
        "value": None, "sd": None, "lowest": None, "highest": None, "n": 0, "reason": "undefined in 1 of 1",
    }  # fmt: skip
    assert spread([0.5]).as_json()["sd"] is None


def test_the_temperature_makes_the_log_loss_of_val_least_and_undoes_a_scaling():
    run = table(0)
    best = temperatures_of(run)[0]

    def loss(temperature):
        return log_loss(run.target, 1 / (1 + np.exp(-run.logits[:, 0] / temperature)))

    assert loss(best) <= min(loss(each) for each in np.linspace(0.05, 5, 500)) + 1e-12
    hotter = PredictionFile(**{**vars(run), "logits": 3 * run.logits})
    assert temperatures_of(hotter)[0] == pytest.approx(3 * best, rel=1e-4)


@pytest.mark.parametrize("scores", [[0.1, 0.4, 0.6, 0.9], [0.9, 0.8, 0.3, 0.1]])
def test_a_val_without_an_optimum_has_the_temperature_one(scores):
    run = binary(np.array(scores), np.array([0, 0, 1, 1]), range(4))
    assert temperatures_of(run).tolist() == [1.0]


def test_pooling_is_not_moved_by_the_scale_of_a_fold():
    val, folds = table(9, good=0.8), [table(seed) for seed in range(3)]
    plain = pooled([(val, fold) for fold in folds], resamples=20)
    steep = [PredictionFile(**{**vars(each), "logits": 4 * each.logits}) for each in (val, folds[0])]
    scaled = pooled([tuple(steep), (val, folds[1]), (val, folds[2])], resamples=20)
    assert scaled["temperatures"][0][0] == pytest.approx(4 * plain["temperatures"][0][0], rel=1e-4)
    assert scaled["figures"]["brier"]["value"] == pytest.approx(plain["figures"]["brier"]["value"], rel=1e-4)
    assert plain["figures"]["auroc"]["n"] == 270


def test_pooled_figures_have_the_intervals_of_a_run_and_a_share_of_one_is_not_sure():
    run = binary(np.array([0.1, 0.6, 0.2, 0.9, 0.7, 0.8]), np.array([0, 0, 0, 1, 1, 1]), range(6))
    found = pooled([(table(9), run)], resamples=50)["figures"]
    assert found["sensitivity"]["value"] == 1.0
    assert found["sensitivity"]["low"] == pytest.approx(wilson(1.0, 3)[0])
    scaled = run.probabilities[:, 1]
    assert found["auroc"] == auroc_interval(scaled, run.target, run.patients).as_json()


def test_pooled_figures_are_of_patients_where_those_are_judged():
    run = table(0)
    truth = (run.patients % 2).astype(int)
    constant = replace(run, target=truth, called=truth)
    found = pooled([(run, constant)], Unit("patient"), resamples=20)["figures"]
    assert found["auroc"]["n"] == 30
    said = [constant.probabilities[run.patients == patient, 1].mean() for patient in range(30)]
    assert found["auroc"]["value"] == pytest.approx(roc_auc_score(np.arange(30) % 2, said), abs=0.02)
    assert found["sensitivity"]["n"] == 15


def changed(folder, seed, recipe):
    """Give a made-up run other scores, and a recipe."""
    random = np.random.default_rng(seed)
    path = folder / "predictions" / "test.csv"
    rows = pd.read_csv(path, dtype=str, keep_default_na=False)
    for name in [name for name in rows.columns if name.startswith("prob_")]:
        moved = rows[name].astype(float) * 0.8 + 0.2 * random.random(len(rows))
        rows[name] = [f"{value:.9g}" for value in moved]
    rows.sample(frac=1, random_state=seed).to_csv(path, index=False)
    (folder / "recipe.yaml").write_text(f"seed_everything: {seed}\noutput: null\n{recipe}\n")
    facts = json.loads((folder / "environment.json").read_text())
    (folder / "environment.json").write_text(json.dumps(facts | {"seed": seed}))
    return folder


def made(tmp_path, *recipes):
    return [
        changed(made_up_run(tmp_path / f"run-{k}"), k, f"model: {{head: {recipe}}}")
        for k, recipe in enumerate(recipes)
    ]


def test_two_recipes_are_paired_by_image_whatever_the_order_of_the_rows(tmp_path, capsys):
    one, other = made(tmp_path, "a", "b")
    assert compare.run([str(one), str(other), "--json", str(tmp_path / "out.json")]) == 0
    out = capsys.readouterr().out
    assert "on the same 60 test images of 10 patients; intervals by drawing patients\n" in out
    facts = json.loads((tmp_path / "out.json").read_text())
    assert facts["case"] == "pair"
    rows = [pd.read_csv(each / "predictions" / "test.csv").sort_values("image") for each in (one, other)]
    values = [roc_auc_score(each["target"] == "pneumonia", each["prob_pneumonia"]) for each in rows]
    found = facts["figures"]["auroc"]
    assert [found["one"], found["other"]] == pytest.approx(values, abs=1e-12)
    assert found["difference"]["value"] == pytest.approx(values[1] - values[0], abs=1e-12)
    assert set(facts["figures"]) == {"auroc", "sensitivity", "specificity", "brier", "log_loss"}


def test_runs_of_one_recipe_give_mean_deviation_and_range(tmp_path, capsys):
    runs = made(tmp_path, "a", "a", "a")
    for value, run in zip((0.7, 0.8, 0.9), runs, strict=True):
        metrics = json.loads((run / "metrics.json").read_text())
        metrics["test"]["auroc"]["value"] = value
        (run / "metrics.json").write_text(json.dumps(metrics))
    assert compare.run([*map(str, runs), "--json", str(tmp_path / "out.json")]) == 0
    assert re.search(r"auroc +0\.800 ± 0\.100 \(0\.700 to 0\.900\)\n", capsys.readouterr().out)
    facts = json.loads((tmp_path / "out.json").read_text())
    assert (facts["case"], facts["seeds"], facts["same_images"]) == ("seeds", [0, 1, 2], True)


def test_seeds_that_are_equal_or_have_other_images_are_told_of(tmp_path, capsys):
    runs = made(tmp_path, "a", "a")
    (runs[1] / "environment.json").write_text((runs[0] / "environment.json").read_text())
    path = runs[1] / "predictions" / "test.csv"
    path.write_text(path.read_text().replace("/0.png", "/other.png"))
    assert compare.run(list(map(str, runs))) == 0
    out = capsys.readouterr().out
    assert "the spread is too small" in out
    assert "the spread is of other images too" in out


def test_seeds_of_two_recipes_draw_patients_and_seeds(tmp_path, capsys):
    runs = made(tmp_path, "a", "b", "a", "b", "b")
    assert compare.run([*map(str, runs), "--json", str(tmp_path / "out.json")]) == 0
    assert "intervals by drawing patients and seeds\n" in capsys.readouterr().out
    facts = json.loads((tmp_path / "out.json").read_text())
    assert facts["case"] == "seeds of two recipes"
    assert facts["one"] == ["run-0", "run-2"]
    assert facts["other"] == ["run-1", "run-3", "run-4"]


def test_a_recipe_with_one_seed_against_several_is_told_of(tmp_path, capsys):
    assert compare.run(list(map(str, made(tmp_path, "a", "b", "b")))) == 0
    assert "a recipe with one seed shows none of its spread" in capsys.readouterr().out


def test_unlike_images_are_refused_with_their_number(tmp_path):
    one, other = made(tmp_path, "a", "b")
    path = other / "predictions" / "test.csv"
    rows = pd.read_csv(path, dtype=str)
    rows.iloc[3:].to_csv(path, index=False)
    with pytest.raises(DataError, match=r"3 of the 60 of .*run-0 are not in .*, and 0 of its 57"):
        compare.run([str(one), str(other)])
    rows.loc[:4, "target"] = ["normal" if t == "pneumonia" else "pneumonia" for t in rows["target"][:5]]
    rows.to_csv(path, index=False)
    with pytest.raises(DataError, match="5 of the 60 images have other labels"):
        compare.run([str(one), str(other)])


def test_images_whose_bytes_have_changed_are_refused(tmp_path):
    one, other = made(tmp_path, "a", "b")
    images = pd.read_csv(one / "predictions" / "test.csv", dtype=str)["image"]
    for run, last in ((one, "a"), (other, "b")):
        hashes = ["a" * 63 + (last if row < 4 else "c") for row in range(len(images))]
        pd.DataFrame({"image": images, "sha256": hashes}).to_csv(run / "manifest.csv", index=False)
    with pytest.raises(DataError, match="4 of the 60 images were other files"):
        compare.run([str(one), str(other)])


def test_runs_of_two_tasks_are_refused(tmp_path):
    one = changed(made_up_run(tmp_path / "one"), 0, "task: a")
    other = changed(made_up_run(tmp_path / "other", ("a", "b", "c")), 1, "task: b")
    with pytest.raises(DataError, match="compare runs of one task"):
        compare.run([str(one), str(other)])


def judged(folder, unit, images="mean"):
    """Let a made-up run judge patients, whose images have one label and one call."""
    for name in ("val", "test"):
        path = folder / "predictions" / f"{name}.csv"
        rows = pd.read_csv(path, dtype=str, keep_default_na=False)
        classes = np.array(["normal", "pneumonia"])
        rows["target"] = rows["call"] = classes[rows["patient"].str[-1].astype(int) % 2]
        rows.to_csv(path, index=False)
    path = folder / "metrics.json"
    metrics = json.loads(path.read_text()) | {"protocol": {"unit": unit, "images": images}}
    path.write_text(json.dumps(metrics))
    return folder


def test_runs_that_judge_patients_are_compared_by_patient(tmp_path, capsys):
    one, other = (judged(run, "patient", "max") for run in made(tmp_path, "a", "b"))
    assert compare.run([str(one), str(other), "--json", str(tmp_path / "out.json")]) == 0
    assert "figures are of 10 patients, by the max of their images\n" in capsys.readouterr().out
    facts = json.loads((tmp_path / "out.json").read_text())
    assert (facts["unit"], facts["cases"], facts["images"]) == ("patient", 10, 60)
    values = []
    for run in (one, other):
        rows = pd.read_csv(run / "predictions" / "test.csv").groupby("patient")
        said, truth = rows["prob_pneumonia"].max(), rows["target"].first() == "pneumonia"
        values.append(roc_auc_score(truth, said))
    found = facts["figures"]["auroc"]
    assert [found["one"], found["other"]] == pytest.approx(values, abs=1e-12)
    assert found["difference"]["n"] == 10


@pytest.mark.parametrize("recipes", [("a", "b"), ("a", "a")])
def test_runs_that_judge_other_things_are_refused(tmp_path, recipes):
    one, other = made(tmp_path, *recipes)
    judged(other, "patient")
    with pytest.raises(DataError, match=r"judges images, and .* patients by the mean of their images"):
        compare.run([str(one), str(other)])


def test_labels_are_compared_each(tmp_path, capsys):
    one, other = (
        changed(made_up_labels(tmp_path / name), seed, f"task: {name}") for seed, name in enumerate("ab")
    )
    assert compare.run([str(one), str(other), "--json", str(tmp_path / "out.json")]) == 0
    figures = json.loads((tmp_path / "out.json").read_text())["figures"]
    assert {f"auroc/{name}" for name in LABELS} <= set(figures)
    assert figures["auroc/never | <seen>"]["difference"]["value"] is None
    out = capsys.readouterr().out
    assert "more figures with --json FILE" in out
    assert "undefined" in out


def test_classes_are_compared_each_and_on_val_too(tmp_path, capsys):
    one, other = (
        changed(made_up_run(tmp_path / name, ("x", "y", "z")), seed, f"task: {name}")
        for seed, name in enumerate("ab")
    )
    assert compare.run([str(one), str(other), "--split", "val"]) == 0
    out = capsys.readouterr().out
    assert "on the same 60 val images" in out
    assert "auroc/y" in out


@pytest.mark.parametrize(
    ("recipes", "error", "said"),
    [
        (("a",), RecipeError, "one run is named"),
        (("a", "b", "c"), RecipeError, "the runs are of 3 recipes"),
    ],
)
def test_what_cannot_be_compared_is_refused(tmp_path, recipes, error, said):
    with pytest.raises(error, match=said):
        compare.run(list(map(str, made(tmp_path, *recipes))))


def test_a_folder_that_is_no_run_or_named_twice_is_refused(tmp_path):
    (run,) = made(tmp_path, "a")
    with pytest.raises(RecipeError, match="named twice"):
        compare.run([str(run), str(run)])
    with pytest.raises(StorageError, match="has no recipe"):
        compare.run([str(run), str(tmp_path)])


def test_images_are_compared_however_those_of_a_patient_would_have_been_put_together(tmp_path):
    for how in ("mean", "max"):
        (tmp_path / how).mkdir()
        protocol = {"protocol": {"unit": "image", "images": how}}
        (tmp_path / how / "metrics.json").write_text(json.dumps(protocol))
    assert unit_of([tmp_path / "mean", tmp_path / "max"]) == Unit("image")
