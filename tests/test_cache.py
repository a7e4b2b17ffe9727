"""The cache: never a wrong image, whoever builds it, is killed or runs out of disk."""

from __future__ import annotations

import os
import pickle
import random
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image as Pillow

from rn50med.data.cache import Outcome, Work, cache_place, clear, occupied, read_images
from rn50med.data.cache.shards import Shard
from rn50med.data.images import Files, Images, Reading
from rn50med.data.readers import ImageFault, Reader
from rn50med.data.seen import Seen
from rn50med.data.transforms import Radiograph
from rn50med.errors import StorageError

BUILD = """
import sys
from pathlib import Path
from rn50med.data.cache import Work, read_images
from rn50med.data.cache import shards
from rn50med.data.images import Files
from rn50med.data.pixels import channels_first, display, resize
from rn50med.data.readers import Reader

def prepare(image):
    return channels_first(resize(display(image), 32))

shards.SHARD_BYTES = 20_000  # many small shards: many places to be killed at
root, cache = Path(sys.argv[1]), Path(sys.argv[2])
names = sorted(path.name for path in root.iterdir())
work = Work(Files(root, Reader()), names, prepare, {"by": "test"})
assert "torch" not in sys.modules  # which would take the time of the whole test
print("start", flush=True)
outcome = read_images(work, cache, lambda done: None)
print(outcome.known, flush=True)
"""


def write_images(folder: Path, count: int, size: int = 40) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    names = [f"{number:04d}.png" for number in range(count)]
    for name in names:
        Pillow.fromarray(rng.integers(0, 256, (size, size - 8), dtype=np.uint8)).save(folder / name)
    return names


def light_work(root: Path, names: Sequence[str]) -> Work:
    """The work of `BUILD`, whose transforms are those of a radiograph."""
    transforms = Radiograph(size=32)
    return Work(Files(root, Reader()), names, transforms.prepare, {"by": "test"})


def work_of(root: Path, names: Sequence[str], size: int = 32, reader: Reader | None = None) -> Work:
    transforms = Radiograph(size=size)
    return Work(Files(root, reader or Reader()), names, transforms.prepare, transforms.preparation)


def read(work: Work, cache: Path | None) -> Outcome:
    return read_images(work, cache, lambda done: None)


def pixels(outcome: Outcome) -> np.ndarray:
    return outcome.images.gather(range(len(outcome.images)))


@pytest.fixture
def films(tmp_path: Path) -> tuple[Path, list[str]]:
    return tmp_path / "films", write_images(tmp_path / "films", 30)


def test_what_comes_from_the_cache_equals_what_is_read_afresh(
    films: tuple[Path, list[str]], tmp_path: Path
) -> None:
    work = work_of(*films)
    fresh, first, again = read(work, None), read(work, tmp_path / "c"), read(work, tmp_path / "c")
    assert (fresh.known, first.known, again.known) == (0, 0, 30)
    assert np.array_equal(pixels(fresh), pixels(first))
    assert np.array_equal(pixels(fresh), pixels(again))
    assert fresh.seen == first.seen == again.seen


def test_a_file_that_changed_is_read_again(films: tuple[Path, list[str]], tmp_path: Path) -> None:
    root, names = films
    read(work_of(root, names), tmp_path / "c")
    Pillow.fromarray(np.full((40, 32), 7, np.uint8)).save(root / names[3])
    again = read(work_of(root, names), tmp_path / "c")
    assert again.known == 29
    assert (again.images.one(3) == 7).any()
    assert np.array_equal(pixels(again), pixels(read(work_of(root, names), None)))


@pytest.mark.parametrize(
    "other", [{"size": 48}, {"reader": Reader(voi="none")}], ids=["another size", "another reader"]
)
def test_other_preparations_and_readers_have_entries_of_their_own(
    films: tuple[Path, list[str]], tmp_path: Path, other: dict[str, object]
) -> None:
    read(work_of(*films), tmp_path / "c")
    assert read(work_of(*films, **other), tmp_path / "c").known == 0  # type: ignore[arg-type]
    assert read(work_of(*films), tmp_path / "c").known == 30


def test_the_strength_of_the_random_part_needs_no_other_entries(
    films: tuple[Path, list[str]], tmp_path: Path
) -> None:
    root, names = films
    for strength, known in ((1.0, 0), (3.0, 30)):
        transforms = Radiograph(size=32, strength=strength)
        work = Work(Files(root, Reader()), names, transforms.prepare, transforms.preparation)
        assert read(work, tmp_path / "c").known == known


def test_two_names_of_the_same_bytes_share_one_entry(tmp_path: Path) -> None:
    root = tmp_path / "films"
    names = write_images(root, 4)
    shutil.copy(root / names[0], root / "copy.png")
    outcome = read(work_of(root, [*names, "copy.png"]), tmp_path / "c")
    assert np.array_equal(outcome.images.one(0), outcome.images.one(4))
    (shard,) = (tmp_path / "c").glob("*.shard")
    assert shard.stat().st_size == 4 * 32 * 32


