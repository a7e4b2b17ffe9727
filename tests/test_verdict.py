"""The verdict on overfitting: what is told, and the one knob to turn, case by case."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from films import write_films
from made_up_run import made_up_run

from rn50med import (
    UNKNOWN,
    Binary,
    FineTuneModule,
    ManifestDataModule,
    MultiLabel,
    Radiograph,
    Regression,
    ResNet50,
)
from rn50med.evaluation.figure import Figure, undefined
from rn50med.evaluation.metrics import auroc
from rn50med.evaluation.predictions import Predictions
from rn50med.evaluation.report import write_report
from rn50med.evaluation.verdict import RULES, Account, as_plain, in_words, knob
from rn50med.training import overfitting
from rn50med.training.judging import evaluation_trainer
from rn50med.training.overfitting import (
    account,
    last_gain,
    losses,
    patients_of_classes,
    sampled_rows,
    train_predictions,
)

GOOD = Account(
    monitor="auroc",
    train=0.93,
    val=Figure(0.92, 0.88, 0.95, 300),
    train_loss=0.3,
    val_loss=Figure(0.32, 0.25, 0.4, 300),
    best_epoch=6,
    epochs_run=10,
    epochs_planned=10,
    gain=0.0,
    patients={"normal": 100, "pneumonia": 80},
    effective_epochs=10.0,
)
LAST = {"best_epoch": 9, "gain": 0.02}
AGE = replace(
    GOOD, monitor="mae", train=9.0, val=Figure(9.5, 8.5, 10.5, 300), chance=40.0, perfect=0.0, probable=False,
    patients={},
)  # fmt: skip
"""An error of years where always saying the median of train makes one of 40: less is better."""


@pytest.mark.parametrize(
    ("changes", "code", "key"),
    [
        ({}, "nothing", "--seed_everything"),
        ({"val": undefined("only one class occurs", 20)}, "undefined", "--data.splits"),
        ({"train": math.nan}, "undefined", "--data.splits"),
        ({"patients": {"normal": 100, "pneumonia": 19}}, "few-patients", "pneumonia has only 19 patients"),
        ({"train": 0.55, "val": Figure(0.5, 0.4, 0.6, 300)}, "unlearnt", "--model.optimizer.lr"),
        (LAST, "unfinished", "--trainer.max_epochs"),
        ({**LAST, "train": 0.99}, "unfinished", "--trainer.max_epochs"),
        ({"train": 0.99}, "overfits", "--data.transforms.strength"),
        ({"train": 0.99, "best_epoch": 1}, "overfits-early", "--model.optimizer.lr"),
        ({"train": 1.0, "val": Figure(0.998, 0.99, 1.0, 300)}, "saturated", "log-loss"),
        ({"val_loss": Figure(0.8, 0.6, 1.0, 300)}, "overconfident", "--model.regularisation.mixup"),
        (
            {"val_loss": Figure(0.8, 0.6, 1.0, 300), "blends": False},
            "overconfident",
            "--model.head.dropout",
        ),
        ({"val": Figure(0.9, 0.75, 0.97, 30)}, "unsure", "crossval"),
    ],
)
def test_each_finding_has_its_knob(changes, code, key):
    found = knob(replace(GOOD, **changes))
    assert found.code == code
    assert key in found.turn


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, "nothing"),
        ({"train": 2.0}, "overfits"),  # train makes the smaller error, by more than val's interval
        ({"train": 2.0, "best_epoch": 1}, "overfits-early"),
        ({"train": 2.0, "val": Figure(9.5, math.nan, math.nan, 30)}, "overfits"),
        ({"train": 17.0}, "nothing"),  # train makes the larger one
        ({"train": 9.0, "val": Figure(10.0, 9.5, 10.5, 9000)}, "nothing"),  # beyond chance, but it is little
        ({"train": 33.0, "val": Figure(35.0, 32.0, 38.0, 300)}, "unlearnt"),
        ({"best_epoch": 9, "gain": 1.0}, "unfinished"),
        ({"best_epoch": 9, "gain": 0.1}, "nothing"),
        ({"val": Figure(12.0, 5.0, 24.0, 30)}, "unsure"),
        ({"train": 0.0, "val": Figure(0.1, 0.05, 0.15, 300)}, "nothing"),  # an error always tells two apart
        ({"val_loss": Figure(0.8, 0.6, 1.0, 300)}, "nothing"),  # a number is not too sure of itself
        ({"val": undefined("no cases", 0)}, "undefined"),
        ({"chance": 0.0, "train": 0.0}, "nothing"),  # all of val is the median: nothing can be said
    ],
)
def test_a_figure_of_which_less_is_better_has_the_same_rules_on_the_way_from_chance(changes, code):
    assert knob(replace(AGE, **changes)).code == code


def test_the_way_from_chance_to_perfect_is_as_long_for_an_error_as_for_an_auroc():
    assert (AGE.far(40.0), AGE.far(10.0), AGE.far(0.0)) == (0.0, 0.75, 1.0)
    assert (GOOD.far(0.5), GOOD.far(0.875), GOOD.far(1.0)) == (0.0, 0.75, 1.0)
    assert AGE.gap == 0.5  # train is better by half a year
    assert dict(in_words(as_plain(AGE)))["Train against val"] == (
        "mae 9.000 on train, 9.500 (8.500 to 10.500) on val: a gap of 0.500"
    )


def test_a_knob_that_was_turned_or_cannot_be_is_not_told():
    few = replace(GOOD, patients={"normal": 100, "pneumonia": 19})
    assert "LinearProbe" in knob(few).turn
    assert "LinearProbe" not in knob(replace(few, probes=True)).turn
    for probes in (False, True):  # a head on random features learns next to nothing
        random = knob(replace(few, probes=probes, pretrained=False))
        assert random.code == "few-patients"
        assert "--model.backbone.weights" in random.turn
        assert "LinearProbe" not in random.turn
    surprised = replace(GOOD, val_loss=Figure(0.8, 0.6, 1.0, 300), blends=False)
    assert "mixup" not in knob(surprised).turn


def test_every_rule_is_reached_by_a_case_of_the_test_above():
    cases = next(
        mark for mark in test_each_finding_has_its_knob.pytestmark if mark.name == "parametrize"
    ).args[1]
    assert {code for _, code, _ in cases} == {code for _, code, _ in RULES} | {"nothing"}


@pytest.mark.parametrize(
    ("changes", "overfits"),
    [
        ({"train": 0.96, "val": Figure(0.92, 0.88, 0.95, 300)}, True),
        ({"train": 0.96, "val": Figure(0.92, 0.80, 0.97, 60)}, False),  # within what chance does
        ({"train": 0.935, "val": Figure(0.92, 0.91, 0.93, 9000)}, False),  # beyond chance, but it is little
        ({"train": 0.96, "val": Figure(0.92, math.nan, math.nan, 30)}, True),
    ],
)
def test_a_gap_counts_where_it_is_more_than_chance_and_enough_to_matter(changes, overfits):
    assert replace(GOOD, **changes).overfits == overfits


@pytest.mark.parametrize(
    ("changes", "unfinished"),
    [
        (LAST, True),
        ({**LAST, "gain": 0.001}, False),  # the last of many like it
        ({**LAST, "epochs_planned": 20}, False),  # stopped early
        ({"gain": 0.02}, False),
    ],
)
def test_a_training_is_unfinished_where_its_last_epoch_is_the_best_and_val_was_rising(changes, unfinished):
    assert replace(GOOD, **changes).unfinished == unfinished


def test_the_verdict_is_plain_and_in_words():
    plain = json.loads(json.dumps(as_plain(replace(GOOD, train=0.99)), allow_nan=False))
    assert plain["finding"] == "overfits"
    assert plain["gap"] == pytest.approx(0.07)
    words = dict(in_words(plain))
    assert words["Train against val"] == "auroc 0.990 on train, 0.920 (0.880 to 0.950) on val: a gap of 0.070"
    assert words["Loss of both"] == "mean 0.300 on train, 0.320 (0.250 to 0.400) on val: a gap of 0.020"
    assert words["Best epoch"] == "epoch 7 of 10 was kept"
    assert words["Patients of train"] == "normal 100, pneumonia 80"
    assert words["Each image of train was seen"] == "10.0 times"
    assert "--data.transforms.strength" in words["What to turn next"]


def test_an_undefined_verdict_is_null_and_told_as_undefined():
    nothing = replace(GOOD, train=math.nan, val=undefined("only one class occurs", 20), gain=math.inf)
    plain = json.loads(json.dumps(as_plain(nothing), allow_nan=False))
    assert plain["train"] is None
    assert plain["gap"] is None
    assert dict(in_words(plain))["Train against val"].startswith("auroc undefined on train, undefined on val")


def test_the_report_tells_the_verdict_and_that_of_an_older_run_does_not(tmp_path):
    folder = made_up_run(tmp_path / "run")
    write_report(folder)
    assert "Learnt by heart?" not in (folder / "report.html").read_text()
    environment = json.loads((folder / "environment.json").read_text())
    environment["training"]["verdict"] = as_plain(replace(GOOD, train=0.99))
    (folder / "environment.json").write_text(json.dumps(environment))
    write_report(folder)
    page = (folder / "report.html").read_text()
    assert "Learnt by heart?" in page
    assert "auroc 0.990 on train, 0.920 (0.880 to 0.950) on val: a gap of 0.070" in page
    assert "--data.transforms.strength" in page
    assert "raise the random changes" in (folder / "model_card.md").read_text()


TASK = Binary(negative="normal", positive="pneumonia")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A module that was never trained, and films."""
    folder = tmp_path_factory.mktemp("films")
    data = ManifestDataModule(
        str(write_films(folder)), task=TASK, transforms=Radiograph(size=32), batch_size=8, cache="none"
    )
    torch.manual_seed(0)
    return FineTuneModule(TASK, backbone=ResNet50(weights="none")).eval(), data


