"""Files of splits: the same bytes everywhere, no names in them, and no run that quietly departs from them."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rn50med.data.splits import hold_to, read_splits, write_splits
from rn50med.data.splits.frozen import FrozenSplits, splits_hash
from rn50med.errors import DataError, StorageError

GOLDEN = Path(__file__).parent / "golden" / "splits_frozen.json"
CONTENTS = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(10)]
SPLITS = ["train"] * 6 + ["val"] * 2 + ["test"] * 2
ORIGIN = "Made by rn50med: five patient-wise folds, seed 3; fold 0 test, fold 1 val."


def written(path: Path) -> str:
    return write_splits(path, CONTENTS, SPLITS, ORIGIN, 3)


def test_a_file_is_the_same_bytes_on_every_machine_and_says_the_splits_of_long_ago(tmp_path: Path) -> None:
    digest = written(tmp_path / "splits.json")
    assert (tmp_path / "splits.json").read_bytes() == GOLDEN.read_bytes()
    frozen = read_splits(GOLDEN)
    assert (frozen.sha256, frozen.origin, frozen.seed) == (digest, ORIGIN, 3)
    assert hold_to(frozen, CONTENTS) == SPLITS


@given(st.dictionaries(st.sampled_from(CONTENTS), st.sampled_from(["train", "val", "test"])), st.randoms())
@settings(max_examples=50, deadline=None)
def test_the_hash_is_of_what_is_where_not_of_the_order(splits: dict[str, str], shuffle: object) -> None:
    turned = list(splits.items())
    shuffle.shuffle(turned)  # type: ignore[attr-defined]
    assert splits_hash(dict(turned)) == splits_hash(splits)
    moved = {**splits, CONTENTS[0]: "val" if splits.get(CONTENTS[0]) != "val" else "test"}
    assert splits_hash(moved) != splits_hash(splits)


def test_the_order_of_rows_and_copies_of_an_image_change_no_byte(tmp_path: Path) -> None:
    written(tmp_path / "one.json")
    contents, splits = [*reversed(CONTENTS), CONTENTS[0]], [*reversed(SPLITS), SPLITS[0]]
    write_splits(tmp_path / "other.json", contents, splits, ORIGIN, 3)
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "other.json").read_bytes()
    assert hold_to(read_splits(tmp_path / "one.json"), contents) == splits


def test_a_file_edited_by_hand_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "splits.json"
    written(path)
    path.write_text(path.read_text().replace(': "val"', ': "train"', 1))
    with pytest.raises(DataError, match=r"splits\.json: was changed after it was written: its splits have"):
        read_splits(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is no file of splits; name one that a run wrote"),
        (b"\xff\xfe{", "is no file of splits"),
        (b"[" * 100_000, "is no file of splits"),
        (b"[]", "is no file of splits; name a file of splits that a run wrote"),
        (b'{"format": 2}', "has format 2, and this version of rn50med reads format 1"),
        (b'{"format": 1, "sha256": "", "seed": 0}', "has no origin and no splits that could be used"),
        (
            b'{"format": 1, "sha256": "", "seed": 0, "origin": "", "splits": {"patient 7": "train"}}',
            "has entries that are not the hash of an image with train, val or test",
        ),
        (
            json.dumps(
                {"format": 1, "sha256": "", "seed": 0, "origin": "", "splits": {CONTENTS[0]: ["val"]}}
            ).encode(),
            "has entries that are not the hash of an image with train, val or test",
        ),
    ],
)
def test_a_file_that_is_none_of_ours_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "splits.json"
    path.write_bytes(content)
    with pytest.raises(StorageError, match=said):
        read_splits(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        StorageError, match=r"cannot be read \(No such file or directory\); name a file of splits"
    ):
        read_splits(tmp_path / "splits.json")


def test_images_that_are_not_in_the_file_and_images_that_are_gone_stop_together() -> None:
    frozen = FrozenSplits("splits.json", dict(zip(CONTENTS[:6], SPLITS, strict=False)), ORIGIN, 3, "")
    with pytest.raises(DataError) as refused:
        hold_to(frozen, CONTENTS[5:])
    assert str(refused.value) == (
        "splits.json: 4 of the source's 5 images are not in this file of splits; take them out of the "
        "source, or leave out --data.split_file to have splits made anew. "
        "5 of the 6 images in this file of splits are not in the source; bring them back, "
        "or leave out --data.split_file to have splits made anew."
    )
    with pytest.raises(
        DataError, match=r"^splits\.json: 1 of the source's 7 images is not in this file of splits;"
    ):
        hold_to(frozen, CONTENTS[:7])
    with pytest.raises(
        DataError, match=r"^splits\.json: 1 of the 6 images in this file of splits is not in the"
    ):
        hold_to(frozen, CONTENTS[:5])


def test_identical_images_in_two_splits_cannot_be_written_down(tmp_path: Path) -> None:
    contents, splits = [CONTENTS[0], CONTENTS[0], CONTENTS[1]], ["train", "test", "train"]
    with pytest.raises(DataError, match=r"splits\.json: 1 image has identical copies in another split"):
        write_splits(tmp_path / "splits.json", contents, splits, ORIGIN, 0)
    assert not list(tmp_path.iterdir())


def test_a_file_that_cannot_be_written_is_named_and_nothing_is_left_behind(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"splits\.json: cannot be written"):
        written(tmp_path / "no folder" / "splits.json")
    (tmp_path / "splits.json").mkdir()
    with pytest.raises(StorageError, match=r"splits\.json: cannot be written"):
        written(tmp_path / "splits.json")
    assert [path.name for path in tmp_path.iterdir()] == ["splits.json"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such mode")
def test_a_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    written(tmp_path / "splits.json")
    assert os.stat(tmp_path / "splits.json").st_mode & 0o777 == 0o600
