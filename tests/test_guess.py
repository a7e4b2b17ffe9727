"""A recipe from the data alone: which column is what, which class is which, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image as Pillow

from rn50med.cli.arguments import prepare
from rn50med.data.guess import Guess, guess, recipe_text
from rn50med.data.guess.labels import classes_of, guess_labels, in_order
from rn50med.data.where import Where
from rn50med.errors import DataError
from rn50med.strict_yaml import parse_yaml

RNG = np.random.default_rng(0)
ROWS = 60


def write(folder: Path, name: str, columns: Mapping[str, Sequence[str]], colour: bool = False) -> Path:
    """Write a table, and an image for each cell that ends like one."""
    table = pd.DataFrame(columns, dtype=str)
    table.to_csv(folder / name, index=False)
    shape = (40, 40, 3) if colour else (40, 40)
    for cell in {
        str(cell) for cells in columns.values() for cell in cells if str(cell).endswith((".png", ".jpg"))
    }:
        (folder / cell).parent.mkdir(parents=True, exist_ok=True)
        Pillow.fromarray(RNG.integers(0, 255, shape, dtype=np.uint8)).save(folder / cell)
    return folder / name


def some(*values: str) -> list[str]:
    return [values[i % len(values)] for i in range(ROWS)]


def reasons(guessed: Guess, key: str) -> str:
    return guessed.reasons[key]


def chexpert(folder: Path) -> Path:
    columns = {
        "Path": [f"train/patient{i // 2:05d}/study1/view{i % 2}.jpg" for i in range(ROWS)],
        "Sex": some("Male", "Female"), "Age": some("30", "40", "50"),
        "Frontal/Lateral": some("Frontal", "Lateral"), "AP/PA": some("AP", "", "PA", ""),
        "No Finding": some("1.0", "", ""), "Cardiomegaly": some("", "1.0", "-1.0", "0.0"),
        "Edema": some("", "0.0", "1.0"),
    }  # fmt: skip
    return write(folder, "train.csv", columns)


def ham10000(folder: Path) -> Path:
    columns = {
        "lesion_id": [f"HAM_{i // 2}" for i in range(ROWS)],
        "image_id": [f"ISIC_{i}.jpg" for i in range(ROWS)],
        "dx": some("nv", "mel", "bkl", "bcc", "df"), "dx_type": some("histo", "consensus"),
        "age": some("40.0", "55.0"), "sex": some("male", "female"), "localization": some("back", "face"),
    }  # fmt: skip
    return write(folder, "HAM10000_metadata.csv", columns, colour=True)


def aptos(folder: Path) -> Path:
    columns = {"id_code": [f"{i:012x}" for i in range(ROWS)], "diagnosis": some("2", "0", "4", "1", "3")}
    return write(folder, "aptos_train.csv", columns)


def rsna(folder: Path) -> Path:
    columns = {
        "patientId": [f"{i // 2}" for i in range(ROWS)], "file": [f"{i}.png" for i in range(ROWS)],
        "Target": some("0", "1", "0"), "ViewPosition": some("PA", "AP", "LL"), "split": some("train", "test"),
    }  # fmt: skip
    return write(folder, "labels.csv", columns)


def folders(folder: Path) -> Path:
    for split in ("train", "test"):
        for name in ("NORMAL", "PNEUMONIA"):
            (folder / "films" / split / name).mkdir(parents=True)
            for i in range(3):
                values = RNG.integers(0, 255, (40, 40), dtype=np.uint8)
                Pillow.fromarray(values).save(folder / "films" / split / name / f"{i}.png")
    return folder / "films"


def test_a_table_like_chexpert_is_several_findings_of_frontal_films(tmp_path: Path) -> None:
    guessed = guess(str(chexpert(tmp_path)))
    assert guessed.task == "MultiLabel"
    assert guessed.options == {"labels": ["No Finding", "Cardiomegaly", "Edema"], "unknown": "ignore"}
    assert guessed.data["columns"] == {"image": "Path", "patient": "image"}
    where = Where(guessed.data["where"])
    assert where.keep({"Frontal/Lateral": "Frontal"})
    assert not where.keep({"Frontal/Lateral": "Lateral"})
    assert guessed.transforms == "Radiograph"
    assert "CHECK" in reasons(guessed, "data.columns.patient")
    assert "ignore leaves them out" in reasons(guessed, "task.unknown")


def test_a_table_like_ham10000_is_classes_of_skin_lesions_kept_together(tmp_path: Path) -> None:
    guessed = guess(str(ham10000(tmp_path)))
    assert (guessed.task, guessed.transforms) == ("MultiClass", "Dermoscopy")
    assert guessed.options == {"names": ["bcc", "bkl", "df", "mel", "nv"], "column": "dx"}
    assert guessed.data["columns"] == {"image": "image_id", "patient": "lesion_id"}
    assert "lesion" in reasons(guessed, "data.columns.patient")


def test_grades_are_classes_in_their_order_and_text(tmp_path: Path) -> None:
    guessed = guess(str(aptos(tmp_path)))
    assert guessed.options == {"names": ["0", "1", "2", "3", "4"], "column": "diagnosis"}
    assert guessed.transforms == "Fundus"
    recipe = parse_yaml(recipe_text(guessed, "a.yaml"), "a.yaml")
    assert recipe["task"]["init_args"]["names"] == ["0", "1", "2", "3", "4"]


def test_zero_and_one_with_views_and_splits(tmp_path: Path) -> None:
    guessed = guess(str(rsna(tmp_path)))
    assert guessed.task == "Binary"
    assert guessed.options == {"negative": "0", "positive": "1", "column": "Target"}
    assert guessed.data["where"] == "ViewPosition in (AP, PA)"
    assert guessed.data["columns"] == {"image": "file", "patient": "patientId"}


def test_class_folders_are_classes_and_each_image_is_a_patient(tmp_path: Path) -> None:
    guessed = guess(str(folders(tmp_path)))
    assert guessed.options == {"negative": "NORMAL", "positive": "PNEUMONIA", "column": "label"}
    assert guessed.data["columns"] == {"patient": "image"}
    assert "CHECK" in reasons(guessed, "data.columns.patient")


def medmnist(folder: Path) -> Path:
    arrays = {}
    for split in ("train", "val", "test"):
        arrays[f"{split}_images"] = RNG.integers(0, 255, (20, 28, 28), dtype=np.uint8)
        arrays[f"{split}_labels"] = np.arange(20, dtype=np.int64)[:, None] % 2
    np.savez(folder / "films.npz", **arrays)
    return folder / "films.npz"


def test_an_array_file_is_guessed_from_by_what_its_source_makes_of_it(tmp_path: Path) -> None:
    guessed = guess(str(medmnist(tmp_path)))
    assert guessed.options == {"negative": "0", "positive": "1", "column": "label"}
    assert guessed.data["columns"] == {"patient": "image"}
    assert guessed.transforms == "Radiograph"


def test_a_tree_of_dicom_films_and_its_labels(tmp_path: Path) -> None:
    from test_audit import save_dicom

    (tmp_path / "tree").mkdir()
    for i in range(6):
        save_dicom(tmp_path / "tree" / f"{i}.dcm", ViewPosition=("PA", "LL")[i % 2], AccessionNumber=str(i))
    columns = {"AccessionNumber": [str(i) for i in range(6)], "result": ["no", "yes"] * 3}
    table = write(tmp_path, "labels.csv", columns)
    guessed = guess(str(table), {"root": str(tmp_path / "tree"), "join": "AccessionNumber"})
    assert guessed.options == {"negative": "no", "positive": "yes", "column": "result"}
    assert guessed.data["where"] == "ViewPosition in (AP, PA)"
    assert guessed.transforms == "Radiograph"
    assert "DX" in reasons(guessed, "data.transforms")


def test_what_the_user_says_is_not_guessed(tmp_path: Path) -> None:
    given = {"columns.patient": "Sex", "where": "Age = 30", "root": str(tmp_path)}
    guessed = guess(str(chexpert(tmp_path)), given)
    assert guessed.data["columns"]["patient"] == "Sex"
    assert guessed.data["where"] == "Age = 30"
    assert guessed.data["root"] == str(tmp_path)
    assert not {"data.columns.patient", "data.where"} & set(guessed.reasons)


def test_a_split_that_is_switched_off_stays_so_in_the_recipe(tmp_path: Path) -> None:
    columns = {"image": [f"{i}.png" for i in range(ROWS)], "label": ["a", "b"] * 30, "split": ["x", "y"] * 30}
    found = guess(str(write(tmp_path, "labels.csv", columns)), {"columns.split": "null"})
    assert found.data["columns"] == {"split": None, "patient": "image"}
    assert "    split: null\n" in recipe_text(found, "labels.yaml")


def test_one_hot_columns_are_said_to_be_classes(tmp_path: Path) -> None:
    columns: dict[str, Any] = {"image": [f"{i}.png" for i in range(ROWS)]}
    columns |= {name: ["1" if i % 3 == k else "0" for i in range(ROWS)] for k, name in enumerate("abc")}
    guessed = guess(str(write(tmp_path, "onehot.csv", columns)))
    assert guessed.task == "MultiLabel"
    assert "CHECK" in reasons(guessed, "task")


def test_a_typing_error_is_no_class(tmp_path: Path) -> None:
    cells = ["normal"] * 80 + ["pneumonia"] * 60 + ["Pneumonia "] * 2 + ["pnuemonia", "normal "]
    assert classes_of(cells) == (["normal", "pneumonia"], {"pnuemonia": 1})
    assert set(classes_of(["a", "b"] * 30)[0]) == {"a", "b"}
    assert classes_of([str(i) for i in range(50)]) == ([], {})
    found = guess_labels(pd.DataFrame({"label": cells}, dtype=str), [], "labels.csv")
    assert found.reasons[""].endswith("taken for a typing error and left out: 'pnuemonia' of 1 row: CHECK")


@pytest.mark.parametrize(
    ("common", "rare"),
    [
        ("BI-RADS 4", "BI-RADS 5"), ("BI-RADS 4a", "BI-RADS 4b"), ("stage II", "stage III"), ("T1N0", "T1N1"),
        ("stage_ii", "stage_iv"), ("BIRADS 4", "BI-RADS 5"), ("type A", "type B"),
        ("Gleason 3+4", "Gleason 4+3"),
    ],
)  # fmt: skip
def test_a_rare_class_of_another_number_is_no_typing_error(common: str, rare: str) -> None:
    assert classes_of([common] * 300 + ["benign"] * 100 + [rare]) == ([common, "benign", rare], {})


@pytest.mark.parametrize(
    ("classes", "ordered"),
    [
        (["pneumonia", "normal"], ["normal", "pneumonia"]),
        (["malignant", "benign", "normal"], ["normal", "benign", "malignant"]),
        (["Yes", "No"], ["No", "Yes"]),
        (["10", "2", "0"], ["0", "2", "10"]),
        (["zebra", "ape"], ["ape", "zebra"]),
    ],
)
def test_the_class_without_the_finding_is_first(classes: list[str], ordered: list[str]) -> None:
    assert in_order(classes) == ordered


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (
            {"image": [f"{i}.png" for i in range(9)], "note": [f"n{i}" for i in range(9)]},
            "looks like a label",
        ),
        ({"weight": [str(i) for i in range(9)], "label": list("ababababa")}, "looks like image files"),
    ],
)
def test_a_table_that_cannot_be_guessed_from_says_what_to_name(
    tmp_path: Path, columns: Any, said: str
) -> None:
    with pytest.raises(DataError, match=rf"^t\.csv: no column {said}"):
        guess(str(write(tmp_path, "t.csv", columns)))


def test_a_place_that_is_nothing_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nothing\.csv: no such"):
        guess(str(tmp_path / "nothing.csv"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty: holds 0 images in 0 folders"):
        guess(str(tmp_path / "empty"))


@pytest.mark.parametrize("make", [chexpert, ham10000, aptos, rsna, folders, medmnist])
def test_every_guess_becomes_a_recipe_that_is_read_back_as_it_was_guessed(tmp_path: Path, make: Any) -> None:
    guessed = guess(str(make(tmp_path)))
    text = recipe_text(guessed, "my recipe.yaml")
    recipe = parse_yaml(text, "recipe")
    assert recipe["task"] == {"class_path": guessed.task, "init_args": dict(guessed.options)}
    assert {key: recipe["data"][key] for key in guessed.data} == dict(guessed.data)
    assert recipe["data"]["transforms"]["class_path"] == guessed.transforms
    for reason in guessed.reasons.values():
        assert all(word in text for word in reason.split())
    assert max(map(len, text.splitlines())) <= 200
    (tmp_path / "my recipe.yaml").write_text(text, encoding="utf-8")
    assert prepare(["--recipe", str(tmp_path / "my recipe.yaml")]).loaded.merged == recipe


@pytest.mark.parametrize(
    "name", ["no", "1e3", "a: b", "- x", "#", 'say "x"', "naïve", "0012", "a\nb", "null", "[x]"]
)
def test_odd_names_survive_the_recipe(name: str) -> None:
    odd = Guess(
        "Binary", {"negative": name, "positive": f"{name}!", "column": name}, {"source": name}, "Fundus", {}
    )
    recipe = parse_yaml(recipe_text(odd, f"{name}.yaml"), "recipe")
    assert recipe["task"]["init_args"] == dict(odd.options)
    assert recipe["data"]["source"] == name