def test_images_of_train_are_judged_without_random_changes_and_no_others(trained):
    module, data = trained
    found = train_predictions(module, data, evaluation_trainer("cpu"))
    assert found.index.tolist() == data.rows_of("train").tolist()
    data.setup("fit")
    dataset = data.val_dataloader().dataset
    with torch.no_grad():
        logits = module(torch.stack([dataset[(0, int(row))]["image"] for row in found.index]))
    np.testing.assert_allclose(found.logits, logits.numpy(), atol=1e-5)
    labels = np.asarray(data.manifest.column("label"))[found.index]
    assert found.target.tolist() == [int(label == "pneumonia") for label in labels]
    assert 0.0 <= auroc(found.logits[:, 0], found.target) <= 1.0


def test_of_a_large_train_at_most_so_many_cases_are_judged_and_all_images_of_each(trained, monkeypatch):
    module, data = trained
    monkeypatch.setattr(overfitting, "MOST_CASES", 5)
    rows = sampled_rows(module, data)
    assert len(rows) == 5
    assert set(rows.tolist()) < set(data.rows_of("train").tolist())
    assert rows.tolist() == sampled_rows(module, data).tolist()


def test_patients_are_counted_by_class_and_only_those_of_train(trained):
    _, data = trained
    assert patients_of_classes(TASK, data) == {"normal": 6, "pneumonia": 6}


