"""Heat maps of what a model's score rests on, over the images as they came."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from rn50med.data.cache import prepared
from rn50med.data.contract import kind_of
from rn50med.data.pixels import Pixels, unresize
from rn50med.data.progress import bar
from rn50med.data.readers import Image
from rn50med.data.transforms import Transforms
from rn50med.deployment.explaining import (
    BASELINES,
    METHODS,
    Baseline,
    Method,
    heat_map,
    likeness,
    randomised,
)
from rn50med.deployment.explaining.drawing import NOTICE, overlay, stem_of, write_map
from rn50med.deployment.explaining.maps import column_of
from rn50med.deployment.explaining.words import SANITY, readme
from rn50med.deployment.items import Item, Tables, find_images, tell_each_alone
from rn50med.deployment.predict import as_trained, load_for_prediction, outputs
from rn50med.errors import DataError, NumericalError, RecipeError, StorageError, listed, unknown
from rn50med.evaluation.arrays import stored
from rn50med.tasks import Task
from rn50med.training.crossval import ensemble_members
from rn50med.training.folder import write_predictions, write_private
from rn50med.training.module import FineTuneModule
from rn50med.training.precision import exact
from rn50med.training.run import Run

log = logging.getLogger(__name__)

__all__ = ["NOTICE", "Asked", "explain"]

TABLE = "explanations.csv"


@dataclass(frozen=True)
class Asked:
    """What is to be explained, and how.

    Args:
        method: Grad-CAM, Grad-CAM++ or integrated gradients.
        target: The class; where None, what the model called: the positive class of two, the called one of
            several, every called label or, without any, the most probable one.
        baseline: What integrated gradients start from.
        sanity: Whether each map is compared with those of the network with its last stage and head made
            random again, and with all of it made random.
        seed: Of those.

    Raises:
        RecipeError: If there is no such method or baseline.
    """

    method: Method = "gradcam"
    target: str | None = None
    baseline: Baseline = "black"
    sanity: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for kind, name, known in (("method", self.method, METHODS), ("baseline", self.baseline, BASELINES)):
            if name not in known:
                raise RecipeError(f"explain: {unknown(kind, name, known, f'Give one of {listed(known)}.')}")


def explain(
    run: str | Path | Run,
    images: str | Path | Sequence[str | Path],
    output: str | Path,
    asked: Asked | None = None,
    tables: Tables | None = None,
) -> pd.DataFrame:
    """Write heat maps of images into a new folder; an image that fails is a row that says why.

    Each map is written as numbers (``.npy``, 32-bit floats of the image's height and width, from 0 to 1)
    and drawn over the image (``.png``). A heat map is not evidence of location.

    Args:
        run: A run folder, a checkpoint, or what `fit` returned.
        images: Files, folders or a table.
        output: A new or empty folder.
        asked: What and how; Grad-CAM of what the model called where it is not given.
        tables: How tables of images are read.

    Returns:
        A row per map, as in ``explanations.csv``: image, patient, class, probability, call, method, map,
        overlay, shown_on, status, error. ``shown_on`` is ``image``, or ``square`` where the transforms do
        not say where their pixels come from. With ``asked.sanity`` also spearman and ssim, to the map with
        random last layers, and spearman_whole and ssim_whole, to that of a random network.

    Raises:
        StorageError: If the output is not empty or cannot be made, or the run cannot be read.
        DataError: If a place is not there.
        RecipeError: If the task has no such class, or the head cannot be looked into.
    """
    asked = Asked() if asked is None else asked
    folder = Path(output)
    check_folder(folder)
    if not isinstance(run, Run) and ensemble_members(Path(run)):
        raise StorageError(
            f"{run}: is a cross-validation, whose models have a map each; explain one of its folds, such as "
            f"{Path(run) / 'fold-0'}."
        )
    module = run.module if isinstance(run, Run) else load_for_prediction(run)
    if asked.target is not None:
        column_of(module.task, asked.target)
    items = find_images([images] if isinstance(images, str | Path) else images, tables)
    session = _Session(module, folder, asked)
    _make(folder)
    write_private(folder / "README.txt", readme(asked.method, asked.baseline, asked.sanity))
    rows: list[dict[str, Any]] = []
    try:
        with exact(), bar("explaining", len(items)) as done:
            for item in items:
                rows += session.explain(item)
                done(1)
    finally:  # so that maps have their rows, however this ends
        write_predictions(folder / TABLE, _frame(rows, asked))
    session.warn()
    tell_each_alone(module)
    return _frame(rows, asked)


def check_folder(folder: Path) -> None:
    """Refuse a folder that holds something.

    Args:
        folder: It may be absent.

    Raises:
        StorageError: If it is not empty, or no folder.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise StorageError(f"{folder}: is not empty; give --output a new folder.")


def _make(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        why = f"{folder}: cannot be written ({error.strerror}); give --output another place."
        raise StorageError(why) from error


def targets(task: Task, said: Mapping[str, str], probability: NDArray[np.float64]) -> list[str]:
    """Return the classes to explain where the user named none.

    Args:
        task: Names the classes.
        said: The image's columns that hold calls.
        probability: Of each of the task's `probability_names`.

    Example:
        >>> from rn50med.tasks import MultiLabel
        >>> task = MultiLabel(("mass", "edema"))
        >>> targets(task, {"call_mass": "1", "call_edema": "0"}, np.array([0.4, 0.6]))
        ['mass']
        >>> targets(task, {"call_mass": "0", "call_edema": "0"}, np.array([0.1, 0.2]))
        ['edema']
    """
    if task.positive_class is not None:
        return [task.positive_class]
    if "call" in said:
        return [said["call"]]
    called = [name for name in task.classes if said[f"call_{name}"] == "1"]
    return called or [task.probability_names[int(np.argmax(probability))]]


@dataclass(frozen=True)
class _Seen:
    """An image, as the network and as a person sees it.

    Args:
        tensor: For the network, ``(C, S, S)``.
        pixels: For a person: the whole image, or the square where nobody knows the way back.
        region: Rows and columns of the image that became the square, if that is known.
    """

    tensor: Tensor
    pixels: Pixels
    region: tuple[slice, slice] | None

    def back(self, square: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return a map of the square as one of `pixels`."""
        height, width = self.pixels.shape[:2]
        return square if self.region is None else unresize(square, self.region, (height, width))


class _Session:
    """Explains one image after another.

    Args:
        module: The model.
        folder: Of the maps.
        asked: What and how.
    """

    def __init__(self, module: FineTuneModule, folder: Path, asked: Asked) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.module = module.eval().to(self.device)
        self.untaught = {
            suffix: randomised(self.module, asked.seed, whole)
            for suffix, whole in (("", False), ("_whole", True))
            if asked.sanity
        }
        self.folder = folder
        self.asked = asked
        self.reader, self.transforms = as_trained(module)
        self.numbers = count(1)
        self.kinds: list[str] = []
        if asked.method != "ig":  # a head that cannot be looked into is refused before anything is written
            blank = torch.zeros(self.transforms.channels, self.transforms.size, self.transforms.size)
            heat_map(self.module, blank.to(self.device), module.task.probability_names[-1], asked.method)

    def explain(self, item: Item) -> Iterator[dict[str, Any]]:
        """Yield the rows of one image."""
        about = {"image": item.name, "patient": item.patient, "method": self.asked.method}
        try:
            image = self.reader.read(item.path)
            seen = _seen(image, self.transforms)
            self.kinds.append(kind_of(image.facts))
            logits = self._logits(seen.tensor)
        except (DataError, NumericalError) as error:
            yield {**about, "status": "error", "error": str(error)}
            return
        said = outputs(self.module, logits, [item])
        calls = {name: str(cell[0]) for name, cell in said.items() if name.startswith("call")}
        probability = np.array([said[name][0] for name in self.module.task.said_columns])
        wanted = [self.asked.target] if self.asked.target else targets(self.module.task, calls, probability)
        for target in wanted:
            column, sign = column_of(self.module.task, target)
            chance = probability[column] if sign > 0 else 1 - probability[column]
            call = calls.get("call", calls.get(f"call_{target}", ""))
            row = {**about, "class": target, "probability": chance, "call": call}
            try:
                yield {**row, **self._map(item, seen, target), "status": "ok", "error": ""}
            except NumericalError as error:
                yield {**row, "status": "error", "error": str(error)}

    def _logits(self, tensor: Tensor) -> NDArray[np.float64]:
        with torch.no_grad():  # not inference_mode, whose tensors a map could not be drawn from
            logits = self.module(tensor[None].to(self.device)).double().cpu().numpy()
        if not np.isfinite(logits).all():
            raise NumericalError("gives no finite score; look at the image.")
        return stored(logits)

    def _map(self, item: Item, seen: _Seen, target: str) -> dict[str, Any]:
        """Write one map, and return what the table says of it."""
        how = (target, self.asked.method, self.asked.baseline)
        tensor = seen.tensor.to(self.device)
        square = heat_map(self.module, tensor, *how)
        found: dict[str, Any] = {"shown_on": "square" if seen.region is None else "image"}
        for suffix, untaught in self.untaught.items():
            rank, structure = likeness(square, heat_map(untaught, tensor, *how))
            found |= {f"spearman{suffix}": rank, f"ssim{suffix}": structure}
        heat = seen.back(square)
        stem = stem_of(item.path, next(self.numbers))
        write_map(self.folder, stem, heat, overlay(seen.pixels, heat))
        return {**found, "map": f"{stem}.npy", "overlay": f"{stem}.png"}

    def warn(self) -> None:
        """Say which images are of kinds that the model does not know."""
        contract = self.module.pixel_contract
        if contract is not None and (strange := contract.strange(self.kinds)) is not None:
            log.warning("explain: %s", strange)


def _seen(image: Image, transforms: Transforms) -> _Seen:
    """Prepare an image as in training, and find out what of it the network sees."""
    pixels = prepared(image, transforms.prepare)
    view = transforms.view(image)
    tensor: Tensor = transforms.eval(pixels)
    if view is None:
        square = pixels[0] if len(pixels) == 1 else np.moveaxis(pixels, 0, -1)
        return _Seen(tensor, square, None)
    return _Seen(tensor, view.pixels, view.region)


def _frame(rows: Sequence[Mapping[str, Any]], asked: Asked) -> pd.DataFrame:
    names = ["image", "patient", "class", "probability", "call", "method", "map", "overlay", "shown_on"]
    names += [*SANITY] * asked.sanity + ["status", "error"]
    frame = pd.DataFrame(list(rows), columns=names)
    return frame.fillna({name: "" for name in names if name not in {"probability", *SANITY}})
