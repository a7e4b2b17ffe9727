"""``fit``: from a recipe to a trained, tested, reported classifier."""

from __future__ import annotations

import logging
import math
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rn50med.network import forbid_network, is_offline
from rn50med.training.folder import FOLDER_VARIABLE, check_empty, is_first_process
from rn50med.training.run import Run, execute
from rn50med.training.tracking import sweep

log = logging.getLogger("rn50med.fit")

MOST_ROWS = 40
"""Rows of the table of final figures beyond which those of single labels are left to ``metrics.json``."""


def run(argv: Sequence[str]) -> int:
    """Train, test once, write the run folder, and print the final numbers.

    Args:
        argv: Options after ``fit``.
    """
    from rn50med.cli.assembly import hush, listen  # noqa: PLC0415 - Lightning takes seconds

    hush()
    listen()
    finished = _fit(argv)
    if finished is not None:
        sys.stdout.write(table(finished.metrics))
        sys.stdout.write(f"{finished.folder}\n")
    return 0


def fit(
    recipe: str | Path,
    options: Mapping[str, object] | None = None,
    output: str | Path | None = None,
    trust: Sequence[str] = (),
) -> Run:
    """Fine-tune by a recipe: the twin of ``rn50med fit``.

    Args:
        recipe: Name or file of the recipe.
        options: Dotted keys and their values, such as ``{"trainer.max_epochs": 3}``; they win over the
            recipe.
        output: The run folder, new or empty; ``runs/RECIPE/TIME`` where it is not given.
        trust: Further packages whose classes the recipe may name.

    A recipe may name the classes of trusted packages alone; jsonargparse keeps to that for the rest of the
    process.

    Raises:
        Rn50MedError: As the command line would, by kind.
    """
    arguments = ["--recipe", str(recipe)]
    arguments += [word for key, value in (options or {}).items() for word in (f"--{key}", _word(value))]
    arguments += [] if output is None else ["--output", str(output)]
    arguments += [word for module in trust for word in ("--trust", module)]
    finished = _fit(arguments)
    if finished is None:
        sys.exit(0)  # a further process, which the first one started
    return finished


def _word(value: object) -> str:
    from rn50med.recipe import dump_yaml  # noqa: PLC0415

    if isinstance(value, str | os.PathLike):
        return os.fspath(value)
    return dump_yaml(value).strip().removesuffix("...").strip()


def _fit(argv: Sequence[str]) -> Run | None:
    from rn50med.cli.arguments import prepare  # noqa: PLC0415
    from rn50med.cli.assembly import Assembly, need_recipe, tell  # noqa: PLC0415

    if is_offline():
        forbid_network()  # the command line did so; a script has not
    ready = prepare(argv)
    need_recipe(ready)
    assembly = Assembly(ready)
    data = assembly.data
    if assembly.config.output and is_first_process():
        check_empty(Path(assembly.config.output))  # before images are read, which may take a while
    if assembly.module.backbone.weights != "auto":  # which can do without
        assembly.module.backbone.load_weights()  # faults of a file are told before any image is read
    try:
        facts = data.prepared.audit
        trainer, plan = assembly.build_trainer()
        if trainer.is_global_zero:
            tell(facts)
            log.info("precision: %s in training (--trainer.precision overrides it)", plan.precision)
            log.info("run folder: %s", plan.folder)
        return execute(assembly.module, data, trainer, plan)
    finally:
        if is_first_process() and FOLDER_VARIABLE in os.environ:
            sweep(Path(os.environ.pop(FOLDER_VARIABLE)))


def table(metrics: Mapping[str, Any]) -> str:
    """Return the final numbers as text: a row per figure, a column per split, 95 % intervals.

    Args:
        metrics: As ``metrics.json`` holds them.
    """
    splits = [split for split in ("val", "test") if split in metrics]
    every = list(dict.fromkeys(name for split in splits for name in metrics[split]))
    names = most_telling(every)
    width = max(len(name) for name in names)
    head = f"{'':<{width}}  " + "  ".join(f"{split + ' (95 % interval)':<24}" for split in splits)
    lines = [head.rstrip()]
    for name in names:
        cells = [f"{_cell(metrics[split].get(name)):<24}" for split in splits]
        lines.append(f"{name:<{width}}  {'  '.join(cells)}".rstrip())
    if len(names) < len(every):
        lines.append(f"... and {len(every) - len(names)} more figures in metrics.json")
    return "\n".join(lines) + "\n"


def most_telling(names: Sequence[str]) -> Sequence[str]:
    """Return the figures that a short table tells: of many labels, each with ten, the AUROCs.

    Args:
        names: Of all figures.
    """
    return [n for n in names if "/" not in n or n.startswith("auroc")] if len(names) > MOST_ROWS else names


def _cell(figure: Mapping[str, Any] | None) -> str:
    if figure is None or figure["value"] is None:
        return "undefined"
    low, high = (math.nan if figure[end] is None else figure[end] for end in ("low", "high"))
    return f"{figure['value']:z.3f} ({low:z.3f} to {high:z.3f})"
