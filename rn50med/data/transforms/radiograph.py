"""Plain radiographs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from monai.transforms import Transform

from rn50med.data.transforms.base import DomainTransforms
from rn50med.data.transforms.geometry import RandGeometry, Scale, Shift, Turn
from rn50med.data.transforms.random import RandContrast, RandGamma, RandLevels, RandNoise, RandResolution


class Radiograph(DomainTransforms):
    """Grey projection images: chest, bones.

    Left and right are never exchanged: the heart has a side. The random part turns, shifts and scales
    the film, as positioning and cropping do, and changes exposure, contrast, resolution and noise, so that
    films of another hospital are not new to the network.

    At strength s: nine in ten are turned by up to 8 s degrees, shifted by up to 0.07 s of the side and
    scaled by up to 0.12 s, width and height by itself; half get a gamma between 1 / (1 + s / 2) and
    1 + s / 2; four in ten get a contrast between 1 / (1 + 0.6 s) and 1 + 0.2 s times their own; four in ten
    are brightened or darkened by up to 0.05 s of white; three in ten lose resolution, down to
    1 / (1 + 1.5 s); three in ten get noise of up to 0.06 s.

    Args:
        size: Side of the square that the network sees, in pixels; 32 or more.
        strength: Strength of the random part, from 0 for none to 5; 1 is modest.
    """

    channels: ClassVar[int] = 1

    def changes(self) -> Sequence[Transform]:
        """Return the random changes, of a tensor in [0, 1]."""
        s = self.strength
        return [
            RandGeometry(Turn(8 * s), Shift(0.07 * s), Scale(0.12 * s), prob=0.9),
            RandGamma(1 / (1 + 0.5 * s), 1 + 0.5 * s, prob=0.5),
            RandContrast(1 / (1 + 0.6 * s), 1 + 0.2 * s, prob=0.4),
            RandLevels(offset=0.05 * s, prob=0.4),
            RandResolution(1 / (1 + 1.5 * s), prob=0.3),
            RandNoise(0.06 * s, prob=0.3),
        ]
