"""``crossval``: a run for each of several patient-wise folds, and what they say together."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rn50med.cli.options import Options
from rn50med.errors import RecipeError

if TYPE_CHECKING:
    from rn50med.cli.arguments import Ready

log = logging.getLogger("rn50med.crossval")

FOLDS = 5
"""Folds, where neither the recipe nor the command line gives their number."""

_DESCRIPTION = """Cross-validate a recipe: a fresh run for each of several patient-wise folds.

A fold is held out and predicted by a run that trains on the others; the next fold is its val, by which the
best epoch and the operating point are chosen. The test images stay closed: those of the source, or where it
names none, those that `fit` would put aside; --data.unsplit train puts none aside.

All options of `fit` can be given. A cross-validation that was stopped goes on with the same command and
--output FOLDER: folds that are finished are kept."""


def run(argv: Sequence[str]) -> int:
    """Cross-validate, and print mean, standard deviation and range of every figure.

    Args:
        argv: Options after ``crossval``.
    """
    parser = Options("crossval", _DESCRIPTION)
    parser.add_argument("--recipe", metavar="NAME|FILE", help="a recipe's name or file; may be repeated")
    parser.add_argument("--folds", type=int, help=f"number of folds, 3 to 20; {FOLDS} where it is not given")
    parser.add_argument("--output", help="the folder of all folds: new, or that of one that was stopped")
    if {"-h", "--help"} & set(argv):
        parser.parse_args(["--help"])
    folds, words = _own_option(argv)
    from rn50med.cli.assembly import hush, listen  # noqa: PLC0415 - Lightning takes seconds

    hush()
    listen()
    folder, metrics = _crossval([*words, *folds])
    sys.stdout.write(table(metrics))
    sys.stdout.write(f"{folder}\n")
    return 0


def _own_option(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return ``--folds`` as the key that it is short for, and the other words."""
    parser = Options("crossval", "")
    parser.add_argument("--folds", type=int)
    options, words = parser.parse_known_args(list(argv))
    return ([] if options.folds is None else ["--data.splits.crossval", str(options.folds)]), words


def _crossval(words: Sequence[str]) -> tuple[Path, Mapping[str, Any]]:
    from rn50med.cli.arguments import prepare  # noqa: PLC0415
    from rn50med.cli.assembly import Assembly  # noqa: PLC0415
    from rn50med.training.crossval import (  # noqa: PLC0415
        begin,
        conclude,
        crossval_folder,
        judged_as_before,
        open_folds,
    )
    from rn50med.training.folder import is_first_process, mark_latest  # noqa: PLC0415

    ready = prepare([*words, "--data.splits.held_out", "0"])
    if not ready.recipes:
        raise RecipeError("crossval: no recipe was given; add --recipe NAME (`rn50med recipes` lists them).")
    if not _names_folds(ready):
        ready = prepare(["--data.splits.crossval", str(FOLDS), *words, "--data.splits.held_out", "0"])
    if not is_first_process():
        _join(ready)
    assembly = Assembly(ready)
    chosen = assembly.config.output
    recipe = assembly.resolved()
    _refuse_search(recipe)
    folder = crossval_folder(chosen, assembly.recipe_name)
    number = assembly.data.splits.crossval or FOLDS
    begin(folder, recipe, _as_now(ready))
    if not chosen:
        mark_latest(folder)
    log.info("crossval: %d patient-wise folds of train and val; the test images stay closed", number)
    if assembly.data.unsplit == "folds":
        log.info(
            "where the source names none, these are those of `fit`; --data.unsplit train puts none aside"
        )
    log.info("crossval folder: %s", folder)
    left, options = open_folds(folder, number), judged_as_before(folder)
    for fold in left:
        log.info("fold-%d, of %d folds", fold, number)
        _fit(folder, fold, ready, options)
    return folder, conclude(folder)


def _refuse_search(recipe: Mapping[str, Any]) -> None:
    from rn50med.training.found_rate import searches_rate  # noqa: PLC0415

    if searches_rate(recipe):
        raise RecipeError(
            "crossval: LearningRateFinder would give each fold a rate of its own, and the folds are of one "
            "recipe; find it with `fit`, and give --model.optimizer.lr in its place."
        )