def test_the_loss_of_each_image_has_the_loss_of_all_as_its_mean_and_unknown_ones_are_left_out():
    task = MultiLabel(("mass", "nodule"))
    target = np.array([[1, 0], [0, 0], [UNKNOWN, UNKNOWN], [1, 1]])
    found = Predictions(np.arange(4), np.random.default_rng(0).normal(size=(4, 2)), target)
    known, each = losses(task, found)
    assert known.tolist() == [True, True, False, True]
    expected = task.loss(torch.from_numpy(found.logits), torch.from_numpy(target))
    assert each.mean() == pytest.approx(float(expected))


@pytest.mark.parametrize(
    ("figures", "gain"),
    [
        ([0.5, 0.7, 0.6, 0.8], 0.1),
        ([0.5, 0.8, 0.6, 0.7], 0.0),
        ([math.nan, math.nan], 0.0),
        ([0.9], math.inf),
        ([0.5] * 6 + [0.6, 0.6], 0.1),
        ([], 0.0),
    ],
)
def test_the_last_gain_is_what_the_last_quarter_added_to_the_best(figures, gain):
    assert last_gain([{"val/auroc": value} for value in figures], "val/auroc") == pytest.approx(gain)
    falling = [{"val/mae": 1.0 - value} for value in figures]
    assert last_gain(falling, "val/mae", "min") == pytest.approx(gain)


def test_a_number_has_an_account_by_the_error_of_the_median_of_train(tmp_path):
    task, table = Regression("age", -200, 200), write_films(tmp_path / "films")
    cells = pd.read_csv(table)
    cells["age"] = [-100 if patient % 3 else patient for patient in cells["patient_id"]]  # -100 is a number
    cells.to_csv(table, index=False)
    data = ManifestDataModule(
        str(table), task=task, transforms=Radiograph(size=32), batch_size=8, cache="none"
    )
    torch.manual_seed(0)
    module, judge = FineTuneModule(task, backbone=ResNet50(weights="none")).eval(), evaluation_trainer("cpu")
    judge.validate(module, datamodule=data, verbose=False)
    found = account(module, data, judge, judge)
    of_train, of_val = (cells["age"][cells["split"] == split] for split in ("train", "val"))
    assert found.chance == pytest.approx((of_val - of_train.median()).abs().mean())
    said = train_predictions(module, data, judge)
    assert said.target.tolist() == of_train.tolist()
    assert found.train == pytest.approx(np.abs(200 * 2 * said.logits[:, 0].clip(-0.5, 0.5) - of_train).mean())
    known, each = losses(task, said)
    assert known.all()
    assert found.train_loss == pytest.approx(each.mean())
    assert (found.perfect, found.probable, found.patients) == (0.0, False, {})
    assert found.monitor == "mae"
    assert found.far(found.val.value) == pytest.approx(1 - found.val.value / found.chance)
