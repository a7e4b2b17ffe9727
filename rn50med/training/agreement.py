"""Whether a module and the images it is given fit together, before the first of them is seen."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rn50med.data.contract import PixelContract
from rn50med.data.datamodule import ManifestDataModule
from rn50med.data.manifest import Manifest
from rn50med.data.units import decided_unit, owners
from rn50med.errors import RecipeError
from rn50med.evaluation.cases import Membership, Unit, grouped
from rn50med.parts import Part, Specification
from rn50med.tasks import Task

if TYPE_CHECKING:
    from rn50med.training.module import FineTuneModule

log = logging.getLogger(__name__)


def agree(module: FineTuneModule, data: Any, learns: bool) -> None:
    """Take over from the data what a prediction needs to know, and refuse data that do not fit.

    Args:
        module: The module.
        data: The trainer's data module, whoever wrote it; None where there is none.
        learns: Whether the module is about to be trained, anew or further, and not only judged.

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
        asked = module.protocol.unit if learns else module.unit.of
        unit = decided_unit(data.manifest, module.task, asked, learns)
        module.unit = module.protocol.decided(unit) if learns else module.unit
    elif learns and module.protocol.unit not in {"auto", "image"}:
        raise RecipeError(
            f"protocol: its unit is {module.protocol.unit}, but a DataLoader does not say whose its images "
            "are; give the Trainer a ManifestDataModule, or the protocol the unit image."
        )
    if learns:
        _check_blending(module)
        _prepare_loss(module, data if isinstance(data, ManifestDataModule) else None)


def _check_blending(module: FineTuneModule) -> None:
    for name in ("mixup", "cutmix"):
        if getattr(module.regularisation, name) and not module.task.blends:
            raise RecipeError(
                f"model.regularisation.{name}: the targets of {type(module.task).__name__} cannot be "
                "blended; leave it out."
            )


def _prepare_loss(module: FineTuneModule, data: ManifestDataModule | None) -> None:
    """Let the loss count the classes of train, and say what comes of it."""
    if module.loss is None:
        module.train_loss = module.task.loss
        return
    name, kind = type(module.loss).__name__, type(module.task).__name__
    if data is None and module.loss.balances:
        raise RecipeError(
            f"model.loss: {name} counts the classes of the training images, which only a ManifestDataModule "
            "can tell; use one, or leave the loss out."
        )
    rows = [] if data is None else data.manifest.rows()
    learnt = [] if data is None else [rows[row] for row in data.rows_of("train").tolist()]
    counts = module.task.class_counts(learnt)
    if counts is None:
        raise RecipeError(
            f"model.loss: {kind} has a loss of its own, which {name} cannot replace; leave it out."
        )
    module.train_loss = prepared = module.loss.prepared(counts)
    if data is not None and module.trainer.is_global_zero:
        log.info("%s", prepared.statement(module.task.classes))
        if module.loss.balances and data.sampler == "balanced":
            log.warning(
                "warning (balanced-twice): both model.loss and data.sampler make up for rare classes, which "
                "counts them twice; leave one of them out."
            )


def _check_channels(module: FineTuneModule, channels: int | None) -> None:
    if channels not in {None, module.backbone.in_channels}:
        raise RecipeError(
            f"model.backbone.in_channels: is {module.backbone.in_channels}, but the transforms give "
            f"images of {channels}; write --model.backbone.in_channels {channels}."
        )


def _check_classes(module: FineTuneModule, theirs: Any) -> None:
    if isinstance(theirs, Task) and outputs_of(theirs) != outputs_of(module.task):
        raise RecipeError(
            f"task: the images are labelled for {outputs_of(theirs)}, the model is for "
            f"{outputs_of(module.task)}; give both the same task, its classes in the same order."
        )


def outputs_of(task: Task) -> str:
    """Return what a task's outputs mean: kind, classes in their order, numbers such as those of a scale.

    Args:
        task: Any.
    """
    return outputs_told(task.specification(), task.classes)


def outputs_told(task: Specification, classes: Sequence[str]) -> str:
    """Return what `outputs_of` a task would, from what a checkpoint keeps of it.

    Args:
        task: Its specification.
        classes: Its classes, in their order.
    """
    numbers = {
        name: value
        for name, value in task["init_args"].items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    told = [*classes, *(f"{name} {value:g}" for name, value in sorted(numbers.items()))]
    return f"{task['class_path'].rpartition('.')[2]} ({', '.join(told)})"


def membership_of(manifest: Manifest, unit: Unit, rows: NDArray[np.int64]) -> Membership:
    """Return patients and cases of images.

    Args:
        manifest: Of all images.
        unit: What a case is.
        rows: Of the images wanted.
    """
    patients, studies = owners(manifest, rows)
    return Membership(patients, grouped(unit.of, patients, studies), unit.images)
