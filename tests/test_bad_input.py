"""Bad input through the real command line: an exit code, one message with a remedy, and no training."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
import torchvision
from conftest import ONE_STEP, FilmTable, Outcome, as_words
from films import write_films
from PIL import Image

CommandLine = Callable[..., Outcome]
SMALL = (
    "--model.backbone.weights", "none", "--data.transforms.size", "32", "--trainer.accelerator", "cpu",
    "--trainer.max_epochs", "1",
)  # fmt: skip


def fit_words(table: object, *more: object) -> list[object]:
    return ["fit", "--recipe", "chest_xray", "--data.source", table, *SMALL, *more]


def refused(outcome: Outcome, code: int, *said: str) -> None:
    """Check the exit code, that there is one message alone, what it says, and that nothing was trained."""
    assert outcome.code == code, outcome.err
    assert len(outcome.messages) == 1, outcome.err
    assert "Traceback" not in outcome.err
    message = outcome.err[outcome.err.index("rn50med: ") :]
    for words in said:
        assert words in message, message
    assert "epoch 1" not in outcome.err
    assert not outcome.out
    assert not list(Path.cwd().rglob("*.ckpt"))
    assert not list(Path.cwd().rglob("metrics.csv"))


# --- exit code 2: recipes and options


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["--recipe", "chest_xry"],
            ["no recipe named 'chest_xry'", "did you mean 'chest_xray'?", "rn50med recipes"],
        ),
        (["--recipe", "missing.yaml"], ["recipe missing.yaml", "no such file"]),
        ([], ["no recipe was given; add --recipe NAME"]),
        (
            ["--recipe", "chest_xray", "--trainer.max_epoch", "3"],
            ["no key '--trainer.max_epoch'", "did you mean '--trainer.max_epochs'?"],
        ),
        (
            ["--recipe", "chest_xray", "--data.columns.pateint", "id"],
            ["no key '--data.columns.pateint'", "did you mean '--data.columns.patient'?"],
        ),
        (
            ["--recipe", "chest_xray", "--model.head", "os.system"],
            ["names 'os.system', which is not trusted", "add --trust os"],
        ),
        (
            ["--recipe", "chest_xray", "--task", "Binry"],
            ["there is no class 'Binry'", "did you mean 'Binary'?"],
        ),
        (["--recipe", "chest_xray", "--data.batch_size", "many"], ["--data.batch_size", "many"]),
        (["--recipe", "chest_xray", "--data.batch_size", "0"], ["data.batch_size: is 0; give 1 or more"]),
        (["--recipe", "chest_xray", "--data.num_workers", "-1"], ["data.num_workers: is -1; give 0 or more"]),
        (
            ["--recipe", "chest_xray", "--seed_everything", "-1"],
            ["seed_everything: is -1; give a whole number"],
        ),
        (["--recipe", "chest_xray", "--task.positive", "normal"], ["give two or more different names"]),
        (
            ["--recipe", "chest_xray", "--data.transforms.size", "8"],
            ["size is 8", "give a size of at least 32"],
        ),
    ],
)
def test_a_recipe_or_option_that_cannot_be_used_ends_with_2(
    command_line: CommandLine, words: list[str], said: list[str]
) -> None:
    refused(command_line("fit", *words), 2, *said)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("trainer: {max_epoch: 3}", ["bad.yaml:1", "no key 'trainer.max_epoch'", "'trainer.max_epochs'"]),
        ("model: {head: {class_path: os.system}}", ["bad.yaml:1", "os.system", "not trusted", "--trust os"]),
        ("data: {transforms: {class_path: torch.hub.load}}", ["torch.hub.load", "not trusted"]),
        ("trainer: {max_epochs: 1, max_epochs: 2}", ["bad.yaml", "max_epochs"]),
    ],
)
def test_a_recipe_of_a_stranger_is_refused_by_file_and_line(
    command_line: CommandLine, line: str, said: list[str]
) -> None:
    Path("bad.yaml").write_text(line + "\n")
    refused(command_line("fit", "--recipe", "chest_xray", "--recipe", "bad.yaml"), 2, *said)


def test_weights_that_are_not_there_end_with_2_before_any_image_is_read(
    command_line: CommandLine, film_table: FilmTable
) -> None:
    film_table.image(2).write_bytes(b"")  # would be told first if it were read
    outcome = command_line(*fit_words(film_table.path, "--model.backbone.weights", "missing/resnet50.pth"))
    refused(outcome, 2, "missing/resnet50.pth")
    assert not Path("runs").exists()


def test_weights_that_are_damaged_end_with_2_before_any_image_is_read(
    command_line: CommandLine, film_table: FilmTable
) -> None:
    film_table.image(2).write_bytes(b"")
    Path("resnet50.pth").write_bytes(b"PK\x03\x04 cut off")
    outcome = command_line(*fit_words(film_table.path, "--model.backbone.weights", "resnet50.pth"))
    refused(outcome, 2, "weights 'resnet50.pth'", "fetch it again")
    assert not Path("runs").exists()


def test_weights_of_another_architecture_end_with_2_and_a_list_of_what_does_not_fit(
    command_line: CommandLine, film_table: FilmTable
) -> None:
    film_table.image(2).write_bytes(b"")
    torch.save(torchvision.models.resnet18(weights=None).state_dict(), "resnet18.pth")
    outcome = command_line(*fit_words(film_table.path, "--model.backbone.weights", "resnet18.pth"))
    refused(
        outcome, 2, "weights 'resnet18.pth'", "is no ResNet-50", "missing: layer1.0.conv3.weight",
        "of another shape: layer1.0.conv1.weight is (64, 64, 3, 3) and should be (64, 64, 1, 1)",
    )  # fmt: skip
    assert not Path("runs").exists()


def test_a_head_that_makes_another_number_of_outputs_ends_with_2(
    command_line: CommandLine, film_table: FilmTable
) -> None:
    Path("own_heads.py").write_text(
        "from torch import nn\n"
        "from rn50med import Head\n\n\n"
        "class FiveHead(Head):\n"
        "    def __init__(self, channels, num_outputs):\n"
        "        super().__init__(channels, num_outputs)\n"
        "        self.linear = nn.Linear(channels[-1], 5)\n\n"
        "    def forward(self, features):\n"
        "        return self.linear(features[-1].mean(dim=(-2, -1)))\n"
    )
    film_table.image(2).write_bytes(b"")
    outcome = command_line(
        *fit_words(film_table.path, "--trust", "own_heads", "--model.head", "own_heads.FiveHead")
    )
    refused(outcome, 2, "model.head: FiveHead gives logits of shape (2, 5)", "the task needs (2, 1)")
    assert not Path("runs").exists()


def test_batches_of_one_image_end_with_2_where_batch_norm_trains(
    command_line: CommandLine, film_table: FilmTable
) -> None:
    outcome = command_line(*fit_words(film_table.path, "--data.batch_size", "1"))
    refused(outcome, 2, "data.batch_size: is 1", "batch norm needs batches of 2 or more, better 8")


# --- exit code 3: tables and images


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def half_a_jpeg(path: Path) -> None:
    Image.open(path).resize((128, 128)).save(path, "JPEG")
    half(path)


def leaking(table: FilmTable) -> None:
    table.split_by_patient()
    table.put(2, "split", "test")


def without_test(table: FilmTable) -> None:
    table.split_by_patient()
    table.cells["split"] = table.cells["split"].replace("test", "val")
    table.write()


def renamed(table: FilmTable, old: str, new: str) -> None:
    table.cells = table.cells.rename(columns={old: new})
    table.write()


def of_one_class(table: FilmTable) -> None:
    table.cells["label"] = "normal"
    table.write()


def of_one_patient(table: FilmTable) -> None:
    table.cells = table.cells[(table.cells["label"] == "normal") | (table.cells["patient_id"] == "0001")]
    table.write()


def all_labels(table: FilmTable, cell: str) -> None:
    table.cells["label"] = cell
    table.write()


BAD_DATA: dict[str, tuple[Callable[[FilmTable], object], list[str]]] = {
    "no table": (
        lambda t: t.path.rename(t.folder / "label.csv"),
        ["labels.csv: no such table or folder", "did you mean", "label.csv"],
    ),
    "no label column": (
        lambda t: renamed(t, "label", "lable"),
        ["labels.csv: no label column 'label'", "did you mean 'lable'?", "columns image, patient_id, lable"],
    ),
    "no patient column": (
        lambda t: renamed(t, "patient_id", "who"),
        ["no patient column 'patient_id'", "--data.columns.patient image", "columns image, who, label"],
    ),
    "unknown label": (
        lambda t: t.put(5, "label", "pneumnia"),
        ["labels.csv: row 5: unknown label 'pneumnia' in column 'label'; nearest class 'pneumonia'"],
    ),
    "empty label": (lambda t: t.put(4, "label", ""), ["row 4: empty cell in column 'label'; write"]),
    "empty patient": (lambda t: t.put(4, "patient_id", ""), ["row 4: empty cell for the patient"]),
    "missing image": (lambda t: t.image(6).unlink(), ["labels.csv: row 6: films/002-0.png is not there"]),
    "truncated JPEG": (
        lambda t: half_a_jpeg(t.image(6)),
        ["labels.csv: row 6: films/002-0.png cannot be decoded: ", "copy the file again"],
    ),
    "truncated PNG": (lambda t: half(t.image(6)), ["row 6: films/002-0.png cannot be decoded: "]),
    "zero-byte file": (
        lambda t: t.image(6).write_bytes(b""),
        ["labels.csv: row 6: films/002-0.png is empty (0 bytes); copy the file again"],
    ),
    "web page": (
        lambda t: t.image(6).write_text("<!doctype html><title>Log in</title>"),
        ["labels.csv: row 6: films/002-0.png is a web page, not an image; download the image itself"],
    ),
    "one class": (of_one_class, ["labels.csv: only class 'normal' found in column 'label'"]),
    "no label known": (
        lambda t: all_labels(t, ""),
        [
            "labels.csv: every row: empty cell in column 'label'; write one of normal, pneumonia; or give "
            "the task another column"
        ],
    ),
    "labels of another column": (
        lambda t: all_labels(t, "0"),
        ["labels.csv: every row: unknown label '0' in column 'label'; classes are normal, pneumonia; or"],
    ),
    "a class of one patient": (
        of_one_patient,
        ["class 'pneumonia' has 1 patient, too few for 5 patient-wise folds; add patients, take the class"],
    ),
    "header alone": (
        lambda t: t.path.write_text("image,label,patient_id\n"),
        ["labels.csv: has no rows; write one row per image"],
    ),
    "empty file": (lambda t: t.path.write_text(""), ["labels.csv: is empty; write a header"]),
    "no test": (
        without_test,
        ["labels.csv: the split column has no test rows; add them", "give --data.allow '[no-test]' --eval"],
    ),
    "patient in two splits": (
        leaking,
        ["labels.csv: patient '0000' is in splits test, train (rows 2, 3); put all images of a patient in"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_DATA)
def test_bad_data_end_with_3_before_training(
    command_line: CommandLine, film_table: FilmTable, case: str
) -> None:
    spoil, said = BAD_DATA[case]
    spoil(film_table)
    refused(command_line(*fit_words(film_table.path)), 3, *said)
    assert not Path("runs").exists()


@pytest.mark.parametrize("rest", ["", "-1"])
def test_a_finding_that_nobody_ruled_on_ends_with_3(
    command_line: CommandLine, film_table: FilmTable, rest: str
) -> None:
    film_table.cells["mass"] = (film_table.cells["label"] == "pneumonia").astype(int).astype(str)
    film_table.cells["nodule"] = rest
    film_table.write()
    task = '{"class_path": "MultiLabel", "init_args": {"labels": ["mass", "nodule"]}}'
    outcome = command_line(*fit_words(film_table.path, "--task", task))
    refused(
        outcome, 3, "labels.csv: train has no positive and no negative image of label 'nodule'",
        "add some, or take the class out",
    )  # fmt: skip


def test_all_faults_of_a_table_are_one_message(command_line: CommandLine, film_table: FilmTable) -> None:
    film_table.image(3).unlink()
    film_table.image(6).write_bytes(b"")
    film_table.put(9, "label", "normel")
    outcome = command_line(*fit_words(film_table.path))
    refused(outcome, 3, "labels.csv: 3 faults; mend them and run again.", "row 3: ", "row 6: ", "row 9: ")


# --- what can be handled is handled, and said


def test_patients_of_both_classes_and_a_last_batch_of_one_image_of_28_pixels_are_handled_and_said(
    command_line: CommandLine, tmp_path: Path
) -> None:
    table = FilmTable(write_films(tmp_path / "study", patients=25, size=28, splits=False))
    second = table.cells["image"].str.endswith("-1.png")
    other = table.cells["label"].map({"normal": "pneumonia", "pneumonia": "normal"})
    table.cells["label"] = table.cells["label"].where(~second, other)
    table.write()
    options = {key: value for key, value in ONE_STEP.items() if key != "trainer.limit_train_batches"}
    outcome = command_line(
        "fit", "--recipe", "chest_xray", "--data.source", table.path, *as_words(options),
        "--data.batch_size", "29", "--evaluation.checks", "false", "--output", "run",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert "25 patients hold images of several classes. All images of a patient go into one" in outcome.err
    assert outcome.err.count("batches: the last of each epoch, of 1 image, is left out: batch norm") == 1
    manifest = pd.read_csv("run/manifest.csv", dtype=str)
    assert (manifest.groupby("patient")["split"].nunique() == 1).all()
    assert (manifest["split"] == "train").sum() == 30
    shares = manifest.groupby("split")["label"].value_counts().unstack()
    assert (shares["normal"] == shares["pneumonia"]).all()
    figures = json.loads(Path("run/metrics.json").read_text(encoding="utf-8"))
    assert figures["protocol"]["unit"] == "image"


# --- exit code 5: folders and files in the way


def test_an_output_that_is_not_empty_ends_with_5_and_is_left_alone(
    command_line: CommandLine, film_table: FilmTable
) -> None:
    Path("full").mkdir()
    Path("full/thesis.txt").write_text("years of work")
    refused(
        command_line(*fit_words(film_table.path, "--output", "full")), 5, "full: is not empty; give --output"
    )
    assert [path.name for path in Path("full").iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("command", ["test", "predict"])
def test_a_run_that_is_none_ends_with_5(
    command_line: CommandLine, film_table: FilmTable, command: str
) -> None:
    words = ["--images", film_table.folder] if command == "predict" else []
    outcome = command_line(command, "--run", "nowhere", *words)
    refused(outcome, 5, "nowhere: is no run folder or checkpoint; give a folder that `fit` wrote")


def test_a_checkpoint_of_something_else_ends_with_5(command_line: CommandLine, film_table: FilmTable) -> None:
    Path("other.pt").write_bytes(b"not a checkpoint")
    outcome = command_line("predict", "--run", "other.pt", "--images", film_table.folder)
    refused(outcome, 5, "other.pt: ")


# --- from a shell


@pytest.mark.parametrize(
    ("code", "said", "words"),
    [
        (2, "did you mean 'chest_xray'?", ["recipes", "show", "chest_xry"]),
        (3, "row 2: films/000-0.png is empty (0 bytes)", ["fit", "--recipe", "chest_xray", *SMALL]),
    ],
)
def test_a_shell_sees_the_same(
    film_table: FilmTable, tmp_path: Path, code: int, said: str, words: list[str]
) -> None:
    film_table.image(2).write_bytes(b"")
    source = ["--data.source", str(film_table.path)] if "fit" in words else []
    done = subprocess.run(
        [sys.executable, "-m", "rn50med", *words, *source],
        cwd=tmp_path, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == code
    assert said in done.stderr
    assert done.stderr.count("rn50med: ") == 1
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_debug_shows_where_an_error_comes_from(command_line: CommandLine) -> None:
    outcome = command_line("fit", "--recipe", "chest_xry", "--debug")
    assert outcome.code == 2
    assert "Traceback" in outcome.err
