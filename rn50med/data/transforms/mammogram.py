"""Mammograms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from monai.transforms import Transform

from rn50med.data.transforms.base import DomainTransforms
from rn50med.data.transforms.deterministic import CropBright, Display
from rn50med.data.transforms.geometry import Mirror, RandGeometry, Scale, Shift, Sometimes, Turn
from rn50med.data.transforms.random import RandGamma, RandLevels, RandNoise

BACKGROUND = 0.04
"""Share of white below which a digital mammogram shows air."""


class Mammogram(DomainTransforms):
    """Grey mammograms, one view of one breast.

    The air round the breast is cut off first, letters and marks with it, since it takes half of the film and
    says nothing; a scanned film whose background is not dark is kept whole. Each breast stays on its side:
    what is predicted, or where a finding lies, can depend on it. Up is never down.

    At strength s: images are turned by up to 10 s degrees, shifted by up to 0.05 s of the side and scaled
    by up to 0.1 s; half get a gamma between 1 / (1 + 0.25 s) and 1 + 0.25 s; half are brightened or
    darkened by up to 0.05 s of white; three in ten get noise of up to 0.02 s.

    Args:
        size: Side of the square that the network sees, in pixels; 32 or more. Calcifications need 1000.
        strength: Strength of the random part, from 0 for none to 5; 1 is modest.
        crop: Whether the air is cut off; the breast's size in centimetres is then no longer to be seen.
        mirror: Whether half of the images have left and right exchanged in training, so that a lesion looks
            alike in both breasts.

    Source:
        Wu et al., *Deep neural networks improve radiologists' performance in breast cancer screening*, IEEE
        Transactions on Medical Imaging 2020, doi:10.1109/TMI.2019.2945514, for the crop. They turn all
        breasts to one side, for which the side has to be known; to mirror at random asks for nothing.
    """

    channels: ClassVar[int] = 1
    random_options: ClassVar[tuple[str, ...]] = ("strength", "mirror")

    def __init__(
        self, size: int = 512, strength: float = 1.0, crop: bool = True, mirror: bool = False
    ) -> None:
        super().__init__(size, strength)
        self.crop = crop
        self.mirror = mirror

    def shown(self) -> Sequence[Transform]:
        """Return the steps from what a reader gives to the pixels that a person would look at."""
        return [Display(), CropBright(BACKGROUND)] if self.crop else [Display()]

    def changes(self) -> Sequence[Transform]:
        """Return the random changes, of a tensor in [0, 1]."""
        s = self.strength
        mirrored = [Sometimes(Mirror(), 0.5)] if self.mirror else []
        return [
            RandGeometry(*mirrored, Turn(10 * s), Shift(0.05 * s), Scale(0.1 * s)),
            RandGamma(1 / (1 + 0.25 * s), 1 + 0.25 * s, prob=0.5),
            RandLevels(offset=0.05 * s, prob=0.5),
            RandNoise(0.02 * s, prob=0.3),
        ]