def test_a_bad_image_is_told_each_time_and_the_others_are_kept(
    films: tuple[Path, list[str]], tmp_path: Path
) -> None:
    root, names = films
    (root / names[5]).write_bytes(b"")
    for known in (0, 29):
        outcome = read(work_of(root, names), tmp_path / "c")
        assert outcome.known == known
        assert [row for row, seen in enumerate(outcome.seen) if isinstance(seen, ImageFault)] == [5]
        assert len(outcome.images) == 29
    assert np.array_equal(outcome.images.one(5), read(work_of(root, names[6:7]), None).images.one(0))


def test_images_of_8_and_16_bits_share_a_cache_and_a_batch(tmp_path: Path) -> None:
    root = tmp_path / "films"
    names = write_images(root, 3)
    wide = np.asarray(Pillow.open(root / names[1])).astype(np.uint16) * 257 + 3
    Pillow.fromarray(wide).save(root / names[1])
    outcome = read(work_of(root, names), tmp_path / "c")
    assert [outcome.images.one(row).dtype.itemsize for row in range(3)] == [1, 2, 1]
    assert outcome.images.gather([0, 2]).dtype == np.uint8
    both = outcome.images.gather([0, 1])
    assert both.dtype == np.uint16
    assert np.array_equal(both[0], outcome.images.one(0).astype(np.uint16) * 257)


def test_the_cache_is_for_its_owner_alone_and_names_nobody(tmp_path: Path) -> None:
    root = tmp_path / "MUELLER^HANS"
    names = write_images(root, 3)
    os.rename(root / names[0], root / "CANARY-0042.png")
    read(work_of(root, ["CANARY-0042.png", *names[1:]]), tmp_path / "c")
    assert stat.S_IMODE((tmp_path / "c").stat().st_mode) == 0o700
    kept = b"".join(path.read_bytes() for path in (tmp_path / "c").iterdir())
    assert b"CANARY" not in kept
    assert b"MUELLER" not in kept


def test_maps_are_opened_anew_in_another_process(films: tuple[Path, list[str]], tmp_path: Path) -> None:
    outcome = read(work_of(*films), tmp_path / "c")
    expected = pixels(outcome)
    sent = pickle.dumps(outcome.images)
    assert len(sent) < 3000
    assert np.array_equal(pickle.loads(sent).gather(range(30)), expected)


@pytest.mark.parametrize("harm", ["shorten", "change", "remove", "index", "no index"])
def test_damage_is_noticed_and_mended(films: tuple[Path, list[str]], tmp_path: Path, harm: str) -> None:
    work, cache = work_of(*films), tmp_path / "c"
    expected = pixels(read(work, cache))
    (shard,) = cache.glob("*.shard")
    index = cache / "index.sqlite"
    if harm == "shorten":
        os.truncate(shard, 1000)
    elif harm == "change":
        content = bytearray(shard.read_bytes())
        content[0] ^= 255
        time.sleep(0.01)
        shard.write_bytes(content)
    elif harm == "remove":
        shard.unlink()
    elif harm == "index":
        index.write_bytes(b"no database at all" * 100)
    else:
        index.unlink()
    again = read(work, cache)
    assert again.known == 0
    assert np.array_equal(pixels(again), expected)
    assert len(list(cache.glob("*.shard"))) == 1, "what nobody knows any more is swept"


def test_a_full_disk_is_an_error_that_says_what_to_do_and_leaves_no_wrong_image(
    films: tuple[Path, list[str]], tmp_path: Path
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    if (
        os.geteuid() != 0
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=120k", "tmpfs", str(small)], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("a small file system cannot be mounted here")
    try:
        with pytest.raises(StorageError, match=r"No space left.*--data\.cache|full.*--data\.cache"):
            read(work_of(*films, size=96), small / "c")
        assert not list((small / "c").glob("*.tmp"))
        few = read(work_of(films[0], films[1][:2]), small / "c")
        assert np.array_equal(pixels(few), pixels(read(work_of(films[0], films[1][:2]), None)))
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


def test_a_folder_with_something_else_in_it_is_refused(films: tuple[Path, list[str]], tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="holds something else than a cache"):
        read(work_of(*films), films[0])


def test_clearing_removes_the_cache_and_nothing_else(films: tuple[Path, list[str]], tmp_path: Path) -> None:
    cache = tmp_path / "c"
    read(work_of(*films), cache)
    (cache / "somebody's.txt").write_text("kept")
    size = occupied(cache)
    assert size > 30 * 32 * 32
    assert clear(cache) == size
    assert {path.name for path in cache.iterdir()} <= {"somebody's.txt", "lock"}
    assert clear(films[0]) == 0
    assert len(list(films[0].iterdir())) == 30


def test_a_file_that_takes_the_place_size_time_and_number_of_another_is_read_again(tmp_path: Path) -> None:
    """As an archive that is unpacked anew leaves it."""
    root, cache = tmp_path / "films", tmp_path / "c"
    root.mkdir()
    path = root / "a.npy"
    np.save(path, np.full((40, 40), 10, np.uint8))
    old = path.stat()
    read(work_of(root, ["a.npy"]), cache)
    for _ in range(20):  # the file system gives the number again, sooner or later
        path.unlink()
        np.save(path, np.full((40, 40), 20, np.uint8))
        os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns))
        if path.stat().st_ino == old.st_ino:
            break
    again = read(work_of(root, ["a.npy"]), cache)
    assert again.known == 0
    assert (again.images.one(0) == 20).all()


