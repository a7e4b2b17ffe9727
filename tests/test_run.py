"""A run from the command line: fit, its folder, test, predict, signals, several processes."""

from __future__ import annotations

import json
import os
import platform
import re
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ONE_STEP, as_words
from films import write_films
from wandb_file import decoded

from rn50med import FineTuneModule, fit, load_recipe, predict
from rn50med.cli import main
from rn50med.errors import RecipeError, StorageError
from rn50med.evaluation.metrics import auroc

SMALL = {
    "model.backbone.weights": "none",
    "data.transforms.size": 32,
    "data.batch_size": 8,
    "trainer.max_epochs": 2,
    "trainer.accelerator": "cpu",
    "model.optimizer": "torch.optim.SGD",  # for the reason given at ONE_STEP
    "model.optimizer.lr": 0.01,
}
CANARY = "DOE_JOHN_MRN555"
FILES = {
    "recipe.yaml",
    "checkpoints/best.ckpt",
    "checkpoints/last.ckpt",
    "manifest.csv",
    "audit.json",
    "metrics.csv",
    "metrics.json",
    "checks.json",
    "predictions/val.csv",
    "predictions/test.csv",
    "report.html",
    "model_card.md",
    "environment.json",
}


def start(arguments, folder, **environment):
    command = [sys.executable, "-m", "rn50med", *arguments]
    clean = {key: value for key, value in os.environ.items() if key != "RN50MED_RUN_FOLDER"}
    return subprocess.Popen(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean | {"OMP_NUM_THREADS": "1"} | environment,
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run, made by the command line below a folder with a patient's name."""
    base = tmp_path_factory.mktemp(CANARY)
    table = write_films(base)
    process = start(
        [
            "fit",
            "--recipe",
            "chest_xray",
            "--data.source",
            str(table),
            "--output",
            str(base / "run"),
            "--wandb",
            "offline",
            *as_words(SMALL),
        ],
        base,
    )
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    return base / "run", out, err


def test_every_file_of_the_run_folder_is_there_and_private(run):
    folder, out, _ = run
    have = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert have >= FILES
    assert out.splitlines()[-1] == str(folder)
    for name in ("recipe.yaml", "manifest.csv", "predictions/test.csv", "checkpoints/best.ckpt"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600


def test_standard_output_carries_the_final_numbers_and_standard_error_the_rest(run):
    folder, out, err = run
    metrics = json.loads((folder / "metrics.json").read_text())
    assert f"{metrics['test']['auroc']['value']:.3f}" in out
    assert "epoch 2 of 2" in err
    assert "Traceback" not in err
    assert not re.search(r"Warning|nvImageCodec|litlogger", err), err


def test_metrics_hold_no_time_path_or_host_and_agree_with_the_file_of_predictions(run):
    folder, _, _ = run
    text = (folder / "metrics.json").read_text()
    assert CANARY not in text
    metrics = json.loads(text)
    for split in ("val", "test"):
        table = pd.read_csv(folder / "predictions" / f"{split}.csv", dtype={"patient": str})
        patients = table.groupby("patient")  # each a case, by the mean of its images
        probability = patients["prob_pneumonia"].mean().to_numpy()
        truth = (patients["target"].first() == "pneumonia").to_numpy(int)
        assert metrics[split]["auroc"]["value"] == pytest.approx(auroc(probability, truth), abs=1e-12)
        called = probability >= metrics["operating_point"]["threshold"]
        np.testing.assert_array_equal(called, patients["call"].first() == "pneumonia")
        assert patients["call"].nunique().eq(1).all()
        assert table["patient"].str.len().eq(4).all()


def test_names_and_paths_are_where_they_may_be_and_nowhere_else(run):
    folder, _, _ = run
    allowed = {"recipe.yaml", "manifest.csv", "predictions/val.csv", "predictions/test.csv"}
    for path in (path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        if name not in allowed:
            assert CANARY.encode() not in path.read_bytes(), name
            if path.suffix in {".html", ".md", ".json"}:
                assert b"films/0" not in path.read_bytes(), name


@pytest.mark.slow
def test_the_resolved_recipe_repeats_the_run_with_the_same_bytes_of_metrics(run, tmp_path):
    folder, _, _ = run
    resolved = load_recipe(str(folder / "recipe.yaml"))
    assert resolved["model"]["backbone"]["init_args"]["weights"] == "none"
    assert resolved["trainer"]["precision"] in {"bf16-mixed", "32-true"}
    options = ["--tracking.wandb", "disabled", "--data.num_workers", "2", "--output", str(tmp_path / "again")]
    process = start(["fit", "--recipe", str(folder / "recipe.yaml"), *options], tmp_path)
    _, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert (tmp_path / "again" / "metrics.json").read_bytes() == (folder / "metrics.json").read_bytes()


def test_testing_a_run_again_gives_its_numbers_and_leaves_its_files_alone(run, capsys):
    folder, _, _ = run
    before = {path: path.read_bytes() for path in (folder / "predictions").iterdir()}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the run had: another number gives other bits
    assert main(["test", "--run", str(folder)]) == 0
    torch.set_num_threads(threads)
    place = Path(capsys.readouterr().out.splitlines()[-1])
    assert place.parent == folder / "test"
    again = json.loads((place / "metrics.json").read_text())
    assert again["test"] == json.loads((folder / "metrics.json").read_text())["test"]
    assert {path: path.read_bytes() for path in (folder / "predictions").iterdir()} == before


def test_another_sites_table_is_tested_whole_with_the_threshold_of_val(run, tmp_path, capsys):
    folder, _, _ = run
    table = write_films(tmp_path / "elsewhere", patients=6, splits=False, seed=1)
    assert main(["test", "--run", str(folder), "--data.source", str(table)]) == 0
    place = Path(capsys.readouterr().out.splitlines()[-1])
    again = json.loads((place / "metrics.json").read_text())
    assert again["test"]["auroc"]["n"] == 6  # patients
    assert again["operating_point"] == json.loads((folder / "metrics.json").read_text())["operating_point"]


def test_images_of_the_run_under_another_name_are_refused(run, tmp_path, capsys):
    folder, _, _ = run
    own = pd.read_csv(folder.parent / "labels.csv", dtype=str)
    own["image"] = [str(folder.parent / name) for name in own["image"]]
    own.drop(columns="split").to_csv(tmp_path / "elsewhere.csv", index=False)
    assert main(["test", "--run", str(folder), "--data.source", str(tmp_path / "elsewhere.csv")]) == 3
    assert "36 of its images are identical to images that the run was trained" in capsys.readouterr().err


def test_other_splits_than_those_of_the_run_are_refused(run, capsys):
    folder, _, _ = run
    assert main(["test", "--run", str(folder), "--data.columns.split", "label"]) == 3
    assert (
        main(["test", "--run", str(folder), "--task.positive", "normal", "--task.negative", "pneumonia"]) == 2
    )
    assert "give both the same task" in capsys.readouterr().err
    assert main(["test", "--run", str(folder), "--trainer.max_epochs", "3"]) == 2
    assert "--trainer.max_epochs has no effect here" in capsys.readouterr().err


def predicted_as_tested(folder, images, output):
    """Rows that predict writes, in the order of the table of test, and that table."""
    assert main(["predict", "--run", str(folder), "--images", str(images), "--output", str(output)]) == 0
    predicted, tested = (
        pd.read_csv(output, keep_default_na=False),
        pd.read_csv(folder / "predictions/test.csv"),
    )
    assert len(predicted) == 48
    assert set(predicted["status"]) == {"ok"}
    by_name = predicted.assign(name=["films/" + Path(p).name for p in predicted["image"]]).set_index("name")
    return by_name.loc[tested["image"]], tested


def test_predictions_of_files_equal_those_of_the_test_set(run, tmp_path):
    found, tested = predicted_as_tested(run[0], run[0].parent / "films", tmp_path / "p.csv")
    np.testing.assert_allclose(found["prob_pneumonia"], tested["prob_pneumonia"], atol=1e-6)


def test_calls_of_a_table_with_patients_equal_those_of_the_test_set(run, tmp_path):
    found, tested = predicted_as_tested(run[0], run[0].parent / "labels.csv", tmp_path / "p.csv")
    assert list(found["call"]) == list(tested["call"])


def test_the_checkpoint_of_the_command_line_reloads_with_nothing_but_its_path(run):
    folder, _, _ = run
    module = FineTuneModule.load_from_checkpoint(folder / "checkpoints" / "best.ckpt")
    point = json.loads((folder / "metrics.json").read_text())["operating_point"]
    assert module.operating_point.as_dict() == point
    assert not module.training


def test_the_offline_run_of_weights_and_biases_holds_recipe_curves_and_figures_and_nothing_else(run):
    folder, _, _ = run
    kept = decoded(next(folder.glob("wandb/**/*.wandb")))
    text = kept["raw"]
    assert CANARY not in text
    assert platform.node() not in text.replace("rn50med", "")
    assert not re.search(r"films/|\.csv|git@|--recipe", text)
    config = kept["config"]
    assert config["data"]["source"] == "<path>"
    assert config["data"]["transforms"]["init_args"]["size"] == 32
    assert "tracking" not in config
    assert {"val/auroc", "train/loss"} <= kept["history"]
    metrics = json.loads((folder / "metrics.json").read_text())
    assert kept["summary"]["final/test/auroc"] == metrics["test"]["auroc"]["value"]
    assert not kept["environment"]
    assert not kept["files"] - {"wandb-summary.json", "config.yaml", "output.log", "wandb-metadata.json"}
    for other in (path for path in (folder / "wandb").rglob("*") if path.is_file()):
        assert CANARY.encode() not in other.read_bytes(), other


def test_sigterm_saves_a_checkpoint_and_ends_with_143(tmp_path):
    table = write_films(tmp_path)
    options = SMALL | {"trainer.max_epochs": 500, "model.patience": 0}
    process = start(
        [
            "fit",
            "--recipe",
            "chest_xray",
            "--data.source",
            str(table),
            "--output",
            str(tmp_path / "run"),
            *as_words(options),
        ],
        tmp_path,
    )
    log = tmp_path / "run" / "metrics.csv"
    deadline = time.monotonic() + 120
    while not log.exists() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    assert re.search(r"stopped by SIGTERM; checkpoint saved at step \d+: .*last\.ckpt", err.splitlines()[-1])
    FineTuneModule.load_from_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")


@pytest.mark.slow
def test_two_processes_write_one_run_folder_with_each_image_once(run, tmp_path):
    folder, _, _ = run
    process = start(
        [
            "fit",
            "--recipe",
            "chest_xray",
            "--data.source",
            str(folder.parent / "labels.csv"),
            *as_words(SMALL | {"trainer.max_epochs": 1, "trainer.devices": 2}),
        ],
        tmp_path,
    )
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    runs = [path for path in (tmp_path / "runs" / "chest_xray").iterdir() if path.is_dir()]
    assert [path.name for path in runs] == [(tmp_path / "runs/chest_xray/latest").read_text().strip()]
    assert out.count("auroc ") == 1
    table = pd.read_csv(runs[0] / "predictions" / "test.csv")
    assert len(table) == table["image"].nunique() == 12
    assert json.loads((runs[0] / "environment.json").read_text())["devices"] == 2


def test_fit_of_python_is_the_commands_twin_and_predict_takes_its_run(run, tmp_path):
    folder, _, _ = run
    options = ONE_STEP | {"data.source": str(folder.parent / "labels.csv")}
    threads = torch.get_num_threads()
    made = fit("chest_xray", options, output=tmp_path / "run")
    assert made.folder == tmp_path / "run"
    assert made.metrics == json.loads((made.folder / "metrics.json").read_text())
    assert torch.get_num_threads() == threads
    assert "RN50MED_RUN_FOLDER" not in os.environ
    table = predict(made, folder.parent / "films")
    assert len(table) == 48
    with pytest.raises(StorageError, match="is not empty"):
        fit("chest_xray", options, output=tmp_path / "run")


def test_the_test_set_stays_closed_when_asked(run, tmp_path):
    folder, _, _ = run
    options = ONE_STEP | {"data.source": str(folder.parent / "labels.csv")}
    made = fit("chest_xray", options | {"evaluation.test": "never"}, output=tmp_path / "run")
    assert "test" not in made.metrics
    assert not (made.folder / "predictions" / "test.csv").exists()


@pytest.mark.slow
def test_a_table_whose_test_is_elsewhere_is_trained_on_where_that_is_allowed(film_table, tmp_path):
    film_table.split_by_patient(("train", "train", "val", "val"))
    options = ONE_STEP | {"data.source": str(film_table.path), "data.allow": "[no-test]"}
    with pytest.raises(RecipeError, match=r"evaluation\.test: is end, but there are no images of test"):
        fit("chest_xray", options, output=tmp_path / "open")
    made = fit("chest_xray", options | {"evaluation.test": "never"}, output=tmp_path / "closed")
    assert set(json.loads((made.folder / "audit.json").read_text())["splits"]) == {"train", "val"}
    assert "AUROC on val" in (made.folder / "report.html").read_text()
