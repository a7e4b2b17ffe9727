"""Photographs of skin through a dermatoscope."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from monai.transforms import Transform

from rn50med.data.transforms.base import DomainTransforms
from rn50med.data.transforms.geometry import RandGeometry, Scale, Sometimes, Symmetry, Turn, Zoom
from rn50med.data.transforms.random import RandColour


class Dermoscopy(DomainTransforms):
    """Colour photographs of one skin lesion.

    A lesion has neither up nor left, so that all eight symmetries of the square are as likely. What comes in
    from beyond the edge is the image reflected, not a black corner.

    At strength s, from just above 0: one of the eight symmetries. Half are also turned by up to 45 degrees
    and stretched by up to 0.1 s; images are zoomed by up to 0.15 s; eight in ten change brightness,
    contrast and saturation by up to 0.15 s each and hue by up to 8 s degrees.

    Args:
        size: Side of the square that the network sees, in pixels; 32 or more.
        strength: Strength of the random part, from 0 for none to 5; 1 is modest.

    Source:
        Perez et al., *Data augmentation for skin lesion analysis*, ISIC workshop at MICCAI 2018,
        doi:10.1007/978-3-030-01201-4_33: colour and affine changes together did best.
    """

    channels: ClassVar[int] = 3

    def changes(self) -> Sequence[Transform]:
        """Return the random changes, of a tensor in [0, 1]."""
        s = self.strength
        return [
            RandGeometry(
                Symmetry(),
                Sometimes(Turn(45), 0.5),
                Sometimes(Scale(0.1 * s), 0.5),
                Zoom(1 / (1 + 0.15 * s), 1 + 0.15 * s),
                outside="reflection",
            ),
            RandColour(0.15 * s, 0.15 * s, 0.15 * s, hue=8 * s, prob=0.8),
        ]
