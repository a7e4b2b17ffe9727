"""Photographs of the retina."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from monai.transforms import Transform

from rn50med.data.transforms.base import DomainTransforms
from rn50med.data.transforms.deterministic import CropBright, Display
from rn50med.data.transforms.geometry import Mirror, RandGeometry, Shift, Sometimes, Turn, Zoom
from rn50med.data.transforms.random import RandColour, RandNoise

SURROUND = 0.06
"""Share of white below which a photograph shows the camera's mask; 15 of 255 is above JPEG's ringing."""


class Fundus(DomainTransforms):
    """Colour photographs of the retina.

    The black mask round the disc is cut off first, so that discs of all cameras have one size. Discs have
    no upright side: cameras and lenses turn the picture, so the random part turns it by any angle. The
    mirror image of a left eye looks like a right one; put ``mirror: false`` where the side of the eye is
    predicted, or left and right eyes may differ in what is.

    At strength s, from just above 0: images are turned by any angle and half are mirrored. Images are zoomed
    by up to 0.1 s, shifted by up to 0.03 s of the side; eight in ten change brightness and contrast by up to
    0.15 s, saturation by up to 0.15 s and hue by up to 4 s degrees; two in ten get noise of up to 0.02 s.

    Args:
        size: Side of the square that the network sees, in pixels; 32 or more. Microaneurysms need 512.
        strength: Strength of the random part, from 0 for none to 5; 1 is modest.
        crop: Whether the mask round the disc is cut off; a picture without a disc is kept whole.
        mirror: Whether half of the images have left and right exchanged in training.

    Source:
        Gulshan et al., *Development and validation of a deep learning algorithm for detection of diabetic
        retinopathy in retinal fundus photographs*, JAMA 2016, doi:10.1001/jama.2016.17216, for discs of one
        size. Liu et al., *DeepDRiD*, Patterns 2022, doi:10.1016/j.patter.2022.100512, table 5, for mirrors
        and turns among the entries of a challenge; a study of left and right (PMC9200978) warns that a
        mirror hides the side.
    """

    channels: ClassVar[int] = 3
    random_options: ClassVar[tuple[str, ...]] = ("strength", "mirror")

    def __init__(
        self, size: int = 224, strength: float = 1.0, crop: bool = True, mirror: bool = True
    ) -> None:
        super().__init__(size, strength)
        self.crop = crop
        self.mirror = mirror

    def shown(self) -> Sequence[Transform]:
        """Return the steps from what a reader gives to the pixels that a person would look at."""
        return [Display(), CropBright(SURROUND)] if self.crop else [Display()]

    def changes(self) -> Sequence[Transform]:
        """Return the random changes, of a tensor in [0, 1]."""
        s = self.strength
        mirrored = [Sometimes(Mirror(), 0.5)] if self.mirror else []
        return [
            RandGeometry(*mirrored, Turn(180), Zoom(1 / (1 + 0.1 * s), 1 + 0.1 * s), Shift(0.03 * s)),
            RandColour(0.15 * s, 0.15 * s, 0.15 * s, hue=4 * s, prob=0.8),
            RandNoise(0.02 * s, prob=0.2),
        ]
