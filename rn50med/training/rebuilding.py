"""The parts of a module, built again from what its checkpoint says of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from rn50med.losses import Loss
from rn50med.model.backbone import ResNet50
from rn50med.model.heads import Head
from rn50med.parts import build, build_factory
from rn50med.tasks import Task
from rn50med.training.finetuning import FineTuning
from rn50med.training.regularisation import Regularisation

_PARTS: dict[str, type[Any]] = {"task": Task, "backbone": ResNet50, "finetuning": FineTuning, "loss": Loss}
_FACTORIES: dict[str, type[Any]] = {"head": Head, "optimizer": Optimizer, "schedule": LRScheduler}


def rebuilt(specification: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a `FineTuneModule`; older checkpoints lack those that did not exist.

    Args:
        specification: Of the module, in plain types.

    Raises:
        StorageError: If a class is not there, or is none of its kind.
    """
    kept = dict(specification)
    kept |= {name: build(kept[name], base) for name, base in _PARTS.items() if kept.get(name)}
    kept |= {name: build_factory(kept[name], base) for name, base in _FACTORIES.items()}
    return kept | {"regularisation": Regularisation(**kept.get("regularisation", {}))}
