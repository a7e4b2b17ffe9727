"""Whether a module and the images it is given fit together, before the first of them is seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rn50med.data.contract import PixelContract
from rn50med.data.datamodule import ManifestDataModule
from rn50med.data.manifest import Manifest
from rn50med.data.units import decided_unit, owners
from rn50med.errors import RecipeError
from rn50med.evaluation.cases import Membership, Unit, grouped
from rn50med.parts import Part
from rn50med.tasks import Task

if TYPE_CHECKING:
    from rn50med.training.module import FineTuneModule


def agree(module: FineTuneModule, data: Any, learns: bool) -> None:
    """Take over from the data what a prediction needs to know, and refuse data that do not fit.

    Args:
        module: The module.
        data: The trainer's data module, whoever wrote it; None where there is none.
        learns: Whether the module is about to be trained, not gone on with or judged.

    Raises:
        RecipeError: If channels or classes differ.
        DataError: If the images do not have the cases that the module is judged by.
    """
    transforms = getattr(data, "transforms", None)
    if isinstance(transforms, Part):
        _check_channels(module, getattr(transforms, "channels", None))
        module.preprocessing = transforms.specification()
    contract = getattr(data, "contract", None)
    if learns and isinstance(contract, PixelContract):
        module.pixel_contract = contract
    _check_classes(module, getattr(data, "task", None))
    if isinstance(data, ManifestDataModule):
        unit = decided_unit(data.manifest, module.task, module.protocol.unit if learns else module.unit.of)
        module.unit = module.protocol.decided(unit) if learns else module.unit


def _check_channels(module: FineTuneModule, channels: int | None) -> None:
    if channels not in {None, module.backbone.in_channels}:
        raise RecipeError(
            f"model.backbone.in_channels: is {module.backbone.in_channels}, but the transforms give "
            f"images of {channels}; write --model.backbone.in_channels {channels}."
        )


def _check_classes(module: FineTuneModule, theirs: Any) -> None:
    if isinstance(theirs, Task) and theirs.classes != module.task.classes:
        raise RecipeError(
            f"task: the images are labelled {', '.join(theirs.classes)}, the model says "
            f"{', '.join(module.task.classes)}; give both the same task, its classes in the same order."
        )


def membership_of(manifest: Manifest, unit: Unit, rows: NDArray[np.int64]) -> Membership:
    """Return patients and cases of images.

    Args:
        manifest: Of all images.
        unit: What a case is.
        rows: Of the images wanted.
    """
    patients, studies = owners(manifest, rows)
    return Membership(patients, grouped(unit.of, patients, studies), unit.images)
