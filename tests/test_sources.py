"""Sources: tables, folders and the phantom give the same kind of manifest."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from conftest import FilmTable
from PIL import Image

from rn50med.data.faults import Faults
from rn50med.data.manifest import Columns, Manifest
from rn50med.data.sources import FolderSource, Found, Place, Source, TableSource, kinds, open_source
from rn50med.errors import DataError
from rn50med.tasks import Binary, MultiClass

TASK = Binary(negative="normal", positive="pneumonia")
NAMES = Columns()
def manifest_of(place: Path | str, columns: Columns = NAMES, **options: object) -> Manifest:
    faults = Faults(Path(place).name)
    manifest = open_source(str(place), **options).manifest(TASK, columns, faults)  # type: ignore[arg-type]
    faults.raise_any()
    return manifest


def class_folders(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((4, 6), np.uint8)).save(folder / name)
    return folder


def test_images_are_found_beside_the_table_or_below_the_root(film_table: FilmTable, tmp_path: Path) -> None:
    beside = manifest_of(film_table.path)
    moved = tmp_path / "elsewhere.csv"
    film_table.path.rename(moved)
    below = manifest_of(moved, root=str(film_table.folder))
    name = beside.column("image")[0]
    reading = below.read(name)
    assert reading.image.values.shape == (64, 64)
    assert reading.content == hashlib.sha256((film_table.folder / name).read_bytes()).hexdigest()
    absolute = manifest_of(moved, root=str(film_table.folder)).read(str(film_table.folder / name))
    assert np.array_equal(absolute.image.values, reading.image.values)


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("labls.csv", r"no such file, folder or word; did you mean '.*labels\.csv'\?"),
        ("nowhere/labels.csv", "no such file, folder or word; give a"),
        ("phantm", "the word phantom"),
        ("films/000-0.png", r"is no table or other source; give a \.csv"),
    ],
)
def test_a_source_that_is_not_there_is_named_with_its_neighbour(
    film_table: FilmTable, place: str, said: str
) -> None:
    with pytest.raises(DataError, match=said):
        open_source(str(film_table.folder / place))


def test_a_root_that_is_not_there_is_named(film_table: FilmTable) -> None:
    with pytest.raises(DataError, match=r"no such folder; give the folder of the images with --data\.root"):
        manifest_of(film_table.path, root=str(film_table.folder / "nowhere"))


def test_a_folder_of_class_folders_is_a_source(tmp_path: Path) -> None:
    class_folders(tmp_path, "normal/1.png", "pneumonia/deep/2.JPG", "pneumonia/3.jpeg")
    (tmp_path / "normal" / "notes.txt").write_text("no image")
    manifest = manifest_of(tmp_path, Columns(patient="image"))
    assert manifest.column("image") == ["normal/1.png", "pneumonia/3.jpeg", "pneumonia/deep/2.JPG"]
    assert manifest.column("label") == ["normal", "pneumonia", "pneumonia"]
    assert manifest.column("split") == [""] * 3
    assert isinstance(open_source(str(tmp_path)), FolderSource)


def test_splits_above_the_class_folders_are_taken(tmp_path: Path) -> None:
    class_folders(tmp_path, "Train/normal/1.png", "val/pneumonia/2.png", "test/normal/1.png")
    manifest = manifest_of(tmp_path, Columns(patient="image"))
    assert sorted(zip(manifest.column("split"), manifest.column("label"), strict=True)) == [
        ("test", "normal"), ("train", "normal"), ("val", "pneumonia"),
    ]  # fmt: skip


def test_names_of_a_tables_columns_do_not_hinder_a_folder(tmp_path: Path) -> None:
    class_folders(tmp_path, "normal/1.png")
    assert len(manifest_of(tmp_path, Columns(image="path", patient="image", split="part"))) == 1


def test_a_folder_does_not_guess_who_the_patients_are(tmp_path: Path) -> None:
    class_folders(tmp_path, "normal/1.png")
    with pytest.raises(DataError, match=r"--data\.columns\.patient image says that each image") as caught:
        manifest_of(tmp_path)


    assert "column" not in str(caught.value).replace("--data.columns", "")


def test_an_unknown_class_folder_is_named_with_the_nearest_class(tmp_path: Path) -> None:
    class_folders(tmp_path, "normal/1.png", "Pneumonia/2.png")
    with pytest.raises(DataError, match=r"unknown label 'Pneumonia' .*nearest class 'pneumonia'"):
        manifest_of(tmp_path, Columns(patient="image"))


def test_images_outside_of_class_folders_are_refused(tmp_path: Path) -> None:
    class_folders(tmp_path, "1.png", "2.png")
    with pytest.raises(
        DataError, match=r"2 images lie in no class folder, such as 1\.png; put them into folders"
    ):
        manifest_of(tmp_path, Columns(patient="image"))


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no images; give a folder of class folders"):
        manifest_of(tmp_path)


def test_the_phantom_says_that_it_is_synthetic_and_depends_on_the_seed() -> None:
    one, again, other = (
        open_source("phantom", seed=seed).manifest(TASK, Columns(), Faults("phantom")) for seed in (0, 0, 1)
    )
    assert one.synthetic
    assert one.table.equals(again.table)
    name = one.column("image")[0]
    assert one.read(name).content == again.read(name).content != other.read(other.column("image")[0]).content
    patients = {(row["patient"], row["split"]) for row in one.rows()}
    assert len(patients) == len({patient for patient, _ in patients})


@pytest.mark.parametrize("task", [TASK, MultiClass(names=("a", "b", "c"), column="finding")])
def test_the_phantom_shows_the_classes_of_the_task_in_equal_shares(task: Binary | MultiClass) -> None:
    manifest = open_source("phantom").manifest(task, Columns(), Faults("phantom"))
    of = {row["patient"]: task.stratum(row) for row in manifest.rows()}
    shares = [list(of.values()).count(name) / len(of) for name in task.classes]
    assert shares == pytest.approx([1 / len(shares)] * len(shares), abs=0.02)


def test_a_table_is_opened_as_a_table(film_table: FilmTable) -> None:
    source = open_source(str(film_table.path))
    assert isinstance(source, TableSource)
    assert manifest_of(film_table.path).column("patient")[0] == "0000"
