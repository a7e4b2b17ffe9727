"""MedMNIST's sets, from their ``.npz`` files or by their names."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rn50med.data.faults import Faults
from rn50med.data.manifest import Columns
from rn50med.data.sources.arrays import ArrayImages, Member, load, members
from rn50med.data.sources.base import Found, Place, Source
from rn50med.data.sources.download import download
from rn50med.data.sources.table import numbered
from rn50med.errors import DataError, unknown
from rn50med.tasks import Task

_SPLITS = ("train", "val", "test")
_NAME = re.compile(r"(?P<name>[a-z]+mnist(?:3d)?)(?:_(?P<size>[0-9]+))?")
_SMALLEST = "28"


class MedMNISTSource(Source):
    """A file in MedMNIST's layout, or the name of a set, which is fetched once.

    The file holds ``train_images``, ``train_labels`` and the like for val and test: images of
    ``(N, H, W)`` or ``(N, H, W, 3)`` and a row of labels each. Where the set is known and `medmnist` is
    installed, classes and findings have their published names, else they are numbers.

    Args:
        place: The file; or the name, such as ``pneumoniamnist`` or ``pneumoniamnist_128``, the root being
            the folder where its file is kept, ``~/.medmnist`` if none is given.
    """

    kind = "medmnist"
    about = "an .npz file in MedMNIST's layout or the name of a MedMNIST set"

    @classmethod
    def opens(cls, place: Place) -> bool:
        """Return whether it is such a file, or a name that MedMNIST could have."""
        path = Path(place.source)
        return (path.suffix.casefold() == ".npz" and path.is_file()) or _is_name(place.source)

    @classmethod
    def words(cls) -> tuple[str, ...]:
        """Return the names of the sets, where they are known."""
        return tuple(published())

    @property
    def name(self) -> str:
        """The file's name, or the set's."""
        return Path(self.place.source).name

    def find(self, task: Task, columns: Columns, faults: Faults) -> Found:
        """Read the labels, and where the images are."""
        path = self._fetched() if _is_name(self.place.source) else Path(self.place.source)
        try:
            arrays = members(path)
            splits = _splits(arrays)
            labels = {split: _labels(path, arrays, split) for split in splits}
        except DataError as error:
            raise DataError(f"{path.name}: {error}") from error.__cause__
        if columns.patient != Columns().image:
            raise DataError(
                f"{path.name}: does not say which patient an image is of; --data.columns.patient image says "
                "that each image is its own patient, which makes intervals too narrow where it is not so."
            )
        rows = [(f"{split}/{row:06d}", split) for split in splits for row in range(len(labels[split]))]
        table = pd.DataFrame(rows, columns=["image", "split"], dtype=str)
        names, notes = _label_columns(np.concatenate(list(labels.values())), task, path.stem)
        images = ArrayImages(path, {split: arrays[f"{split}_images"] for split in splits})
        return Found(numbered(table.assign(**names)), images, Columns(patient="image"), notes)

    def _fetched(self) -> Path:
        """Return the file of a set, fetched if it is not there yet."""
        found = _NAME.fullmatch(self.place.source)
        known = published()
        flag, size = (found["name"], found["size"] or _SMALLEST) if found else ("", "")
        if not known:
            raise DataError(
                f"{self.place.source}: needs 'medmnist', which knows where its sets are; install it: "
                "pip install 'rn50med[medmnist]', or give the .npz file."
            )
        if flag not in known:
            text = unknown("MedMNIST set", flag, known, f"It has {', '.join(known)}.")
            raise DataError(f"{self.place.source}: {text}")
        tail = "" if size == _SMALLEST else f"_{size}"
        if f"url{tail}" not in known[flag]:
            sizes = sorted(int(key[4:]) for key in known[flag] if re.fullmatch("url_[0-9]+", key))
            raise DataError(
                f"{self.place.source}: has no size {size}; it has {_SMALLEST}, {', '.join(map(str, sizes))}."
            )
        root = Path.home() / ".medmnist" if self.place.root is None else Path(self.place.root)
        target = root / f"{flag}{tail}.npz"
        if not target.is_file():
            download(known[flag][f"url{tail}"], known[flag][f"MD5{tail}"], target)
        return target


def _is_name(source: str) -> bool:
    return _NAME.fullmatch(source) is not None and not Path(source).exists()


@cache
def published() -> Mapping[str, Mapping[str, Any]]:
    """Return what MedMNIST publishes of its sets; nothing where `medmnist` is not installed.

    Its table is read as text: the package itself imports much, and makes a folder in the user's home.
    """
    found = find_spec("medmnist")
    folder = next(iter(found.submodule_search_locations or ()), None) if found else None
    try:
        tree = (
            ast.parse(Path(folder, "info.py").read_text(encoding="utf-8")) if folder else ast.Module([], [])
        )
        tables = (node.value for node in tree.body if isinstance(node, ast.Assign) and _is_info(node))
        return dict(ast.literal_eval(next(tables))) if folder else {}
    except (OSError, SyntaxError, ValueError, StopIteration):  # another version, arranged otherwise
        return {}


def _is_info(node: ast.Assign) -> bool:
    return any(isinstance(target, ast.Name) and target.id == "INFO" for target in node.targets)


def _splits(arrays: Mapping[str, Member]) -> list[str]:
    """Return the splits that a file holds, each with images and labels that fit."""
    splits = [split for split in _SPLITS if f"{split}_images" in arrays or f"{split}_labels" in arrays]
    if not splits:
        raise DataError(
            f"holds {', '.join(arrays) or 'no arrays'}, which is not MedMNIST's layout; give train_images, "
            "train_labels, and the like for val and test."
        )
    for split in splits:
        for what in ("images", "labels"):
            if f"{split}_{what}" not in arrays:
                raise DataError(f"has no member {split}_{what}; fetch the file again.")
        _check_images(arrays[f"{split}_images"])
        images, labels = (arrays[f"{split}_{what}"].shape[:1] for what in ("images", "labels"))
        if images != labels:
            raise DataError(f"has {images[0]} {split}_images and {labels[0]} {split}_labels; fetch it again.")
    return splits


def _check_images(member: Member) -> None:
    shape = member.shape
    if (len(shape) == 4 and shape[3] not in {1, 3}) or len(shape) == 5:
        raise DataError(f"{member.name} are volumes, {shape[1:]}; rn50med reads flat images.")
    if len(shape) not in {3, 4} or 0 in shape:
        raise DataError(f"{member.name} have the shape {shape}; give (N, H, W) or (N, H, W, 3).")
    if member.dtype not in (np.uint8, np.uint16):
        raise DataError(f"{member.name} are {member.dtype}; give uint8 or uint16.")


def _labels(path: Path, arrays: Mapping[str, Member], split: str) -> NDArray[np.int64]:
    """Return a split's labels, ``(N, L)``."""
    member = arrays[f"{split}_labels"]
    if len(member.shape) not in {1, 2} or member.dtype.kind not in "iuf":
        raise DataError(
            f"{member.name} are {member.dtype} of {member.shape}; give numbers, (N, 1) or (N, L)."
        )
    read = load(path, member)
    labels = read.reshape(len(read), -1)
    if member.dtype.kind == "f" and not (labels == np.rint(labels)).all():
        raise DataError(f"{member.name} are no whole numbers; give the number of each class.")
    return labels.astype(np.int64)


def _label_columns(
    labels: NDArray[np.int64], task: Task, stem: str
) -> tuple[dict[str, list[str]], tuple[str, ...]]:
    """Return the label columns of all images, and what was taken for granted of them."""
    found = _NAME.fullmatch(stem)
    known = published().get(found["name"], {}) if found else {}
    names: Mapping[str, str] = known.get("label", {})
    notes = () if names or not found else ("medmnist is not installed, so that classes are numbers",)
    if labels.shape[1] > 1:
        columns = {names.get(str(i), str(i)): labels[:, i] for i in range(labels.shape[1])}
        return {name: [str(cell) for cell in cells.tolist()] for name, cells in columns.items()}, notes
    numbers = [str(label) for label in labels[:, 0].tolist()]
    if all(name.isdecimal() for name in task.classes):  # a task in numbers means them
        names = {}
    column = task.columns[0] if len(task.columns) == 1 else "label"
    return {column: [names.get(number, number) for number in numbers]}, notes
