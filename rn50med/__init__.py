"""Fine-tune a ResNet-50 on medical images, on Lightning.

The names below are loaded when they are first used, so that ``import rn50med`` is instant and pulls in
no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rn50med.cli.fit import fit
    from rn50med.data.datamodule import ManifestDataModule
    from rn50med.data.manifest import Columns, Manifest
    from rn50med.data.readers import Reader
    from rn50med.data.splits import SplitPlan
    from rn50med.data.transforms import (
        CTSlice,
        Dermoscopy,
        Fundus,
        Histology,
        Mammogram,
        MRISlice,
        Radiograph,
        Transforms,
        Ultrasound,
    )
    from rn50med.deployment.explain import Asked, explain
    from rn50med.deployment.items import Tables
    from rn50med.deployment.predict import predict
    from rn50med.errors import Rn50MedError
    from rn50med.evaluation.operating_rule import Rule
    from rn50med.evaluation.protocol import Protocol
    from rn50med.losses import Asymmetric, ClassCounts, CrossEntropy, Focal, LogitAdjusted, Loss
    from rn50med.model.backbone import ResNet50
    from rn50med.model.heads import (
        AttentionHead,
        CosineHead,
        GeMHead,
        Head,
        LinearHead,
        MLPHead,
        MultiScaleHead,
    )
    from rn50med.recipe import load_recipe
    from rn50med.tasks import UNKNOWN, Binary, MultiClass, MultiLabel, Ordinal, Regression, Task
    from rn50med.training.finetuning import FineTuning, Full, Layerwise, LinearProbe, Staged
    from rn50med.training.module import FineTuneModule
    from rn50med.training.regularisation import Regularisation
    from rn50med.training.run import Run

__version__ = "0.1.0"

__all__ = [
    "UNKNOWN",
    "Asked",
    "Asymmetric",
    "AttentionHead",
    "Binary",
    "CTSlice",
    "ClassCounts",
    "Columns",
    "CosineHead",
    "CrossEntropy",
    "Dermoscopy",
    "FineTuneModule",
    "FineTuning",
    "Focal",
    "Full",
    "Fundus",
    "GeMHead",
    "Head",
    "Histology",
    "Layerwise",
    "LinearHead",
    "LinearProbe",
    "LogitAdjusted",
    "Loss",
    "MLPHead",
    "MRISlice",
    "Mammogram",
    "Manifest",
    "ManifestDataModule",
    "MultiClass",
    "MultiLabel",
    "MultiScaleHead",
    "Ordinal",
    "Protocol",
    "Radiograph",
    "Reader",
    "Regression",
    "Regularisation",
    "ResNet50",
    "Rn50MedError",
    "Rule",
    "Run",
    "SplitPlan",
    "Staged",
    "Tables",
    "Task",
    "Transforms",
    "Ultrasound",
    "__version__",
    "explain",
    "fit",
    "load_recipe",
    "predict",
]


def _home(name: str) -> str | None:
    """Return the module that a public name comes from."""
    homes = {
        "rn50med.cli.fit": ("fit",),
        "rn50med.data.datamodule": ("ManifestDataModule",),
        "rn50med.data.manifest": ("Columns", "Manifest"),
        "rn50med.data.readers": ("Reader",),
        "rn50med.data.splits": ("SplitPlan",),
        "rn50med.data.transforms": (
            "CTSlice",
            "Dermoscopy",
            "Fundus",
            "Histology",
            "MRISlice",
            "Mammogram",
            "Radiograph",
            "Transforms",
            "Ultrasound",
        ),
        "rn50med.deployment.explain": ("Asked", "explain"),
        "rn50med.deployment.predict": ("Tables", "predict"),
        "rn50med.errors": ("Rn50MedError",),
        "rn50med.evaluation.protocol": ("Protocol", "Rule"),
        "rn50med.losses": ("Asymmetric", "ClassCounts", "CrossEntropy", "Focal", "LogitAdjusted", "Loss"),
        "rn50med.model.backbone": ("ResNet50",),
        "rn50med.model.heads": (
            "AttentionHead",
            "CosineHead",
            "GeMHead",
            "Head",
            "LinearHead",
            "MLPHead",
            "MultiScaleHead",
        ),
        "rn50med.recipe": ("load_recipe",),
        "rn50med.tasks": ("UNKNOWN", "Binary", "MultiClass", "MultiLabel", "Ordinal", "Regression", "Task"),
        "rn50med.training.finetuning": ("FineTuning", "Full", "Layerwise", "LinearProbe", "Staged"),
        "rn50med.training.module": ("FineTuneModule",),
        "rn50med.training.regularisation": ("Regularisation",),
        "rn50med.training.run": ("Run",),
    }
    return next((module for module, names in homes.items() if name in names), None)


def __getattr__(name: str) -> object:
    module = _home(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(module), name)
    globals()[name] = value  # the next use finds it without coming here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
