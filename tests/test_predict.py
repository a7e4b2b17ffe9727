"""Predictions of images without labels: a row for each, and a broken one spoils no other."""

from __future__ import annotations

import io
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import FilmTable, Outcome
from dicoms import write_dicom
from PIL import Image

from rn50med.data.transforms import Radiograph
from rn50med.deployment.items import find_images
from rn50med.deployment.predict import BATCH, predict
from rn50med.errors import DataError, StorageError
from rn50med.tasks import Binary
from rn50med.training.module import FineTuneModule

CommandLine = Callable[..., Outcome]
TASK = Binary(negative="normal", positive="pneumonia")
COLUMNS = ["image", "patient", "prob_pneumonia", "logit_pneumonia", "call", "status", "error"]


@pytest.fixture
def films(film_table: FilmTable) -> FilmTable:
    """Ten films and a table of them."""
    film_table.cells = film_table.cells.iloc[:10]
    film_table.write()
    for path in sorted((film_table.folder / "films").iterdir())[10:]:
        path.unlink()
    return film_table


def by_name(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(image=[Path(name).name for name in frame["image"]]).set_index("image").sort_index()


def test_a_folder_gives_a_row_for_each_image_as_the_network_sees_it(
    checkpoint: Path, films: FilmTable
) -> None:
    frame = predict(checkpoint.parent.parent, films.folder / "films")
    assert frame.columns.tolist() == COLUMNS
    assert (frame["status"] == "ok").all()
    assert (frame["error"] == "").all()
    module = FineTuneModule.load_from_checkpoint(checkpoint)
    transforms = Radiograph(size=32)
    from rn50med.data.pixels import read_image

    images = torch.stack([transforms.eval(transforms.prepare(read_image(Path(p)))) for p in frame["image"]])
    with torch.inference_mode():
        logits = module(images).double().numpy()
    assert np.allclose(frame["logit_pneumonia"], logits[:, 0], atol=1e-5)
    scaled = module.task.stored_probabilities(logits, module.temperature)[:, 0]
    assert np.allclose(frame["prob_pneumonia"], scaled, atol=1e-6)
    threshold = module.operating_point.threshold
    assert (
        frame["call"].tolist()
        == np.where(frame["prob_pneumonia"] >= threshold, "pneumonia", "normal").tolist()
    )


def test_a_table_names_images_and_patients(checkpoint: Path, films: FilmTable) -> None:
    films.cells = films.cells[["patient_id", "image"]].rename(columns={"image": "path"})
    films.write()
    frame = predict(checkpoint, films.path)
    assert frame["image"].tolist() == films.cells["path"].tolist()
    assert frame["patient"].tolist() == films.cells["patient_id"].tolist()
    folder = predict(checkpoint, films.folder / "films")
    assert np.allclose(by_name(frame)["logit_pneumonia"], by_name(folder)["logit_pneumonia"], atol=1e-6)


def test_headers_of_dicom_files_say_whose_they_are_and_no_log_names_a_patient(
    checkpoint: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    owners = {"a": "Muster^4711", "b": "Muster^4711", "c": "Meier^12"}
    for number, (name, patient) in enumerate(owners.items()):
        write_dicom(tmp_path / "tree" / name, seed=number, PatientID=patient, StudyInstanceUID="1.2.3")
    write_dicom(tmp_path / "tree" / "d", seed=3)  # does not say
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "tree" / "e.png")
    module = FineTuneModule.load_from_checkpoint(checkpoint)
    assert module.unit.of == "patient"
    with caplog.at_level(logging.INFO):
        frame = predict(checkpoint, tmp_path / "tree")
    assert frame["status"].eq("ok").all()
    assert frame["patient"].tolist() == [*owners.values(), "", ""]
    probability = frame["prob_pneumonia"].to_numpy()
    together = [probability[:2].mean()] * 2 + probability[2:].tolist()
    threshold = module.operating_point.threshold
    assert frame["call"].tolist() == [("normal", "pneumonia")[int(p >= threshold)] for p in together]
    assert "predict: 5 images of 4 patients, each with one call" in caplog.messages
    assert "2 of 5 images have no patient and are called alone" in caplog.text
    assert "Muster" not in caplog.text
    assert "Meier" not in caplog.text


def test_a_table_says_whose_dicom_files_are_or_nobody_does(tmp_path: Path) -> None:
    write_dicom(tmp_path / "a.dcm", PatientID="header", StudyInstanceUID="1.2.3")
    (tmp_path / "some.csv").write_text("image,patient_id\na.dcm,table\n")
    (tmp_path / "none.csv").write_text("image\na.dcm\n")
    places = [tmp_path / "some.csv", tmp_path / "none.csv", tmp_path / "a.dcm"]
    found = find_images(places)
    assert [(item.patient, item.study) for item in found] == [("table", ""), ("", ""), ("header", "1.2.3")]


def test_files_folders_and_tables_can_be_mixed(films: FilmTable) -> None:
    items = find_images([films.image(2), films.path, films.folder / "films"])
    assert len(items) == 21
    assert [item.patient for item in items[:2]] == ["", "0000"]


def test_more_images_than_a_batch_are_all_predicted_and_alike(checkpoint: Path, films: FilmTable) -> None:
    copies = films.folder / "copies"
    copies.mkdir()
    for number in range(BATCH + 3):
        shutil.copy(films.image(2 + number % 2), copies / f"{number:03d}.png")
    frame = predict(checkpoint, copies)
    assert len(frame) == BATCH + 3
    for first in (0, 1):
        assert np.ptp(frame["logit_pneumonia"][first::2]) < 1e-5


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("nowhere", "there is no such file or folder; mend the path after --images"),
        ("empty", "holds no images; give another folder"),
        ("table.csv", "no image column 'image'"),
    ],
)
def test_a_place_without_images_is_refused(tmp_path: Path, place: str, said: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "table.csv").write_text("film,patient_id\na.png,1\n")
    with pytest.raises(DataError, match=said):
        find_images([tmp_path / place])
    with pytest.raises(DataError, match="no images were given"):
        find_images([])


