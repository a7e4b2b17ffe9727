"""A table of labels and a tree of DICOM files become one manifest, and what does not fit is told."""

from __future__ import annotations

from pathlib import Path

import openpyxl
import pytest
from dicoms import write_dicom
from PIL import Image

from rn50med.data.faults import Faults
from rn50med.data.manifest import Columns, Manifest, Step
from rn50med.data.sources import open_source
from rn50med.data.sources.headers import read_headers
from rn50med.errors import DataError, RecipeError
from rn50med.tasks import Binary

TASK = Binary(negative="normal", positive="pneumonia")
NAMES = Columns()
LABELS = "AccessionNumber,label\n0012,normal\nA2,pneumonia\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two studies of two patients: three images, a report, and a file that is no DICOM."""
    root = tmp_path / "dicom"
    one = {"AccessionNumber": "0012", "PatientID": "p1", "StudyInstanceUID": "1.2.3", "PatientName": "CANARY"}
    two = {"AccessionNumber": "A2", "PatientID": "0007", "StudyInstanceUID": "1.2.4", "Modality": "DX"}
    write_dicom(root / "p1" / "1.2.840.10008.1", seed=1, ViewPosition="PA", **one)
    write_dicom(root / "p1" / "IM2.dcm", seed=2, ViewPosition="LL", PatientAge="041Y", **one)
    write_dicom(root / "p2" / "IM3", seed=3, ViewPosition="AP", **two)
    write_dicom(root / "p2" / "report.dcm", image=False, **two)
    (root / "notes.txt").write_text("no image")
    (root / ".DS_Store").write_bytes(b"\0\0\0\1")
    return root


def opened(
    table: str | Path, root: Path, join: str | None = "AccessionNumber", columns: Columns = NAMES, **more: str
) -> tuple[Manifest, Faults]:
    path = table if isinstance(table, Path) else root.parent / "labels.csv"
    if isinstance(table, str):
        path.write_text(table)
    faults = Faults(path.name)
    return open_source(str(path), str(root), join=join, **more).manifest(TASK, columns, faults), faults


def joined(
    table: str | Path, root: Path, join: str = "AccessionNumber", columns: Columns = NAMES, **more: str
) -> Manifest:
    manifest, faults = opened(table, root, join, columns, **more)
    faults.raise_any()
    return manifest


def test_one_row_owns_all_images_of_its_study(tree: Path) -> None:
    manifest = joined(LABELS, tree)
    assert manifest.column("image") == ["p1/1.2.840.10008.1", "p1/IM2.dcm", "p2/IM3"]
    assert manifest.column("label") == ["normal", "normal", "pneumonia"]
    assert manifest.column("source_row") == ["2", "2", "3"]
    assert manifest.column("patient") == ["p1", "p1", "0007"]
    assert manifest.column("study") == ["1.2.3", "1.2.3", "1.2.4"]
    assert manifest.read("p2/IM3").image.values.shape == (6, 4)


def test_what_headers_say_becomes_columns_without_names_of_people(tree: Path) -> None:
    table = joined(LABELS, tree).table
    assert table["ViewPosition"].tolist() == ["PA", "LL", "AP"]
    assert table["Modality"].tolist() == ["", "", "DX"]
    assert table["PatientAge"].tolist() == ["", "041Y", ""]
    assert "ImageLaterality" not in table  # nobody says it
    assert "CANARY" not in table.to_csv()


def test_a_table_that_knows_the_patient_is_believed(tree: Path) -> None:
    manifest = joined(
        LABELS.replace("label", "mrn,label").replace("012,", "012,x,").replace("A2,", "A2,y,"), tree
    )
    assert manifest.column("patient") == ["x", "x", "y"]


def test_patient_and_study_can_be_any_keyword_and_each_image_its_own_patient(tree: Path) -> None:
    write_dicom(tree / "p3" / "x.dcm", AccessionNumber="B3", IssuerOfPatientID="o3", StudyID="s3")
    table = "AccessionNumber,label\nB3,normal\n"
    manifest = joined(table, tree, columns=Columns(patient="IssuerOfPatientID", study="StudyID"))
    assert (manifest.column("patient"), manifest.column("study")) == (["o3"], ["s3"])
    own = joined(LABELS, tree, columns=Columns(image="path", patient="image"))
    assert own.patients_are_images
    with pytest.raises(DataError, match="no patient column 'person'"):
        joined(LABELS, tree, columns=Columns(patient="person"))


def test_numbers_of_a_spreadsheet_are_joined_as_text(tree: Path) -> None:
    book = openpyxl.Workbook()
    for row in (["Accession Number", "label"], ["0012", "normal"], [77, "pneumonia"]):
        book.active.append(row)
    book.save(tree.parent / "labels.xlsx")
    write_dicom(tree / "p3" / "x.dcm", AccessionNumber="77 ", PatientID="p3")
    manifest = joined(tree.parent / "labels.xlsx", tree)
    assert manifest.column("label") == ["normal", "normal", "pneumonia"]


