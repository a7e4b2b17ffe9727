"""What many tests need: a small table of films, the real films where they are, and the command line."""

from __future__ import annotations

import gc
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import torch
from films import write_films

ROOT = Path(__file__).resolve().parent.parent

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"  # of the processes that tests start, too

ONE_STEP: dict[str, object] = {
    "model.backbone.weights": "none",
    "data.transforms.size": 32,
    "trainer.max_epochs": 1,
    "trainer.limit_train_batches": 1,
    "trainer.accelerator": "cpu",
    # Most of so short a training is writing checkpoints, which AdamW's memory makes three times as large.
    "model.optimizer": "torch.optim.SGD",
    "model.optimizer.lr": 0.01,
}
"""Options of `fit` for a training of about two seconds."""


MOST_PROCESSES = 2
"""Of the whole suite: each takes up to 6 GB."""


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Run the whole suite on several cores, and what is asked for by name in this process."""
    if config.args_source is not pytest.Config.ArgsSource.TESTPATHS:
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(MOST_PROCESSES, cores or 1)


def as_words(options: Mapping[str, object]) -> list[str]:
    """Write options as a command line has them."""
    return [word for key, value in options.items() for word in (f"--{key}", str(value))]


def pytest_collection_finish() -> None:
    """Leave what was imported out of the search for garbage, which is then quick, and frees networks soon."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """Let the end of the process find everything."""
    gc.unfreeze()


@pytest.fixture(autouse=True, scope="module")
def _no_leftovers() -> Iterator[None]:
    """A network and its Trainer refer to each other, and stay until somebody looks for garbage."""
    yield
    gc.collect()


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Several threads on few, busy cores mostly wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache for this session of tests, also of the processes that they start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RN50MED_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def no_gigabyte() -> Iterator[None]:
    """No damage, and no bomb, makes a reader take a gigabyte."""
    try:
        import resource
    except ImportError:  # Windows does not count it so
        yield
        return
    unit = 1 if sys.platform == "darwin" else 1024
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit < 1e9


@dataclass
class FilmTable:
    """A table of films on disk that a test can spoil: 24 patients, two films each, no splits.

    Lines are counted as a spreadsheet does: the header is line 1.
    """

    path: Path
    cells: pd.DataFrame = field(init=False)

    def __post_init__(self) -> None:
        self.cells = pd.read_csv(self.path, dtype=str, keep_default_na=False)

    @property
    def folder(self) -> Path:
        return self.path.parent

    def write(self, **options: object) -> Path:
        """Write the table again, as the test has changed its cells."""
        self.cells.to_csv(self.path, index=False, **options)
        return self.path

    def put(self, line: int, column: str, cell: str) -> None:
        """Change one cell, and write."""
        self.cells.loc[line - 2, column] = cell
        self.write()

    def image(self, line: int) -> Path:
        """Return the file of a line's image."""
        return self.folder / self.cells.loc[line - 2, "image"]

    def split_by_patient(self, words: Sequence[str] = ("train", "train", "val", "test")) -> None:
        """Give the table a split column: patients in turns, two of each class before the word changes."""
        turns = [words[(int(patient) // 2) % len(words)] for patient in self.cells["patient_id"]]
        self.cells["split"] = turns
        self.write()


@pytest.fixture
def film_table(tmp_path: Path) -> FilmTable:
    """A table of 48 small films, in a folder of its own."""
    return FilmTable(write_films(tmp_path / "study", size=64, splits=False))


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real checkpoint of normal against pneumonia, in a run folder, after one step of training."""
    from lightning.pytorch import Trainer

    from rn50med import Binary, FineTuneModule, ManifestDataModule, Radiograph, ResNet50

    folder = tmp_path_factory.mktemp("run")
    task = Binary(negative="normal", positive="pneumonia")
    table = write_films(folder / "study", size=32)
    data = ManifestDataModule(str(table), task=task, transforms=Radiograph(size=32), num_workers=0)
    optimizer = partial(torch.optim.SGD, lr=0.01)  # for the reason given at ONE_STEP
    module = FineTuneModule(task, backbone=ResNet50(weights="none"), optimizer=optimizer)
    trainer = Trainer(
        accelerator="cpu", limit_train_batches=1, max_epochs=1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
    )  # fmt: skip
    trainer.fit(module, data)
    path = folder / "checkpoints" / "best.ckpt"
    path.parent.mkdir()
    trainer.save_checkpoint(path)
    return path


@pytest.fixture(scope="session")
def shared_films() -> Path:
    """The real chest films, where this machine has them."""
    folder = ROOT.parent / "shared" / "data" / "chest_xray"
    if not (folder / "labels.csv").is_file():
        pytest.skip(f"the real films are not at {folder}")
    return folder


@dataclass(frozen=True)
class Outcome:
    """What a command did: its exit code and what it said."""

    code: int
    out: str
    err: str

    @property
    def messages(self) -> list[str]:
        """What the command said of itself, after its name."""
        return [line for line in self.err.splitlines() if line.startswith("rn50med: ")]


@pytest.fixture
def command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., Outcome]]:
    """The real command line in this process, in an empty working folder; what it sets is put back."""
    from rn50med.cli import main

    working = tmp_path / "working"
    working.mkdir()
    monkeypatch.chdir(working)
    monkeypatch.setattr(sys, "path", list(sys.path))
    ours = logging.getLogger("rn50med")
    loggers = [ours, logging.getLogger("lightning.pytorch"), logging.getLogger("lightning.fabric")]
    levels = [logger.level for logger in loggers]
    handlers, propagate, environment = ours.handlers, ours.propagate, dict(os.environ)

    def run(*words: object) -> Outcome:
        capsys.readouterr()
        code = main([str(word) for word in words])
        said = capsys.readouterr()
        return Outcome(code, said.out, said.err)

    with warnings.catch_warnings():
        yield run
    ours.handlers, ours.propagate = handlers, propagate
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
    for name in set(os.environ) - set(environment):
        del os.environ[name]