def test_a_checkpoint_that_does_not_know_its_images_is_refused(
    checkpoint: Path, films: FilmTable, tmp_path: Path
) -> None:
    content = torch.load(checkpoint, weights_only=True)
    content["rn50med"]["preprocessing"] = None
    torch.save(content, tmp_path / "own.ckpt")
    with pytest.raises(StorageError, match="does not say how images are prepared"):
        predict(tmp_path / "own.ckpt", films.folder)


def test_one_broken_file_is_a_row_with_its_error_and_the_others_are_predicted(
    command_line: CommandLine, checkpoint: Path, films: FilmTable
) -> None:
    whole = by_name(predict(checkpoint, films.folder / "films"))
    films.image(4).write_bytes(b"")
    outcome = command_line(
        "predict", "--run", checkpoint, "--images", films.folder / "films", "--output", "out.csv"
    )
    assert outcome.code == 3
    assert len(outcome.messages) == 1
    assert "1 of 10 images could not be read" in outcome.messages[0]
    assert "001-0.png (is empty (0 bytes); copy the file again)" in outcome.messages[0]
    assert "Traceback" not in outcome.err
    frame = by_name(pd.read_csv("out.csv", dtype={"patient": str}, keep_default_na=False))
    assert frame["status"].value_counts().to_dict() == {"ok": 9, "error": 1}
    broken = frame.loc["001-0.png"]
    assert (broken["prob_pneumonia"], broken["call"]) == ("", "")
    assert broken["error"].startswith("is empty (0 bytes)")
    good = frame[frame["status"] == "ok"]
    said = good["logit_pneumonia"].astype(float)
    assert np.allclose(said, whole.loc[good.index, "logit_pneumonia"], atol=1e-5)


def test_without_an_output_the_rows_are_standard_output_alone(
    command_line: CommandLine, checkpoint: Path, films: FilmTable
) -> None:
    outcome = command_line("predict", "--run", checkpoint, "--images", films.path)
    assert outcome.code == 0
    frame = pd.read_csv(io.StringIO(outcome.out), dtype=str, keep_default_na=False)
    assert frame.columns.tolist() == COLUMNS
    assert frame["patient"].tolist() == films.cells["patient_id"].tolist()


