"""Each check on small real files and tables: what is told, of which rows; no message names anybody."""

from __future__ import annotations

import ast
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image as Pillow
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from rn50med.data.audit import (
    CODES,
    LEAKS,
    Finding,
    audit,
    class_balance,
    conflicting_labels,
    copies,
    duplicate_rows,
    expected_interval,
    faults_found,
    image_findings,
    leakage,
    missing_classes,
    near_findings,
    patients_of_several_classes,
    patients_unique,
    rows_found,
    split_table,
    studies_of_two_patients,
    study_keys,
)
from rn50med.data.audit.strength import auroc_half_width, proportion_half_width
from rn50med.data.faults import Faults
from rn50med.data.images import Files
from rn50med.data.looking import look
from rn50med.data.manifest import Manifest, Step
from rn50med.data.readers import ImageFault, Reader
from rn50med.data.seen import Seen
from rn50med.tasks import Binary, MultiClass, MultiLabel, Task

PACKAGE = Path(__file__).resolve().parent.parent / "rn50med"
TASK = Binary(negative="normal", positive="pneumonia")


def manifest_of(folder: Path, rows: Sequence[Mapping[str, str]]) -> Manifest:
    """Return a manifest; what a row leaves out is made up."""
    made = [
        {"image": f"{i}.png", "patient": f"p{i}", "split": "train", "label": "normal"} | dict(row)
        for i, row in enumerate(rows)
    ]
    table = pd.DataFrame(made, dtype=str).assign(source_row=[str(i + 2) for i in range(len(made))])
    return Manifest("labels.csv", "table", table, Files(folder, Reader()))


def seen_of(manifest: Manifest) -> list[Seen]:
    return [look(manifest.read(name)) for name in manifest.column("image")]


def noise(seed: int, shape: tuple[int, ...] = (64, 64)) -> np.ndarray:
    """Return a smooth picture with 8 bits, another for each seed."""
    coarse = np.random.default_rng(seed).integers(0, 255, (9, 9), dtype=np.uint8)
    picture = Pillow.fromarray(coarse).resize(shape[1::-1], Pillow.Resampling.BICUBIC)
    return np.asarray(picture if len(shape) == 2 else picture.convert("RGB"))


def save(folder: Path, name: str, values: np.ndarray, **options: object) -> None:
    Pillow.fromarray(values).save(folder / name, **options)


def save_dicom(path: Path, **tags: object) -> None:
    """Write a small 12-bit DX film with these tags."""
    values = noise(1).astype(np.uint16) * 16
    dataset = Dataset()
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    dataset.SOPInstanceUID = "1.2.3.4"
    dataset.Rows, dataset.Columns = values.shape
    dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Modality = "DX"
    dataset.PixelData = values.tobytes()
    for name, value in tags.items():
        setattr(dataset, name, value)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.save_as(path, enforce_file_format=True)


def by_code(findings: Sequence[Finding]) -> dict[str, Finding]:
    found = {finding.code: finding for finding in findings}
    assert len(found) == len(findings), "a kind of finding is told once"
    assert set(found) <= set(CODES)
    return found


def images_found(folder: Path, names: Sequence[str], channels: int = 1) -> dict[str, Finding]:
    manifest = manifest_of(folder, [{"image": name} for name in names])
    return by_code(image_findings(manifest, seen_of(manifest), channels))


# ---- codes


