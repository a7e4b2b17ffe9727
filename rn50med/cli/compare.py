"""``compare``: two recipes on the same images, or several seeds of one."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rn50med.cli.options import Options
from rn50med.errors import DataError, RecipeError, StorageError

if TYPE_CHECKING:
    from rn50med.evaluation.comparison import Difference
    from rn50med.evaluation.prediction_file import PredictionFile

_IDLE = ("output", "tracking", "seed_everything", "data.seed", "data.cache", "data.num_workers")
"""Keys of a recipe that leave it the same one: its seed, and what moves no number."""


def run(argv: Sequence[str]) -> int:
    """Compare runs: the paired difference of two recipes, or the spread over seeds of one.

    Args:
        argv: Options after ``compare``.
    """
    parser = Options(
        "compare",
        "Compare runs. Of two recipes, on identical images: the difference with its 95 % interval, by "
        "patient and, where each has several seeds, by seed. Of one recipe: mean, standard deviation, range.",
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folders that `fit` wrote")
    parser.add_argument("--split", choices=("test", "val"), default="test", help="the images to compare on")
    parser.add_argument("--json", metavar="FILE", help="write the figures there too")
    options = parser.parse_args(list(argv))
    folders = [Path(each) for each in options.runs]
    sides = by_recipe(folders)
    both = len(sides) == 2
    facts, text = _pair(sides[0], sides[1], options.split) if both else _seeds(sides[0], options.split)
    sys.stdout.write(text)
    if options.json:
        _write(Path(options.json), facts)
    return 0


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


def _recipe(folder: Path) -> str:
    """Return a run's recipe without its seed, as text that equals that of an equal recipe."""
    from rn50med.recipe import load_recipe  # noqa: PLC0415

    path = folder / "recipe.yaml"
    if not path.is_file():
        raise StorageError(f"{folder}: has no recipe.yaml; give a run folder that `fit` wrote.")
    if not (folder / "environment.json").is_file() and (folder / "fold-0").is_dir():
        raise StorageError(f"{folder}: is a cross-validation; give its folds, such as {folder / 'fold-0'}.")
    recipe = load_recipe(str(path))
    for key in _IDLE:
        *parents, last = key.split(".")
        inner: Any = recipe
        for parent in parents:
            inner = inner.get(parent) or {}
        inner.pop(last, None)
    return json.dumps(recipe, sort_keys=True, default=str)


def _seeds(folders: Sequence[Path], split: str) -> tuple[dict[str, Any], str]:
    """Return the spread over runs of one recipe, as facts and as text."""
    from rn50med.evaluation.comparison import spread  # noqa: PLC0415

    figures = [_json(folder / "metrics.json").get(split) for folder in folders]
    if lacking := [folder for folder, found in zip(folders, figures, strict=True) if not found]:
        raise StorageError(f"{lacking[0]}: has no figures of {split}; evaluate it first with `rn50med test`.")
    names = list(dict.fromkeys(name for found in figures if found for name in found))
    found = {name: spread([_value((each or {}).get(name)) for each in figures]).as_json() for name in names}
    seeds = [_json(folder / "environment.json").get("seed") for folder in folders]
    same = _same_images(folders, split)
    facts = {"case": "seeds", "split": split, "seeds": seeds, "same_images": same, "figures": found}
    head = f"{len(folders)} runs of one recipe, seeds {', '.join(map(str, seeds))}, on {split}"
    if len(set(map(str, seeds))) < len(seeds):
        head += "\nruns of an equal seed are no independent ones: the spread is too small"
    if not same:
        head += f"\ntheir {split} images differ, so that the spread is of other images too"
    return facts, f"{head}\n{_spreads(found)}"


def _spreads(found: Mapping[str, Mapping[str, Any]]) -> str:
    from rn50med.cli.crossval import spread_cell  # noqa: PLC0415

    width = max(map(len, found))
    lines = [f"{'':<{width}}  mean ± standard deviation (range)"]
    lines += [f"{name:<{width}}  {spread_cell(figure)}" for name, figure in found.items()]
    return "\n".join(lines) + "\n"


