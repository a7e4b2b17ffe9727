"""MedMNIST's files: labels by name, images row by row, and hostile files refused before they are opened."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from rn50med.data.faults import Faults
from rn50med.data.images import Images
from rn50med.data.manifest import Columns, Manifest
from rn50med.data.readers import ImageFault
from rn50med.data.sources import arrays, open_source
from rn50med.data.sources.medmnist import published
from rn50med.errors import DataError, OfflineError
from rn50med.tasks import Binary, MultiClass

TASK = Binary(negative="normal", positive="pneumonia")
NUMBERS = MultiClass(names=("0", "1"))
OWN = Columns(patient="image")
Arrays = dict[str, NDArray[np.generic]]
installed = pytest.mark.skipif(not published(), reason="medmnist is not installed")


def content(size: int = 28, colour: bool = False, labels: int = 1) -> Arrays:
    rng = np.random.default_rng(0)
    found: Arrays = {}
    for split, rows in (("train", 6), ("val", 2), ("test", 4)):
        shape = (rows, size, size, 3) if colour else (rows, size, size)
        found[f"{split}_images"] = rng.integers(0, 256, shape, np.uint8)
        found[f"{split}_labels"] = rng.integers(0, 2, (rows, labels)).astype(np.uint8)
    return found


def saved(folder: Path, found: Arrays, name: str = "pneumoniamnist.npz", packed: bool = True) -> Path:
    (np.savez_compressed if packed else np.savez)(folder / name, **found)  # type: ignore[arg-type]
    return folder / name


def manifest_of(
    path: Path | str, task: Binary | MultiClass = NUMBERS, columns: Columns = OWN, root: str | None = None
) -> Manifest:
    faults = Faults(Path(path).name)
    manifest = open_source(str(path), root).manifest(task, columns, faults)
    faults.raise_any()
    return manifest


@pytest.mark.parametrize(("size", "colour"), [(28, False), (64, True), (224, False)])
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("limit", [0, 2**30])
def test_every_image_is_read_as_it_was_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, colour: bool, packed: bool, limit: int
) -> None:
    monkeypatch.setattr(arrays, "_IN_MEMORY", limit or 4096)  # labels stay in memory
    found = content(size, colour)
    manifest = manifest_of(saved(tmp_path, found, packed=packed))
    assert len(manifest) == 12
    for split, rows in (("train", 6), ("val", 2), ("test", 4)):
        for row in range(rows):
            image = manifest.read(f"{split}/{row:06d}").image
            assert np.array_equal(image.values, found[f"{split}_images"][row])
            assert (image.black, image.white) == (0, 255)
    assert manifest.column("split") == ["train"] * 6 + ["val"] * 2 + ["test"] * 4
    flat = [str(label) for split in ("train", "val", "test") for label in found[f"{split}_labels"][:, 0]]
    assert manifest.column("label") == flat
    assert manifest.patients_are_images


def test_large_arrays_are_mapped_and_their_files_go_with_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrays, "_IN_MEMORY", 1000)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    manifest = manifest_of(saved(tmp_path, content()))
    assert not list((tmp_path / "temporary").iterdir())  # nothing is unpacked before it is read
    again: Images = pickle.loads(pickle.dumps(manifest.images))
    name = "train/000003"
    assert again.read(name).content == manifest.read(name).content
    assert len(list((tmp_path / "temporary").rglob("train_images.npy"))) == 2
    manifest.images.__dict__["_folder"].cleanup()
    del manifest, again
    assert not list((tmp_path / "temporary").iterdir())


def test_the_identity_knows_file_split_and_row(tmp_path: Path) -> None:
    path = saved(tmp_path, content())
    one, two = manifest_of(path), manifest_of(path)
    names = one.column("image")
    assert len({one.images.identity(name) for name in names}) == 12
    assert [one.images.identity(n) for n in names] == [two.images.identity(n) for n in names]
    before = one.images.identity(names[0])
    saved(tmp_path, content(64))
    assert one.images.identity(names[0]) != before


@installed
def test_classes_of_a_known_set_have_their_names(tmp_path: Path) -> None:
    found = content(128)
    manifest = manifest_of(saved(tmp_path, found, "pneumoniamnist_128.npz"), TASK)
    wanted = ["pneumonia" if label else "normal" for label in found["train_labels"][:, 0]]
    assert manifest.column("label")[:6] == wanted


@installed
def test_findings_of_a_known_set_are_columns(tmp_path: Path) -> None:
    found = content(labels=14)
    path = saved(tmp_path, found, "chestmnist.npz")
    manifest = manifest_of(path, MultiClass(names=("0", "1"), column="effusion"))
    assert manifest.column("effusion")[:6] == [str(label) for label in found["train_labels"][:, 2]]
    assert {"atelectasis", "hernia"} <= set(manifest.table.columns)


def test_classes_of_an_unknown_file_are_numbers(tmp_path: Path) -> None:
    manifest = manifest_of(
        saved(tmp_path, content(labels=3), "ours.npz"), MultiClass(names=("0", "1"), column="2")
    )
    assert set(manifest.column("2")) <= {"0", "1"}
    assert not any("medmnist" in note for note in manifest.notes)


def test_a_file_does_not_guess_who_the_patients_are(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"--data\.columns\.patient image says that each image is its own"):
        manifest_of(saved(tmp_path, content()), columns=Columns())


def spoilt(**changes: NDArray[np.generic] | None) -> Arrays:
    return {name: array for name, array in (content() | changes).items() if array is not None}  # type: ignore[operator]


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"images": np.zeros(3)}, "holds images, which is not MedMNIST's layout; give train_images"),
        ({}, "holds no arrays, which is not"),
        (spoilt(val_labels=None), "has no member val_labels"),
        (spoilt(test_images=None), "has no member test_images"),
        (spoilt(val_labels=np.zeros((3, 1))), "has 2 val_images and 3 val_labels"),
        (spoilt(train_images=np.zeros((6, 9, 9, 9), np.uint8)), r"train_images are volumes, \(9, 9, 9\)"),
        (spoilt(train_images=np.zeros((6, 9), np.uint8)), r"train_images have the shape \(6, 9\)"),
        (spoilt(train_images=np.zeros((6, 9, 9))), "train_images are float64; give uint8 or uint16"),
        (spoilt(train_labels=np.full((6, 1), 0.5)), "train_labels are no whole numbers"),
        (spoilt(train_labels=np.full((6, 1), "a")), "train_labels are <U1 of"),
    ],
)
def test_a_file_of_another_layout_is_refused_by_name(tmp_path: Path, found: Arrays, said: str) -> None:
    with pytest.raises(DataError, match=rf"^ours\.npz: {said}"):
        manifest_of(saved(tmp_path, found, "ours.npz"))


class _Trap:
    opened: list[str] = []  # noqa: RUF012 - the trap's memory

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return _Trap.opened.append, ("sprung",)


def with_member(folder: Path, name: str, member: bytes) -> Path:
    path = saved(folder, spoilt(**{name: None}), "ours.npz")
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr(f"{name}.npy", member)
    return path


def test_objects_are_refused_and_never_opened(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.array([_Trap()] * 6, dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="'train_labels' holds Python objects, which could run code"):
        manifest_of(with_member(tmp_path, "train_labels", buffer.getvalue()))
    assert not _Trap.opened


def header(shape: tuple[int, ...]) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def test_bombs_and_lies_are_refused_before_they_are_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lie = header((6, 10**6, 10**6)) + bytes(100)
    with pytest.raises(DataError, match="says that it holds 6000000000000 bytes, and has 100"):
        manifest_of(with_member(tmp_path, "train_images", lie))
    monkeypatch.setattr(arrays, "_IN_MEMORY", 2**20)
    bomb = header((6, 2000, 2000)) + bytes(6 * 2000 * 2000)
    with pytest.raises(DataError, match=r"'train_images' grows \d+ times when unpacked and was refused"):
        manifest_of(with_member(tmp_path, "train_images", bomb))
    for member in (b"", b"no array", b"\x93NUMPY\x01\x00\x46\x00{'descr': '|u1'}", header((6,))[:30]):
        with pytest.raises(DataError, match=r"is no numpy array|says that it holds"):
            manifest_of(with_member(tmp_path, "train_images", member))


@pytest.mark.parametrize("cut", [0, 10, 500, -30])
def test_a_file_that_was_cut_off_is_refused_by_name(tmp_path: Path, cut: int) -> None:
    path = saved(tmp_path, content(), "ours.npz")
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(DataError, match=r"^ours\.npz: is no \.npz file, or is cut off or damaged"):
        manifest_of(path)


def test_a_damaged_image_is_a_fault_of_that_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path, content(64, True), "ours.npz", packed=False)
    whole = bytearray(path.read_bytes())
    at = whole.index(content(64, True)["test_images"].tobytes())
    whole[at + 40_000] ^= 255  # far from the header, which is read first
    path.write_bytes(whole)
    for limit in (1000, 2**30):
        monkeypatch.setattr(arrays, "_IN_MEMORY", limit)
        manifest = manifest_of(path)
        assert manifest.read("train/000000").image.values.shape == (64, 64, 3)
        with pytest.raises(ImageFault, match=r"is in an \.npz file whose member 'test_images' is damaged"):
            manifest.read("test/000000")


def test_bytes_that_cannot_be_unpacked_are_told_as_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path, content(64, True), "ours.npz", packed=True)
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as packed:
        places = {info.filename: info for info in packed.infolist()}

    def spoil(name: str, after: int) -> None:
        info = places[name]
        start = info.header_offset + 30 + len(info.filename.encode()) + 20 + after  # numpy asks for ZIP64
        path.write_bytes(whole[:start] + b"\xff" * 200 + whole[start + 200 :])

    spoil("test_images.npy", 20_000)
    for limit in (1000, 2**30):
        monkeypatch.setattr(arrays, "_IN_MEMORY", limit)
        manifest = manifest_of(path)
        with pytest.raises(
            ImageFault, match=r"whose member 'test_images' is damaged .+; copy the file again"
        ):
            manifest.read("test/000000")
    spoil("test_images.npy", 0)
    with pytest.raises(DataError, match=r"^ours\.npz: is no \.npz file, or is cut off or damaged"):
        manifest_of(path)


@installed
def test_a_set_by_its_name_is_taken_from_the_root(tmp_path: Path) -> None:
    saved(tmp_path, content(64), "pneumoniamnist_64.npz")
    assert len(manifest_of("pneumoniamnist_64", TASK, root=str(tmp_path))) == 12


@installed
def test_offline_the_address_checksum_and_place_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RN50MED_OFFLINE", "1")
    with pytest.raises(OfflineError) as caught:
        manifest_of("pneumoniamnist", TASK, root=str(tmp_path))
    known = published()["pneumoniamnist"]
    for part in (known["url"], known["MD5"], str(tmp_path / "pneumoniamnist.npz"), "rn50med is offline"):
        assert part in str(caught.value)
    assert not list(tmp_path.iterdir())


@installed
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("pnuemoniamnist", "no MedMNIST set named 'pnuemoniamnist'; did you mean 'pneumoniamnist'?"),
        ("pneumoniamnist_32", "has no size 32; it has 28, 64, 128, 224."),
    ],
)
def test_a_set_that_is_not_there_is_named_with_its_neighbour(name: str, said: str) -> None:
    with pytest.raises(DataError) as caught:
        manifest_of(name, TASK)
    assert said in str(caught.value)