def _as_now(ready: Ready) -> Callable[[Path], Mapping[str, Any]]:
    """Return what reads a resolved recipe, with today's defaults for keys that it lacks."""
    from rn50med.cli.arguments import prepare  # noqa: PLC0415
    from rn50med.cli.assembly import Assembly  # noqa: PLC0415

    trust = [word for module in ready.trust for word in ("--trust", module)]
    return lambda path: Assembly(prepare(["--recipe", str(path), *trust])).resolved()


def _names_folds(ready: Ready) -> bool:
    """Whether recipe or command line give the number of folds."""
    from rn50med.cli.words import option_values  # noqa: PLC0415

    splits: Any = ready.loaded.merged.get("data", {}).get("splits", {})
    by_recipe = isinstance(splits, Mapping) and splits.get("crossval") is not None
    return by_recipe or any(key == "data.splits.crossval" for key, _ in option_values(ready.options))


def _fit(folder: Path, fold: int, ready: Ready, judging: Mapping[str, object]) -> None:
    """Fit a fold, as `fit` does, from the recipe of all of them."""
    from rn50med.cli.fit import fit  # noqa: PLC0415
    from rn50med.training.crossval import fold_folder  # noqa: PLC0415

    # its own run calls the held-out fold test; the images that are test stay closed
    options = {"data.splits.held_out": fold, "evaluation.test": "end", **judging}
    with _environment_kept():
        fit(folder / "recipe.yaml", options, fold_folder(folder, fold), ready.trust)


def _join(ready: Ready) -> None:
    """Take part, as a further process, in the fold that the first one is at; it ends the process."""
    from rn50med.training.crossval import judged_as_before  # noqa: PLC0415
    from rn50med.training.folder import FOLDER_VARIABLE  # noqa: PLC0415

    if FOLDER_VARIABLE not in os.environ:
        raise RecipeError(
            "crossval: several processes were started from outside, and do not know each other's folder; "
            "start one, and give --trainer.devices N."
        )
    place = Path(os.environ[FOLDER_VARIABLE])
    _fit(place.parent, int(place.name.removeprefix("fold-")), ready, judged_as_before(place.parent))


@contextmanager
def _environment_kept() -> Iterator[None]:
    """Put the environment back: Lightning marks it when it starts processes, and then starts no more."""
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in set(os.environ) - set(before):
            del os.environ[name]
        os.environ.update(before)


def table(metrics: Mapping[str, Any]) -> str:
    """Return mean, standard deviation and range over folds as text, a row per figure.

    Args:
        metrics: As the ``metrics.json`` of a cross-validation holds them.
    """
    from rn50med.cli.fit import most_telling  # noqa: PLC0415

    figures = metrics["mean"]
    names = most_telling(list(figures))
    width = max(map(len, names), default=0)
    lines = [f"{'':<{width}}  mean of {metrics['folds']} folds ± standard deviation (range)"]
    for name in names:
        lines.append(f"{name:<{width}}  {spread_cell(figures[name])}")
    if len(names) < len(figures):
        lines.append(f"... and {len(figures) - len(names)} more figures in metrics.json")
    return "\n".join(lines) + "\n"


def spread_cell(figure: Mapping[str, Any]) -> str:
    """Return mean, standard deviation and range as text.

    Args:
        figure: As `Spread.as_json` gives it.

    Example:
        >>> spread_cell({"value": 0.9, "sd": 0.05, "lowest": 0.85, "highest": 0.95, "n": 3})
        '0.900 ± 0.050 (0.850 to 0.950)'
    """
    if figure["value"] is None:
        return "undefined"
    sd = "" if figure["sd"] is None else f" ± {figure['sd']:z.3f}"
    reason = f", {figure['reason']}" if "reason" in figure else ""
    return f"{figure['value']:z.3f}{sd} ({figure['lowest']:z.3f} to {figure['highest']:z.3f}){reason}"