def _same_images(folders: Sequence[Path], split: str) -> bool:
    from rn50med.evaluation.prediction_file import read_rows  # noqa: PLC0415 - pandas takes a second

    images = [sorted(read_rows(each / "predictions" / f"{split}.csv")["image"]) for each in folders]
    return all(each == images[0] for each in images)


def _pair(one: Sequence[Path], other: Sequence[Path], split: str) -> tuple[dict[str, Any], str]:
    """Return the difference of two recipes, as facts and as text."""
    from rn50med.evaluation.comparison import differences  # noqa: PLC0415

    runs = aligned([*one, *other], split)
    found = differences(runs[: len(one)], runs[len(one) :])
    number = len(runs[0]), len(set(runs[0].patients))
    facts = {
        "case": "pair" if len(runs) == 2 else "seeds of two recipes",
        "split": split,
        "images": number[0],
        "patients": number[1],
        "one": [each.name for each in one],
        "other": [each.name for each in other],
        "figures": {key: difference.as_json() for key, difference in found.items()},
    }
    drawn = "patients" if len(runs) == 2 else "patients and seeds"
    head = f"A: {', '.join(map(str, one))}\nB: {', '.join(map(str, other))}\n"
    head += f"on the same {number[0]} {split} images of {number[1]} patients; intervals by drawing {drawn}\n"
    if len(runs) > 2 and 1 in (len(one), len(other)):
        head += "a recipe with one seed shows none of its spread: the interval is too narrow\n"
    return facts, head + _differences(found)


def _differences(found: Mapping[str, Difference]) -> str:
    from rn50med.cli.fit import MOST_ROWS  # noqa: PLC0415

    names = [n for n in found if "/" not in n or n.startswith("auroc/")] if len(found) > MOST_ROWS else found
    width = max(map(len, names))
    lines = [f"{'':<{width}}  {'A':<9}  {'B':<9}  B - A (95 % interval)"]
    for name in names:
        cells = [_number(value) for value in (found[name].one, found[name].other)]
        figure = found[name].difference
        said = _number(figure.value, "+")
        if not math.isnan(figure.value):
            said += f" ({_number(figure.low, '+')} to {_number(figure.high, '+')})"
        lines.append(f"{name:<{width}}  {cells[0]:<9}  {cells[1]:<9}  {said}")
    if len(names) < len(found):
        lines.append(f"... and {len(found) - len(names)} more figures with --json FILE")
    return "\n".join(lines) + "\n"


def _number(value: float, sign: str = "") -> str:
    return "undefined" if math.isnan(value) else f"{value:{sign}.3f}"


def aligned(folders: Sequence[Path], split: str) -> list[PredictionFile]:
    """Return the predictions of runs on the same images, in one order.

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
        task = _json(folder / "environment.json").get("task") or {}
        read = read_prediction_file(folder / "predictions" / f"{split}.csv", task)
        runs.append(read.take(np.argsort(read.images, kind="stable")))
    for folder, run in zip(folders[1:], runs[1:], strict=True):
        _check_same(folders[0], runs[0], folder, run)
        _check_bytes(folders[0], folder, set(run.images))
    return runs


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
    for what in ("patients", "target"):
        differing = getattr(one, what) != getattr(other, what)
        if number := int(differing.reshape(len(one), -1).any(axis=1).sum()):
            word = "patients" if what == "patients" else "labels"
            raise DataError(
                f"compare: {number} of the {len(one)} images have other {word} in {other_place} than in "
                f"{place}; compare runs on one table."
            )


def _json(path: Path) -> dict[str, Any]:
    try:
        plain: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StorageError(f"{path}: cannot be read ({error}); give a finished run.") from error
    return plain


def _value(figure: Mapping[str, Any] | None) -> float:
    return math.nan if figure is None or figure["value"] is None else float(figure["value"])


def _write(path: Path, facts: Mapping[str, Any]) -> None:
    try:
        path.write_text(json.dumps(facts, indent=2, allow_nan=False, ensure_ascii=False) + "\n", "utf-8")
    except OSError as error:
        raise StorageError(
            f"{path}: cannot be written ({error.strerror}); give --json another place."
        ) from error
