"""The gate: everything that is wrong is told at once, and what is let through is written down."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import FilmTable, Outcome
from dicoms import write_dicom
from PIL import Image

from rn50med import Binary, ManifestDataModule, MultiLabel, Radiograph, Reader, SplitPlan
from rn50med.data.gate import ALLOWABLE
from rn50med.errors import DataError, RecipeError

TASK = Binary(negative="normal", positive="pneumonia")


def module_of(table: FilmTable | Path, **options: object) -> ManifestDataModule:
    path = table.path if isinstance(table, FilmTable) else table
    defaults = {"task": TASK, "transforms": Radiograph(size=32), "batch_size": 8, "num_workers": 0}
    return ManifestDataModule(str(path), **(defaults | options))  # type: ignore[arg-type]


def refusal(data: ManifestDataModule) -> str:
    with pytest.raises(DataError) as caught:
        _ = data.prepared
    return str(caught.value)


def codes(data: ManifestDataModule) -> dict[str, str]:
    return {finding["code"]: finding["severity"] for finding in data.inspection().audit["findings"]}


def test_ten_different_faults_are_told_in_one_message_and_nothing_is_trained(
    film_table: FilmTable, command_line: Callable[..., Outcome]
) -> None:
    film_table.split_by_patient()
    put = film_table.put
    put(2, "label", "Pneumonia ")  # a stray blank and case
    put(3, "label", "pnuemonia")  # a typo
    put(4, "label", "")
    put(5, "patient_id", "")
    put(6, "patient_id", " 0002")
    put(7, "split", "trian")
    put(8, "image", "films/gone.png")
    put(9, "image", film_table.cells.loc[8, "image"])  # the image of line 10, too
    for line, content in (
        (11, b""),
        (12, b"<html><body>log in</body></html>"),
        (13, b"\x89PNG\r\n\x1a\n..."),
    ):
        film_table.image(line).write_bytes(content)
    film_table.put(47, "split", "train" if film_table.cells.loc[45, "split"] != "train" else "test")
    outcome = command_line(
        "fit", "--recipe", "chest_xray", "--data.source", film_table.path, "--output", "run"
    )
    assert outcome.code == 3
    (said,) = outcome.messages
    lines = outcome.err[outcome.err.index(said) :].splitlines()
    expected = {
        2: "'Pneumonia '", 3: "nearest class 'pneumonia'", 4: "empty cell in column 'label'",
        5: "empty cell for the patient", 6: "' 0002' has a stray blank", 7: "write train, val or test",
        8: "gone.png is not there", 10: "stands in row 9 too", 11: "is empty", 12: "web page", 13: "",
    }  # fmt: skip
    for row, text in expected.items():
        assert any(line.strip().startswith(f"row {row}: ") and text in line for line in lines), (row, lines)
    assert any("is in splits" in line for line in lines), "the leak is told along with the rest"
    assert not Path("run").exists()


def test_images_that_cannot_be_read_are_left_out_where_that_is_asked_for(film_table: FilmTable) -> None:
    film_table.image(7).write_bytes(film_table.image(7).read_bytes()[:200])
    said = refusal(module_of(film_table))
    assert said.startswith(f"labels.csv: row 7: {film_table.cells.loc[5, 'image']} ")
    data = module_of(film_table, on_bad_image="skip")
    assert len(data.manifest) == len(data.prepared.images) == 47
    assert data.prepared.audit["flow"][-1]["images"] == 1
    assert "warning" in codes(data).values()
    kept = data.manifest.column("image")
    assert film_table.cells.loc[5, "image"] not in kept
    fresh = module_of(film_table, on_bad_image="skip", cache="none")
    assert np.array_equal(data.prepared.images.gather(range(47)), fresh.prepared.images.gather(range(47)))


def test_too_many_bad_images_stop_all_the_same(film_table: FilmTable) -> None:
    for line in range(2, 7):
        film_table.image(line).write_bytes(b"")
    assert "5 faults" in refusal(module_of(film_table, on_bad_image="skip"))
    assert len(module_of(film_table, on_bad_image="skip", most_bad_images=0.2).manifest) == 43


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"most_bad_images": 1.5}, "data.most_bad_images: is 1.5"),
        ({"allow": ("burned_in",)}, "no code named 'burned_in'; did you mean 'burned-in'"),
        ({"allow": ("truncated",)}, "What can be allowed: burned-in, conflicting-labels"),
    ],
)
def test_what_cannot_be_asked_of_the_gate_is_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        module_of(Path("labels.csv"), **options)


def test_one_image_with_two_labels_is_refused_unless_that_is_allowed(film_table: FilmTable) -> None:
    shutil.copy(film_table.image(2), film_table.image(4))  # normal and pneumonia
    said = refusal(module_of(film_table))
    assert "are one image, labelled 'normal' and 'pneumonia'" in said
    data = module_of(film_table, allow=("conflicting-labels",))
    assert len(data.prepared.images) == 48
    (message,) = (
        finding["message"]
        for finding in data.prepared.audit["findings"]
        if finding["code"] == "conflicting-labels"
    )
    assert message.endswith("This was allowed.")
    assert data.prepared.audit["allowed"] == ["conflicting-labels"]


def test_equal_pixels_in_files_of_other_bytes_keep_patients_together(film_table: FilmTable) -> None:
    pixels = Image.open(film_table.image(2))
    pixels.save(film_table.image(6).with_suffix(".bmp"))
    film_table.put(6, "image", str(Path(film_table.cells.loc[4, "image"]).with_suffix(".bmp")))
    data = module_of(film_table)
    split = data.manifest.table.set_index("patient")["split"]
    assert len({*split.loc[["0000", "0002"]]}) == 1
    assert codes(data)["identical-pixels"] == "warning"


def test_a_run_can_be_held_to_the_splits_of_an_earlier_one(film_table: FilmTable, tmp_path: Path) -> None:
    from rn50med.training.folder import write_split_file

    first = module_of(film_table, seed=1)
    write_split_file(tmp_path, first)
    held = module_of(film_table, seed=2, split_file=str(tmp_path / "splits.json"))
    assert held.manifest.column("split") == first.manifest.column("split")
    assert held.manifest.column("split") != module_of(film_table, seed=2).manifest.column("split")
    assert "Held to a file of splits" in held.prepared.audit["split_origin"]
    film_table.cells = film_table.cells.iloc[2:]
    film_table.write()
    said = refusal(module_of(film_table, split_file=str(tmp_path / "splits.json")))
    assert "2 of the 48 images" in said


def test_a_column_of_the_table_can_be_the_split(film_table: FilmTable) -> None:
    sites = ["Bern", "Basel", "Genf"]
    film_table.cells["site"] = [sites[int(p) // 2 % 3] for p in film_table.cells["patient_id"]]
    film_table.write()
    data = module_of(film_table, splits=SplitPlan(by="site", test=("Genf",)))
    table = data.manifest.table
    assert set(table.loc[table["site"] == "Genf", "split"]) == {"test"}
    assert set(table.loc[table["site"] != "Genf", "split"]) == {"train", "val"}
    film_table.put(2, "site", "Genf")
    assert "patient '0000' is in splits" in refusal(
        module_of(film_table, splits=SplitPlan(by="site", test=("Genf",)))
    )


def test_several_labels_pass_the_gate_with_their_unknown_cells_counted(film_table: FilmTable) -> None:
    chance = np.random.default_rng(0)
    for label in ("edema", "mass"):
        film_table.cells[label] = chance.choice(["0", "1", "", "-1"], 48, p=[0.5, 0.4, 0.05, 0.05])
    film_table.write()
    data = module_of(film_table, task=MultiLabel(("edema", "mass")))
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    assert batch["target"].shape == (8, 2)
    counted = sum(
        data.prepared.audit["splits"][split]["labels"]["edema"]["unknown"]
        for split in ("train", "val", "test")
    )
    assert counted == film_table.cells["edema"].isin(["", "-1"]).sum()


def test_a_radiograph_of_a_dicom_file_equals_its_png(film_table: FilmTable) -> None:
    pixels = np.asarray(Image.open(film_table.image(2)))
    plain = module_of(film_table).prepared.images.one(0)
    name = str(Path(film_table.cells.loc[0, "image"]).with_suffix(".dcm"))
    stored = {"Rows": 64, "Columns": 64, "PixelData": (pixels.astype(np.uint16) * 16).tobytes()}
    write_dicom(film_table.folder / name, Modality="DX", **stored)
    film_table.put(2, "image", name)
    data = module_of(film_table, reader=Reader(voi="none"))
    converted = data.prepared.images.one(0)
    assert converted.dtype == np.uint16
    assert np.abs(converted / 65535 - plain * (16 * 255 / 4095) / 255).max() < 1 / 255
    data.setup("fit")
    assert set(data.contract.kinds) <= {"DICOM DX", "picture"}


def test_every_code_that_can_be_allowed_is_one_that_stops() -> None:
    assert {"patient-leak", "burned-in", "conflicting-labels"} <= ALLOWABLE
    assert "truncated" not in ALLOWABLE


def test_a_cell_that_says_nothing_of_a_row_that_is_left_out_stops_nobody(film_table: FilmTable) -> None:
    film_table.cells["view"] = ["PA"] * 40 + ["LL"] * 8
    film_table.cells.loc[45, "label"] = "what?"
    film_table.write()
    assert "unknown label 'what?'" in refusal(module_of(film_table))
    data = module_of(film_table, where="view in (PA, AP)")
    assert len(data.manifest) == 40
    assert [step["images"] for step in data.prepared.audit["flow"]] == [8]
    assert isinstance(data.manifest.table, pd.DataFrame)


def test_pictures_stay_with_their_rows_where_some_cannot_be_read(film_table: FilmTable) -> None:
    film_table.image(4).write_bytes(b"")
    found = module_of(film_table).inspection()
    whole = module_of(film_table, on_bad_image="skip").inspection()
    assert found.seen[2] is None
    for position in (0, 1, 3, 47):
        expected = whole.images.one(position - (position > 2))
        assert np.array_equal(found.picture(position), expected)


def test_copies_whose_labels_nobody_ruled_on_do_not_contradict(film_table: FilmTable) -> None:
    film_table.cells["edema"] = ["1", "0"] * 24
    film_table.write()
    shutil.copy(film_table.image(2), film_table.image(3))
    film_table.put(2, "edema", "-1")
    task = MultiLabel(("edema",), unknown="positive")
    assert "conflicting-labels" not in codes(module_of(film_table, task=task))
