"""Slices of computed tomography."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from monai.transforms import Transform

from rn50med.data.transforms.base import DomainTransforms
from rn50med.data.transforms.deterministic import Window
from rn50med.data.transforms.geometry import Mirror, RandGeometry, Scale, Shift, Sometimes, Turn
from rn50med.data.transforms.random import RandLevels, RandNoise
from rn50med.errors import RecipeError


class CTSlice(DomainTransforms):
    """Grey slices of computed tomography through one window of Hounsfield units.

    Images that say their Hounsfield units (DICOM) are shown through the window; PNG and other images that
    already show one pass as they are, whatever the window says. Left and right stay: the liver has a side.

    At strength s: images are turned by up to 7 s degrees, shifted by up to 0.05 s of the side and
    scaled by up to 0.08 s; seven in ten get another window, narrower or wider by up to 0.1 s and moved by
    up to 0.05 s of its width; three in ten noise of up to 0.03 s of the width.

    Args:
        size: Side of the square that the network sees, in pixels; 32 or more.
        window: Centre and width in Hounsfield units: 40 and 400 show soft tissue, -600 and 1500 the lungs,
            40 and 80 the brain.
        strength: Strength of the random part, from 0 for none to 5; 1 is modest.
        mirror: Whether half of the images have left and right exchanged in training.
    """

    channels: ClassVar[int] = 1
    random_options: ClassVar[tuple[str, ...]] = ("strength", "mirror")

    def __init__(
        self,
        size: int = 224,
        window: tuple[float, float] = (40.0, 400.0),
        strength: float = 1.0,
        mirror: bool = False,
    ) -> None:
        super().__init__(size, strength)
        if len(window) != 2 or not all(abs(value) < float("inf") for value in window) or window[1] <= 0:
            raise RecipeError(
                f"transforms: window is {list(window)}; give its centre and width in Hounsfield units, such "
                "as [40, 400], the width above 0."
            )
        self.window = window
        self.mirror = mirror

    def shown(self) -> Sequence[Transform]:
        """Return the steps from what a reader gives to the pixels that a person would look at."""
        return [Window(*self.window)]

    def changes(self) -> Sequence[Transform]:
        """Return the random changes, of a tensor in [0, 1]."""
        s = self.strength
        mirrored = [Sometimes(Mirror(), 0.5)] if self.mirror else []
        return [
            RandGeometry(*mirrored, Turn(7 * s), Shift(0.05 * s), Scale(0.08 * s)),
            RandLevels(contrast=0.1 * s, offset=0.05 * s, prob=0.7),
            RandNoise(0.03 * s, prob=0.3),
        ]
