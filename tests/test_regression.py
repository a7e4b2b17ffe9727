"""Regression: a number on a scale, its labels, loss, figures, splits and report."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import torch
from conftest import FilmTable, Outcome
from lightning.pytorch import Trainer
from made_up_run import with_manifest
from made_up_tasks import made_up_of
from owned import owned
from scipy.stats import pearsonr
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error
from torch.utils.data import DataLoader, TensorDataset

from rn50med.data.datamodule import ManifestDataModule
from rn50med.data.phantom import draw_film
from rn50med.data.transforms import Radiograph
from rn50med.data.units import decided_unit
from rn50med.errors import DataError, RecipeError
from rn50med.evaluation.arrays import stored
from rn50med.evaluation.cases import Grouping, Membership, case_targets, uneven
from rn50med.evaluation.comparison import differences
from rn50med.evaluation.figures_regression import regression_figures
from rn50med.evaluation.pooling import VALUES_NOTE, pooled
from rn50med.evaluation.prediction_file import read_prediction_file
from rn50med.evaluation.predictions import Predictions, PredictionTable
from rn50med.evaluation.report import write_report
from rn50med.evaluation.subgroups_values import value_subgroups
from rn50med.model.backbone import ResNet50
from rn50med.tasks import Regression
from rn50med.testing import check_task
from rn50med.training.callbacks import PatientStop
from rn50med.training.checkpoints import Best
from rn50med.training.module import FineTuneModule

TASK = Regression(column="age", low=0, high=228, unit="months")
Array = np.ndarray


def drawn(images: int = 120, seed: int = 0) -> tuple[Predictions, Array]:
    """Return predictions that are better than chance, of patients with up to three images."""
    random = np.random.default_rng(seed)
    target = random.uniform(20, 200, images).round(1)
    logits = stored(((target - 114) / 228 + random.normal(0, 0.06, images)).astype(np.float32))[:, None]
    return Predictions(np.arange(images), logits, target), random.integers(60, size=images).astype(str)


@pytest.mark.parametrize(
    "task", [TASK, Regression("hu", -1000, 3000), Regression("ratio", 0.25, 0.75)], ids=lambda t: t.column
)
def test_it_keeps_the_contract_of_a_task(task: Regression) -> None:
    check_task(task)


@pytest.mark.parametrize(("low", "high"), [(1, 1), (2, 1), (math.nan, 1), (0, math.inf)])
def test_a_scale_without_length_is_refused(low: float, high: float) -> None:
    with pytest.raises(RecipeError, match="give low and, above it, high"):
        Regression("age", low, high)


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("", "empty cell in column 'age'; write a number from 0 to 228 months"),
        ("  ", "empty cell in column 'age'; write a number from 0 to 228 months"),
        ("old", "'old' in column 'age' is no number; write a number from 0 to 228 months"),
        ("nan", "'nan' in column 'age' is no number; write a number from 0 to 228 months"),
        ("1_000", "'1_000' in column 'age' is no number; write a number from 0 to 228 months"),
        ("12,5", "'12,5' in column 'age' is no number; write a decimal point"),
        ("-1", "'-1' in column 'age' lies outside 0 to 228 months; mend the cell, or widen"),
        ("228.5", "'228.5' in column 'age' lies outside 0 to 228 months; mend the cell, or widen"),
    ],
)
def test_a_label_that_is_no_number_of_the_scale_is_explained(cell: str, said: str) -> None:
    assert (TASK.fault({"age": cell}) or "").startswith(said)


@pytest.mark.parametrize(
    ("cell", "number"), [("0", 0), ("228", 228), (" 12.5 ", 12.5), ("1e2", 100), (".5", 0.5)]
)
def test_a_number_of_the_scale_is_read(cell: str, number: float) -> None:
    assert TASK.fault({"age": cell}) is None
    assert TASK.encode({"age": cell}) == number


def test_the_check_of_the_data_names_the_row_of_a_wrong_number(film_table: FilmTable) -> None:
    film_table.cells["age"] = [str(12 + k) for k in range(len(film_table.cells))]
    film_table.put(5, "age", "300")
    data = ManifestDataModule(str(film_table.path), task=TASK, transforms=Radiograph(size=32))
    with pytest.raises(DataError, match=r"row 5: '300' in column 'age' lies outside 0 to 228 months"):
        data.prepared  # noqa: B018


def test_what_is_said_lies_on_the_scale_and_clipping_makes_no_error_larger() -> None:
    logits = torch.linspace(-2, 2, 41, dtype=torch.float64)[:, None]
    said = TASK.probabilities(logits)[:, 0]
    assert said.min() == 0
    assert said.max() == 228
    assert said[20].item() == pytest.approx(114)
    free = 114 + 228 * logits[:, 0]
    for true in (0.0, 50.0, 228.0):
        assert ((said - true).abs() <= (free - true).abs()).all()


def test_the_loss_is_the_smooth_l1_of_the_place_on_the_scale() -> None:
    found, _ = drawn(50)
    off = np.abs(found.logits[:, 0] - (found.target - 114) / 228)
    by_hand = np.where(off < 0.1, off**2 / 0.2, off - 0.05).mean()
    loss = TASK.loss(torch.from_numpy(found.logits), torch.from_numpy(found.target))
    assert loss.item() == pytest.approx(by_hand, rel=1e-12)
    beyond = torch.tensor([[3.0]], requires_grad=True)
    TASK.loss(beyond, torch.tensor([228.0])).backward()
    assert beyond.grad is not None  # what is said there is clipped; what is learnt is not
    assert beyond.grad.item() > 0


def test_the_figures_are_those_of_scikit_learn_scipy_and_statsmodels() -> None:
    found, patients = drawn()
    cases = owned(TASK, found, patients)
    said, true = cases.probability[:, 0], cases.target
    figures = TASK.figures(cases, None)
    value = {key: figure.value for key, figure in figures.items()}
    assert value["mae"] == pytest.approx(mean_absolute_error(true, said), abs=1e-9)
    assert value["rmse"] == pytest.approx(root_mean_squared_error(true, said), abs=1e-9)
    assert value["r2"] == pytest.approx(r2_score(true, said), abs=1e-9)
    assert value["pearson"] == pytest.approx(pearsonr(true, said).statistic, abs=1e-9)
    errors = sm.stats.DescrStatsW(said - true, ddof=1)
    assert value["bias"] == pytest.approx(errors.mean, abs=1e-9)
    assert value["loa_low"] == pytest.approx(errors.mean - 1.959963984540054 * errors.std, abs=1e-9)
    assert value["loa_high"] == pytest.approx(errors.mean + 1.959963984540054 * errors.std, abs=1e-9)
    assert all(figure.low < figure.value < figure.high for figure in figures.values())
    assert TASK.watched(cases)["mae"] == pytest.approx(value["mae"], abs=1e-9)


def test_the_interval_of_the_error_is_that_of_drawing_patients() -> None:
    found, patients = drawn()
    cases = owned(TASK, found, patients)
    figure = TASK.headline(cases)
    off = np.abs(cases.probability[:, 0] - cases.target)
    names = np.unique(patients)
    rows = {name: np.flatnonzero(patients == name) for name in names}
    random, again = np.random.default_rng(1), []
    for _ in range(2000):
        again.append(off[np.concatenate([rows[name] for name in random.choice(names, len(names))])].mean())
    low, high = np.quantile(again, [0.025, 0.975])
    width = high - low
    assert figure.low == pytest.approx(low, abs=0.05 * width)
    assert figure.high == pytest.approx(high, abs=0.05 * width)


def test_copies_of_a_patients_images_do_not_narrow_the_interval() -> None:
    found, _ = drawn(60)
    said, owner = TASK.stored_probabilities(found.logits)[:, 0], np.arange(60)
    once = regression_figures(said, found.target, owner)["mae"]
    thrice = regression_figures(np.tile(said, 3), np.tile(found.target, 3), np.tile(owner, 3))["mae"]
    assert (thrice.low, thrice.high) == (pytest.approx(once.low), pytest.approx(once.high))


def test_what_is_undefined_says_why() -> None:
    alike = regression_figures([10.0, 12.0], [10.0, 10.0], ["a", "b"])
    assert alike["r2"].reason == "all true values are alike"
    assert math.isnan(alike["pearson"].value)
    assert alike["mae"].value == 1
    one = regression_figures([10.0], [12.0], ["a"])
    assert one["loa_low"].reason == "one image has no spread"
    assert one["mae"].reason == "no interval from a single patient"
    none = regression_figures([], [], [])
    assert {figure.reason for figure in none.values()} == {"no cases"}


def test_always_saying_the_median_of_train_is_a_figure_beside() -> None:
    found, patients = drawn()
    cases = owned(TASK, found, patients)
    beside = TASK.baselines(np.array([10.0, 90.0, 120.0]), cases)
    assert beside["mae_train_median"].value == pytest.approx(np.abs(found.target - 90).mean(), abs=1e-9)


def test_a_prediction_file_holds_target_and_value_and_nothing_else() -> None:
    found, _ = drawn(4)
    logits = found.logits.copy()
    logits[1] = np.nan
    columns = TASK.target_columns(found.target) | TASK.output_columns(logits, None)
    assert list(columns) == ["target", "value"]
    assert np.isnan(columns["value"]).tolist() == [False, True, False, False]
    assert np.array_equal(columns["target"], found.target)


@pytest.mark.parametrize("value", [12.3, 228, 0.1, -999.5, 123456])
def test_a_number_passes_32_bits_unspoilt(value: float) -> None:
    table = PredictionTable(1, continuous=True)
    table.update(torch.tensor([0]), torch.zeros(1, 1), torch.tensor([value], dtype=torch.float32))
    assert table.predictions().target.tolist() == [value]
    assert table.predictions().target.dtype == np.float64


def test_a_case_has_the_mean_of_its_images_and_their_one_number() -> None:
    target, owner = np.array([-300.0, -300.0, 5.5]), Grouping.by(["a", "a", "b"])
    assert case_targets(target, owner).tolist() == [-300.0, 5.5]
    assert uneven(target, owner).size == 0
    assert uneven(np.array([1.5, 1.0, 5.0]), owner).size == 1
    wide = Regression("hu", -1000, 3000)
    found = Predictions(np.arange(3), np.array([[-0.3], [-0.4], [0.0]]), target)
    cases = wide.cases(found, Membership(np.array(["a", "a", "b"]), owner))
    assert cases.probability[:, 0].tolist() == pytest.approx([-400.0, 1000.0])


def test_patients_with_several_ages_are_judged_by_image(film_table: FilmTable) -> None:
    ages = [str(10 + k // 2) for k in range(len(film_table.cells))]
    film_table.cells["age"] = ages
    film_table.split_by_patient()

    def unit() -> str:
        data = ManifestDataModule(str(film_table.path), task=TASK, transforms=Radiograph(size=32))
        return decided_unit(data.manifest, TASK, "auto")

    patients = film_table.cells["patient_id"]
    film_table.cells["age"] = [str(10 + int(patient)) for patient in patients]
    film_table.write()
    assert unit() == "patient"
    film_table.put(2, "age", "99.5")
    assert unit() == "image"


def test_the_network_learns_the_numbers_and_splits_keep_their_spread(film_table: FilmTable) -> None:
    film_table.cells["age"] = [f"{10 + int(patient) / 4}" for patient in film_table.cells["patient_id"]]
    film_table.write()
    data = ManifestDataModule(
        str(film_table.path), task=TASK, transforms=Radiograph(size=32), batch_size=4, num_workers=0
    )
    data.setup("fit")
    batch = next(iter(data.val_dataloader()))
    assert batch["target"].dtype == torch.float32
    rows = data.manifest.rows()
    assert batch["target"].tolist() == [float(rows[row]["age"]) for row in batch["index"].tolist()]
    counted = data.prepared.audit["splits"]["train"]
    assert counted["classes"] == {}
    ages = [float(row["age"]) for row in rows if row["split"] == "train"]
    assert counted["values"]["median"] == pytest.approx(np.median(ages), rel=1e-3)
    assert "max" not in counted["values"]


def test_strata_are_fifths_of_the_patients_and_fewer_where_there_are_few() -> None:
    random = np.random.default_rng(0)
    rows = [{"age": f"{value:.3f}", "patient": str(k)} for k, value in enumerate(random.uniform(0, 228, 400))]
    strata = TASK.strata(rows)
    assert np.bincount(strata).tolist() == [80] * 5
    ages = TASK.targets(rows)
    assert all(ages[strata == k].max() < ages[strata == k + 1].min() for k in range(4))
    assert set(TASK.strata(rows[:100]).tolist()) == {0, 1}
    assert set(TASK.strata(rows[:30]).tolist()) == {0}
    assert TASK.strata([]).tolist() == []


def test_one_number_alone_is_nothing_to_learn() -> None:
    rows = [{"age": "12"}, {"age": "12.0"}]
    assert TASK.single(rows) == (
        "only the value 12 months found in column 'age'; a model needs images of different values"
    )
    assert TASK.absent(rows) == {"age": "no two different values in column 'age'"}
    assert TASK.single([*rows, {"age": "13"}]) is None


@pytest.mark.parametrize("size", [32, 128])
def test_the_phantoms_heart_grows_with_the_number(size: int) -> None:
    for patient in range(4):
        dense = [draw_film(0, patient, 0, [], size, growth).pixels.mean() for growth in (0.0, 0.5, 1.0)]
        assert dense == sorted(dense)
        assert dense[2] - dense[0] > 1
    with pytest.raises(DataError, match=r"growth=1.5 is outside 0 to 1"):
        draw_film(0, 0, 0, [], 64, 1.5)


def test_the_least_error_is_the_best_epoch_and_stops_training_in_time(tmp_path: Path) -> None:
    module = FineTuneModule(TASK, ResNet50(weights="none"))
    callbacks = {type(each): each for each in module.default_callbacks(tmp_path)}
    assert (callbacks[Best].monitor, callbacks[Best].mode) == ("val/mae", "min")
    assert (callbacks[PatientStop].monitor, callbacks[PatientStop].mode) == ("val/mae", "min")


def test_a_step_of_training_lowers_the_loss_and_a_checkpoint_says_the_same(tmp_path: Path) -> None:
    module = FineTuneModule(TASK, ResNet50(weights="none", in_channels=1))
    random = np.random.default_rng(0)
    images = torch.from_numpy(random.random((8, 1, 32, 32), dtype=np.float32))
    loader = DataLoader(TensorDataset(images, torch.linspace(10, 200, 8)), batch_size=8)
    trainer = Trainer(
        max_epochs=1, accelerator="cpu", logger=False, enable_progress_bar=False, default_root_dir=tmp_path,
        callbacks=[Best("val/mae", tmp_path, "min")], enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(module, loader, loader)
    assert trainer.callback_metrics["val/mae"].item() > 0
    kept = FineTuneModule.load_from_checkpoint(tmp_path / "best.ckpt")
    assert kept.task == TASK
    assert kept.temperature is None
    said = kept.predict_step({"image": images}, 0)
    assert said.shape == (8, 1)
    again = module.eval().predict_step({"image": images}, 0)
    assert torch.allclose(said, again, atol=0.01)  # of months: memory is laid out otherwise


def test_a_column_of_numbers_costs_what_the_numbers_do(tmp_path: Path) -> None:
    images, numbers = torch.rand(6, 1, 32, 32), torch.linspace(10, 200, 6)
    logged = []
    for target in (numbers, numbers[:, None], numbers[:, None].double()):
        torch.manual_seed(0)
        module = FineTuneModule(TASK, ResNet50(weights="none"))
        trainer = Trainer(
            fast_dev_run=True, accelerator="cpu", logger=False, enable_progress_bar=False,
            enable_model_summary=False, default_root_dir=tmp_path,
        )  # fmt: skip
        loader = DataLoader(TensorDataset(images, target), batch_size=6)
        trainer.fit(module, loader, loader)
        logged.append({name: float(value) for name, value in trainer.callback_metrics.items()})
        assert module.predictions["val"].target.shape == (6,)
    assert set(logged[0]) == {"train/loss", "val/loss", "val/mae"}
    assert logged[1] == logged[0]
    assert logged[2] == pytest.approx(logged[0], rel=1e-5)


def made_up(folder: Path, noise: float = 0.0) -> Path:
    found, _ = drawn(60)
    logits = stored(found.logits + noise * np.random.default_rng(3).normal(size=found.logits.shape))
    return made_up_of(TASK, folder, logits, found.target)


def test_the_report_shows_a_number_and_leaves_out_what_is_of_classes(tmp_path: Path) -> None:
    folder = with_manifest(made_up(tmp_path / "run"), patients=20)
    write_report(folder)
    page, card = ((folder / name).read_text() for name in ("report.html", "model_card.md"))
    mae = json.loads((folder / "metrics.json").read_text())["test"]["mae"]["value"]
    assert f'<div class="big">{mae:.3f} months</div>' in page
    assert f"Mean absolute error on test: **{mae:.3f} months**" in card
    for text in (
        "Said and true, test",
        "Bland-Altman",
        "Errors by quarter",
        "Subgroups, test",
        "age, in months",
    ):
        assert text in page
    for text in ("AUROC", "sensitivity", "Confusion", "most probable"):
        assert text not in page.partition("<body>")[2]
    assert "canary" not in page + card


def test_a_quarter_of_fewer_than_ten_patients_is_not_shown() -> None:
    random = np.random.default_rng(0)
    target = random.uniform(0, 100, 24)
    said, cells = target + random.normal(0, 5, 24), [f"{value:.17g}" for value in target]
    rows = value_subgroups(cells, said, target, np.arange(24), "true value")
    assert len(rows) == 4
    assert all(row.suppressed for row in rows)
    more = value_subgroups(cells * 4, np.tile(said, 4), np.tile(target, 4), np.arange(96), "true value")
    assert not any(row.suppressed for row in more)


def test_a_group_differs_from_the_others_by_the_difference_of_their_errors() -> None:
    random = np.random.default_rng(0)
    target, group = random.uniform(0, 100, 80), np.array(["f", "m"] * 40)
    said = target + random.normal(0, 5, 80) + 4 * (group == "m")
    own = value_subgroups(group.tolist(), said, target, np.arange(80), "sex")
    off = np.abs(said - target)
    apart = off[group == "m"].mean() - off[group == "f"].mean()
    assert own[1].differences["mae"].value == pytest.approx(apart, abs=1e-9)
    assert own[0].differences["mae"].value == pytest.approx(-apart, abs=1e-9)
    assert own[1].differences["bias"].low < own[1].differences["bias"].value < own[1].differences["bias"].high


def test_two_runs_are_compared_by_the_paired_difference_of_their_errors(tmp_path: Path) -> None:
    told = {"classes": [], "positive": None}
    runs = [
        read_prediction_file(made_up(tmp_path / name, noise) / "predictions" / "test.csv", told)
        for name, noise in (("one", 0.0), ("two", 0.1))
    ]
    found = differences([runs[0]], [runs[1]])["mae"]
    errors = [np.abs(run.probabilities[:, 0] - run.target).mean() for run in runs]
    assert (found.one, found.other) == (pytest.approx(errors[0]), pytest.approx(errors[1]))
    assert found.difference.value == pytest.approx(errors[1] - errors[0])
    assert 0 < found.difference.low < found.difference.value < found.difference.high
    same = differences([runs[0]], [runs[0]])["mae"].difference
    assert (same.low, same.value, same.high) == (0, 0, 0)


def test_folds_are_pooled_without_a_temperature(tmp_path: Path) -> None:
    told = {"classes": [], "positive": None}
    run = read_prediction_file(made_up(tmp_path / "run") / "predictions" / "test.csv", told)
    together = pooled([(run, run), (run, run)], resamples=20)
    assert together["note"] == VALUES_NOTE
    assert together["figures"]["mae"]["value"] == pytest.approx(
        np.abs(run.probabilities[:, 0] - run.target).mean()
    )


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_number_is_predicted_explained_and_cross_validated(
    command_line: Callable[..., Outcome], film_table: FilmTable, tmp_path: Path
) -> None:
    film_table.cells["boneage"] = [f"{10 + 5 * int(patient)}" for patient in film_table.cells["patient_id"]]
    film_table.write()
    words = (
        "--recipe", "bone_age", "--data.source", film_table.path, "--model.backbone.weights", "none",
        "--data.transforms.size", "32", "--trainer.accelerator", "cpu", "--trainer.max_epochs", "1",
        "--data.batch_size", "8",
    )  # fmt: skip
    outcome = command_line("crossval", *words, "--folds", "3", "--output", tmp_path / "folds")
    assert outcome.code == 0, outcome.err
    assert "mae" in outcome.out
    image, run = film_table.image(2), tmp_path / "folds" / "fold-0"
    for whose in (run, tmp_path / "folds"):
        outcome = command_line("predict", "--run", whose, "--images", image, "--output", tmp_path / "p.csv")
        assert outcome.code == 0, outcome.err
        assert 0 <= pd.read_csv(tmp_path / "p.csv")["value"][0] <= 228
        (tmp_path / "p.csv").unlink()
    outcome = command_line("explain", "--run", run, "--images", image, "--output", tmp_path / "maps")
    assert outcome.code == 0, outcome.err
    row = pd.read_csv(tmp_path / "maps" / "explanations.csv").iloc[0]
    assert row["class"] == "value"
    assert 0 <= row["probability"] <= 228
    outcome = command_line("inspect", film_table.path, "--recipe", "bone_age")
    assert outcome.code == 0, outcome.err
