"""Tables: one table in any form, encoding and dialect is the same text; what is no table is named."""

from __future__ import annotations

import csv
import io
import re
import sys
import zipfile
from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path

import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rn50med.data.faults import Faults
from rn50med.data.manifest import Columns, Manifest
from rn50med.data.sources import open_source, read_table
from rn50med.data.sources.tables import table_and_notes
from rn50med.errors import DataError
from rn50med.tasks import Binary

TASK = Binary(negative="normal", positive="pneumonia")
ROWS = "image,label,patient_id\na.png,normal,0012\nb.png,pneumonia,NA\n"
CELLS = [line.split(",") for line in ROWS.splitlines()]
EXPECTED = {
    "image": ["a.png", "b.png"],
    "label": ["normal", "pneumonia"],
    "patient_id": ["0012", "NA"],
    "source_row": ["2", "3"],
}


def table_of(folder: Path, content: str | bytes, name: str = "labels.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def workbook(path: Path, rows: Sequence[Sequence[object]], sheets: Sequence[str] = ()) -> Path:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(list(row))
    for name in sheets:
        book.create_sheet(name).append(["other", "sheet"])
    book.save(path)
    return path


def parquet(path: Path, rows: Sequence[Sequence[object]]) -> Path:
    names, *cells = rows
    columns = [list(column) for column in zip(*cells, strict=True)]
    pq.write_table(pa.table(dict(zip(map(str, names), columns, strict=True))), path)
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("plain.csv", ROWS.encode()),
        ("mark.csv", ROWS.encode("utf-8-sig")),
        ("windows.csv", ROWS.replace("\n", "\r\n").encode()),
        ("old_mac.csv", ROWS.replace("\n", "\r").encode()),
        ("little.csv", b"\xff\xfe" + ROWS.encode("utf-16-le")),
        ("big.csv", b"\xfe\xff" + ROWS.encode("utf-16-be")),
        ("tabs.tsv", ROWS.replace(",", "\t").encode()),
        ("tabs.csv", ROWS.replace(",", "\t").encode()),
        ("tabs.txt", b"\xff\xfe" + ROWS.replace(",", "\t").encode("utf-16-le")),  # Excel's "Unicode text"
        ("semicolons.csv", ROWS.replace(",", ";").encode()),
        ("said.csv", ("sep=;\r\n" + ROWS.replace(",", ";")).encode()),
        ("LOUD.CSV", ROWS.encode()),
        ("unfinished.csv", ROWS.rstrip().encode()),
        ("spaced.csv", ROWS.replace("image,label", " image ,label ").encode()),
        ("quoted.csv", ROWS.replace("NA", '"NA"').encode()),
        ("ends.csv", ROWS.replace("\n", ",\n").encode()),
        ("ends_below.csv", ROWS.replace("0012", "0012,,").encode()),
    ],
)
def test_every_usual_way_to_write_a_table_gives_the_same_text(
    tmp_path: Path, name: str, content: bytes
) -> None:
    table, notes = table_and_notes(table_of(tmp_path, content, name))
    assert table.to_dict("list") == EXPECTED
    assert notes == ()


def manifest_of(path: Path) -> Manifest:
    faults = Faults(path.name)
    manifest = open_source(str(path)).manifest(TASK, Columns(), faults)
    faults.raise_any()
    return manifest


def test_a_workbook_and_a_parquet_file_give_the_same_manifest_as_text(tmp_path: Path) -> None:
    places = (
        table_of(tmp_path, ROWS),
        workbook(tmp_path / "labels.xlsx", CELLS),
        parquet(tmp_path / "labels.parquet", CELLS),
        table_of(tmp_path, ROWS.replace(",", ";").encode("utf-16"), "labels.txt"),
        workbook(tmp_path / "by_its_bytes.xlsx", CELLS).rename(tmp_path / "by_its_bytes.csv"),
    )
    first, *others = (manifest_of(place) for place in places)
    for other in others:
        assert other.table.to_dict("list") == first.table.to_dict("list")
        assert other.digest(["1", "2"]) == first.digest(["1", "2"])


def test_cells_of_a_workbook_are_the_text_that_it_shows(tmp_path: Path) -> None:
    path = workbook(
        tmp_path / "labels.xlsx",
        [
            ["text", "number", "float", "day", "moment", "flag", "none", "tenth", "error"],
            ["0012", 12, 12.0, date(2024, 1, 31), datetime(2024, 1, 31, 7, 5), True, None, 0.1 + 0.2, "#N/A"],
            [" NA", -7, 2.5, datetime(2024, 1, 31), datetime(2024, 1, 31, 7), False, "x", 1e20, "a\nb"],
        ],
    )
    table = read_table(path).drop(columns="source_row")
    assert table.iloc[0].tolist() == [
        "0012", "12", "12", "2024-01-31", "2024-01-31 07:05:00", "TRUE", "", "0.3", "#N/A",
    ]  # fmt: skip
    assert table.iloc[1].tolist() == [
        " NA", "-7", "2.5", "2024-01-31", "2024-01-31 07:00:00", "FALSE", "x", "1e+20", "a\nb",
    ]  # fmt: skip


