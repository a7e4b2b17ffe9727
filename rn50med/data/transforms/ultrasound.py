"""Ultrasound images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from monai.transforms import Transform
from torch import Tensor

from rn50med.data.transforms.base import DomainTransforms
from rn50med.data.transforms.geometry import Mirror, RandGeometry, Scale, Shift, Sometimes, Turn
from rn50med.data.transforms.random import RandGamma, RandNoise, Random


class RandDepthGain(Random):
    """Brighten what lies deep and darken what lies near, or the reverse, as the knobs of the machine do.

    Args:
        reach: Largest change of brightness at the top and bottom edge, as a logarithm; 0.2 is a factor of
        1.22. prob: Probability of a change, from 0 to 1.
    """

    def __init__(self, reach: float, prob: float = 1.0) -> None:
        super().__init__(prob)
        self.reach = reach

    def _draw(self, image: Tensor) -> None:
        self._slope = self._within(self.reach)

    def _apply(self, image: Tensor) -> Tensor:
        depth = torch.linspace(-self._slope, self._slope, image.shape[-2], dtype=image.dtype)
        return image * depth.exp_()[:, None]


class Ultrasound(DomainTransforms):
    """Grey B-mode images, the probe above.

    Up is never down: shadows fall away from the probe. Left and right stay, since a marker on the probe gives
    them a meaning (in the heart, most of all), unless the recipe says otherwise.

    At strength s: images are turned by up to 5 s degrees, shifted by up to 0.04 s of the side and scaled by
    up to 0.08 s; half get another depth gain, by up to 0.2 s; half a gamma between 1 / (1 + 0.25 s) and 1 +
    0.25 s; half speckle of up to 0.1 s.

    Args:
        size: Side of the square that the network sees, in pixels; 32 or more.
        strength: Strength of the random part, from 0 for none to 5; 1 is modest.
        mirror: Whether half of the images have left and right exchanged in training; right for the breast.
    """

    channels: ClassVar[int] = 1
    random_options: ClassVar[tuple[str, ...]] = ("strength", "mirror")

    def __init__(self, size: int = 224, strength: float = 1.0, mirror: bool = False) -> None:
        super().__init__(size, strength)
        self.mirror = mirror

    def changes(self) -> Sequence[Transform]:
        """Return the random changes, of a tensor in [0, 1]."""
        s = self.strength
        mirrored = [Sometimes(Mirror(), 0.5)] if self.mirror else []
        return [
            RandGeometry(*mirrored, Turn(5 * s), Shift(0.04 * s), Scale(0.08 * s)),
            RandDepthGain(0.2 * s, prob=0.5),
            RandGamma(1 / (1 + 0.25 * s), 1 + 0.25 * s, prob=0.5),
            RandNoise(0.1 * s, multiplied=True, prob=0.5),
        ]
