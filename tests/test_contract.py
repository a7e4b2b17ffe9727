"""The pixel contract: a model is used on images that are read as those that it learnt from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ONE_STEP, FilmTable, Outcome
from films import write_films
from PIL import Image

from rn50med import fit
from rn50med.data.contract import PixelContract, kind_of, kinds_of
from rn50med.data.readers import Facts, Reader
from rn50med.errors import DataError, StorageError


def test_a_contract_survives_a_checkpoint(tmp_path: Path) -> None:
    contract = PixelContract(Reader(voi="none", window=(40.0, 400.0), frame=2), ("DICOM CT",))
    torch.save(contract.plain(), tmp_path / "c")
    assert PixelContract.from_plain(torch.load(tmp_path / "c", weights_only=True)) == contract


def test_a_contract_of_other_readers_is_refused() -> None:
    plain = PixelContract(Reader(), ()).plain()
    with pytest.raises(StorageError, match="version 0 of the readers, this is version 1"):
        PixelContract.from_plain({**plain, "reader": {**plain["reader"], "version": 0}})


def test_other_options_are_named() -> None:
    contract = PixelContract(Reader(), ())
    contract.check_reader(Reader())
    with pytest.raises(DataError, match=r"data\.reader\.voi is 'none', not 'header' as in training"):
        contract.check_reader(Reader(voi="none"))


@pytest.mark.parametrize(
    ("facts", "kind"),
    [
        (Facts("PNG", "L", 8, 4, 4, 1), "picture"),
        (Facts("phantom", "uint8", 8, 4, 4, 1), "picture"),
        (Facts("DICOM", "MONOCHROME1", 12, 4, 4, 1, modality="MG"), "DICOM MG"),
        (Facts("DICOM", "RGB", 8, 4, 4, 3), "DICOM of no modality"),
        (
            Facts("DICOM", "MONOCHROME2", 14, 4, 4, 1, modality="DX", presentation="FOR PROCESSING"),
            "DICOM DX for processing",
        ),
        (Facts("NIfTI", "int16", 16, 4, 4, 1), "NIfTI int16"),
    ],
)
def test_images_are_of_kinds_that_a_model_can_tell_apart(facts: Facts, kind: str) -> None:
    assert kind_of(facts) == kind


def test_kinds_that_were_not_learnt_from_are_counted() -> None:
    contract = PixelContract(Reader(), ("DICOM DX",))
    assert contract.strange(["DICOM DX"] * 3) is None
    said = contract.strange(["DICOM DX", "picture", "picture", "DICOM MG"])
    assert said == (
        "3 images are of kinds that the model has not learnt from (1 DICOM MG, 2 picture); it knows DICOM DX."
    )
    assert kinds_of([None]) == ()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a reader, a root and a test set of its own; the site that is tested is Basel."""
    films = FilmTable(write_films(tmp_path_factory.mktemp("study") / "study", splits=False))
    films.cells["site"] = (["Bern"] * 4 + ["Basel"] * 4) * 6
    own = {
        "data.source": films.write(), "data.root": films.folder, "data.reader.range": "[0, 1000]",
        "data.splits.by": "site", "data.splits.test": "[Basel]",
    }  # fmt: skip
    return fit("chest_xray", ONE_STEP | own, output=films.folder / "run").folder


def test_a_run_is_tested_and_used_by_the_contract_it_was_trained_by(
    run: Path, command_line: Callable[..., Outcome]
) -> None:
    raw = np.random.default_rng(0).uniform(0, 1000, (40, 40)).astype(np.float32)
    np.save("raw.npy", raw)
    Image.fromarray(np.rint(raw * 65.535).astype(np.uint16)).save("same.png")
    both = command_line("predict", "--run", run, "--images", "raw.npy", "same.png")
    assert both.code == 0, both.err
    one, other = (line.split(",") for line in both.out.splitlines()[1:])
    assert abs(float(one[2]) - float(other[2])) < 1e-4
    other_options = command_line("test", "--run", run, "--data.reader.range", "[0, 2000]")
    assert other_options.code == 3
    assert "data.reader.range is (0.0, 2000.0), not (0.0, 1000.0) as in training" in other_options.err
    other_size = command_line("test", "--run", run, "--data.transforms.size", "64")
    assert other_size.code == 3
    assert "data.transforms: size 64, not 32 as in training" in other_size.err


def test_another_site_is_not_judged_by_the_runs_own_place(
    run: Path, command_line: Callable[..., Outcome], tmp_path: Path
) -> None:
    elsewhere = write_films(tmp_path / "elsewhere", splits=False, seed=1)
    judged = command_line("test", "--run", run, "--data.source", elsewhere)
    assert judged.code == 0, judged.err
    assert "all of it is test" in judged.err
    assert "(same-patients)" in judged.err, "patients are numbered alike at both"
    lines = (run / "test/labels/predictions/test.csv").read_text().splitlines()
    assert len(lines) == 1 + 48
