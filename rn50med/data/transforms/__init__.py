"""Transforms: one deterministic part, computed once, and one random part, drawn each epoch.

Both are MONAI transforms, usable in anyone's ``monai.transforms.Compose``. One file per domain.
"""

from __future__ import annotations

from rn50med.data.transforms.base import DomainTransforms, Pipeline, Transforms, View, light, seeded
from rn50med.data.transforms.ct import CTSlice
from rn50med.data.transforms.dermoscopy import Dermoscopy
from rn50med.data.transforms.deterministic import (
    Clip,
    CropBright,
    Display,
    ReadImage,
    Square,
    Step,
    Stretch,
    Unit,
    Window,
)
from rn50med.data.transforms.fundus import Fundus
from rn50med.data.transforms.geometry import RandGeometry
from rn50med.data.transforms.histology import Histology, RandStain
from rn50med.data.transforms.mammogram import Mammogram
from rn50med.data.transforms.mri import MRISlice, RandBias
from rn50med.data.transforms.radiograph import Radiograph
from rn50med.data.transforms.random import (
    RandColour,
    RandContrast,
    RandGamma,
    RandLevels,
    RandNoise,
    RandResolution,
)
from rn50med.data.transforms.ultrasound import RandDepthGain, Ultrasound

__all__ = [
    "CTSlice",
    "Clip",
    "CropBright",
    "Dermoscopy",
    "Display",
    "DomainTransforms",
    "Fundus",
    "Histology",
    "MRISlice",
    "Mammogram",
    "Pipeline",
    "Radiograph",
    "RandBias",
    "RandColour",
    "RandContrast",
    "RandDepthGain",
    "RandGamma",
    "RandGeometry",
    "RandLevels",
    "RandNoise",
    "RandResolution",
    "RandStain",
    "ReadImage",
    "Square",
    "Step",
    "Stretch",
    "Transforms",
    "Ultrasound",
    "Unit",
    "View",
    "Window",
    "light",
    "seeded",
]

for _domain in (CTSlice, Dermoscopy, Fundus, Histology, Mammogram, MRISlice, Radiograph, Ultrasound):
    # Checkpoints and caches name a class by where users import it from, whatever file it lies in.
    _domain.__module__ = __name__