def test_what_has_no_counterpart_is_counted_and_listed(tree: Path) -> None:
    manifest = joined(LABELS.replace("A2", "12") + "\nB9,normal\n", tree)
    assert manifest.flow == (
        Step("files that are no DICOM images", 2), Step("images without a row in the table", 1),
    )  # fmt: skip
    strange, alone = manifest.findings
    assert (strange.code, strange.severity, strange.details) == ("image-without-row", "warning", ("p2/IM3",))
    assert "p2" not in strange.message
    assert (alone.code, alone.rows) == ("row-without-image", (3, 5))
    assert alone.message == "2 of 3 rows have no image: row 3, row 5."


def test_keys_that_lost_their_zeros_are_guessed(tree: Path) -> None:
    (alone,) = joined(LABELS.replace("0012", "12"), tree).findings[1:]
    assert "1 would have one but for leading zeros: format that column as text" in alone.remedy


def test_two_rows_for_one_key_stop_with_both_numbers(tree: Path) -> None:
    _, faults = opened(LABELS + "A2 ,normal\n,normal\n", tree)
    assert [(fault.code, fault.row) for fault in faults.found] == [("duplicate-key", 4), ("empty-cell", 5)]
    assert str(faults.found[0]) == "row 4: AccessionNumber 'A2' stands in row 3 too; keep one of the rows"


def test_a_wrong_label_of_many_images_is_one_fault(tree: Path) -> None:
    _, faults = opened(LABELS.replace("normal", "norml"), tree)
    assert [(fault.code, fault.row) for fault in faults.found] == [("unknown-label", 2)]


def test_rows_that_the_condition_drops_stop_nothing(tree: Path) -> None:
    rows = "AccessionNumber,label,site\n0012,normal,a\nA2,?,b\nA2,??,b\n,normal,b\n"
    manifest = joined(rows, tree, where="site = a")
    assert manifest.column("label") == ["normal", "normal"]
    assert manifest.flow[-1] == Step("left out by data.where: a condition on site", 1)
    assert [finding.code for finding in manifest.findings] == []


def test_a_condition_can_ask_the_headers(tree: Path) -> None:
    manifest = joined(LABELS, tree, where="ViewPosition in (PA, AP) and BitsStored = 12")
    assert manifest.column("image") == ["p1/1.2.840.10008.1", "p2/IM3"]
    assert manifest.flow[-1].images == 1


def test_images_are_joined_by_their_names(tree: Path) -> None:
    for key in ("p1/IM2.dcm", "p1/IM2", "IM2.dcm", "IM2", "p1\\IM2.dcm", "./p1/IM2.dcm"):
        manifest = joined(f"file,label\n{key},normal\n", tree, "file")
        assert manifest.column("image") == ["p1/IM2.dcm"]
        assert manifest.column("patient") == ["p1"]


def test_a_name_that_two_images_have_is_refused(tree: Path) -> None:
    write_dicom(tree / "p9" / "IM3", PatientID="p9")
    _, faults = opened("path,label\nIM3,normal\np2/IM3,pneumonia\n", tree, "file")
    (fault,) = (fault for fault in faults.found if fault.code == "ambiguous-file")
    assert str(fault) == "row 2: 'IM3' is the name of 2 images below the root; write the path from there"


def test_other_images_can_be_joined_by_their_names(tmp_path: Path) -> None:
    root = tmp_path / "films"
    root.mkdir()
    Image.new("L", (4, 6)).save(root / "a.png")
    manifest = joined("image,label,patient_id\na,normal,1\n", root, "file")
    assert manifest.column("image") == ["a.png"]


@pytest.mark.parametrize(
    ("table", "join", "error", "said"),
    [
        (LABELS, "AccesionNumber", RecipeError, "is no DICOM keyword; did you mean 'AccessionNumber'?"),
        (LABELS, "StudyID", DataError, "has no column 'StudyID' to join by"),
        (LABELS.replace("12", "13").replace("A2", "A3"), "AccessionNumber", DataError,
         "AccessionNumber is such as '0013' in the table, and such as '0012' in the images"),
        ("AcquisitionNumber,label\n1,normal\n", "AcquisitionNumber", DataError,
         "no header below the root has AcquisitionNumber"),
        ("AccessionNumber,label\n", "AccessionNumber", DataError, "has no rows"),
        ("AccessionNumber,lable\n0012,normal\n", "AccessionNumber", DataError, "no label column 'label'"),
    ],
)  # fmt: skip
def test_what_cannot_be_joined_is_said(
    tree: Path, table: str, join: str, error: type[Exception], said: str
) -> None:
    with pytest.raises(error) as caught:
        joined(table, tree, join)
    assert said in str(caught.value)


