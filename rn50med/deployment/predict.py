"""From images without labels to a table of probabilities and calls."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from rn50med.data.manifest import ROW, Columns, find_columns
from rn50med.data.pixels import read_image
from rn50med.data.sources import IMAGE_SUFFIXES, SEPARATORS, read_table
from rn50med.data.transforms import Transforms
from rn50med.errors import DataError, StorageError
from rn50med.evaluation.predictions import stored
from rn50med.parts import build
from rn50med.training.module import FineTuneModule
from rn50med.training.precision import exact
from rn50med.training.run import Run

BATCH = 32
"""Images that are predicted together; 32 bits give the same numbers whatever it is, to rounding."""


@dataclass(frozen=True)
class Item:
    """An image to predict.

    Args:
        name: As the table of predictions calls it.
        path: Its file.
        patient: Where a table says so, else empty.
    """

    name: str
    path: Path
    patient: str = ""


def find_checkpoint(run: str | Path) -> Path:
    """Return the checkpoint that a run folder, or a checkpoint in one, means.

    Args:
        run: A run folder or a checkpoint.

    Raises:
        StorageError: If there is none.
    """
    path = Path(run)
    if path.is_file():
        return path
    best = path / "checkpoints" / "best.ckpt"
    if best.is_file():
        return best
    raise StorageError(f"{run}: is no run folder or checkpoint; give a folder that `fit` wrote.")


def find_images(places: Sequence[str | Path]) -> list[Item]:
    """List the images that files, folders and tables stand for.

    Args:
        places: Image files; folders, with all PNG and JPEG files below them; tables with an image column.

    Raises:
        DataError: If a place is not there, or holds no images.
    """
    found = [item for place in places for item in _items(Path(place))]
    if not found:
        raise DataError("predict: no images were given; name files, folders or a table after --images.")
    return found


def _items(place: Path) -> list[Item]:
    if place.is_dir():
        paths = sorted(path for path in place.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
        if not paths:
            raise DataError(f"{place}: holds no PNG or JPEG images; give another folder.")
        return [Item(path.as_posix(), path) for path in paths]
    if not place.is_file():
        raise DataError(f"{place}: there is no such file or folder; mend the path after --images.")
    if place.suffix.lower() not in SEPARATORS:
        return [Item(place.as_posix(), place)]
    table = read_table(place)
    have = [str(column) for column in table.columns if column != ROW]
    columns = find_columns(Columns(), have, place.name, ("image",))
    patients = table[columns["patient"]] if "patient" in columns else [""] * len(table)
    images = table[columns["image"]]
    return [Item(str(i), place.parent / str(i), str(p)) for i, p in zip(images, patients, strict=True)]


def predict(run: str | Path | Run, images: str | Path | Sequence[str | Path]) -> pd.DataFrame:
    """Predict images, in 32 bits; an image that cannot be read is a row that says why.

    Args:
        run: A run folder, a checkpoint, or what `fit` returned.
        images: Files, folders or a table.

    Returns:
        A row per image: image, patient, probabilities, logits, call, status (ok or error), error.

    Raises:
        StorageError: If the run cannot be read.
        DataError: If a place is not there.
    """
    module = run.module if isinstance(run, Run) else load_for_prediction(run)
    places = [images] if isinstance(images, str | Path) else images
    items = find_images(places)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    module.eval().to(device)
    with exact():
        logits, errors = _logits(module, items, device)
    return _frame(module, items, logits, errors)


def load_for_prediction(run: str | Path) -> FineTuneModule:
    """Load the best epoch of a run, with what it does to an image before the network.

    Args:
        run: A run folder or a checkpoint.

    Raises:
        StorageError: If it does not say how images are prepared.
    """
    module = FineTuneModule.load_from_checkpoint(find_checkpoint(run))
    if module.preprocessing is None:
        raise StorageError(
            f"{run}: does not say how images are prepared, since it was not trained with a "
            "ManifestDataModule; call the module yourself."
        )
    return module


def _logits(
    module: FineTuneModule, items: Sequence[Item], device: torch.device
) -> tuple[np.ndarray[Any, Any], list[str]]:
    """Return each image's logits, ``nan`` where it cannot be read, and its error, empty where it can."""
    transforms = build(module.preprocessing or {}, Transforms)  # type: ignore[type-abstract]
    logits = np.full((len(items), module.task.num_outputs), np.nan)
    errors = [""] * len(items)
    for positions, outcomes in _read(items, transforms):
        good: dict[int, Tensor] = {}
        for row, outcome in zip(positions, outcomes, strict=True):
            if isinstance(outcome, Tensor):
                good[row] = outcome
            else:
                errors[row] = outcome
        if good:
            with torch.inference_mode():
                answer = module(torch.stack(list(good.values())).to(device))
            logits[list(good)] = answer.double().cpu().numpy()
    return stored(logits), errors


def _read(items: Sequence[Item], transforms: Transforms) -> Iterator[tuple[list[int], list[Tensor | str]]]:
    prepare, evaluate = transforms.prepare, transforms.eval

    def read(item: Item) -> Tensor | str:
        try:
            image: Tensor = evaluate(prepare(read_image(item.path)))
        except DataError as error:
            return str(error)
        return image

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for start in range(0, len(items), BATCH):
            rows = list(range(start, min(start + BATCH, len(items))))
            yield rows, list(pool.map(read, [items[row] for row in rows]))


def _frame(
    module: FineTuneModule, items: Sequence[Item], logits: np.ndarray[Any, Any], errors: Sequence[str]
) -> pd.DataFrame:
    columns: dict[str, Any] = {"image": [i.name for i in items], "patient": [i.patient for i in items]}
    columns |= module.task.output_columns(logits, module.operating_point)
    columns["status"] = ["error" if error else "ok" for error in errors]
    return pd.DataFrame(columns | {"error": list(errors)})
