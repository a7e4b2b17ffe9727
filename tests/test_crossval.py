"""Cross-validation: folds of patients, a run each, resumed by fold, and what they say together."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from made_up_folds import made_up_folds

from rn50med import predict
from rn50med.cli import crossval
from rn50med.cli.arguments import prepare
from rn50med.cli.assembly import Assembly
from rn50med.data.datamodule import ManifestDataModule
from rn50med.data.splits import SplitPlan, make_splits, write_splits
from rn50med.data.transforms import Radiograph
from rn50med.errors import DataError, RecipeError, StorageError
from rn50med.evaluation.cases import Unit
from rn50med.evaluation.schema import check_metrics
from rn50med.recipe import dump_yaml, load_recipe
from rn50med.tasks import Binary
from rn50med.training.crossval import begin, conclude, ensemble_members, judged_as_before, open_folds

SMALL = {
    "model.backbone.weights": "none",
    "data.transforms.size": 32,
    "data.batch_size": 8,
    "trainer.max_epochs": 1,
    "trainer.limit_train_batches": 1,
    "trainer.accelerator": "cpu",
    "trainer.enable_progress_bar": "false",
}
WORDS = [word for key, value in SMALL.items() for word in (f"--{key}", str(value))]


def dealt(plan, given, patients, classes, seed=0):
    groups = np.unique(patients, return_inverse=True)[1]
    names = [f"{row:03d}" for row in range(len(given))]
    return make_splits(plan, given, classes, groups, names, seed)


PATIENTS = np.repeat([f"p{number:02d}" for number in range(40)], 3)
CLASSES = np.repeat(np.tile(["normal", "pneumonia"], 20), 3).tolist()


@pytest.mark.parametrize("given", ["", "train", "train and test", "all three"])
def test_each_fold_is_held_out_once_and_no_patient_is_in_two_parts(given):
    words = {"": ("",), "train": ("train",), "train and test": ("train", "train", "test")}
    turns = words.get(given, ("train", "val", "test", "train"))
    column = [turns[int(patient[1:]) % len(turns)] for patient in PATIENTS]
    held_out = []
    for fold in range(4):
        made = dealt(SplitPlan(crossval=4, held_out=fold), column, PATIENTS, CLASSES)
        splits = np.array(made.splits)
        parts = [set(PATIENTS[splits == split]) for split in ("train", "val", "test", "")]
        assert sum(map(len, parts)) == len(set(PATIENTS))
        assert all(parts[:3])
        held_out.append(splits == "test")
        closed = splits == ""
    fit = np.array(dealt(SplitPlan(), column, PATIENTS, CLASSES).splits) if given == "" else np.array(column)
    np.testing.assert_array_equal(closed, fit == "test")
    np.testing.assert_array_equal(np.sum(held_out, axis=0), ~closed)


def test_the_val_of_a_fold_is_the_part_that_the_next_one_holds_out():
    splits = [
        np.array(dealt(SplitPlan(crossval=3, held_out=fold), [""] * 120, PATIENTS, CLASSES).splits)
        for fold in range(3)
    ]
    for fold in range(3):
        np.testing.assert_array_equal(splits[fold] == "val", splits[(fold + 1) % 3] == "test")


def test_what_is_left_out_is_said():
    made = dealt(SplitPlan(crossval=3), [""] * 120, PATIENTS, CLASSES)
    assert "The 24 test images, made as `fit` makes them, are left out." in made.origin
    made = dealt(SplitPlan(crossval=3, held_out=1), ["train"] * 120, PATIENTS, CLASSES)
    assert "fold 1 is held out" in made.origin
    assert "fold 2 is val" in made.origin
    assert made.origin.endswith("No test images were put aside.")


def test_a_source_of_test_images_alone_is_refused():
    with pytest.raises(DataError, match="all images are test"):
        dealt(SplitPlan(crossval=3), ["test"] * 120, PATIENTS, CLASSES)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"crossval": 2}, "crossval: is 2; give 3 to 20"),
        ({"crossval": 21}, "crossval: is 21; give 3 to 20"),
        ({"crossval": 3, "held_out": 3}, "held_out: is 3; give 0 to 2"),
        ({"held_out": 1}, "held_out: is 1 without folds"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(options, said):
    with pytest.raises(RecipeError, match=said):
        SplitPlan(**options)


RECIPE = {"data": {"splits": {"crossval": 3, "held_out": 0}}, "trainer": {"max_epochs": 1}}


def test_a_folder_goes_on_with_its_own_recipe_alone(tmp_path):
    begin(tmp_path / "cv", RECIPE)
    begin(tmp_path / "cv", RECIPE)
    with pytest.raises(StorageError, match=r"differs in trainer\.max_epochs; give the same one"):
        begin(tmp_path / "cv", RECIPE | {"trainer": {"max_epochs": 2}})


def test_a_folder_goes_on_where_its_recipe_lacks_keys_that_are_at_their_defaults(tmp_path):
    begin(tmp_path / "cv", RECIPE)
    newer = RECIPE | {"evaluation": {"unit": "auto"}}

    def as_now(path):
        return {"evaluation": {"unit": "auto"}} | load_recipe(str(path))

    begin(tmp_path / "cv", newer, as_now)
    with pytest.raises(StorageError, match=r"differs in evaluation\.unit; give the same one"):
        begin(tmp_path / "cv", RECIPE | {"evaluation": {"unit": "image"}}, as_now)
    assert load_recipe(str(tmp_path / "cv" / "recipe.yaml")) == RECIPE


def test_the_command_line_knows_the_defaults_of_keys_that_a_recipe_lacks(film_table, tmp_path, command_line):
    words = ["--recipe", "chest_xray", "--data.source", str(film_table.path), *WORDS]
    ready = prepare(words)
    whole = Assembly(ready).resolved()
    older = {key: value for key, value in whole.items() if key != "evaluation"}
    older["data"] = {key: value for key, value in whole["data"].items() if key != "on_bad_image"}
    path = tmp_path / "recipe.yaml"
    path.write_text(dump_yaml(older))
    assert crossval._as_now(ready)(path) == whole


def test_folds_of_an_earlier_version_and_later_ones_are_one_cross_validation(tmp_path):
    folder = made_up_folds(tmp_path / "cv")
    recipe = load_recipe(str(folder / "fold-1" / "recipe.yaml"))
    newer = dump_yaml(recipe | {"evaluation": {"unit": "image"}})
    (folder / "fold-1" / "recipe.yaml").write_text(newer)
    assert conclude(folder)["folds"] == 3
    (folder / "fold-2" / "recipe.yaml").write_text(newer.replace("image", "patient"))
    whole = load_recipe(str(folder / "recipe.yaml")) | {"evaluation": {"unit": "auto"}}
    (folder / "recipe.yaml").write_text(dump_yaml(whole))
    with pytest.raises(StorageError, match=r"fold-1 differs from fold-0 in evaluation"):
        conclude(folder)


def test_further_folds_are_judged_as_those_that_an_earlier_version_finished(tmp_path):
    assert judged_as_before(tmp_path) == {}
    older = made_up_folds(tmp_path / "older")
    assert judged_as_before(older) == {"evaluation.unit": "image", "evaluation.temperature": "none"}
    assert judged_as_before(made_up_folds(tmp_path / "now", unit=Unit("patient"))) == {}


def test_folds_that_judge_other_cases_are_not_put_together(tmp_path):
    folder = made_up_folds(tmp_path / "cv", unit=Unit("patient"))
    path = folder / "fold-1" / "metrics.json"
    path.write_text(path.read_text().replace('"patient"', '"image"'))
    with pytest.raises(StorageError, match=r"fold-0 judges patients \(mean\) and fold-1 images"):
        conclude(folder)


def test_a_cross_validation_that_judges_patients_pools_patients(tmp_path):
    metrics = conclude(made_up_folds(tmp_path / "cv", unit=Unit("patient")))
    assert metrics["protocol"]["unit"] == "patient"
    assert metrics["pooled"]["figures"]["auroc"]["n"] == 36
    check_metrics(metrics)
    oof = pd.read_csv(tmp_path / "cv" / "predictions" / "oof.csv")
    assert len(oof) == 144  # of images, whatever is judged


def test_a_folder_that_holds_something_else_is_refused(tmp_path):
    (tmp_path / "recipe.yaml").write_text("trainer: {max_epochs: 1}\n")  # such as a run's
    with pytest.raises(StorageError, match="is not empty"):
        begin(tmp_path, RECIPE)


def test_a_stopped_fold_is_cleared_and_a_finished_one_kept(tmp_path):
    for fold, name in enumerate(("metrics.json", "metrics.csv")):
        (tmp_path / f"fold-{fold}").mkdir()
        (tmp_path / f"fold-{fold}" / name).write_text("{}")
    assert open_folds(tmp_path, 3) == [1, 2]
    assert [path.name for path in tmp_path.iterdir()] == ["fold-0"]


def test_a_folder_that_is_none_has_no_members(tmp_path):
    assert ensemble_members(tmp_path) == []
    (tmp_path / "fold-0").mkdir()
    assert ensemble_members(tmp_path) == []
    assert ensemble_members(tmp_path / "nowhere") == []


def crossvalidate(film_table, folder, *more):
    recipe = ["--recipe", "chest_xray", "--data.source", str(film_table.path), "--output", str(folder)]
    return crossval.run([*recipe, "--folds", "3", *WORDS, *more])


@pytest.mark.slow
def test_cross_validation_end_to_end_and_again_after_a_fold_was_lost(
    film_table, tmp_path, command_line, capsys
):
    film_table.split_by_patient(("train", "train", "val", "test"))
    folder = tmp_path / "cv"
    assert crossvalidate(film_table, folder) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == str(folder)
    assert "mean of 3 folds" in out.splitlines()[0]
    cells = film_table.cells.set_index("image")
    wanted = set(cells.index[cells["split"] != "test"])
    oof = pd.read_csv(folder / "predictions" / "oof.csv", dtype=str)
    assert list(oof["image"].sort_values()) == sorted(wanted)
    assert oof.groupby("patient")["fold"].nunique().eq(1).all()
    assert set(oof["fold"]) == {"0", "1", "2"}
    for fold in range(3):
        manifest = pd.read_csv(folder / f"fold-{fold}" / "manifest.csv", dtype=str)
        assert set(manifest["image"]) == wanted
        assert manifest.groupby("patient")["split"].nunique().eq(1).all()
        audit = json.loads((folder / f"fold-{fold}" / "audit.json").read_text())
        assert f"fold {fold} is held out" in audit["split_origin"]
        assert (folder / f"fold-{fold}" / "report.html").is_file()
    metrics = json.loads((folder / "metrics.json").read_text())
    values = [each["auroc"]["value"] for each in metrics["by_fold"]]
    assert metrics["mean"]["auroc"]["value"] == pytest.approx(np.mean(values), abs=1e-12)
    assert metrics["mean"]["auroc"]["sd"] == pytest.approx(np.std(values, ddof=1), abs=1e-12)
    assert metrics["protocol"]["unit"] == "patient"  # whose films have one label
    assert metrics["pooled"]["figures"]["auroc"]["n"] == cells.loc[list(wanted), "patient_id"].nunique()
    check_metrics(metrics)
    page = (folder / "report.html").read_text()
    assert f"{metrics['mean']['auroc']['value']:.3f}" in page
    assert f"The {len(cells) - len(wanted)} test images stayed closed" in page
    the_ensemble_is_the_mean_of_the_folds(film_table, folder)
    again_after_a_fold_was_lost(film_table, folder)
    other_images_are_refused(folder)


def the_ensemble_is_the_mean_of_the_folds(film_table, folder):
    images = [film_table.image(line) for line in (2, 3)]
    together = predict(folder, images)
    each = [predict(folder / f"fold-{fold}", images) for fold in range(3)]
    mean = np.mean([frame["prob_pneumonia"] for frame in each], axis=0)
    np.testing.assert_allclose(together["prob_pneumonia"], mean, rtol=1e-8)
    points = [json.loads((folder / f"fold-{k}" / "metrics.json").read_text()) for k in range(3)]
    threshold = np.mean([each["operating_point"]["threshold"] for each in points])
    assert (together["call"] == np.where(mean >= threshold, "pneumonia", "normal")).all()
    assert (together["status"] == "ok").all()


def again_after_a_fold_was_lost(film_table, folder):
    whole = (folder / "predictions" / "oof.csv").read_bytes(), (folder / "metrics.json").read_bytes()
    kept = (folder / "fold-0" / "checkpoints" / "best.ckpt").stat().st_mtime_ns
    (folder / "fold-1" / "metrics.json").unlink()
    with pytest.raises(StorageError, match="fold-1 is not finished"):
        ensemble_members(folder)
    assert crossvalidate(film_table, folder) == 0
    assert (folder / "fold-0" / "checkpoints" / "best.ckpt").stat().st_mtime_ns == kept
    assert whole == (
        (folder / "predictions" / "oof.csv").read_bytes(),
        (folder / "metrics.json").read_bytes(),
    )
    assert [each.name for each in ensemble_members(folder)] == ["fold-0", "fold-1", "fold-2"]
    assert load_recipe(str(folder / "fold-2" / "recipe.yaml"))["data"]["splits"]["held_out"] == 2
    with pytest.raises(StorageError, match=r"differs in trainer\.max_epochs"):
        crossvalidate(film_table, folder, "--trainer.max_epochs", "2")


def other_images_are_refused(folder):
    manifest = folder / "fold-2" / "manifest.csv"
    text = manifest.read_text()
    table = pd.read_csv(manifest, dtype=str)
    table.loc[0, "sha256"] = "0" * 64
    table.to_csv(manifest, index=False)
    with pytest.raises(StorageError, match="not of the same images"):
        conclude(folder)
    manifest.write_text(text)
    recipe = folder / "fold-1" / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("weights: none", "weights: imagenet"))
    with pytest.raises(StorageError, match=r"fold-1 differs from fold-0 in .*weights"):
        conclude(folder)
    shutil.rmtree(folder)


@pytest.mark.parametrize("cache", [None, "none"])
def test_images_stay_with_their_rows_where_some_are_left_out(film_table, cache):
    film_table.split_by_patient(("test", "train", "val", "train"))
    task = Binary(negative="normal", positive="pneumonia")
    options = {"task": task, "transforms": Radiograph(size=32), "cache": cache, "num_workers": 0}
    whole = ManifestDataModule(str(film_table.path), **options)
    part = ManifestDataModule(str(film_table.path), **options, splits=SplitPlan(crossval=3))
    names = whole.manifest.column("image")
    for row, (name, split) in enumerate(
        zip(part.manifest.column("image"), part.manifest.column("split"), strict=True)
    ):
        assert whole.manifest.column("split")[names.index(name)] != "test"
        assert split in ("train", "val", "test")
        pixels = whole.prepared.images.one(names.index(name))
        np.testing.assert_array_equal(part.prepared.images.one(row), pixels)
    assert {"what": "test, which cross-validation leaves closed", "images": 12} in part.prepared.audit["flow"]


def test_splits_of_an_earlier_run_keep_its_test_images_closed(film_table, tmp_path):
    task = Binary(negative="normal", positive="pneumonia")
    options = {"task": task, "transforms": Radiograph(size=32), "num_workers": 0}
    first = ManifestDataModule(str(film_table.path), **options, splits=SplitPlan(fold=3))
    table = first.manifest.table
    write_splits(tmp_path / "splits.json", table["sha256"].tolist(), table["split"].tolist(), "Made.", 0)
    again = ManifestDataModule(
        str(film_table.path),
        **options,
        split_file=str(tmp_path / "splits.json"),
        splits=SplitPlan(crossval=3),
    )
    wanted = set(table["image"][table["split"] != "test"])
    assert set(again.manifest.column("image")) == wanted


def test_all_images_are_dealt_where_none_is_to_be_put_aside(film_table):
    task = Binary(negative="normal", positive="pneumonia")
    options = {"task": task, "transforms": Radiograph(size=32), "num_workers": 0, "unsplit": "train"}
    data = ManifestDataModule(str(film_table.path), **options, splits=SplitPlan(crossval=3))
    assert len(data.manifest) == len(film_table.cells)


def test_a_recipe_is_needed(command_line):
    with pytest.raises(RecipeError, match="no recipe was given"):
        crossval.run([])


def test_no_test_images_without_cross_validation_is_refused(film_table, command_line):
    words = ["--recipe", "chest_xray", "--data.source", str(film_table.path), "--data.unsplit", "train"]
    outcome = command_line("fit", *words, *WORDS)
    assert outcome.code == 2
    assert "it is for the command crossval" in outcome.err
