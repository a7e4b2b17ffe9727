"""Cross-validation: a folder of runs, one for each fold, and what they say together."""

from __future__ import annotations

import json
import logging
import math
import re
import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rn50med.errors import StorageError, listed
from rn50med.evaluation.cases import Unit
from rn50med.evaluation.comparison import spread
from rn50med.evaluation.pooling import pooled
from rn50med.evaluation.prediction_file import PredictionFile, from_rows, read_rows
from rn50med.evaluation.report.folds import write_folds_report
from rn50med.evaluation.schema import check_metrics
from rn50med.recipe import dump_yaml, load_recipe
from rn50med.training.folder import check_empty, write_json, write_private

log = logging.getLogger("rn50med.crossval")

_FOLD = re.compile(r"fold-(\d+)")
_HEAD = "# What these folds were made of; repeat them with: python -m rn50med crossval --recipe <this file>\n"
_RECIPE, _METRICS, _OOF = "recipe.yaml", "metrics.json", "predictions/oof.csv"
_HELD_OUT = ("data", "splits", "held_out")

Key = tuple[str, ...]
"""A dotted key of a recipe, in its parts."""


def crossval_folder(output: str | None, name: str) -> Path:
    """Return the folder of a cross-validation, which may hold finished folds.

    Args:
        output: Where the user wants it; ``runs/NAME/crossval-TIME-HEX`` where None.
        name: Name of the recipe.
    """
    time = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    return Path(output) if output else Path("runs") / name / f"crossval-{time}-{secrets.token_hex(2)}"


def begin(
    folder: Path,
    recipe: Mapping[str, Any],
    as_now: Callable[[Path], Mapping[str, Any]] = lambda path: load_recipe(str(path)),
) -> None:
    """Write the recipe of a new cross-validation, or see that one that goes on has the same.

    Args:
        folder: Its folder.
        recipe: Resolved, in plain types.
        as_now: Reads a resolved recipe and gives keys that it lacks their defaults, such as those that were
            not yet there when the cross-validation was begun.

    Raises:
        StorageError: If the folder holds something else, or folds of another recipe, or cannot be written.
    """
    kept = folder / _RECIPE
    if not _is_begun(folder):
        check_empty(folder)
        try:
            write_private(kept, _HEAD + dump_yaml(dict(recipe)))
        except OSError as error:
            raise StorageError(
                f"{folder}: cannot be written ({error.strerror}); give --output another place."
            ) from error
        return
    if _changed(load_recipe(str(kept)), recipe) and (changed := _changed(as_now(kept), recipe)):
        raise StorageError(
            f"{folder}: was begun with another recipe, which differs in {_named(changed)}; give the same "
            "one to go on, or --output a new folder."
        )


def _is_begun(folder: Path) -> bool:
    recipe = folder / _RECIPE
    return recipe.is_file() and _folds_of(load_recipe(str(recipe))) is not None


def _folds_of(recipe: Mapping[str, Any]) -> int | None:
    splits = (recipe.get("data") or {}).get("splits") or {}
    number = splits.get("crossval") if isinstance(splits, dict) else None
    return number if isinstance(number, int) else None


