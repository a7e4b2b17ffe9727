"""The data module: what the gate lets through, and batches that no number of workers changes."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import FilmTable
from PIL import Image

from rn50med.data.datamodule import ManifestDataModule
from rn50med.data.dataset import EpochSampler
from rn50med.data.manifest import Columns
from rn50med.data.transforms import Radiograph
from rn50med.errors import DataError, RecipeError
from rn50med.tasks import Binary, MultiClass

TASK = Binary(negative="normal", positive="pneumonia")
SPLITS = ("train", "val", "test")


def module_of(table: FilmTable | Path | str, **options: object) -> ManifestDataModule:
    path = table.path if isinstance(table, FilmTable) else table
    defaults = {"task": TASK, "transforms": Radiograph(size=32), "batch_size": 8, "num_workers": 0}
    data = ManifestDataModule(str(path), **(defaults | options))  # type: ignore[arg-type]
    data.setup("fit")
    return data


def refusal(table: FilmTable | Path, **options: object) -> str:
    with pytest.raises(DataError) as caught:
        module_of(table, **options)
    return str(caught.value)


def epoch_of(data: ManifestDataModule, epoch: int, split: str = "train") -> list[dict[str, torch.Tensor]]:
    loader = getattr(data, f"{split}_dataloader")()
    loader.sampler.set_epoch(epoch)
    return list(loader)


def findings(data: ManifestDataModule) -> dict[str, str]:
    return {finding["code"]: finding["message"] for finding in data.prepared.audit["findings"]}


def seen(batches: list[dict[str, torch.Tensor]]) -> list[int]:
    return torch.cat([batch["index"] for batch in batches]).tolist()


# --- batches


def test_a_batch_is_image_target_and_row_of_the_manifest(film_table: FilmTable) -> None:
    data = module_of(film_table)
    batch = epoch_of(data, 0, "val")[0]
    assert batch["image"].shape[1:] == (1, 32, 32)
    assert batch["image"].dtype == torch.float32
    rows = data.manifest.table.iloc[batch["index"].numpy()]
    assert batch["target"].tolist() == [TASK.classes.index(label) for label in rows["label"]]
    assert (rows["split"] == "val").all()
    film = np.asarray(Image.open(film_table.folder / rows["image"].iloc[0]))
    expected = data.transforms.eval(data.transforms.prepare(film))
    assert torch.equal(batch["image"][0], expected)


def test_worker_processes_change_no_batch_and_epochs_do(film_table: FilmTable) -> None:
    alone, helped = module_of(film_table), module_of(film_table, num_workers=2)
    loader = helped.train_dataloader()
    first = None
    for epoch in (0, 1):
        loader.sampler.set_epoch(epoch)
        one, two = epoch_of(alone, epoch), list(loader)
        assert len(one) == len(two)
        assert all(torch.equal(a[key], b[key]) for a, b in zip(one, two, strict=True) for key in a)
        if first is not None:
            assert seen(one) != seen(first)
            by_row = [
                dict(zip(seen(x), torch.cat([b["image"] for b in x]), strict=True)) for x in (first, one)
            ]
            both = by_row[0].keys() & by_row[1].keys()
            assert not any(torch.equal(by_row[0][row], by_row[1][row]) for row in both)
        first = one


def test_val_and_test_are_the_same_in_every_epoch(film_table: FilmTable) -> None:
    data = module_of(film_table)
    for split in ("val", "test"):
        one, two = epoch_of(data, 0, split), epoch_of(data, 7, split)
        assert seen(one) == seen(two) == data.rows_of(split).tolist()
        assert torch.equal(one[0]["image"], two[0]["image"])


def test_a_loader_draws_nothing_from_the_global_generator(film_table: FilmTable) -> None:
    data = module_of(film_table)
    before = torch.get_rng_state()
    epoch_of(data, 0)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("images", [7, 8, 31])
@pytest.mark.parametrize("ranks", [2, 3])
def test_two_ranks_cover_the_images_that_one_does(images: int, ranks: int) -> None:
    rows = list(range(100, 100 + images))
    shares = [EpochSampler(rows, 0, True, ranks, rank) for rank in range(ranks)]
    alone = EpochSampler(rows, 0, True)
    for sampler in (*shares, alone):
        sampler.set_epoch(3)
    drawn = [list(sampler) for sampler in shares]
    assert {len(share) for share in drawn} == {len(sampler) for sampler in shares} == {-(-images // ranks)}
    assert {key for share in drawn for key in share} == set(alone)
    assert {epoch for epoch, _ in alone} == {3}


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_val_is_dealt_out_in_order_and_never_padded(ranks: int) -> None:
    rows = list(range(50, 57))
    shares = [EpochSampler(rows, 0, False, ranks, rank) for rank in range(ranks)]
    dealt = [image for sampler in shares for _, image in sampler]
    assert sorted(dealt) == rows
    assert [len(list(sampler)) for sampler in shares] == [len(sampler) for sampler in shares]


@pytest.mark.parametrize(
    ("batch_size", "train_images"),
    [
        (8, 24),  # three whole batches
        (23, 23),  # one image is left, which batch norm cannot use
        (22, 22),  # two of 22 are a poor batch
        (18, 24),  # six of 18 are a good one
        (2, 24),
        (64, 24),  # all there is
    ],
)
def test_a_last_batch_too_small_for_batch_norm_is_left_out_and_it_is_said_once(
    film_table: FilmTable, caplog: pytest.LogCaptureFixture, batch_size: int, train_images: int
) -> None:
    film_table.split_by_patient()
    data = module_of(film_table, batch_size=batch_size)
    assert len(data.rows_of("train")) == 24
    with caplog.at_level(logging.INFO, "rn50med"):
        assert len(set(seen(epoch_of(data, 0)))) == train_images
        assert len(seen(epoch_of(data, 0, "val"))) == 12
    left = {23: "1 image", 22: "2 images"}.get(batch_size)
    said = [text for text in caplog.messages if text.startswith("batches: ")]
    assert len(said) == (left is not None)
    assert left is None or said[0].startswith(f"batches: the last of each epoch, of {left}, is left out: ")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"batch_size": 0}, r"^data\.batch_size: is 0; give 1 or more\.$"),
        ({"num_workers": -1}, r"^data\.num_workers: is -1; give 0 or more\.$"),
        ({"seed": -1}, r"^seed: is -1; give 0 or more\.$"),
        *(
            (
                {"task": Binary(negative="a", positive="b", column=name)},
                f"column '{name}' cannot hold the label",
            )
            for name in ("image", "patient", "split", "source_row")
        ),
    ],
)
def test_an_option_out_of_range_is_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        ManifestDataModule("labels.csv", **({"task": TASK, "transforms": Radiograph()} | options))  # type: ignore[arg-type]


def test_16_bit_and_8_bit_films_of_one_study_have_one_scale(film_table: FilmTable) -> None:
    narrow = module_of(film_table).prepared.images.gather(range(48))
    for line in (2, 5):
        pixels = np.asarray(Image.open(film_table.image(line)))
        Image.fromarray(pixels.astype(np.uint16) * 257).save(film_table.image(line))
    wide = module_of(film_table).prepared.images.gather(range(48))
    assert (narrow.dtype, wide.dtype) == (np.uint8, np.uint16)
    assert np.abs(narrow / 255 - wide / 65535).max() <= 1 / 255
    assert np.array_equal(wide[1], narrow[1].astype(np.uint16) * 257)


# --- the gate


def test_nothing_is_read_before_it_is_asked_for() -> None:
    assert ManifestDataModule("nowhere.csv", task=TASK, transforms=Radiograph()).source == "nowhere.csv"


def test_splits_are_made_by_patient_where_the_table_has_none(film_table: FilmTable) -> None:
    data = module_of(film_table)
    table = data.manifest.table
    assert table.groupby("patient")["split"].nunique().max() == 1
    assert set(table["split"]) == set(SPLITS)
    assert data.prepared.audit["split_origin"].startswith("Made by rn50med: five patient-wise folds, seed 0")
    counted = data.prepared.audit["splits"]
    assert sum(counted[split]["images"] for split in SPLITS) == 48
    assert sum(counted[split]["patients"] for split in SPLITS) == 24


def test_the_order_of_rows_changes_no_split_and_no_digest(film_table: FilmTable) -> None:
    straight = module_of(film_table)
    film_table.cells = film_table.cells.sample(frac=1, random_state=0)
    film_table.write()
    turned = module_of(film_table)
    one, two = (d.manifest.table.set_index("image")["split"].sort_index() for d in (straight, turned))
    assert one.equals(two)
    assert straight.prepared.audit["manifest_sha256"] == turned.prepared.audit["manifest_sha256"]


def test_val_is_fold_0_of_train_where_it_alone_is_missing(film_table: FilmTable) -> None:
    film_table.split_by_patient(("train", "train", "test"))
    data = module_of(film_table)
    table = data.manifest.table
    assert table.groupby("patient")["split"].nunique().max() == 1
    given = dict(zip(film_table.cells["image"], film_table.cells["split"], strict=True))
    assert all(given[row.image] == ("test" if row.split == "test" else "train") for row in table.itertuples())
    assert "val made by rn50med: fold 0" in data.prepared.audit["split_origin"]


def test_a_patient_in_two_splits_is_refused(film_table: FilmTable) -> None:
    film_table.split_by_patient()
    film_table.put(2, "split", "test")
    assert refusal(film_table) == (
        "labels.csv: patient '0000' is in splits test, train (rows 2, 3); put all images of a patient in one "
        "split, or the test score is of patients seen in training."
    )


def test_every_patient_in_two_splits_is_listed_on_a_line(film_table: FilmTable) -> None:
    film_table.split_by_patient()
    film_table.put(2, "split", "test")
    film_table.put(4, "split", "val")
    head, *lines = refusal(film_table).splitlines()
    assert head == "labels.csv: 2 faults; mend them and run again."
    assert lines[0].startswith("  patient '0000' is in splits test, train (rows 2, 3); put all images of a")
    assert lines[1] == "  patient '0001' is in splits train, val (rows 4, 5)"


def test_identical_bytes_in_two_splits_are_refused(film_table: FilmTable) -> None:
    film_table.split_by_patient()
    train, test = (list(film_table.cells["split"]).index(split) + 2 for split in ("train", "test"))
    shutil.copy(film_table.image(train), film_table.image(test))
    said = refusal(film_table)
    names = [film_table.cells.loc[line - 2, "image"] for line in (train, test)]
    assert said.startswith(f"labels.csv: images {', '.join(names)} are identical and in splits test, train ")
    assert "all copies of an image" in said


def test_a_leak_that_is_allowed_is_recorded(film_table: FilmTable) -> None:
    film_table.split_by_patient()
    film_table.put(2, "split", "test")
    data = module_of(film_table, allow_leakage=True)
    assert findings(data)["patient-leak"] == "1 patient stands in more than one split. This was allowed."
    assert "patient-leak" in data.prepared.audit["allowed"]


def test_identical_images_keep_two_patients_together_and_are_told(film_table: FilmTable) -> None:
    shutil.copy(film_table.image(2), film_table.image(6))  # patients 0000 and 0002, one class
    data = module_of(film_table)
    split = data.manifest.table.set_index("patient")["split"]
    assert len({*split.loc[["0000", "0002"]]}) == 1
    said = findings(data)["identical-images"]
    assert said.startswith("1 groups of byte-identical images: 1 inside ")
    assert said.endswith("1 of them joins different patients. Each group is kept in one split.")


def test_the_audit_names_neither_patients_nor_images(film_table: FilmTable) -> None:
    film_table.cells["patient_id"] = "CANARY-" + film_table.cells["patient_id"]
    film_table.cells["image"] = [
        Path(name).rename(film_table.folder / f"CANARY-{i}.png").name
        for i, name in enumerate(str(film_table.folder / name) for name in film_table.cells["image"])
    ]
    film_table.write()
    shutil.copy(film_table.image(2), film_table.image(6))
    assert "CANARY" not in json.dumps(module_of(film_table).prepared.audit)


def test_a_table_of_one_class_is_refused(film_table: FilmTable) -> None:
    film_table.cells["label"] = "normal"
    film_table.write()
    assert refusal(film_table) == (
        "labels.csv: only class 'normal' found in column 'label'; a model needs images of normal, pneumonia."
    )


def test_a_class_that_train_lacks_is_refused(film_table: FilmTable) -> None:
    task = MultiClass(names=("normal", "pneumonia", "fracture"))
    assert "train has no image of class 'fracture'; add some" in refusal(film_table, task=task)


def test_a_class_with_too_few_patients_is_refused_in_the_tables_name(film_table: FilmTable) -> None:
    film_table.cells = film_table.cells[
        (film_table.cells["label"] == "normal") | film_table.cells["patient_id"].isin(["0001", "0003"])
    ]
    film_table.write()
    said = refusal(film_table)
    assert said.startswith("labels.csv: class 'pneumonia' has 2 patients, too few for 5 patient-wise folds; ")


def test_a_class_that_test_lacks_is_told(film_table: FilmTable) -> None:
    film_table.split_by_patient()
    cells = film_table.cells
    film_table.cells = cells[(cells["split"] != "test") | (cells["label"] == "normal")]
    film_table.write()
    said = findings(module_of(film_table))
    assert said["class-absent"] == "test has no image of class 'pneumonia'; its figures are undefined."


def test_a_split_that_is_empty_is_named_when_it_is_asked_for(film_table: FilmTable) -> None:
    data = module_of(film_table, unsplit="test")
    assert len(data.rows_of("test")) == 48
    with pytest.raises(DataError, match="has no train images"):
        data.train_dataloader()


def test_another_sites_images_may_be_of_one_class(film_table: FilmTable) -> None:
    film_table.cells["label"] = "normal"
    film_table.write()
    assert set(module_of(film_table, unsplit="test").manifest.column("split")) == {"test"}


def truncate(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 9 // 10])


def as_truncated_jpeg(path: Path) -> None:
    Image.open(path).save(path, "JPEG")
    truncate(path)


SPOILT: list[tuple[Callable[[Path], object], str]] = [
    (Path.unlink, "is not there"),
    (as_truncated_jpeg, "cannot be decoded: image file is truncated"),
    (truncate, "cannot be decoded: "),
    (lambda path: path.write_bytes(b""), "is empty (0 bytes)"),
    (lambda path: path.write_text("<html>Please log in</html>"), "is a web page, not an image"),
    (lambda path: path.write_text("version https://git-lfs.github.com/spec/v1"), "is a Git LFS pointer"),
]


@pytest.mark.parametrize(("spoil", "said"), SPOILT)
def test_an_image_that_cannot_be_read_is_named_with_its_row(
    film_table: FilmTable, spoil: Callable[[Path], object], said: str
) -> None:
    spoil(film_table.image(7))
    assert refusal(film_table).startswith(f"labels.csv: row 7: films/002-1.png {said}")


def test_all_faults_of_a_table_come_in_one_message_in_order(film_table: FilmTable) -> None:
    for line, (spoil, _) in enumerate(SPOILT, start=2):
        spoil(film_table.image(line))
    film_table.cells.loc[8, "label"] = "pneumnia"
    film_table.cells.loc[9, "patient_id"] = ""
    film_table.cells.loc[10, "label"] = ""
    film_table.cells.loc[11, "image"] = film_table.cells.loc[20, "image"]
    film_table.cells["split"] = "train"
    film_table.cells.loc[13, "split"] = "tets"
    film_table.write()
    with pytest.raises(DataError) as caught:
        module_of(film_table)
    head, *lines = str(caught.value).splitlines()
    assert caught.value.exit_code == 3
    assert head == "labels.csv: 11 faults; mend them and run again."
    expected = [*(said for _, said in SPOILT), "unknown label 'pneumnia'", "empty cell for the patient",
                "empty cell in column 'label'", "split 'tets'", "stands in row 13 too"]  # fmt: skip
    assert [int(line.split(":")[0].split()[-1]) for line in lines] == [2, 3, 4, 5, 6, 7, 10, 11, 12, 15, 22]
    assert all(said in line for said, line in zip(expected, lines, strict=True))


# --- the real films


@pytest.fixture(scope="session")
def real_data(shared_films: Path) -> ManifestDataModule:
    return module_of(shared_films / "labels.csv", transforms=Radiograph(size=32))


@pytest.mark.slow
def test_the_real_films_are_all_there_with_their_copies(real_data: ManifestDataModule) -> None:
    assert len(real_data.manifest) == 5840
    counted = real_data.prepared.audit["splits"]
    assert counted["train"]["images"] + counted["val"]["images"] == 5216
    assert counted["test"]["images"] == 624
    assert sum(split["patients"] for split in counted.values()) == 3273
    assert findings(real_data)["identical-images"] == (
        "30 groups of byte-identical images: 24 inside train, 6 inside test; "
        "1 of them joins different patients. Each group is kept in one split."
    )


@pytest.mark.slow
def test_no_patient_and_no_copy_of_the_real_films_is_in_two_splits(real_data: ManifestDataModule) -> None:
    table = real_data.manifest.table
    assert table.groupby("patient")["split"].nunique().max() == 1
    contents = [real_data.manifest.read(name).content for name in table["image"][table["split"] != "test"]]
    kept = pd.DataFrame({"content": contents, "split": table["split"][table["split"] != "test"]})
    assert kept.groupby("content")["split"].nunique().max() == 1
    shares = table.groupby("split")["label"].apply(lambda label: (label == "normal").mean())
    assert shares["val"] == pytest.approx(shares["train"], abs=0.02)


def test_the_table_of_the_real_films_is_read_whole(shared_films: Path) -> None:
    from rn50med.data.faults import Faults
    from rn50med.data.sources import open_source

    faults = Faults("labels.csv")
    manifest = open_source(str(shared_films / "labels.csv")).manifest(TASK, Columns(), faults)
    assert len(faults) == 0
    assert len(manifest) == 5840
    assert len(set(manifest.column("patient"))) == 3273
    assert manifest.read(manifest.column("image")[0]).image.values.shape[:2] == (224, 224)