def test_a_tree_without_images_or_root_is_said(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no DICOM images"):
        joined(LABELS, tmp_path / "empty")
    with pytest.raises(
        RecipeError, match=r"needs the folder of the images too; give it with --data\.root DIR"
    ):
        open_source(str(tmp_path / "labels.csv"), join="file").manifest(TASK, NAMES, Faults("labels.csv"))
    with pytest.raises(DataError, match=r"data\.join has no use here"):
        open_source("phantom", join="file")


def test_a_film_that_is_cut_off_anywhere_in_its_header_is_seen_to_be(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", PatientID="p1", AccessionNumber="A2")
    whole = path.read_bytes()
    for cut in range(whole.index(b"US\x02\0\x06\0") - 4):  # where its rows are told
        path.write_bytes(whole[:cut])
        assert read_headers([path], ["PatientID"])[0].kind == "damaged", cut
    maker = write_dicom(tmp_path / "b.dcm", image=False, SOPClassUID="1.3.46.670589.11.0.0.12.1")
    assert read_headers([maker], ["PatientID"])[0].kind == "object"


@pytest.mark.parametrize("cut", [131, 132, 150, 300, 380])
def test_files_whose_header_cannot_be_read_are_told_of(tree: Path, cut: int) -> None:
    whole = (tree / "p2" / "IM3").read_bytes()
    (tree / "p1" / "empty.dcm").write_bytes(b"")
    (tree / "p1" / "pointer.DCM").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    (tree / "p2" / "IM4.dcm").write_bytes(whole[:cut])
    manifest = joined(LABELS, tree)
    assert len(manifest) == 3
    (finding,) = manifest.findings
    assert (finding.code, finding.severity) == ("damaged-header", "error")
    assert finding.message == "3 files below the root cannot be read, though named like DICOM or starting so."
    assert finding.remedy == "copy the files again, or take them out"
    assert finding.details == ("p1/empty.dcm", "p1/pointer.DCM", "p2/IM4.dcm")
    assert manifest.flow == (
        Step("files that are no DICOM images", 2),  # a report, and notes
        Step("files whose DICOM header cannot be read", 3),
    )


def test_a_file_without_a_name_for_dicom_that_is_cut_off_is_told_of(tree: Path) -> None:
    whole = (tree / "p2" / "IM3").read_bytes()
    (tree / "p2" / "IM3").write_bytes(whole[:150])
    assert [finding.code for finding in joined(LABELS, tree).findings] == [
        "damaged-header",
        "row-without-image",
    ]


def test_dicom_without_preamble_is_joined_and_read(tree: Path) -> None:
    for name in ("p1/IM2.dcm", "p2/IM3"):
        (tree / name).write_bytes((tree / name).read_bytes()[132:])
    manifest = joined(LABELS, tree)
    assert manifest.column("image") == ["p1/1.2.840.10008.1", "p1/IM2.dcm", "p2/IM3"]
    assert manifest.column("patient") == ["p1", "p1", "0007"]
    assert manifest.read("p2/IM3").image.values.shape == (6, 4)
    assert manifest.findings == ()


def test_damaged_files_of_a_tree_joined_by_name_are_left_to_the_gate(tree: Path) -> None:
    (tree / "p1" / "IM2.dcm").write_bytes(b"")
    rows = "file,label\np1/IM2,normal\nIM3,pneumonia\n"
    manifest = joined(rows, tree, "file", Columns(patient="image"), where="ViewPosition in (PA, AP)")
    assert manifest.column("image") == ["p1/IM2.dcm", "p2/IM3"]


def test_two_keys_of_one_file_stop_with_both_numbers(tree: Path) -> None:
    _, faults = opened("file,label\nIM2,normal\np1/IM2.dcm,pneumonia\n", tree, "file")
    (fault,) = faults.found
    assert fault.code == "duplicate-key"
    assert str(fault) == "row 3: 'p1/IM2.dcm' means 'p1/IM2.dcm', as row 2 does; keep one of the rows"
    rows = "file,label,site\nIM2,?,b\np1/IM2.dcm,pneumonia,a\nIM2.dcm,?,b\n"
    assert joined(rows, tree, "file", where="site = a").column("label") == ["pneumonia"]


def test_class_folders_of_dicom_files_know_their_patients(tree: Path, tmp_path: Path) -> None:
    root = tmp_path / "classes"
    for name, label, patient in (("1", "normal", "p1"), ("2", "normal", "p1"), ("3", "pneumonia", "p2")):
        write_dicom(root / label / name, PatientID=patient, StudyInstanceUID="1.2", ViewPosition="PA")
    faults = Faults("classes")
    manifest = open_source(str(root)).manifest(TASK, NAMES, faults)
    faults.raise_any()
    assert manifest.column("patient") == ["p1", "p1", "p2"]
    assert manifest.column("study") == ["1.2"] * 3
    own = open_source(str(root), where="ViewPosition = PA").manifest(TASK, Columns(patient="image"), faults)
    assert own.patients_are_images
    assert own.column("ViewPosition") == ["PA"] * 3
