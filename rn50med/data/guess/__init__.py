"""Guesses a recipe from the data alone, and says why of each guess."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rn50med.data.cells import ROW
from rn50med.data.faults import Faults
from rn50med.data.guess.columns import default_columns, frontal_of, guess_columns
from rn50med.data.guess.domain import guess_domain, sample
from rn50med.data.guess.labels import MOST_CLASSES, Labels, guess_labels, one_column
from rn50med.data.guess.recipe_text import recipe_text
from rn50med.data.manifest import SPLIT_WORDS, Columns
from rn50med.data.readers import Image, Reader
from rn50med.data.sources import TABLE_SUFFIXES, list_images, open_source, read_table
from rn50med.errors import DataError, listed
from rn50med.tasks import Binary

__all__ = ["Guess", "guess", "recipe_text"]


@dataclass(frozen=True)
class Guess:
    """A recipe for a source, as far as its data tell.

    Args:
        task: `Binary`, `MultiClass` or `MultiLabel`.
        options: Of the task.
        data: Keys below ``data`` with their values.
        transforms: Class name.
        reasons: Dotted key to a sentence; CHECK stands in those that are little more than a default.
    """

    task: str
    options: Mapping[str, Any]
    data: Mapping[str, Any]
    transforms: str
    reasons: Mapping[str, str]


def guess(source: str, given: Mapping[str, str] | None = None) -> Guess:
    """Return a recipe for a source of any kind.

    Args:
        source: As `fit` takes it.
        given: What the user has said: ``root``, ``join``, ``where``, and columns by their role
            (``columns.patient``).

    Raises:
        DataError: If nothing can be guessed, with what to do instead.
    """
    said = dict(given or {})
    if "root" in said:
        said["root"] = Path(said["root"]).absolute().as_posix()
    path = Path(source)
    if source == "phantom":
        options = {"negative": "normal", "positive": "pneumonia", "column": "label"}
        reasons = {"task": "the phantom shows whatever the task names"}
        return Guess("Binary", options, {"source": source}, "Radiograph", reasons)
    if path.is_dir():
        return _of_folder(path, said)
    if path.is_file() and path.suffix.casefold() in TABLE_SUFFIXES:
        return _of_table(path, said)
    return _of_other(source, said)


def _of_table(path: Path, said: Mapping[str, str]) -> Guess:
    table = read_table(path)
    table = table.drop(columns=[ROW])
    asked = {key.removeprefix("columns."): name for key, name in said.items() if key.startswith("columns.")}
    if "join" in said:  # the tree of images says which image and which patient
        asked = {"image": "image", "patient": "patient_id"} | asked
    roles = guess_columns(table, asked, path.name)
    labels = guess_labels(table, [*roles.others, *([said["join"]] if "join" in said else [])], path.name)
    defaults = default_columns()
    differing = {role: name for role, name in roles.columns.items() if name != defaults.get(role)}
    columns = {role: None if name == "null" else name for role, name in differing.items()}
    data: dict[str, Any] = {"source": path.absolute().as_posix()}
    data |= {key: said[key] for key in ("root", "join") if key in said}
    where = said.get("where", roles.where)
    data |= {"where": where} if where is not None else {}
    data |= {"columns": columns} if columns else {}
    root = Path(said.get("root", path.parent))
    joined = "join" in said
    images = _images(root, list_images(root).names if joined else table[roles.columns["image"]].tolist())
    reasons = {f"data.columns.{role}": text for role, text in roles.reasons.items() if role in columns}
    reasons |= (
        {"data.where": roles.reasons["where"]} if "where" in roles.reasons and "where" not in said else {}
    )
    return _with_domain(labels, data, reasons, images, [path.stem, *map(str, table.columns)])


def _of_folder(path: Path, said: Mapping[str, str]) -> Guess:
    names = list_images(path).names
    parts = [name.split("/") for name in names]
    if parts and all(part[0].casefold() in SPLIT_WORDS for part in parts):
        parts = [part[1:] for part in parts]
    classes = sorted({part[0] for part in parts if len(part) > 1})
    if not 2 <= len(classes) <= MOST_CLASSES or any(len(part) < 2 for part in parts):
        raise DataError(
            f"{path.resolve().name}: holds {len(names)} images in {len(classes)} folders "
            f"({listed(classes, 5)}), which are no 2 to {MOST_CLASSES} classes; sort the images into "
            "class folders, or give a table (of DICOM files, with --data.root and --data.join)."
        )
    images = _images(path, names)
    labels = one_column(
        "label",
        classes,
        f"the folders are the classes, of which there are {len(classes)}; the column is made of them",
    )
    data: dict[str, Any] = {"source": path.absolute().as_posix()}
    reasons = {}
    if "columns.patient" in said:
        data["columns"] = {"patient": said["columns.patient"]}
    elif not any(image.facts.format == "DICOM" for image in images):
        data["columns"] = {"patient": "image"}
        reasons["data.columns.patient"] = (
            "a folder does not say who the patients are, so that each image is taken for one of its own: "
            "CHECK, or write a table with a patient column"
        )
    return _with_domain(labels, data, reasons, images, [path.resolve().name])


def _of_other(source: str, said: Mapping[str, str]) -> Guess:
    """Return a recipe for a source that makes a table of its own, such as MedMNIST's."""
    opened = open_source(source, said.get("root"))
    patient = said.get("columns.patient", "image")
    probe = Binary(negative="absent", positive="present")  # any task: its classes are still to be found
    found = opened.find(probe, Columns(patient=patient), Faults(opened.name))
    roles = [str(name) for name in vars(found.columns).values() if name]
    labels = guess_labels(found.table.drop(columns=[ROW]), ["split", *roles], opened.name)
    names = found.table["image"].tolist()
    images = sample(names, lambda name: found.images.read(name).image)
    place = Path(source).absolute().as_posix() if Path(source).exists() else source
    data = {"source": place, "columns": {"patient": patient}}
    reasons = {"data.columns.patient": "the source does not say who the patients are: CHECK"}
    return _with_domain(labels, data, {} if "columns.patient" in said else reasons, images, [opened.name])


def _images(root: Path, names: Sequence[str]) -> list[Image]:
    reader = Reader()
    return sample(names, lambda name: reader.read(root / name))


def _with_domain(
    labels: Labels,
    data: Mapping[str, Any],
    reasons: Mapping[str, str],
    images: Sequence[Image],
    words: Sequence[str],
) -> Guess:
    values = [str(value) for value in labels.options.values() if isinstance(value, str)]
    names = [str(n) for value in labels.options.values() if isinstance(value, list) for n in value]
    domain = guess_domain(images, [*words, *values, *names])
    why = {f"task.{key}" if key else "task": text for key, text in labels.reasons.items()}
    told = {**why, **reasons, "data.transforms": domain.reason}
    where = None if "where" in data else frontal_of(image.facts.view for image in images)
    if where is not None:
        data, told["data.where"] = {**data, "where": where}, "there are frontal and lateral films"
    return Guess(labels.kind, labels.options, data, domain.transforms, told)