def _changed(one: Any, other: Any, key: Key = ()) -> list[Key]:
    """Return the keys in which two recipes differ."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        names = dict.fromkeys([*one, *other])
        return [found for n in names for found in _changed(one.get(n), other.get(n), (*key, str(n)))]
    return [] if _plain(one) == _plain(other) else [key]


def _named(keys: Sequence[Key]) -> str:
    return listed([".".join(key) for key in keys], 5)


def _has(recipe: Any, key: Key) -> bool:
    for part in key:
        if not isinstance(recipe, Mapping) or part not in recipe:
            return False
        recipe = recipe[part]
    return True


def _plain(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def fold_folder(folder: Path, fold: int) -> Path:
    """Return the run folder of a fold.

    Args:
        folder: Of the cross-validation.
        fold: From 0.
    """
    return folder / f"fold-{fold}"


def open_folds(folder: Path, folds: int) -> list[int]:
    """Return the folds that have no final figures yet, and clear what they left when they were stopped.

    Args:
        folder: Of the cross-validation.
        folds: Their number.
    """
    left = [fold for fold in range(folds) if not (fold_folder(folder, fold) / _METRICS).is_file()]
    for fold in left:
        if (place := fold_folder(folder, fold)).is_dir():
            log.info("fold %d was stopped before its end, and is done again", fold)
            shutil.rmtree(place)
    return left


def judged_as_before(folder: Path) -> dict[str, object]:
    """Return the options by which further folds are judged as those that an earlier version finished.

    Args:
        folder: Of the cross-validation.
    """
    finished = [_read_json(path) for path in sorted(folder.glob(f"fold-*/{_METRICS}"))]
    if all("protocol" in metrics for metrics in finished):
        return {}
    return {"evaluation.unit": "image", "evaluation.temperature": "none"}


def ensemble_members(folder: Path) -> list[Path]:
    """Return the run folders whose probabilities an ensemble averages; none where it is no cross-validation.

    Args:
        folder: Perhaps that of a cross-validation.

    Raises:
        StorageError: If a fold is not finished.
    """
    if not folder.is_dir() or not any(_FOLD.fullmatch(path.name) for path in folder.iterdir()):
        return []
    if not _is_begun(folder):
        return []
    folds = _folds_of(load_recipe(str(folder / _RECIPE))) or 0
    members = [fold_folder(folder, fold) for fold in range(folds)]
    lacking = [each.name for each in members if not (each / _METRICS).is_file()]
    if lacking:
        raise StorageError(
            f"{folder}: {listed(lacking)} {'is' if len(lacking) == 1 else 'are'} not finished; run crossval "
            "again with the same recipe and this --output."
        )
    return members


def conclude(folder: Path) -> dict[str, Any]:
    """Put the finished folds together: out-of-fold predictions, figures over folds, and the report.

    Args:
        folder: Of the cross-validation, all folds finished.

    Returns:
        What ``metrics.json`` holds: ``folds``; their ``protocol``; ``mean``, figure by figure; ``by_fold``;
        and ``pooled``.

    Raises:
        StorageError: If the folds are not of one recipe, do not hold every image once, or judge other cases.
    """
    members = ensemble_members(folder)
    _check_recipes(folder, members)
    rows = [read_rows(each / "predictions" / "test.csv") for each in members]
    _check_images(folder, members, rows)
    kept = [_read_json(each / _METRICS) for each in members]
    unit = _unit(folder, members, kept)
    _write_together(folder, rows)
    by_fold = [each["test"] for each in kept]
    names = dict.fromkeys(name for figures in by_fold for name in figures)
    task = _read_json(members[0] / "environment.json")["task"]
    metrics = {
        "folds": len(members),
        **({"protocol": kept[0]["protocol"]} if "protocol" in kept[0] else {}),
        "mean": {name: spread([_value(each.get(name)) for each in by_fold]).as_json() for name in names},
        "by_fold": by_fold,
        "pooled": pooled([_parts(each, part, task) for each, part in zip(members, rows, strict=True)], unit),
    }
    check_metrics(metrics)
    write_json(folder / _METRICS, metrics)
    write_folds_report(folder)
    return metrics


def _write_together(folder: Path, rows: Sequence[pd.DataFrame]) -> None:
    """Write the held-out predictions of all folds."""
    every = pd.concat([part.assign(fold=str(fold)) for fold, part in enumerate(rows)], ignore_index=True)
    first = ["image", "patient", "fold"]
    every = every[[*first, *(name for name in every.columns if name not in first)]]
    write_private(folder / _OOF, every.to_csv(index=False, lineterminator="\n"))


def _unit(folder: Path, members: Sequence[Path], kept: Sequence[Mapping[str, Any]]) -> Unit:
    """Return what the folds' figures count, and refuse folds that do not count the same."""
    units = [Unit.from_protocol(each.get("protocol")) for each in kept]
    for member, unit in zip(members, units, strict=True):
        if unit != units[0]:
            raise StorageError(
                f"{folder}: {members[0].name} judges {units[0].word()} ({units[0].images}) and {member.name} "
                f"{unit.word()} ({unit.images}); remove the one that is wrong and run again."
            )
    return units[0]


def _parts(
    member: Path, rows: pd.DataFrame, task: Mapping[str, Any]
) -> tuple[PredictionFile, PredictionFile]:
    """Return the val and the held-out predictions of a fold."""
    val = member / "predictions" / "val.csv"
    return from_rows(read_rows(val), task, str(val)), from_rows(rows, task, str(member))


def _value(figure: Mapping[str, Any] | None) -> float:
    return math.nan if figure is None or figure["value"] is None else float(figure["value"])


def _read_json(path: Path) -> dict[str, Any]:
    try:
        plain: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StorageError(f"{path}: cannot be read ({error}); remove its fold and run again.") from error
    return plain


def _check_recipes(folder: Path, members: Sequence[Path]) -> None:
    """Refuse folds that differ in more than which of them is held out, such as in their weights."""
    recipes = [load_recipe(str(each / _RECIPE)) for each in members]
    whole = load_recipe(str(folder / _RECIPE))
    for member, recipe in zip(members, recipes, strict=True):
        changed = [
            key
            for key in _changed(recipes[0], recipe)
            # what neither all of them nor this one or the first name was not there when it was fitted
            if key != _HELD_OUT and (_has(whole, key) or (_has(recipes[0], key) and _has(recipe, key)))
        ]
        if changed:
            raise StorageError(
                f"{folder}: {member.name} differs from {members[0].name} in {_named(changed)}; remove the "
                "one that is wrong and run again."
            )


def _check_images(folder: Path, members: Sequence[Path], rows: Sequence[pd.DataFrame]) -> None:
    """Refuse folds that were not dealt from the same images, or do not hold each of them once."""
    columns = ["image", "patient", "sha256"]
    manifests = [read_rows(each / "manifest.csv")[columns].sort_values("image") for each in members]
    same = all(np.array_equal(each.to_numpy(), manifests[0].to_numpy()) for each in manifests)
    held_out = sorted(name for part in rows for name in part["image"])
    if not same or held_out != manifests[0]["image"].tolist():
        raise StorageError(
            f"{folder}: its folds are not of the same images, which have changed between them; run all folds "
            "again, with --output a new folder."
        )