def test_a_cache_in_use_is_not_cleared(films: tuple[Path, list[str]], tmp_path: Path) -> None:
    cache = tmp_path / "c"
    outcome = read(work_of(*films), cache)
    with FileLock(cache / "lock"), pytest.raises(StorageError, match="a run is preparing images there"):
        clear(cache)
    assert pixels(outcome).any()
    clear(cache)
    with pytest.raises(StorageError, match="was changed while it was in use"):
        pickle.loads(pickle.dumps(outcome.images)).one(0)


def test_more_shards_than_a_process_may_open_are_mapped_in_turn(
    films: tuple[Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rn50med.data.cache.shards.SHARD_BYTES", 2000)
    monkeypatch.setattr("rn50med.data.cache.stored.MOST_OPEN", 3)
    outcome = read(work_of(*films), tmp_path / "c")
    assert len(list((tmp_path / "c").glob("*.shard"))) > 10
    assert np.array_equal(pixels(outcome), pixels(read(work_of(*films), None)))
    assert len(outcome.images._maps) == 3


class Inverted(Radiograph):
    """Transforms of somebody's own, whose deterministic part they edit."""


def test_the_code_of_somebodys_own_transforms_belongs_to_the_key() -> None:
    assert "code" not in Radiograph(size=32).preparation
    assert Inverted(size=32).preparation["code"] == Inverted(size=48).preparation["code"]
    exec("class Typed(Radiograph):\n    pass", globals())
    typed = globals()["Typed"](size=32)
    assert typed.preparation != typed.preparation, "without its source nobody can tell whether it changed"


def test_the_place_is_chosen_by_option_then_variable_then_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RN50MED_CACHE", "scratch")
    assert cache_place("mine") == Path("mine")
    assert cache_place(None) == Path("scratch")
    assert cache_place("none") is None
    monkeypatch.delenv("RN50MED_CACHE")
    assert cache_place(None) == Path("runs/.cache")


class Unknown(Images):
    """Images of which nothing can be said without reading them."""

    def __init__(self, files: Files) -> None:
        self.files = files

    def read(self, name: str) -> Reading:
        return self.files.read(name)

    def identity(self, name: str) -> str | None:
        return None


def test_images_without_identity_are_read_each_time(films: tuple[Path, list[str]], tmp_path: Path) -> None:
    transforms = Radiograph(size=32)
    images = Unknown(Files(films[0], Reader()))
    work = Work(images, films[1], transforms.prepare, transforms.preparation)
    expected = pixels(read(work, tmp_path / "c"))
    again = read(work, tmp_path / "c")
    assert again.known == 0
    assert np.array_equal(pixels(again), expected)


def test_another_process_is_waited_for(films: tuple[Path, list[str]], tmp_path: Path) -> None:
    command = [sys.executable, "-c", BUILD, str(films[0]), str(tmp_path / "c")]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate()[0] for process in both]
    assert all(process.returncode == 0 for process in both), said
    outcome = read(light_work(*films), tmp_path / "c")
    assert outcome.known == 30
    assert np.array_equal(pixels(outcome), pixels(read(work_of(*films), None)))
    with sqlite3.connect(tmp_path / "c" / "index.sqlite") as base:
        assert base.execute("SELECT COUNT(*) FROM prepared").fetchone() == (30,)


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_a_kill_in_the_middle_leaves_no_wrong_image(tmp_path: Path, kills: int) -> None:
    root, cache = tmp_path / "films", tmp_path / "c"
    names = write_images(root, 600)
    chance = random.Random(0)
    killed = 0
    for _ in range(kills):
        process = subprocess.Popen(
            [sys.executable, "-c", BUILD, str(root), str(cache)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(chance.uniform(0.0, 0.35))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
    assert killed
    work = light_work(root, names)
    outcome = read(work, cache)
    assert all(isinstance(seen, Seen) for seen in outcome.seen)
    assert np.array_equal(pixels(outcome), pixels(read(work, None)))
    assert not list(cache.glob("*.tmp"))


def test_a_shard_knows_when_it_is_not_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.shard"
    path.write_bytes(bytes(24))
    shard = Shard("a.shard", "uint8", 2, (3, 2, 2), path.stat().st_mtime_ns)
    assert shard.whole(tmp_path)
    assert shard.open(tmp_path).shape == (2, 3, 2, 2)
    os.truncate(path, 23)
    assert not shard.whole(tmp_path)
