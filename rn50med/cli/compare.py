"""``compare``: two recipes on the same images, or several seeds of one; or cross-validations."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rn50med.cli.compare_folds import compare_folds
from rn50med.cli.compared import aligned, are_folds, by_recipe, read_json, unit_of, value_of
from rn50med.cli.options import Options
from rn50med.errors import StorageError


def run(argv: Sequence[str]) -> int:
    """Compare runs: the paired difference of two recipes, or the spread over seeds of one.

    Args:
        argv: Options after ``compare``.
    """
    parser = Options(
        "compare",
        "Compare runs. Of two recipes, on identical images: the difference with its 95 % interval, by "
        "patient and, where each has several seeds, by seed. Of one recipe: mean, standard deviation, range. "
        "Of two cross-validations on identical folds: the mean of the folds' differences.",
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folders that `fit`, or `crossval`, wrote")
    parser.add_argument("--split", choices=("test", "val"), default="test", help="the images to compare on")
    parser.add_argument("--json", metavar="FILE", help="write the figures there too")
    options = parser.parse_args(list(argv))
    folders = [Path(each) for each in options.runs]
    sides = by_recipe(folders)
    if are_folds(folders):
        facts, text = compare_folds(sides, options.split)
    elif len(sides) == 2:
        facts, text = _pair(sides[0], sides[1], options.split)
    else:
        facts, text = _seeds(sides[0], options.split)
    sys.stdout.write(text)
    if options.json:
        _write(Path(options.json), facts)
    return 0


def _seeds(folders: Sequence[Path], split: str) -> tuple[dict[str, Any], str]:
    """Return the spread over runs of one recipe, as facts and as text."""
    from rn50med.cli.compare_text import spreads  # noqa: PLC0415
    from rn50med.evaluation.comparison import spread  # noqa: PLC0415

    figures = [read_json(folder / "metrics.json").get(split) for folder in folders]
    if lacking := [folder for folder, found in zip(folders, figures, strict=True) if not found]:
        raise StorageError(f"{lacking[0]}: has no figures of {split}; evaluate it first with `rn50med test`.")
    unit = unit_of(folders)
    names = list(dict.fromkeys(name for found in figures if found for name in found))
    found = {name: spread([value_of((each or {}).get(name)) for each in figures]).as_json() for name in names}
    seeds = [read_json(folder / "environment.json").get("seed") for folder in folders]
    same = _same_images(folders, split)
    facts = {"case": "seeds", "split": split, "unit": unit.of, "seeds": seeds, "same_images": same}
    head = f"{len(folders)} runs of one recipe, seeds {', '.join(map(str, seeds))}, on {split}"
    if len(set(map(str, seeds))) < len(seeds):
        head += "\nruns of an equal seed are no independent ones: the spread is too small"
    if not same:
        head += f"\ntheir {split} images differ, so that the spread is of other images too"
    return facts | {"figures": found}, f"{head}\n{spreads(found)}"


def _same_images(folders: Sequence[Path], split: str) -> bool:
    from rn50med.evaluation.prediction_file import read_rows  # noqa: PLC0415 - pandas takes a second

    images = [sorted(read_rows(each / "predictions" / f"{split}.csv")["image"]) for each in folders]
    return all(each == images[0] for each in images)


def _pair(one: Sequence[Path], other: Sequence[Path], split: str) -> tuple[dict[str, Any], str]:
    """Return the difference of two recipes, as facts and as text."""
    from rn50med.cli.compare_text import differences  # noqa: PLC0415
    from rn50med.evaluation import comparison  # noqa: PLC0415

    unit = unit_of([*one, *other])
    images = aligned([*one, *other], split)
    runs = [run.by_case(unit) for run in images]
    found = comparison.differences(runs[: len(one)], runs[len(one) :])
    number = len(images[0]), len(set(images[0].patients))
    facts = {
        "case": "pair" if len(runs) == 2 else "seeds of two recipes",
        "split": split,
        "unit": unit.of,
        "cases": len(runs[0]),
        "images": number[0],
        "patients": number[1],
        "one": [each.name for each in one],
        "other": [each.name for each in other],
        "figures": {key: difference.as_json() for key, difference in found.items()},
    }
    drawn = "patients" if len(runs) == 2 else "patients and seeds"
    head = f"A: {', '.join(map(str, one))}\nB: {', '.join(map(str, other))}\n"
    head += f"on the same {number[0]} {split} images of {number[1]} patients; intervals by drawing {drawn}\n"
    if unit.of != "image":
        cases = len(runs[0])
        head += f"figures are of {cases} {unit.word(cases)}, by the {unit.images} of their images\n"
    if len(runs) > 2 and 1 in (len(one), len(other)):
        head += "a recipe with one seed shows none of its spread: the interval is too narrow\n"
    return facts, head + differences(found)


def _write(path: Path, facts: Mapping[str, Any]) -> None:
    try:
        path.write_text(json.dumps(facts, indent=2, allow_nan=False, ensure_ascii=False) + "\n", "utf-8")
    except OSError as error:
        raise StorageError(
            f"{path}: cannot be written ({error.strerror}); give --json another place."
        ) from error
