"""From images without labels to a table of probabilities and calls."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from rn50med.data.cache import prepared
from rn50med.data.contract import kind_of
from rn50med.data.readers import Image, Reader
from rn50med.data.transforms import Transforms
from rn50med.deployment.items import Item, Tables, find_images, membership, tell_alone
from rn50med.errors import DataError, StorageError
from rn50med.evaluation.arrays import stored
from rn50med.evaluation.pooling import mean_point
from rn50med.parts import build
from rn50med.tasks import Columns
from rn50med.training.crossval import ensemble_members
from rn50med.training.module import FineTuneModule
from rn50med.training.precision import exact
from rn50med.training.run import Run

log = logging.getLogger(__name__)

BATCH = 32
"""Images that are predicted together; 32 bits give the same numbers whatever it is, to rounding."""


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


def predict(
    run: str | Path | Run, images: str | Path | Sequence[str | Path], tables: Tables | None = None
) -> pd.DataFrame:
    """Predict images, in 32 bits; an image that cannot be read is a row that says why.

    Args:
        run: A run folder, a checkpoint, or what `fit` returned; or the folder of a cross-validation, whose
            runs are an ensemble.
        images: Files, folders or a table.
        tables: How a table is read.

    Returns:
        A row per image: image, patient, probabilities, logits, call, status (ok or error), error. Images of
        one patient or study have one call where the run was judged so. Of an ensemble, the mean of the
        probabilities, called at the mean of the operating points, and no logits.

    Raises:
        StorageError: If the run cannot be read.
        DataError: If a place is not there.
    """
    if not isinstance(run, Run) and (members := ensemble_members(Path(run))):
        return _predict_together(members, images, tables)
    module = run.module if isinstance(run, Run) else load_for_prediction(run)
    places = [images] if isinstance(images, str | Path) else images
    items = find_images(places, tables)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    module.eval().to(device)
    with exact():
        answers = _answers(module, items, device)
    contract = module.pixel_contract
    strange = contract.strange(filter(None, answers.kinds)) if contract is not None else None
    if strange is not None:
        log.warning("predict: %s", strange)
    tell_alone(module, items)
    return _frame(module, items, answers)


def _predict_together(
    members: Sequence[Path], images: str | Path | Sequence[str | Path], tables: Tables | None
) -> pd.DataFrame:
    """Predict images by the runs of an ensemble."""
    runs = [Run(member, {}, load_for_prediction(member)) for member in members]
    frames = [predict(run, images, tables) for run in runs]
    task, first = runs[0].module.task, frames[0]
    names = task.said_columns
    mean = stored(np.mean([frame[list(names)].to_numpy(dtype=np.float64) for frame in frames], axis=0))
    point = mean_point([run.module.operating_point for run in runs])
    columns: dict[str, Any] = {name: first[name] for name in ("image", "patient")}
    columns |= {name: mean[:, k] for k, name in enumerate(names)}
    items = find_images([images] if isinstance(images, str | Path) else images, tables)
    columns |= task.case_calls(mean, point, membership(runs[0].module, items))
    return pd.DataFrame(columns | {name: first[name] for name in ("status", "error")})


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


def as_trained(module: FineTuneModule) -> tuple[Reader, Transforms]:
    """Return what reads images and prepares them as in training.

    Args:
        module: Of `load_for_prediction`.
    """
    contract = module.pixel_contract
    reader = Reader() if contract is None else contract.reader
    return reader, build(module.preprocessing or {}, Transforms)  # type: ignore[type-abstract]


def outputs(module: FineTuneModule, logits: NDArray[np.float64], items: Sequence[Item]) -> Columns:
    """Return the columns of a prediction file that follow from the logits.

    Args:
        module: It knows the task, what a case is, temperature and operating point.
        logits: As `stored` rounds them, ``(N, K)``; ``nan`` of an image that cannot be read.
        items: The images, N.
    """
    cases = membership(module, items)
    return module.task.output_columns(logits, module.operating_point, module.temperature, cases)


@dataclass(frozen=True)
class _Answers:
    """What came of each image.

    Args:
        logits: ``nan`` where it cannot be read, ``(N, K)``.
        errors: Empty where it can.
        kinds: Of images, as the pixel contract has them; empty where it cannot.
    """

    logits: np.ndarray[Any, Any]
    errors: list[str]
    kinds: list[str]


def _answers(module: FineTuneModule, items: Sequence[Item], device: torch.device) -> _Answers:
    """Read the images as the run did, and ask the network."""
    reader, transforms = as_trained(module)
    logits = np.full((len(items), module.task.num_outputs), np.nan)
    errors, kinds = [""] * len(items), [""] * len(items)
    for positions, outcomes in _read(items, reader, transforms):
        good: dict[int, Tensor] = {}
        for row, outcome in zip(positions, outcomes, strict=True):
            if isinstance(outcome, str):
                errors[row] = outcome
            else:
                good[row], kinds[row] = outcome
        if good:
            with torch.inference_mode():
                answer = module(torch.stack(list(good.values())).to(device))
            logits[list(good)] = answer.double().cpu().numpy()
    return _Answers(stored(logits), errors, kinds)


def _read(
    items: Sequence[Item], reader: Reader, transforms: Transforms
) -> Iterator[tuple[list[int], list[tuple[Tensor, str] | str]]]:
    """Yield positions with their images and kinds, or with what is wrong."""
    prepare, evaluate = transforms.prepare, transforms.eval

    def read(item: Item) -> tuple[Tensor, str] | str:
        try:
            image: Image = reader.read(item.path)
            tensor: Tensor = evaluate(prepared(image, prepare))
        except DataError as error:
            return str(error)
        return tensor, kind_of(image.facts)

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for start in range(0, len(items), BATCH):
            rows = list(range(start, min(start + BATCH, len(items))))
            yield rows, list(pool.map(read, [items[row] for row in rows]))


def _frame(module: FineTuneModule, items: Sequence[Item], answers: _Answers) -> pd.DataFrame:
    columns: dict[str, Any] = {"image": [i.name for i in items], "patient": [i.patient for i in items]}
    columns |= outputs(module, answers.logits, items)
    columns["status"] = ["error" if error else "ok" for error in answers.errors]
    return pd.DataFrame(columns | {"error": answers.errors})
