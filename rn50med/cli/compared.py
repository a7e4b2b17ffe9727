"""Runs that can be compared: of which recipe each is, and their predictions on the same images."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rn50med.errors import DataError, RecipeError, StorageError

if TYPE_CHECKING:
    from rn50med.evaluation.cases import Unit
    from rn50med.evaluation.prediction_file import PredictionFile

_IDLE = ("output", "tracking", "seed_everything", "data.seed", "data.cache", "data.num_workers")
"""Keys of a recipe that leave it the same one: its seed, and what moves no number."""


def by_recipe(folders: Sequence[Path]) -> list[list[Path]]:
    """Return the runs of each recipe, which its seed does not change.

    Args:
        folders: Of the runs.

    Raises:
        RecipeError: If there are fewer than two runs, the same one twice, or more than two recipes.
        StorageError: If one is no run folder.
    """
    if len(folders) < 2:
        raise RecipeError("compare: one run is named; name two or more.")
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise RecipeError("compare: a run is named twice; name each one once.")
    groups: dict[str, list[Path]] = {}
    for folder in folders:
        groups.setdefault(_recipe(folder), []).append(folder)
    if len(groups) > 2:
        raise RecipeError(
            f"compare: the runs are of {len(groups)} recipes; name runs of one, or of two (recipes that "
            "differ in no more than their seed are one)."
        )
    return list(groups.values())


def are_folds(folders: Sequence[Path]) -> bool:
    """Whether folders are cross-validations, not runs.

    Args:
        folders: To compare.

    Raises:
        RecipeError: If they are not all of one kind.
    """
    found = [not (each / "environment.json").is_file() and (each / "fold-0").is_dir() for each in folders]
    if any(found) and not all(found):
        raise RecipeError(
            f"compare: {folders[found.index(True)]} is a cross-validation and "
            f"{folders[found.index(False)]} a run; name folders of one kind, such as a fold and the run."
        )
    return all(found)


def _recipe(folder: Path) -> str:
    """Return a run's recipe without its seed, as text that equals that of an equal recipe."""
    from rn50med.recipe import load_recipe  # noqa: PLC0415

    path = folder / "recipe.yaml"
    if not path.is_file():
        raise StorageError(f"{folder}: has no recipe.yaml; give a run folder that `fit` wrote.")
    recipe = load_recipe(str(path))
    for key in _IDLE:
        *parents, last = key.split(".")
        inner: Any = recipe
        for parent in parents:
            inner = inner.get(parent) or {}
        inner.pop(last, None)
    return json.dumps(recipe, sort_keys=True, default=str)


def aligned(folders: Sequence[Path], split: str) -> list[PredictionFile]:
    """Return the predictions of runs on the same images, in one order, a row per image.

    Args:
        folders: Of the runs.
        split: val or test.

    Raises:
        DataError: If their images, classes, patients or targets are not the same, with how many are not.
    """
    import numpy as np  # noqa: PLC0415

    from rn50med.evaluation.prediction_file import read_prediction_file  # noqa: PLC0415

    runs = []
    for folder in folders:
        task = read_json(folder / "environment.json").get("task") or {}
        read = read_prediction_file(folder / "predictions" / f"{split}.csv", task)
        runs.append(read.take(np.argsort(read.images, kind="stable")))
    for folder, run in zip(folders[1:], runs[1:], strict=True):
        _check_same(folders[0], runs[0], folder, run)
        _check_bytes(folders[0], folder, set(run.images))
    return runs


def unit_of(folders: Sequence[Path]) -> Unit:
    """Return what is judged in runs: images, studies or patients.

    Args:
        folders: Of the runs.

    Raises:
        DataError: If it is not the same in all of them.
    """
    from rn50med.evaluation.cases import Unit  # noqa: PLC0415 - numpy takes a moment

    units = [Unit.from_protocol(read_json(each / "metrics.json").get("protocol")) for each in folders]
    # images are put together with nothing, however that was to be done
    units = [Unit() if unit.of == "image" else unit for unit in units]
    for folder, unit in zip(folders, units, strict=True):
        if unit != units[0]:
            raise DataError(
                f"compare: {folders[0]} judges {_said(units[0])}, and {folder} {_said(unit)}; compare runs "
                "with one evaluation.unit and evaluation.images."
            )
    return units[0]


def _said(unit: Unit) -> str:
    return unit.word() if unit.of == "image" else f"{unit.word()} by the {unit.images} of their images"


def _check_bytes(place: Path, other: Path, images: set[str]) -> None:
    """Refuse images of one name whose bytes are not the same, where the runs' manifests know them."""
    from rn50med.evaluation.prediction_file import read_rows  # noqa: PLC0415

    manifests = [folder / "manifest.csv" for folder in (place, other)]
    if not all(path.is_file() for path in manifests):
        return
    one, two = (dict(zip(rows["image"], rows["sha256"], strict=True)) for rows in map(read_rows, manifests))
    if number := sum(one.get(image) != two.get(image) for image in images):
        raise DataError(
            f"compare: {number} of the {len(images)} images were other files in {other} than in {place}; "
            "compare runs on identical images."
        )


def _check_same(place: Path, one: PredictionFile, other_place: Path, other: PredictionFile) -> None:
    """Refuse runs that cannot be paired."""
    if one.names != other.names or one.positive != other.positive or one.several != other.several:
        raise DataError(
            f"compare: {place} predicts {', '.join(one.names)}, and {other_place} {', '.join(other.names)}; "
            "compare runs of one task."
        )
    images, others = set(one.images), set(other.images)
    if images != others or len(one) != len(other):
        raise DataError(
            f"compare: the images are not the same: {len(images - others)} of the {len(one)} of {place} are "
            f"not in {other_place}, and {len(others - images)} of its {len(other)} are not in the first; "
            "compare runs on identical images."
        )
    for what, word in (("patients", "patients"), ("studies", "studies"), ("target", "labels")):
        cells, others_cells = getattr(one, what), getattr(other, what)
        if cells is None or others_cells is None:  # only where a case is a study has a file that column
            continue
        if number := int((cells != others_cells).reshape(len(one), -1).any(axis=1).sum()):
            raise DataError(
                f"compare: {number} of the {len(one)} images have other {word} in {other_place} than in "
                f"{place}; compare runs on one table."
            )


def read_json(path: Path) -> dict[str, Any]:
    """Read a file of a run.

    Args:
        path: Such as its ``metrics.json``.

    Raises:
        StorageError: If it cannot be read.
    """
    try:
        plain: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StorageError(f"{path}: cannot be read ({error}); give a finished run.") from error
    return plain


def value_of(figure: Mapping[str, Any] | None) -> float:
    """Return the value of a figure as JSON holds it, ``nan`` where it is undefined or absent.

    Args:
        figure: With its ``value``.
    """
    return math.nan if figure is None or figure["value"] is None else float(figure["value"])