def test_an_output_that_is_there_already_ends_with_5_and_is_left_alone(
    command_line: CommandLine, checkpoint: Path, films: FilmTable
) -> None:
    Path("out.csv").write_text("precious")
    outcome = command_line("predict", "--run", checkpoint, "--images", films.folder, "--output", "out.csv")
    assert outcome.code == 5
    assert outcome.messages == ["rn50med: --output out.csv: is there already; give a new file."]
    assert Path("out.csv").read_text() == "precious"


@pytest.mark.parametrize(
    ("output", "code", "said"),
    [
        ("out.xlsx", 2, "is no .csv or .parquet file; name one"),
        ("nowhere/out.csv", 5, "there is no folder 'nowhere'; make it first"),
    ],
)
def test_an_output_that_cannot_be_written_is_refused_before_anything_is_read(
    command_line: CommandLine, output: str, code: int, said: str
) -> None:
    outcome = command_line("predict", "--run", "nowhere", "--images", "nowhere", "--output", output)
    assert outcome.code == code
    assert said in outcome.messages[0]


def test_a_trusted_module_of_the_working_folder_is_imported(command_line: CommandLine) -> None:
    Path("own_parts_of_a_user.py").write_text("LOADED = True\n")
    words = ["--run", "nowhere", "--images", "nowhere", "--trust"]
    assert "is no run folder" in command_line("predict", *words, "own_parts_of_a_user").messages[0]
    outcome = command_line("predict", *words, "no_parts_of_a_user")
    assert outcome.code == 2
    assert "cannot be imported" in outcome.messages[0]


def test_a_table_is_read_as_the_one_that_trained(
    checkpoint: Path, tmp_path: Path, command_line: Callable[..., Outcome]
) -> None:
    """Its paths from a system of another kind, relative to a root, in columns of other names."""
    films = tmp_path / "films" / "a"
    films.mkdir(parents=True)
    Image.fromarray(np.full((40, 40), 99, np.uint8)).save(films / "1.png")
    table = tmp_path / "tables" / "new.csv"
    table.parent.mkdir()
    table.write_text("photo,who\na\\1.png,0012\n")
    said = command_line(
        "predict", "--run", checkpoint, "--images", table, "--data.root", tmp_path / "films",
        "--data.columns.image", "photo", "--data.columns.patient", "who",
    )  # fmt: skip
    assert said.code == 0, said.err
    assert said.out.splitlines()[1].startswith("a/1.png,0012,")
    lost = command_line("predict", "--run", checkpoint, "--images", table, "--data.columns.image", "photo",
                        "--data.root", tmp_path / "gone")  # fmt: skip
    assert lost.code == 3
    assert "no such folder; give the folder of the images with --data.root" in lost.err


def test_one_image_gives_one_prediction_however_it_is_saved(checkpoint: Path, tmp_path: Path) -> None:
    grey = np.random.default_rng(0).integers(0, 256, (60, 44), dtype=np.uint8)
    film = Image.fromarray(grey)
    turned = Image.Exif()
    turned[0x0112] = 6  # shown after a quarter turn to the right
    forms: dict[str, tuple[Image.Image, dict[str, object]]] = {
        "L.png": (film, {}),
        "16.png": (Image.fromarray(grey.astype(np.uint16) * 257), {}),
        "RGB.png": (film.convert("RGB"), {}),
        "RGBA.png": (film.convert("RGBA"), {}),
        "LA.png": (film.convert("LA"), {}),
        "P.png": (film.convert("P"), {}),
        "CMYK.tif": (film.convert("RGB").convert("CMYK"), {}),
        "L.tif": (film, {}),
        "float.tif": (Image.fromarray(grey.astype(np.float32) / 255), {}),
        "L.bmp": (film, {}),
        "L.webp": (film.convert("RGB"), {"lossless": True}),
        "turned.png": (film.transpose(Image.Transpose.ROTATE_90), {"exif": turned}),
    }
    for name, (image, options) in forms.items():
        image.save(tmp_path / name, **options)
    frame = predict(checkpoint, [tmp_path / name for name in forms])
    assert (frame["status"] == "ok").all(), frame[["image", "error"]]
    probability = frame["prob_pneumonia"].to_numpy()
    assert np.abs(probability - probability[0]).max() < 1e-3
