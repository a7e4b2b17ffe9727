"""Sources: tables, folders and the phantom give the same kind of manifest."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from time import process_time

import numpy as np
import pandas as pd
import pytest
from conftest import FilmTable
from dicoms import write_dicom
from PIL import Image

from rn50med.data.faults import Faults
from rn50med.data.images import Files
from rn50med.data.manifest import Columns, Manifest, Step
from rn50med.data.sources import (
    FolderSource,
    Found,
    Place,
    Source,
    TableSource,
    kinds,
    list_images,
    open_source,
)
from rn50med.data.sources.phantom import PhantomImages
from rn50med.errors import DataError, RecipeError
from rn50med.tasks import Binary, MultiClass, Task

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
        ("labls.csv", r"no such table or folder; did you mean '.*labels\.csv'\?"),
        ("nowhere/labels.csv", "no such table or folder; give a"),
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


def test_a_condition_drops_rows_before_their_cells_are_checked(film_table: FilmTable) -> None:
    film_table.cells["site"] = ["a", "b"] * 24
    film_table.cells.loc[1::2, "label"] = "?"
    manifest = manifest_of(film_table.write(), where="site in (a, c)")
    assert len(manifest) == 24
    assert manifest.column("source_row") == [str(row) for row in range(2, 50, 2)]
    assert manifest.flow == (Step("left out by data.where: a condition on site", 24),)
    (finding,) = manifest.findings
    assert (finding.code, finding.severity) == ("where-value", "warning")
    assert finding.details == ("data.where asks for site 'c', which no row has",)


@pytest.mark.parametrize(
    ("where", "said"),
    [
        (
            "lable = normal",
            "labels.csv: data.where asks for a column 'lable'; did you mean 'label'? It has image",
        ),
        ("view = PA", "data.where asks for a column 'view'; it has image, patient_id, label."),
        (
            "label = Normal",
            "keeps none of its 48 images (asks for label 'Normal', which no row has; did you mean",
        ),
    ],
)
def test_a_condition_that_cannot_be_asked_or_met_is_said(
    film_table: FilmTable, where: str, said: str
) -> None:
    with pytest.raises(DataError) as caught:
        manifest_of(film_table.path, where=where)
    assert said in str(caught.value)


def test_the_flow_diagram_names_no_patient(film_table: FilmTable) -> None:
    manifest = manifest_of(film_table.path, where="patient_id != 0003")
    assert manifest.flow == (Step("left out by data.where: a condition on patient_id", 2),)


def test_a_folder_and_the_phantom_can_be_asked_for_a_part(tmp_path: Path) -> None:
    class_folders(tmp_path, "train/normal/1.png", "test/pneumonia/2.png")
    assert manifest_of(tmp_path, Columns(patient="image"), where="split = test").column("image") == [
        "test/pneumonia/2.png"
    ]
    assert set(manifest_of("phantom", where="split in (train, val)").column("split")) == {"train", "val"}


def test_a_keyword_is_asked_of_the_headers_of_a_tables_images(tmp_path: Path) -> None:
    for name, view in (("a.dcm", "PA"), ("b.dcm", "LL")):
        write_dicom(tmp_path / name, ViewPosition=view)
    class_folders(tmp_path, "c.png")
    write_dicom(tmp_path / "report.dcm", image=False)
    rows = "file,label,patient_id\na.dcm,normal,1\nb.dcm,pneumonia,2\nc.png,normal,3\nreport.dcm,normal,4\n"
    (tmp_path / "labels.csv").write_text(rows)
    manifest = manifest_of(tmp_path / "labels.csv", where="ViewPosition = PA")
    assert manifest.column("image") == ["a.dcm"]
    assert "ViewPosition" not in manifest.table


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n"


def test_a_condition_on_headers_keeps_what_has_none_to_be_told_of(tmp_path: Path) -> None:
    write_dicom(tmp_path / "a.dcm", ViewPosition="LL")
    for name, content in (("empty.dcm", b""), ("pointer.dcm", LFS), ("empty.png", b""), ("lfs.png", LFS)):
        (tmp_path / name).write_bytes(content)
    names = ["a.dcm", "nowhere.dcm", "empty.dcm", "pointer.dcm", "empty.png", "lfs.png", "gone.png"]
    rows = [f"{name},normal,{i},a\n{name}2,normal,{i},b\n" for i, name in enumerate(names)]
    (tmp_path / "labels.csv").write_text("file,label,patient_id,site\n" + "".join(rows))
    for where in ("site = a and ViewPosition = PA", "not (site = b or not ViewPosition in (PA, AP))"):
        manifest = manifest_of(tmp_path / "labels.csv", where=where)  # the site settles it for half of them
        assert manifest.column("image") == names[1:]


def test_a_condition_keeps_damaged_files_of_a_dicom_folder(tmp_path: Path) -> None:
    for name, view in (("normal/2.dcm", "PA"), ("pneumonia/3.dcm", "LL")):
        write_dicom(tmp_path / name, ViewPosition=view)
    (tmp_path / "normal" / "1.dcm").write_bytes(b"")
    manifest = manifest_of(tmp_path, Columns(patient="image"), where="ViewPosition = PA")
    assert manifest.column("image") == ["normal/1.dcm", "normal/2.dcm"]


@pytest.mark.parametrize(
    ("cells", "where", "said"),
    [
        (
            ["19990101", "20240131"],
            "it >= 2024",
            "compares dates with a number; write the day, such as 2024-01-01",
        ),
        (["1999-01-01"], "it >= 99", "compares dates with a number; write the day, such as 2024-01-31"),
        (["1,234", "99"], "it > 100", "numbers such as '1,234', which may mean 1234 or 1.234; write them"),
        (["1.5", "99"], "it > '1,000'", "numbers such as '1,000', which may mean 1000 or 1.000"),
        (["41", "065Y"], "it < '65 years'", "compares numbers or dates with text; write a number, a day"),
        (["41", "65"], "it < 2024-01-31", "compares a date with a column of numbers"),
        (["PA", "AP"], "it < 5", "compares a number with a column of text"),
    ],
)
def test_an_order_of_unlike_things_is_refused(
    tmp_path: Path, cells: Sequence[str], where: str, said: str
) -> None:
    rows = [f'{i}.png,normal,{i},"{cell}"' for i, cell in enumerate([*cells, ""])]
    (tmp_path / "labels.csv").write_text("\n".join(["image,label,patient_id,it", *rows]))
    with pytest.raises(RecipeError, match=f"^data.where: .*{re.escape(said)}"):
        manifest_of(tmp_path / "labels.csv", where=where)


def test_a_decimal_comma_is_known_by_the_other_cells(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text('image,label,patient_id,it\n1,normal,1,"1,234"\n2,normal,2,"2,5"\n')
    assert manifest_of(tmp_path / "labels.csv", where="it < 2").column("image") == ["1"]


def test_cells_without_an_order_are_counted(tmp_path: Path) -> None:
    ages = ["40Y", "065Y", "9M", "70", "n/a CANARY", "", "2024-01-31"]
    rows = [f"{i}.png,normal,{i},{age}" for i, age in enumerate(ages)]
    (tmp_path / "labels.csv").write_text("\n".join(["image,label,patient_id,PatientAge", *rows]))
    manifest = manifest_of(tmp_path / "labels.csv", where="PatientAge < 65Y")
    assert manifest.column("image") == ["0.png", "2.png"]
    (finding,) = manifest.findings
    assert (finding.code, finding.severity) == ("where-order", "warning")
    assert finding.message.startswith("2 of 7 cells of column 'PatientAge' have no order")
    assert "CANARY" not in str(finding)


def test_paths_written_on_windows_are_understood(film_table: FilmTable) -> None:
    film_table.cells["image"] = film_table.cells["image"].str.replace("/", "\\")
    manifest = manifest_of(film_table.write())
    assert manifest.read(manifest.column("image")[0]).image.values.shape == (64, 64)
    assert manifest.notes == ("backslashes in image paths are read as slashes",) or os.sep != "/"


def test_what_systems_leave_behind_is_no_image_and_the_rest_is_counted(tmp_path: Path) -> None:
    class_folders(tmp_path, "normal/1.png", "pneumonia/2.png", "normal/.hidden.png", ".cache/x.png")
    for name in ("Thumbs.db", "normal/.DS_Store", "normal/readme.txt", "labels.csv", "normal/empty"):
        (tmp_path / name).write_bytes(b"" if name.endswith("empty") else b"no image")
    (tmp_path / "__MACOSX" / "normal").mkdir(parents=True)
    (tmp_path / "__MACOSX" / "normal" / "1.png").write_bytes(b"no image")
    write_dicom(tmp_path / "normal" / "1.2.840.113619.2")
    manifest = manifest_of(tmp_path, Columns(patient="image"))
    assert manifest.column("image") == ["normal/1.2.840.113619.2", "normal/1.png", "pneumonia/2.png"]
    assert manifest.flow == (Step("files that are no images", 3),)


def test_every_readable_kind_of_image_is_found_in_a_folder(tmp_path: Path) -> None:
    names = [f"normal/{i}{suffix}" for i, suffix in enumerate(
        (".png", ".JPG", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".dcm", ".npy", ".nii", ".nii.gz")
    )]  # fmt: skip
    (tmp_path / "normal").mkdir()
    for name in names:
        (tmp_path / name).write_bytes(b"whatever")
    assert list_images(tmp_path).names == tuple(sorted(names))


@pytest.mark.skipif(not hasattr(os, "symlink") or os.name == "nt", reason="needs links")
def test_images_are_known_by_their_bytes_and_other_files_are_not(tmp_path: Path) -> None:
    image = Image.fromarray(np.zeros((4, 6), np.uint8))
    for name, kind in (("a.gif", "GIF"), ("b.jfif", "JPEG"), ("c", "PNG"), ("d.1", "BMP"), ("e.x", "TIFF")):
        image.save(tmp_path / name, kind)
    bare = write_dicom(tmp_path / "f").read_bytes()
    (tmp_path / "f").write_bytes(bare[132:])
    others = {
        "g.csv": b"BM,MM,II\n1,2,3\n", "h.txt": b"GIF, the format\n", "i.csv.gz": b"\x1f\x8b\x08\0", "j": b"",
        "k.json": b"{}", "l.zip": b"PK\x03\x04",
    }  # fmt: skip
    for name, content in others.items():
        (tmp_path / name).write_bytes(content)
    listing = list_images(tmp_path)
    assert listing.names == ("a.gif", "b.jfif", "c", "d.1", "e.x", "f")
    assert listing.others == len(others)


def test_a_folder_that_cannot_be_listed_is_named_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone: the folder cannot be listed \(.+\); check its name"):
        list_images(tmp_path / "gone")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="may list any folder")
def test_a_folder_without_access_is_not_passed_over(tmp_path: Path) -> None:
    class_folders(tmp_path, "normal/1.png", "pneumonia/2.png")
    (tmp_path / "normal").chmod(0)
    with pytest.raises(DataError, match=r"normal: the folder cannot be listed \(Permission denied\)"):
        list_images(tmp_path)
    (tmp_path / "normal").chmod(0o700)


def test_splits_above_class_folders_can_be_left_alone(tmp_path: Path) -> None:
    class_folders(tmp_path, "train/normal/1.png", "test/pneumonia/2.png")
    manifest = manifest_of(tmp_path, Columns(patient="image", split=None))
    assert manifest.column("split") == ["", ""]


def test_linked_folders_are_followed_once(tmp_path: Path) -> None:
    class_folders(tmp_path / "elsewhere", "1.png")
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "normal").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "loop").symlink_to(tmp_path / "study")
    assert list_images(tmp_path / "study").names == ("normal/1.png",)


def test_the_identity_of_a_film_knows_all_that_it_is_drawn_from() -> None:
    one, same, other = (manifest_of("phantom", seed=seed).images for seed in (0, 0, 1))
    assert isinstance(one, PhantomImages)
    names = list(one.films)
    assert len({one.identity(name) for name in names}) == len(names)
    assert one.identity(names[0]) == same.identity(names[0]) != other.identity(names[0])
    ill = next(name for name in names if one.shown[name][0])
    well = PhantomImages(0, one.films, {**one.shown, ill: ((), one.shown[ill][1])})
    assert well.identity(ill) != one.identity(ill)
    assert well.read(ill).content != one.read(ill).content


class BoxSource(Source):
    """As a plug-in's: images by number, and the classes in turns."""

    kind = "box"
    about = "the word box"

    @classmethod
    def opens(cls, place: Place) -> bool:
        return place.source == "box"

    @property
    def name(self) -> str:
        return "box"

    def find(self, task: Task, columns: Columns, faults: Faults) -> Found:
        table = pd.DataFrame({"film": ["1", "2"], "mrn": ["a", "b"], task.columns[0]: list(task.classes)})
        return Found(
            table.assign(source_row=["1", "2"]), Files(Path(), self.place.reader), Columns(image="film")
        )


def test_a_source_of_a_plugin_is_found_once_it_is_imported() -> None:
    manifest = manifest_of("box")
    assert (manifest.kind, manifest.column("patient")) == ("box", ["a", "b"])
    with pytest.raises(DataError, match="the word box"):
        open_source("bxo")


def test_every_file_of_the_package_is_asked_without_being_named() -> None:
    found = {kind.kind for kind in kinds()}
    assert {"table", "folder", "phantom", "medmnist", "dicom"} <= found
    assert all(kind.about for kind in kinds())


def test_a_hundred_thousand_rows_are_loaded_in_seconds(tmp_path: Path) -> None:
    rows = (f"films/{i:06d}.png,{i // 3:05d},{('normal', 'pneumonia')[i % 2]},train" for i in range(100_000))
    (tmp_path / "labels.csv").write_text("\n".join(["image,patient_id,label,split", *rows]))
    start = process_time()
    assert (
        len(manifest_of(tmp_path / "labels.csv", where="label != x and image != films/000000.png")) == 99_999
    )
    assert process_time() - start < 10  # 1 s on a core of its own
