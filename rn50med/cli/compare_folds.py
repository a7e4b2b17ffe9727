"""Cross-validations against each other: two recipes on the same folds, or several seeds of one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rn50med.cli.compared import aligned, read_json, unit_of, value_of
from rn50med.errors import DataError, RecipeError, StorageError

if TYPE_CHECKING:
    from rn50med.evaluation.prediction_file import PredictionFile

_METRICS, _OOF = "metrics.json", "predictions/oof.csv"


def compare_folds(sides: Sequence[Sequence[Path]], split: str) -> tuple[dict[str, Any], str]:
    """Return what cross-validations say against each other, as facts and as text.

    Args:
        sides: Their folders, by recipe.
        split: Of runs; of a cross-validation there is only what was held out, ``test``.

    Raises:
        RecipeError: If it is another split, or two recipes have more than one cross-validation each.
        StorageError: If one is not finished.
    """
    if split != "test":
        raise RecipeError(
            f"compare: --split {split} is for runs; cross-validations are compared on what was held out."
        )
    for folder in (folder for side in sides for folder in side):
        if "by_fold" not in (read_json(folder / _METRICS) if (folder / _METRICS).is_file() else {}):
            raise StorageError(f"{folder}: has folds that are not finished; run crossval again to go on.")
    if len(sides) == 1:
        return _seeds(sides[0])
    if len(sides[0]) > 1 or len(sides[1]) > 1:
        raise RecipeError(
            "compare: of two recipes a cross-validation each can be compared, on the same folds; name two."
        )
    return _pair(sides[0][0], sides[1][0])


def _seeds(folders: Sequence[Path]) -> tuple[dict[str, Any], str]:
    """Return the spread over cross-validations of one recipe."""
    from rn50med.cli.compare_text import spreads  # noqa: PLC0415
    from rn50med.evaluation.comparison import spread  # noqa: PLC0415

    unit = unit_of([folder / "fold-0" for folder in folders])
    means = [read_json(folder / _METRICS)["mean"] for folder in folders]
    names = list(dict.fromkeys(name for found in means for name in found))
    found = {name: spread([value_of(each.get(name)) for each in means]).as_json() for name in names}
    seeds = [read_json(folder / "fold-0" / "environment.json").get("seed") for folder in folders]
    dealt = [_folds_of(folder) for folder in folders]
    same = all(each == dealt[0] for each in dealt)
    head = (
        f"{len(folders)} cross-validations of one recipe, seeds {', '.join(map(str, seeds))}: of their means"
    )
    if len(set(map(str, seeds))) < len(seeds):
        head += "\ncross-validations of an equal seed are no independent ones: the spread is too small"
    if any(set(each) != set(dealt[0]) for each in dealt):
        head += "\ntheir images differ, so that the spread is of other images too"
    elif not same:
        head += "\ntheir folds were dealt anew, so that the spread is of folds and of seeds"
    facts = {"case": "seeds of cross-validations", "unit": unit.of, "seeds": seeds, "same_folds": same}
    return facts | {"figures": found}, f"{head}\n{spreads(found)}"


def _folds_of(folder: Path) -> dict[str, str]:
    """Return the fold that each image was held out in."""
    from rn50med.evaluation.prediction_file import read_rows  # noqa: PLC0415 - pandas takes a second

    rows = read_rows(folder / _OOF)
    return dict(zip(rows["image"], rows["fold"], strict=True))


def _pair(one: Path, other: Path) -> tuple[dict[str, Any], str]:
    """Return the difference of two recipes on the same folds."""
    from rn50med.cli.compare_text import differences, numbered  # noqa: PLC0415
    from rn50med.evaluation.fold_differences import COVERS, fold_differences  # noqa: PLC0415

    pairs = _pairs(one, other)
    found = fold_differences([pair[0] for pair in pairs], [pair[1] for pair in pairs])
    cases, patients = (sum(len(each) for each, _ in pairs), sum(len(set(p.patients)) for p, _ in pairs))
    unit = unit_of([one / "fold-0", other / "fold-0"])
    facts = {
        "case": "pair of cross-validations",
        "unit": unit.of,
        "cases": cases,
        "folds": len(pairs),
        "patients": patients,
        "one": [one.name],
        "other": [other.name],
        "covers": COVERS,
        "figures": {key: difference.as_json() for key, difference in found.items()},
    }
    head = f"A: {one}\nB: {other}\nmean of {len(pairs)} folds that held out the same images, "
    head += (
        f"{cases} {unit.word(cases)} of {patients} patients\n"
        if unit.of != "patient"
        else f"{cases} patients\n"
    )
    tail = f"auroc, B - A in each fold: {numbered(found['auroc'].by_fold)}\n{COVERS}\n"
    return facts, head + differences(found) + tail


def _pairs(one: Path, other: Path) -> list[tuple[PredictionFile, PredictionFile]]:
    """Return what both said of each fold, a row per case, and refuse folds that are not the same."""
    numbers = [int(read_json(folder / _METRICS)["folds"]) for folder in (one, other)]
    dealt = _folds_of(one), _folds_of(other)
    moved = sum(dealt[0][image] != dealt[1][image] for image in dealt[0].keys() & dealt[1].keys())
    if moved or numbers[0] != numbers[1]:
        raise DataError(
            f"compare: {one} has {numbers[0]} folds and {other} {numbers[1]}, and {moved} of their images "
            "were held out in another fold; compare cross-validations of one seed and one number of folds."
        )
    folds = [(one / f"fold-{fold}", other / f"fold-{fold}") for fold in range(numbers[0])]
    unit = unit_of([folder for pair in folds for folder in pair])
    pairs = []
    for pair in folds:
        runs = aligned(pair, "test")
        pairs.append((runs[0].by_case(unit), runs[1].by_case(unit)))
    return pairs
