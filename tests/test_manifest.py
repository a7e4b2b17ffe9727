"""The manifest: cells stay text, columns are found, and every fault of a table is told at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from time import process_time

import pandas as pd
import pytest

from rn50med.data.faults import MOST_SHOWN, Faults
from rn50med.data.images import Files
from rn50med.data.manifest import Columns, Manifest, standardise
from rn50med.data.readers import Reader
from rn50med.errors import DataError
from rn50med.tasks import Binary

TASK = Binary(negative="normal", positive="pneumonia")
NAMES = Columns()
GOOD = {"image": "a.png", "patient_id": "0012", "label": "normal"}


def frame(*rows: Mapping[str, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, dtype=str).assign(source_row=[str(line) for line in range(2, len(rows) + 2)])


def standard(
    *rows: Mapping[str, str], columns: Columns = NAMES, task: Binary = TASK
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    faults = Faults("labels.csv")
    found = standardise(frame(*rows), columns, task, faults)
    faults.raise_any()
    return found


def renamed(**names: str) -> dict[str, str]:
    return {names.get(name, name): cell for name, cell in GOOD.items()}


def fault_of(*rows: Mapping[str, str], columns: Columns = NAMES, task: Binary = TASK) -> str:
    with pytest.raises(DataError) as caught:
        standard(*rows, columns=columns, task=task)
    return str(caught.value)


@pytest.mark.parametrize("patient", ["0012", "NA", "nan", "1e5", "None", "00.10", "中村"])
def test_a_patient_stays_the_text_that_it_is(patient: str) -> None:
    table, _ = standard(GOOD | {"patient_id": patient})
    assert table["patient"].tolist() == [patient]


def test_other_columns_are_kept_as_they_are() -> None:
    table, _ = standard(GOOD | {"site": "007", "etiology": "NA"})
    assert table.loc[0, ["site", "etiology"]].tolist() == ["007", "NA"]
    assert table.columns[:4].tolist() == ["image", "patient", "split", "label"]


@pytest.mark.parametrize(
    ("role", "alias"),
    [
        *(("image", name) for name in ("path", "Path", "file", "FileName", "Image", "File Path")),
        *(("patient_id", name) for name in ("patient", "PatientID", "Patient ID", "MRN", "subject")),
    ],
)  # fmt: skip
def test_a_usual_name_of_a_column_is_recognised_and_noted(role: str, alias: str) -> None:
    table, notes = standard(renamed(**{role: alias}))
    assert (table.loc[0, "image"], table.loc[0, "patient"]) == ("a.png", "0012")
    assert notes == (f"column {alias!r} is taken for the {role.removesuffix('_id')}",)


@pytest.mark.parametrize("alias", ["study_id", "StudyInstanceUID", "Accession Number", "accession"])
def test_a_usual_name_of_the_study_is_recognised_kept_and_noted(alias: str) -> None:
    table, notes = standard(GOOD | {alias: "s1"})
    assert table["study"].tolist() == ["s1"]
    assert notes == (f"column {alias!r} is taken for the study",)


def test_a_study_column_can_be_named_and_may_be_absent() -> None:
    assert standard(GOOD | {"visit": "v1"}, columns=Columns(study="visit"))[0]["study"].tolist() == ["v1"]
    assert standard(GOOD | {"study": "s"})[1] == ()
    assert "study" not in standard(GOOD)[0]
    assert "no study column 'visit'" in fault_of(GOOD, columns=Columns(study="visit"))


def test_columns_that_have_their_own_names_need_no_note() -> None:
    assert standard(GOOD)[1] == ()


def test_a_label_column_is_never_taken_for_another_role() -> None:
    task = Binary(negative="normal", positive="pneumonia", column="set")
    table, notes = standard(renamed(label="set"), task=task)
    assert table["split"].tolist() == [""]
    assert notes == ()


def test_a_column_that_was_named_wins_over_an_alias() -> None:
    table, notes = standard(GOOD | {"mrn": "7"}, columns=Columns(patient="mrn"))
    assert table["patient"].tolist() == ["7"]
    assert notes == ()


@pytest.mark.parametrize("image", ["image", "path"])
def test_each_image_can_be_declared_a_patient_of_its_own(image: str) -> None:
    row = {image: "a.png", "label": "normal"}
    table, notes = standard(row, row | {image: "b.png"}, columns=Columns(patient="image"))
    manifest = Manifest("labels.csv", "table", table, Files(Path(), Reader()), notes=notes)
    assert manifest.patients_are_images
    assert "each image is taken for a patient of its own, as asked" in notes


def test_without_a_patient_column_the_sentence_to_write_is_given() -> None:
    said = fault_of({"image": "a.png", "label": "normal", "patient_no": "1"})
    assert "write --data.columns.patient image if each image is its own patient" in said
    assert "(such as --data.columns.patient patient_no)" in said
    assert said.endswith("it has the columns image, label, patient_no.")


@pytest.mark.parametrize(
    ("row", "columns", "expected"),
    [
        (renamed(label="lable"), Columns(), "no label column 'label'; did you mean 'lable'?"),
        (GOOD, Columns(image="images"), "no image column 'images'; did you mean 'image'?"),
        (renamed(image="film"), Columns(), "no image column 'image'; name it with --data.columns.image NAME"),
        (GOOD, Columns(split="part"), "no split column 'part'; name it with --data.columns.split NAME"),
    ],
)
def test_a_missing_column_is_named_with_the_nearest_and_all_that_are_there(
    row: Mapping[str, str], columns: Columns, expected: str
) -> None:
    said = fault_of(row, columns=columns)
    assert said.startswith("labels.csv: ")
    assert expected in said
    assert said.endswith(f"it has the columns {', '.join(row)}.")


def test_all_missing_columns_are_named_in_one_message() -> None:
    said = fault_of({"film": "a.png", "finding": "normal"})
    assert all(f"no {role} column" in said for role in ("image", "patient", "label"))


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ({"image": " "}, "empty cell for the image"),
        ({"patient_id": ""}, "empty cell for the patient"),
        ({"label": ""}, "empty cell in column 'label'; write one of normal, pneumonia"),
        ({"label": "pneumona"}, "unknown label 'pneumona' in column 'label'; nearest class 'pneumonia'"),
        ({"label": "Normal"}, "unknown label 'Normal' in column 'label'; nearest class 'normal'"),
        ({"label": "1"}, "unknown label '1' in column 'label'; classes are normal, pneumonia"),
        ({"split": "tset"}, "split 'tset'; write train, val or test"),
        ({"split": ""}, "empty cell in column 'split'; write train, val or test"),
        ({"image": "z.png"}, "image 'z.png' stands in row 2 too"),
    ],
)
def test_a_cell_that_cannot_be_used_is_named_with_its_row(cells: Mapping[str, str], expected: str) -> None:
    good = GOOD | {"split": "train"}
    said = fault_of(good | {"image": "z.png"}, good | cells)
    assert said.startswith(f"labels.csv: row 3: {expected}")
    assert "\n" not in said


def test_all_faults_are_told_in_the_order_of_their_rows() -> None:
    said = fault_of(
        GOOD | {"label": "x", "image": "1.png"},
        GOOD | {"patient_id": "", "image": "2.png"},
        GOOD | {"label": "", "image": "1.png"},
    )
    assert said.startswith("labels.csv: 4 faults; mend them and run again.\n")
    assert [line.split(":")[0].strip() for line in said.splitlines()[1:]] == [
        "row 2",
        "row 3",
        "row 4",
        "row 4",
    ]


def test_a_table_full_of_faults_gives_a_message_that_can_be_read() -> None:
    rows = [GOOD, *(GOOD | {"label": "x", "image": f"{i}.png"} for i in range(MOST_SHOWN + 100))]
    said = fault_of(*rows)
    assert len(said.splitlines()) == MOST_SHOWN + 2
    assert said.endswith("... and 100 more")


@pytest.mark.parametrize(
    ("words", "split"),
    [
        (("train", "Training", " TRAIN "), "train"),
        (("val", "valid", "Validation", "dev"), "val"),
        (("test", "Testing"), "test"),
    ],
)
def test_usual_words_for_splits_are_understood(words: Sequence[str], split: str) -> None:
    rows = [GOOD | {"image": f"{i}.png", "split": word} for i, word in enumerate(words)]
    assert set(standard(*rows)[0]["split"]) == {split}


def test_a_table_without_rows_is_refused() -> None:
    with pytest.raises(DataError, match=r"^labels.csv: has no rows; write one row per image\.$"):
        standardise(frame(GOOD).iloc[:0], Columns(), TASK, Faults("labels.csv"))


def test_the_digest_knows_bytes_and_splits_but_not_the_order_of_rows() -> None:
    table, _ = standard(GOOD, GOOD | {"image": "b.png"})
    manifest = Manifest("labels.csv", "table", table, Files(Path(), Reader()))
    turned = Manifest("other.csv", "table", table[::-1], manifest.images)
    digest = manifest.digest(["one", "two"])
    assert turned.digest(["two", "one"]) == digest
    assert manifest.digest(["two", "one"]) != digest
    assert manifest.with_splits(["train", "test"]).digest(["one", "two"]) != digest


def test_the_digest_knows_the_labels_that_it_is_given() -> None:
    table, _ = standard(GOOD, GOOD | {"image": "b.png"})
    manifest = Manifest("labels.csv", "table", table, Files(Path(), Reader()))
    other = Manifest("labels.csv", "table", table.assign(label=["pneumonia", "normal"]), manifest.images)
    assert manifest.digest(["1", "2"]) == other.digest(["1", "2"])
    assert manifest.digest(["1", "2"], ["label"]) != other.digest(["1", "2"], ["label"])
    turned = Manifest("labels.csv", "table", table[::-1], manifest.images)
    assert turned.digest(["2", "1"], ["label"]) == manifest.digest(["1", "2"], ["label"])


def test_a_column_named_like_the_split_that_holds_none_is_not_taken() -> None:
    row = GOOD | {"set": "left"}
    table, notes = standard(row)
    assert (table["split"].item(), table["set"].item()) == ("", "left")
    assert notes == ("column 'set' is not taken for the split, as it names none of train, val and test",)
    table, notes = standard(
        row | {"partition": "train"}, GOOD | {"image": "b", "set": "", "partition": "val"}
    )
    assert table["split"].tolist() == ["train", "val"]
    assert notes[0] == "column 'partition' is taken for the split"


def test_a_slip_in_a_column_taken_for_the_split_is_a_fault_that_says_how_to_switch_it_off() -> None:
    rows = GOOD | {"set": "train"}, GOOD | {"image": "b", "set": "tset"}
    said = "split 'tset'; write train, val or test, or --data.columns.split null if the column is no split"
    assert said in fault_of(*rows)
    assert standard(*rows, columns=Columns(split=None))[0]["split"].tolist() == ["", ""]
    table, _ = standard(GOOD | {"split": "second"}, columns=Columns(split=None))
    assert table["split"].item() == ""


TEN = (
    ("empty-cell", {"image": ""}, "empty cell for the image"),
    ("empty-cell", {"patient_id": " "}, "empty cell for the patient"),
    ("stray-blank", {"patient_id": "7 "}, "patient '7 ' has a stray blank"),
    ("empty-cell", {"label": ""}, "empty cell in column 'label'"),
    ("unknown-label", {"label": "pneumona"}, "unknown label 'pneumona' in column 'label'; nearest"),
    ("stray-blank", {"label": "normal "}, "unknown label 'normal ' in column 'label'; nearest class"),
    ("unknown-label", {"label": "1"}, "unknown label '1'"),
    ("unknown-split", {"split": "tset"}, "split 'tset'; write train, val or test"),
    ("empty-cell", {"split": ""}, "empty cell in column 'split'"),
    ("duplicate-row", {"image": "0.png"}, "image '0.png' stands in row 2 too"),
)  # fmt: skip


def test_ten_different_faults_are_one_message_each_with_its_row_and_code() -> None:
    good = GOOD | {"split": "train"}
    rows = [good | {"image": "0.png"}]
    rows += [good | {"image": f"{i}.png"} | cells for i, (_, cells, _) in enumerate(TEN, start=1)]
    faults = Faults("labels.csv")
    standardise(frame(*rows), NAMES, TASK, faults)
    assert [fault.code for fault in faults.found] == [code for code, _, _ in TEN]
    with pytest.raises(DataError) as caught:
        faults.raise_any()
    lines = str(caught.value).splitlines()
    assert lines[0] == "labels.csv: 10 faults; mend them and run again."
    for row, (line, (_, _, said)) in enumerate(zip(lines[1:], TEN, strict=True), start=3):
        assert line.strip().startswith(f"row {row}: {said}")


def test_labels_of_one_row_that_owns_many_images_are_told_once() -> None:
    rows = frame(*({**GOOD, "image": f"{i}.dcm", "label": "x"} for i in range(3))).assign(source_row="2")
    faults = Faults("labels.csv")
    standardise(rows, NAMES, TASK, faults)
    assert len(faults) == 1


def test_a_hundred_thousand_rows_are_checked_in_seconds() -> None:
    numbers = pd.Series(range(100_000)).astype(str)
    words = pd.DataFrame({
        "image": numbers + ".png", "patient_id": (numbers.astype(int) // 3).astype(str),
        "label": ["normal", "pneumonia"] * 50_000, "split": ["train", "val", "test", "train"] * 25_000,
        "source_row": numbers,
    })  # fmt: skip
    start = process_time()
    table, _ = standardise(words, NAMES, TASK, Faults("labels.csv"))
    assert len(table) == 100_000
    assert process_time() - start < 5  # 0.3 s on a core of its own