def codes_in(path: Path) -> set[str]:
    """Return the codes that a file gives findings and faults, as far as they are written out."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        place = {"Finding": 0, "_Check": 0, "ImageFault": 1}.get(name)
        given = [node.args[place]] if place is not None and len(node.args) > place else []
        given += [keyword.value for keyword in node.keywords if keyword.arg == "code"]
        found |= {g.value for g in given if isinstance(g, ast.Constant) and isinstance(g.value, str)}
    return found


@pytest.mark.parametrize("path", sorted((PACKAGE / "data").rglob("*.py")), ids=lambda p: p.stem)
def test_every_code_that_is_written_anywhere_is_in_the_table(path: Path) -> None:
    assert codes_in(path) <= set(CODES)


def test_the_table_of_codes_is_in_words_and_holds_the_leaks() -> None:
    assert set(CODES) >= LEAKS
    assert all(text and not text.endswith(".") for text in CODES.values())


# ---- leakage


@pytest.fixture
def leaking(tmp_path: Path) -> Manifest:
    """A patient, a study, a byte-identical and a pixel-identical pair in two splits, all told apart."""
    for number in range(8):
        save(tmp_path, f"{number}.png", noise(number))
    (tmp_path / "5.png").write_bytes((tmp_path / "4.png").read_bytes())
    save(tmp_path, "7.bmp", noise(6))
    rows = [
        {"patient": "CANARY", "study": "a"}, {"patient": "CANARY", "split": "test", "study": "b"},
        {"study": "s", "patient": "p2"}, {"study": "s", "patient": "p3", "split": "val"},
        {"study": "c"}, {"split": "test", "study": "d"},
        {"study": "e"}, {"image": "7.bmp", "split": "val", "study": "f"},
    ]  # fmt: skip
    return manifest_of(tmp_path, rows)


def test_each_kind_of_leak_is_an_error_with_its_rows(leaking: Manifest) -> None:
    found = by_code(leakage(leaking, seen_of(leaking)))
    assert set(found) == LEAKS
    assert {code: finding.rows for code, finding in found.items()} == {
        "patient-leak": (2, 3), "study-leak": (4, 5), "identical-leak": (6, 7), "pixels-leak": (8, 9),
    }  # fmt: skip
    assert {finding.severity for finding in found.values()} == {"error"}
    assert found["patient-leak"].details == ("patient 'CANARY' is in splits test, train (rows 2, 3)",)
    assert found["pixels-leak"].details == (
        "images 6.png, 7.bmp are identical and in splits train, val (rows 8, 9)",
    )
    assert not any("CANARY" in f.message + f.remedy for f in found.values())


def test_an_image_without_a_split_or_that_cannot_be_read_leaks_nothing(leaking: Manifest) -> None:
    unsplit = leaking.with_splits([""] * len(leaking))
    assert not leakage(unsplit, seen_of(leaking))
    found = by_code(leakage(leaking, [None] * len(leaking)))
    assert set(found) == {"patient-leak", "study-leak"}


def test_studies_numbered_anew_for_each_patient_are_no_leak_and_connect_nobody(tmp_path: Path) -> None:
    rows = [{"patient": f"p{i // 2}", "study": f"study{i % 2}", "split": "train"} for i in range(8)]
    rows[7]["split"] = rows[6]["split"] = "test"
    manifest = manifest_of(tmp_path, rows)
    assert not leakage(manifest, [None] * 8)
    assert not studies_of_two_patients(manifest)
    assert len(set(study_keys(manifest))) == 8


def test_study_keys_connect_what_is_one_study(tmp_path: Path) -> None:
    rows = [{"study": name} for name in ("a", "a", "", "", "b", "c", "d")]
    keys = study_keys(manifest_of(tmp_path, rows))
    assert keys[0] == keys[1]
    assert len(set(keys)) == 6


def test_copies_within_a_split_are_warned_of_by_bytes_and_by_pixels(tmp_path: Path) -> None:
    for number in range(3):
        save(tmp_path, f"{number}.png", noise(0))
    save(tmp_path, "1.png", noise(1))
    (tmp_path / "3.png").write_bytes((tmp_path / "1.png").read_bytes())
    save(tmp_path, "2.bmp", noise(0))
    manifest = manifest_of(tmp_path, [{}, {}, {"image": "2.bmp"}, {"image": "3.png", "patient": "p1"}])
    found = by_code(copies(manifest, seen_of(manifest), manifest.column("split")))
    assert found["identical-images"].rows == (3, 5)
    assert found["identical-images"].message.startswith(
        "1 groups of byte-identical images: 1 inside train; 0 of"
    )
    assert found["identical-pixels"].rows == (2, 4)
    assert "1 of them joins different patients" in found["identical-pixels"].message


def test_near_duplicates_across_splits_or_patients_are_warned_of_and_copies_not(
    tmp_path: Path,
) -> None:
    for number in range(6):
        save(tmp_path, f"{number}.png", noise(number))
    save(tmp_path, "1.jpg", noise(0), quality=80)  # of 0.png
    (tmp_path / "3.png").write_bytes((tmp_path / "2.png").read_bytes())
    save(tmp_path, "5.jpg", noise(4), quality=80)  # of 4.png, one patient, one split
    rows = [
        {}, {"image": "1.jpg", "split": "test"}, {}, {"split": "test"},
        {}, {"image": "5.jpg", "patient": "p4"},
    ]  # fmt: skip
    manifest = manifest_of(tmp_path, rows)
    (finding,) = near_findings(manifest, seen_of(manifest))
    assert (finding.code, finding.severity, finding.rows) == ("near-duplicates", "warning", (2, 3))
    assert finding.message.startswith("2 pairs of images look nearly the same")
    assert finding.message.endswith("1 across splits, 1 of different patients.")
    assert finding.details == ("0.png, 1.jpg look alike",)
    assert not near_findings(manifest, [None] * 6)


def test_synthetic_films_are_alike_by_design_and_not_told_of(tmp_path: Path) -> None:
    save(tmp_path, "0.png", noise(0))
    save(tmp_path, "1.jpg", noise(0), quality=80)
    manifest = manifest_of(tmp_path, [{}, {"image": "1.jpg"}])
    seen = seen_of(manifest)
    assert near_findings(manifest, seen)
    assert not near_findings(replace(manifest, kind="phantom"), seen)


def test_every_copy_of_a_near_duplicate_is_told(tmp_path: Path) -> None:
    save(tmp_path, "0.png", noise(0))
    (tmp_path / "1.png").write_bytes((tmp_path / "0.png").read_bytes())
    save(tmp_path, "2.jpg", noise(0), quality=80)
    rows = [{"patient": "a"}, {"patient": "b"}, {"image": "2.jpg", "patient": "a"}]
    manifest = manifest_of(tmp_path, rows)
    (finding,) = near_findings(manifest, seen_of(manifest))
    assert finding.rows == (2, 3, 4)


def test_many_empty_images_are_no_near_duplicates_and_take_no_time(tmp_path: Path) -> None:
    save(tmp_path, "0.png", np.zeros((64, 64), dtype=np.uint8))
    manifest = manifest_of(tmp_path, [{"image": "0.png"}] * 3000)
    black = look(manifest.read("0.png"))
    assert not near_findings(manifest, [replace(black, pixels=str(i), content=str(i)) for i in range(3000)])


# ---- labels


def test_one_image_with_two_labels_is_an_error_that_says_both(tmp_path: Path) -> None:
    save(tmp_path, "0.png", noise(0))
    save(tmp_path, "1.bmp", noise(0))
    save(tmp_path, "2.png", noise(2))
    rows = [{}, {"image": "1.bmp", "label": "pneumonia"}, {}]
    manifest = manifest_of(tmp_path, rows)
    (finding,) = conflicting_labels(manifest, seen_of(manifest), TASK)
    assert (finding.code, finding.severity, finding.rows) == ("conflicting-labels", "error", (2, 3))
    assert finding.details == ("0.png, 1.bmp are one image, labelled 'normal' and 'pneumonia'",)
    assert "png" not in finding.message


def test_a_label_nobody_ruled_on_contradicts_none(tmp_path: Path) -> None:
    save(tmp_path, "0.png", noise(0))
    task = MultiLabel(labels=("edema", "mass"))
    rows = [{"image": "0.png", "edema": "1", "mass": ""}, {"image": "0.png", "edema": "", "mass": "0"}]
    manifest = manifest_of(tmp_path, rows)
    assert not conflicting_labels(manifest, seen_of(manifest), task)
    other = manifest_of(tmp_path, [*rows, {"image": "0.png", "edema": "0", "mass": ""}])
    assert conflicting_labels(other, seen_of(other), task)[0].rows == (2, 3, 4)


def test_classes_that_val_or_test_lack_are_told(tmp_path: Path) -> None:
    manifest = manifest_of(tmp_path, [{"label": "pneumonia"}, {"split": "test"}])
    (finding,) = missing_classes(manifest, TASK)
    assert finding.code == "class-absent"
    assert finding.message.startswith("test has no image of class 'pneumonia'; its figures are undefined")


def test_unequal_classes_are_told_most_first(tmp_path: Path) -> None:
    rows = [{"label": "normal"}] * 30 + [{"label": "pneumonia"}] * 2
    (finding,) = class_balance(manifest_of(tmp_path, rows), TASK)
    assert (finding.severity, finding.message) == (
        "info",
        "The classes differ in size: 30 normal, 2 pneumonia.",
    )
    assert not class_balance(manifest_of(tmp_path, rows[25:]), TASK)


def test_patients_of_several_classes_are_counted_but_findings_may_occur_together(
    tmp_path: Path,
) -> None:
    rows = [{"patient": "a"}, {"patient": "a", "label": "pneumonia"}, {"patient": "b"}]
    (finding,) = patients_of_several_classes(manifest_of(tmp_path, rows), TASK)
    assert finding.message == (
        "1 patient holds images of several classes. All images of a patient go into one split, and classes "
        "keep their shares of images, not of patients."
    )
    task = MultiLabel(labels=("edema",))
    marked = manifest_of(tmp_path, [{"patient": "a", "edema": "1"}, {"patient": "a", "edema": "0"}])
    assert not patients_of_several_classes(marked, task)


# ---- table


def test_one_file_in_two_spellings_is_told(tmp_path: Path) -> None:
    manifest = manifest_of(tmp_path, [{"image": n} for n in ("a/1.png", "./a/1.png", "a\\1.png", "a/2.png")])
    (finding,) = duplicate_rows(manifest)
    assert (finding.code, finding.rows) == ("duplicate-row", (2, 3, 4))


def test_a_patient_column_that_numbers_rows_is_told_of(tmp_path: Path) -> None:
    rows = [{"patient": str(i)} for i in range(30)]
    (finding,) = patients_unique(manifest_of(tmp_path, rows))
    assert (finding.code, finding.severity) == ("patients-unique", "info")
    assert not patients_unique(manifest_of(tmp_path, [*rows, {"patient": "0"}]))
    assert not patients_unique(manifest_of(tmp_path, [{"patient": f"{i}.png"} for i in range(30)]))


def test_a_study_of_two_patients_is_warned_of(tmp_path: Path) -> None:
    rows = [{"study": str(i), "patient": f"p{i}"} for i in range(9)] + [{"study": "0", "patient": "CANARY"}]
    (finding,) = studies_of_two_patients(manifest_of(tmp_path, rows))
    assert (finding.code, finding.severity, finding.rows) == ("study-two-patients", "warning", (2, 11))
    assert "CANARY" in finding.details[0]
    assert "CANARY" not in finding.message


# ---- images


def test_constant_tiny_and_rotated_images_are_told_by_row(tmp_path: Path) -> None:
    save(tmp_path, "flat.png", np.full((64, 64), 9, dtype=np.uint8))
    nearly = np.full((64, 64), 9, dtype=np.uint8)
    nearly[0, 0] = 10
    save(tmp_path, "nearly.png", nearly)
    save(tmp_path, "dot.png", np.array([[3]], dtype=np.uint8))
    save(tmp_path, "tiny.png", noise(0, (20, 200)))
    exif = Pillow.Exif()
    exif[274] = 6
    Pillow.fromarray(noise(1, (64, 64))).save(tmp_path / "turned.jpg", exif=exif)
    found = images_found(tmp_path, ["flat.png", "nearly.png", "dot.png", "tiny.png", "turned.jpg"])
    assert found["constant-image"].rows == (2, 3, 4)
    assert found["tiny-image"].rows == (4, 5)
    assert (found["exif-rotated"].rows, found["exif-rotated"].severity) == ((6,), "info")
    assert found["constant-image"].details == ("flat.png", "nearly.png", "dot.png")
    assert "mixed-formats" in found


def test_colour_where_grey_is_made_and_the_other_way_round(tmp_path: Path) -> None:
    colour = np.stack([noise(0), noise(1), noise(2)], axis=-1)
    save(tmp_path, "colour.png", colour)
    save(tmp_path, "grey.png", noise(0))
    save(tmp_path, "grey-as-rgb.png", noise(0, (64, 64, 3)))
    names = ["colour.png", "grey.png", "grey-as-rgb.png"]
    grey, coloured = images_found(tmp_path, names, 1), images_found(tmp_path, names, 3)
    assert grey["wrong-channels"].rows == (2,)
    assert grey["wrong-channels"].message == "1 image is colour, and made grey."
    assert coloured["wrong-channels"].rows == (3, 4)


def test_what_readers_note_is_told(tmp_path: Path) -> None:
    colour = Pillow.fromarray(np.stack([noise(0), noise(1), noise(2)], axis=-1))
    colour.convert("CMYK").save(tmp_path / "print.jpg")
    found = images_found(tmp_path, ["print.jpg"], 3)
    assert found["cmyk"].message == "CMYK images, converted to RGB: 1."


def test_twelve_bits_in_a_sixteen_bit_file_are_told_of(tmp_path: Path) -> None:
    dark = noise(0).astype(np.uint16) * 16
    save(tmp_path, "dark.png", dark)
    save(tmp_path, "light.png", dark * 16)
    assert "dark-range" in images_found(tmp_path, ["dark.png"])
    assert "dark-range" not in images_found(tmp_path, ["dark.png", "light.png"])


def test_raw_and_annotated_dicom_stop_and_mixtures_are_counted(tmp_path: Path) -> None:
    save_dicom(tmp_path / "good.dcm", PresentationIntentType="FOR PRESENTATION", ViewPosition="PA")
    save_dicom(tmp_path / "raw.dcm", PresentationIntentType="FOR PROCESSING", ViewPosition="AP")
    save_dicom(tmp_path / "text.dcm", BurnedInAnnotation="YES", ViewPosition="LL")
    save_dicom(tmp_path / "echo.dcm", Modality="US")
    save_dicom(tmp_path / "clean.dcm", Modality="US", BurnedInAnnotation="NO", PatientName="CANARY")
    found = images_found(tmp_path, ["good.dcm", "raw.dcm", "text.dcm", "echo.dcm", "clean.dcm"])
    assert (found["for-processing"].severity, found["for-processing"].rows) == ("error", (3,))
    assert (found["burned-in"].severity, found["burned-in"].rows) == ("error", (4,))
    assert (found["burned-in-unknown"].severity, found["burned-in-unknown"].rows) == ("warning", (5,))
    assert found["mixed-modalities"].message == "There are images of several modalities: 3 DX, 2 US."
    assert found["mixed-views"].message == "There are images of several views: 1 AP, 1 LL, 1 PA, 2 not told."
    assert not any("CANARY" in str(finding) for finding in found.values())


def test_mixed_depths_and_modes_are_information(tmp_path: Path) -> None:
    save(tmp_path, "8.png", noise(0))
    save(tmp_path, "16.png", noise(0).astype(np.uint16) * 257)
    found = images_found(tmp_path, ["8.png", "16.png"])
    assert {found[code].severity for code in ("mixed-bits", "mixed-photometric")} == {"info"}
    assert found["mixed-bits"].message == "There are images of several bit depths: 1 of 16 bits, 1 of 8 bits."


def test_images_that_cannot_be_read_are_one_finding_per_kind_with_all_rows(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Pillow.fromarray(noise(0)).save(buffer, "PNG")
    contents = {
        "empty.png": b"", "half.png": buffer.getvalue()[:400], "page.png": b"<!doctype html><p>log in",
        "lfs.png": b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "void.png": b"",
    }  # fmt: skip
    faults = []
    for row, (name, content) in enumerate(contents.items(), start=2):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ImageFault) as fault:
            Reader().read(tmp_path / name)
        faults.append((row, name, fault.value))
    found = by_code(faults_found(faults[::-1]))
    assert found["empty"].rows == (2, 6)
    assert found["empty"].message == "Images that are empty files: 2."
    assert found["empty"].remedy == "copy the file again"
    assert found["empty"].details[0].startswith("row 2: empty.png is empty")
    assert {"truncated", "web-page", "git-lfs"} <= set(found)
    assert {finding.severity for finding in found.values()} == {"error"}
    assert not any("png" in finding.message for finding in found.values())


def test_faults_of_rows_are_one_finding_per_kind() -> None:
    faults = Faults("labels.csv")
    faults.add("unknown label 'CANARY'", 9, code="unknown-label")
    faults.add("unknown label 'normla'", 3, code="unknown-label")
    faults.add("empty cell", 4, code="empty-cell")
    found = by_code(rows_found(faults.found))
    assert found["unknown-label"].rows == (3, 9)
    assert found["unknown-label"].details == (
        "row 3: unknown label 'normla'",
        "row 9: unknown label 'CANARY'",
    )
    assert "CANARY" not in found["unknown-label"].message


# ---- strength


def test_the_expected_half_width_is_that_of_simulated_test_sets() -> None:
    rng = np.random.default_rng(0)
    positives, negatives, auroc = 40, 60, 0.85
    # two exponentials, the model behind Hanley and McNeil's formula: P(X > Y) = r / (1 + r)
    ratio = auroc / (1 - auroc)
    has = rng.exponential(ratio, (4000, positives))
    lacks = rng.exponential(1.0, (4000, negatives))
    estimates = [(h[:, None] > n[None]).mean() for h, n in zip(has, lacks, strict=True)]
    assert auroc_half_width(positives, negatives) == pytest.approx(1.96 * np.std(estimates), rel=0.05)


def test_a_proportions_half_width_is_that_of_wilson() -> None:
    n, p, z = 50, 0.85, 1.959964
    by_hand = z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    assert proportion_half_width(n) == pytest.approx(by_hand, rel=1e-5)


@pytest.mark.parametrize(("patients", "severity"), [(10, "warning"), (120, "info")])
def test_the_expected_interval_counts_patients_not_images(
    tmp_path: Path, patients: int, severity: str
) -> None:
    rows = [
        {"patient": f"p{i}", "split": "test", "label": ("normal", "pneumonia")[i % 2]}
        for i in range(patients)
        for _ in range(7)
    ]
    (finding,) = expected_interval(manifest_of(tmp_path, rows), TASK)
    assert (finding.code, finding.severity) == ("expected-interval", severity)
    assert f"{patients // 2} patients positive and {patients // 2} negative" in finding.message
    assert f"AUROC ± {auroc_half_width(patients // 2, patients // 2):.2f}" in finding.message


def test_of_several_classes_or_labels_the_widest_interval_is_told(tmp_path: Path) -> None:
    rows = [{"split": "test", "label": "abc"[min(i // 10, 2)]} for i in range(60)]
    (finding,) = expected_interval(manifest_of(tmp_path, rows), MultiClass(names=("a", "b", "c")))
    assert "of a, the widest, on test, with 10 patients positive and 50 negative" in finding.message
    marked = [{"split": "test", "x": "1" if i < 5 else "0" if i < 50 else ""} for i in range(60)]
    (finding,) = expected_interval(manifest_of(tmp_path, marked), MultiLabel(labels=("x",)))
    assert "5 patients positive and 45 negative" in finding.message


def test_a_test_set_of_one_class_has_no_expected_interval(tmp_path: Path) -> None:
    assert not expected_interval(manifest_of(tmp_path, [{"split": "test"}]), TASK)


# ---- facts


def test_the_facts_hold_counts_of_everything_and_names_of_nothing(tmp_path: Path) -> None:
    save(tmp_path, "CANARY.png", noise(0))
    save(tmp_path, "b.png", noise(1, (64, 128)))
    rows = [{"image": "CANARY.png"}, {"image": "b.png", "split": "test", "label": "pneumonia"}]
    manifest = replace(manifest_of(tmp_path, rows), flow=(Step("no view PA", 3),), notes=("a note",))
    findings = [Finding("burned-in", "error", "One.", details=("CANARY.png",), rows=(2,))]
    facts = audit(manifest, TASK, findings, "Made.", "00", [*seen_of(manifest)[:1], None], {"burned-in"})
    assert "CANARY" not in str(facts)
    assert facts["flow"] == [{"what": "no view PA", "images": 3}]
    assert facts["allowed"] == ["burned-in"]
    assert facts["codes"] == {code: CODES[code] for code in ("assumed", "burned-in")}
    assert [f["code"] for f in facts["findings"]] == ["burned-in", "assumed"]
    assert facts["images"]["format"] == {"PNG": 1}
    assert (facts["images"]["read"], facts["images"]["unreadable"]) == (1, 1)
    assert facts["images"]["width"] == {"min": 64, "median": 64, "max": 64}
    assert facts["splits"]["test"] == {
        "patients": 1, "images": 1, "classes": {"normal": 0, "pneumonia": 1},
    }  # fmt: skip


def test_the_table_of_splits_counts_unknown_labels(tmp_path: Path) -> None:
    task: Task = MultiLabel(labels=("edema",))
    manifest = manifest_of(tmp_path, [{"edema": cell} for cell in ("1", "0", "", "-1")])
    counted = split_table(manifest, task)["train"]
    assert counted["classes"] == {"edema": 1}
    assert counted["labels"]["edema"]["unknown"] == 2
