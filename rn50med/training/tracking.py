"""Weights & Biases: what a dashboard shows, and nothing that names a patient, a path or a machine."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch.loggers import Logger, WandbLogger

from rn50med.errors import RecipeError
from rn50med.model.weights import published
from rn50med.network import is_offline

PLACES = frozenset(
    {
        "source",
        "root",
        "where",
        "split_file",
        "output",
        "weights",
        "cache",
        "default_root_dir",
        "dirpath",
        "ckpt_path",
    }
)
"""Keys of a recipe whose text is a place, or may name a patient."""

VALUES = frozenset({"test", "val"})
"""Keys whose lists hold values of a manifest column, such as sites or patients."""

WORDS = frozenset({"phantom", "auto", "imagenet", "none"})
"""What may stand at such a key without being a place."""

_PATH = re.compile(r"[/\\]|^~|\.(csv|tsv|xlsx|parquet|npz|ckpt|pth?|safetensors|yaml)$", re.IGNORECASE)


@dataclass(frozen=True)
class Tracking:
    """What is sent to Weights & Biases.

    Args:
        wandb: `disabled`; `offline`, written to the run folder, to be synchronised by hand; `online`.
        project: Project on the dashboard.
        tags: Tags of the run.
        images: Reserved: images are not sent.
        artifacts: Reserved: checkpoints are not sent.
    """

    wandb: Literal["disabled", "offline", "online"] = "disabled"
    project: str = "rn50med"
    tags: tuple[str, ...] = ()
    images: Literal[False] = False
    artifacts: Literal[False] = False


_AT_HOME = {"tracking", "study"}


def without_places(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recipe with ``<path>`` for every path, and without what its authors say of the study.

    Args:
        recipe: Resolved.

    Example:
        >>> without_places({"data": {"source": "/data/DOE/labels.csv", "batch_size": 16}, "study": {}})
        {'data': {'source': '<path>', 'batch_size': 16}}
    """
    return {key: _placeless(str(key), value) for key, value in recipe.items() if key not in _AT_HOME}


def _placeless(key: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _placeless(str(name), inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        if key in VALUES:
            return ["<value>" for _ in value]
        return [_placeless(key, inner) for inner in value]
    if isinstance(value, str):
        is_place = key in PLACES and value not in WORDS and value not in published()
        return "<path>" if is_place or _PATH.search(value) else value
    return value


def wandb_logger(tracking: Tracking, recipe: Mapping[str, Any], folder: Path, name: str) -> WandbLogger:
    """Start a run at Weights & Biases that holds the recipe without its paths, and nothing of the machine.

    Args:
        tracking: What the user chose; not `disabled`.
        recipe: Resolved.
        folder: The run folder; offline files go to ``wandb`` below it.
        name: Name of the run.

    Raises:
        RecipeError: If it cannot be started, or may not be.
    """
    if tracking.wandb == "online" and is_offline():
        raise RecipeError(
            "tracking: --wandb online needs the network, which --offline refuses; use --wandb offline."
        )
    os.environ["WANDB_ERROR_REPORTING"] = "false"  # its crash reports would hold paths
    import wandb  # noqa: PLC0415 - half a second that most runs need not spend

    settings = wandb.Settings(
        console="off",
        disable_code=True,
        disable_git=True,
        disable_job_creation=True,
        host="rn50med",
        init_timeout=30,
        program="rn50med",
        quiet=True,
        root_dir=str(folder),
        save_code=False,
        silent=True,
        x_disable_machine_info=True,
        x_disable_meta=True,
        x_disable_stats=True,
        x_save_requirements=False,
    )
    try:
        run = wandb.init(
            project=tracking.project,
            tags=list(tracking.tags),
            name=name,
            mode="offline" if tracking.wandb == "offline" else "online",
            dir=str(folder),
            config=without_places(recipe),
            settings=settings,
        )
    except Exception as error:  # wandb raises kinds of its own, and of its service
        raise RecipeError(
            f"tracking: Weights & Biases could not be started ({error}); "
            "use --wandb offline, and `wandb sync` later."
        ) from error
    return WandbLogger(experiment=run, log_model=False)


def tell_recipe(loggers: Iterable[Logger], recipe: Mapping[str, Any]) -> None:
    """Tell the recipe again, without its paths, where it has changed since the run was started.

    Args:
        loggers: Of the trainer; only those of Weights & Biases are told.
        recipe: Resolved.
    """
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            logger.experiment.config.update(without_places(recipe), allow_val_change=True)


def finish(logger: WandbLogger, figures: Mapping[str, float | int | None], folder: Path) -> None:
    """Send the final figures, close the run, and remove wandb's own logs, which are full of paths.

    Args:
        logger: As `wandb_logger` made it.
        figures: Final figures by name.
        folder: The run folder.
    """
    for name, value in figures.items():
        logger.experiment.summary[name] = value
    logger.experiment.finish()
    sweep(folder)


def sweep(folder: Path) -> None:
    """Remove wandb's own logs, which are full of paths; also those of a run that broke off.

    Args:
        folder: The run folder.
    """
    for place in (folder / "wandb").rglob("*.log"):
        if place.name != "output.log":
            with suppress(OSError):  # Windows keeps open files
                place.unlink()
