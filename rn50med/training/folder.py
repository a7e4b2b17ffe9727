"""The run folder: where it is, and what is written into it."""

from __future__ import annotations

import json
import logging
import math
import os
import platform
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from rn50med.data.datamodule import ManifestDataModule
from rn50med.data.splits import write_splits
from rn50med.errors import DataError, RecipeError, StorageError
from rn50med.evaluation.arrays import SIGNIFICANT_DIGITS
from rn50med.evaluation.figure import Figure
from rn50med.recipe import dump_yaml

log = logging.getLogger(__name__)

FOLDER_VARIABLE = "RN50MED_RUN_FOLDER"
"""Environment variable by which the first process tells the others the run folder."""

PRIVATE = 0o600
_PACKAGES = (
    "torch",
    "lightning",
    "timm",
    "monai",
    "torchmetrics",
    "numpy",
    "pillow",
    "scikit-learn",
    "pandas",
)


def make_run_folder(output: str | None, name: str) -> Path:
    """Make a run folder, once, before other processes start; they find the same one.

    Args:
        output: Where the user wants it; ``runs/NAME/TIME-HEX`` where None.
        name: Name of the recipe.

    Raises:
        StorageError: If the folder is not empty, or cannot be made.
        RecipeError: If several processes were started from outside.
    """
    if not is_first_process():
        if FOLDER_VARIABLE not in os.environ:
            raise RecipeError(
                "fit: several processes were started from outside, and do not know each other's run "
                "folder; start one, and give --trainer.devices N."
            )
        return Path(os.environ[FOLDER_VARIABLE])
    time = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    folder = Path(output) if output else Path("runs") / name / f"{time}-{secrets.token_hex(2)}"
    check_empty(folder)
    try:
        for place in (folder, folder / "checkpoints", folder / "predictions"):
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"{folder}: cannot be written ({error.strerror}); give --output another place."
        ) from error
    os.environ[FOLDER_VARIABLE] = str(folder.resolve())
    return folder


def is_first_process() -> bool:
    """Return whether this is the only process of a run, or the first, whoever started it."""
    return all(os.environ.get(name, "0") == "0" for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"))


def check_empty(folder: Path) -> None:
    """Refuse a folder that holds something, so that no run writes over another.

    Args:
        folder: It may be absent.

    Raises:
        StorageError: If it is not empty, or no folder.
    """
    if folder.is_file() or any(path.is_file() for path in folder.rglob("*")):
        raise StorageError(f"{folder}: is not empty; give --output a new folder, or leave it out.")


def write_private(path: Path, content: str | bytes) -> None:
    """Write a file that only its owner can read, whole or not at all.

    Args:
        path: The file.
        content: What it holds, text or bytes.
    """
    with _draft(path) as partial:
        partial.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)


@contextmanager
def _draft(path: Path) -> Iterator[Path]:
    """Yield a place beside a file, which becomes that file once it is written, for its owner alone."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    try:
        partial.touch(mode=PRIVATE)
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_json(path: Path, facts: Mapping[str, Any]) -> None:
    """Write facts as JSON, keys in their order.

    Args:
        path: The file.
        facts: Plain values; none may be infinite or not a number.
    """
    write_private(path, json.dumps(facts, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def mark_latest(folder: Path) -> None:
    """Write the run's name into ``latest`` beside it; a text file, since Windows has no links.

    Args:
        folder: The run folder.
    """
    (folder.parent / "latest").write_text(folder.name + "\n", encoding="utf-8")


def write_recipe(folder: Path, recipe: Mapping[str, Any]) -> None:
    """Write the resolved recipe, which repeats the run.

    Args:
        folder: The run folder.
        recipe: Plain values.
    """
    head = "# What this run was made of; repeat it with: python -m rn50med fit --recipe <this file>\n"
    write_private(folder / "recipe.yaml", head + dump_yaml(dict(recipe)))


def write_manifest(folder: Path, data: ManifestDataModule) -> None:
    """Write the images as used, with their splits.

    Args:
        folder: The run folder.
        data: Prepared.
    """
    write_private(folder / "manifest.csv", data.manifest.table.to_csv(index=False, lineterminator="\n"))


def write_split_file(folder: Path, data: ManifestDataModule) -> None:
    """Write ``splits.json``, to which a later run can be held.

    Args:
        folder: The run folder.
        data: Prepared.
    """
    table, origin = data.manifest.table, data.prepared.audit["split_origin"]
    try:
        write_splits(
            folder / "splits.json", table["sha256"].tolist(), table["split"].tolist(), origin, data.seed
        )
    except DataError as error:  # of a leak that was allowed
        log.warning("splits.json: is not written, since %s", str(error).partition(": ")[2])


def write_predictions(path: Path, frame: pd.DataFrame) -> None:
    """Write a prediction file.

    Args:
        path: The file, ``.csv`` or ``.parquet``.
        frame: Its rows.
    """
    if path.suffix.lower() == ".parquet":
        with _draft(path) as partial:
            frame.to_parquet(partial, engine="pyarrow", index=False)
        return
    text = frame.to_csv(index=False, float_format=f"%.{SIGNIFICANT_DIGITS}g", lineterminator="\n")
    write_private(path, text)


def plain_figures(figures: Mapping[str, Figure]) -> dict[str, Any]:
    """Return figures as JSON holds them.

    Args:
        figures: By name.
    """
    return {name: figure.as_json() for name, figure in figures.items()}


def environment(training: Mapping[str, Any]) -> dict[str, Any]:
    """Return facts on software and machine that name neither host, user nor path.

    Args:
        training: Facts on the run to add.
    """
    return {
        "rn50med": version("rn50med"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "packages": {name: version(name) for name in _PACKAGES},
        "threads": torch.get_num_threads(),
        **training,
    }


def finite(value: float | None) -> float | None:
    """Return a number, or None where it is not finite.

    Args:
        value: The number.
    """
    return value if value is not None and math.isfinite(value) else None