def test_a_number_that_is_shown_with_leading_zeros_keeps_them(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.append(["patient_id"])
    book.active.append([12])
    book.active["A2"].number_format = "00000"
    book.save(tmp_path / "labels.xlsx")
    assert read_table(tmp_path / "labels.xlsx")["patient_id"].tolist() == ["00012"]


def test_a_number_whose_digits_a_spreadsheet_lost_is_told(tmp_path: Path) -> None:
    path = workbook(tmp_path / "labels.xlsx", [["image", "accession"], ["a.png", 12345678901234567]])
    (note,) = table_and_notes(path)[1]
    assert "column 2 of the sheet" in note
    assert "format such a column as text" in note


def test_a_formula_gives_the_value_that_was_kept_with_it(tmp_path: Path) -> None:
    path = workbook(tmp_path / "made.xlsx", [["image", "age"], ["a.png", "=40+2"]])
    kept = tmp_path / "labels.xlsx"
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(kept, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name.endswith("sheet1.xml"):  # what Excel writes when it has calculated
                content = re.sub(rb"<v\s*/>|<v></v>", b"<v>42</v>", content)
            target.writestr(name, content)
    assert read_table(kept)["age"].tolist() == ["42"]


def test_formulas_without_any_value_are_refused(tmp_path: Path) -> None:
    path = workbook(
        tmp_path / "labels.xlsx", [["image", "label", "note"], ["a.png", "=A2", None], ["b.png", "=A3"]]
    )
    with pytest.raises(
        DataError, match=r"labels\.xlsx: column 'label' holds formulas without values; open the"
    ):
        read_table(path)


def test_formulas_whose_value_is_no_text_are_blank(tmp_path: Path) -> None:
    path = workbook(tmp_path / "made.xlsx", [["image", "note"], ["a.png", '=IF(A2="","","")']])
    kept = tmp_path / "labels.xlsx"
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(kept, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            target.writestr(name, content.replace(b'<c r="B2">', b'<c r="B2" t="str">'))
    assert read_table(kept)["note"].tolist() == [""]


def test_other_sheets_are_mentioned(tmp_path: Path) -> None:
    path = workbook(tmp_path / "labels.xlsx", CELLS, sheets=["notes", "old"])
    table, notes = table_and_notes(path)
    assert table.to_dict("list") == EXPECTED
    assert notes == ("the workbook's first sheet is read, the other 2 are not",)


def test_numbers_of_a_parquet_file_become_the_text_of_numbers(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"id": [12, 13], "seen": [12.0, None], "part": [0.5, 2.0], "day": [date(2024, 1, 31)] * 2}
    )
    frame["kind"] = pd.Categorical(["a", "b"])
    frame.index = ["x", "y"]  # pandas writes its index as a column
    frame.to_parquet(tmp_path / "labels.parquet")
    assert read_table(tmp_path / "labels.parquet").to_dict("list") == {
        "id": ["12", "13"], "seen": ["12", ""], "part": ["0.5", "2"], "day": ["2024-01-31"] * 2,
        "kind": ["a", "b"], "source_row": ["2", "3"],
    }  # fmt: skip


def test_windows_text_is_read_and_told(tmp_path: Path) -> None:
    table, notes = table_and_notes(table_of(tmp_path, ROWS.replace("0012", "Müller €").encode("cp1252")))
    assert table["patient_id"][0] == "Müller €"
    assert notes == ("the table is no UTF-8 text and was read as Windows text (cp1252)",)


def test_rows_are_counted_as_a_spreadsheet_does(tmp_path: Path) -> None:
    past_blanks = read_table(table_of(tmp_path, ROWS.replace("b.png", "\n,,\nb.png")))
    assert past_blanks["source_row"].tolist() == ["2", "5"]
    past_breaks = read_table(table_of(tmp_path, ROWS.replace("0012", '"a\r\nb"')))
    assert past_breaks["source_row"].tolist() == ["2", "3"]
    assert past_breaks["patient_id"][0] == "a\r\nb"
    book = workbook(tmp_path / "gaps.xlsx", [CELLS[0], [], CELLS[1], [None, "", None], CELLS[2]])
    assert read_table(book)["source_row"].tolist() == ["3", "5"]


def test_a_row_that_ends_early_has_empty_cells(tmp_path: Path) -> None:
    table = read_table(table_of(tmp_path, "image,label,patient_id\na.png,normal\n"))
    assert table["patient_id"].tolist() == [""]


def test_a_table_of_one_column_is_a_table(tmp_path: Path) -> None:
    assert read_table(table_of(tmp_path, "image\na.png\nb.png\n"))["image"].tolist() == ["a.png", "b.png"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("image;age\na.png;3,5\nb.png;4,5\n", {"image": "a.png", "age": "3,5"}),
        ("image;age, years;sex\na.png;3,5;f\n", {"image": "a.png", "age, years": "3,5", "sex": "f"}),
        ("image\tnotes, both; old\na.png\tfoo\n", {"image": "a.png", "notes, both; old": "foo"}),
        ('image,"a;b;c;d"\na.png,"x;y"\n', {"image": "a.png", "a;b;c;d": "x;y"}),
        (",image\n0,a.png\n", {"column 1": "0", "image": "a.png"}),
    ],
)
def test_the_separator_is_found_by_what_fits(tmp_path: Path, text: str, expected: dict[str, str]) -> None:
    table = read_table(table_of(tmp_path, text))
    assert table.drop(columns="source_row").iloc[0].to_dict() == expected


@pytest.mark.parametrize("line", [2, 3])
def test_a_row_with_a_cell_too_many_is_refused_and_shifts_no_column(tmp_path: Path, line: int) -> None:
    rows = ROWS.splitlines()
    rows[line - 1] += ",x"
    with pytest.raises(DataError, match=rf"labels\.csv: row {line} has more cells than the header; quote"):
        read_table(table_of(tmp_path, "\n".join(rows)))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty; write a header and one row per image."),
        (b"\n \n,,\n", "is empty; write a header"),
        (ROWS.replace("0012", '"0012').encode(), "row 2 cannot be read: a quote is opened and never closed"),
        (ROWS.replace("0012", '"5" film').encode(), "row 2 cannot be read: .* write a quote inside"),
        (ROWS.replace("label", "image").encode(), "has several columns named 'image'; rename all but one"),
        (b"<!DOCTYPE html><html><body>Log in", "is a web page, not a table; it may be a log-in page"),
        (b"\xef\xbb\xbf\r\n<table><tr><td>image", "is a web page"),
        (b"<?xml version='1.0'?><Workbook/>", "is an XML file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "is no table, since it holds zero bytes"),
        (ROWS.encode("utf-16-le"), "is no table, since it holds zero bytes"),
        (b"\xff\xfea", "is UTF-16 text that was cut off"),
        (b"image,\x81\x8d\n", "is neither UTF-8 nor Windows text"),
        (b"PK\x03\x04 and no more", "is an Excel workbook that was cut off"),
        (b"PAR1 and no more", r"is a damaged Parquet file \(\w+\)"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_table_is_refused_by_name(tmp_path: Path, content: bytes, said: str) -> None:
    with pytest.raises(DataError, match=rf"^labels\.csv: {said}"):
        read_table(table_of(tmp_path, content))


def test_old_protected_and_foreign_containers_are_told_apart(tmp_path: Path) -> None:
    ole = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)
    with pytest.raises(
        DataError, match=r"labels\.xls: is an Excel file of the old kind \(\.xls\); save it as"
    ):
        read_table(table_of(tmp_path, ole, "labels.xls"))
    with pytest.raises(DataError, match=r"labels\.xlsx: is protected by a password; save it without one"):
        read_table(table_of(tmp_path, ole + "EncryptedPackage".encode("utf-16-le"), "labels.xlsx"))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        packed.writestr("content.xml", "<x/>")
    with pytest.raises(DataError, match="is a ZIP file, but no Excel workbook"):
        read_table(table_of(tmp_path, buffer.getvalue(), "labels.xlsx"))


def test_a_damaged_workbook_is_refused_by_name(tmp_path: Path) -> None:
    path = workbook(tmp_path / "labels.xlsx", CELLS)
    broken = io.BytesIO()
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(broken, "w") as target:
        for name in source.namelist():
            target.writestr(name, source.read(name)[:40])
    with pytest.raises(DataError, match=r"labels\.xlsx: is a damaged Excel workbook"):
        read_table(table_of(tmp_path, broken.getvalue(), "labels.xlsx"))


@pytest.mark.parametrize(("name", "package"), [("labels.xlsx", "openpyxl"), ("labels.parquet", "pyarrow")])
def test_a_missing_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, package: str
) -> None:
    path = (workbook if package == "openpyxl" else parquet)(tmp_path / name, CELLS)
    for module in [module for module in sys.modules if module.partition(".")[0] == package]:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(
        DataError, match=rf"needs '{package}', which reads .*; install it: pip install '{package}'"
    ):
        read_table(path)


_TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=8)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cells=st.lists(st.tuples(st.just("x"), _TEXT, _TEXT), min_size=1, max_size=6),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    separator=st.sampled_from([",", ";", "\t"]),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_any_text_comes_back_from_any_encoding_and_separator(
    tmp_path: Path, cells: list[tuple[str, str, str]], encoding: str, separator: str, end: str
) -> None:
    written = io.StringIO()
    writer = csv.writer(written, delimiter=separator, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerows([("image", "label", "patient_id"), *cells])
    table = read_table(table_of(tmp_path, written.getvalue().encode(encoding)))
    assert list(zip(table["image"], table["label"], table["patient_id"], strict=True)) == cells
