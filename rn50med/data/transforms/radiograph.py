"""Plain radiographs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from monai.transforms import Transform

from rn50med.data.transforms.base import DomainTransforms
from rn50med.data.transforms.geometry import RandGeometry, Scale, Shift, Turn
from rn50med.data.transforms.random import RandGamma, RandLevels, RandNoise


class Radiograph(DomainTransforms):
    """Grey projection images: chest, bones.

    Left and right are never exchanged: the heart has a side. The random part turns, shifts and scales
    the film a little, as positioning does, and changes exposure (gamma and offset) and noise.

    At strength s: nine in ten are turned by up to 7 s degrees, shifted by up to 0.06 s of the side and
    scaled by up to 0.08 s, width and height by itself; seven in ten get a gamma between 1 / (1 + 0.4 s) and
    1 + 0.4 s; half are brightened or darkened by up to 0.08 s of white; three in ten get noise of up to
    0.03 s.

    Args:
        size: Side of the square that the network sees, in pixels; 32 or more.
        strength: Strength of the random part, from 0 for none to 5; 1 is modest.
    """

    channels: ClassVar[int] = 1

    def changes(self) -> Sequence[Transform]:
        """Return the random changes, of a tensor in [0, 1]."""
        s = self.strength
        return [
            RandGeometry(Turn(7 * s), Shift(0.06 * s), Scale(0.08 * s), prob=0.9),
            RandGamma(1 / (1 + 0.4 * s), 1 + 0.4 * s, prob=0.7),
            RandLevels(offset=0.08 * s, prob=0.5),
            RandNoise(0.03 * s, prob=0.3),
        ]
