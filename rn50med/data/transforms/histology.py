"""Stained slices of tissue under the microscope."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from monai.transforms import Transform
from numpy.typing import NDArray
from torch import Tensor

from rn50med.data.transforms.base import DomainTransforms
from rn50med.data.transforms.geometry import RandGeometry, Sometimes, Symmetry, Zoom
from rn50med.data.transforms.random import RandLevels, Random, linear

STAINS: tuple[tuple[float, float, float], ...] = ((0.65, 0.70, 0.29), (0.07, 0.99, 0.11), (0.27, 0.57, 0.78))
"""Optical density of haematoxylin, eosin and DAB in red, green and blue; Ruifrok and Johnston, 2001."""

DARKEST = 1e-6
"""Share of light that counts as none; its logarithm is finite."""


class RandStain(Random):
    r"""Change the amount of each stain, as another laboratory's slides differ.

    Optical density is :math:`-\ln` of brightness, and a sum over stains. Each stain's amount x becomes
    :math:`\alpha x + \beta`, with :math:`\alpha` within ``reach`` of 1 and :math:`\beta` within it of 0.
    With the three stains' draws this is one linear map of the densities of red, green and blue.

    Args:
        reach: Most that an amount's factor differs from 1, and its offset from 0, in optical density; 0.05
            is light, 0.2 strong.
        prob: Probability of a change, from 0 to 1.

    Shape:
        - image: ``(3, H, W)``: red, green, blue in [0, 1].

    Source:
        Tellez et al., *Quantifying the effects of data augmentation and stain color normalization in
        convolutional neural networks for computational pathology*, Medical Image Analysis 2019,
        doi:10.1016/j.media.2019.101544 (HED-light and HED-strong; their offset is on another scale).
        Ruifrok and Johnston, *Quantification of histochemical staining by color deconvolution*, 2001.
    """

    def __init__(self, reach: float, prob: float = 1.0) -> None:
        super().__init__(prob)
        self.reach = reach

    def _draw(self, image: Tensor) -> None:
        self._factors = self.R.uniform(1 - self.reach, 1 + self.reach, 3)
        self._offsets = self.R.uniform(-self.reach, self.reach, 3)

    def _apply(self, image: Tensor) -> Tensor:
        matrix, offset = stain_map(self._factors, self._offsets)
        # The map is of densities and so of logarithms; the sign is left out on both sides.
        return linear(image.clamp(DARKEST, 1.0).log_(), matrix, -offset).exp_()


def stain_map(
    factors: NDArray[np.float64], offsets: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return matrix and offset that change the density of red, green and blue as stains are changed.

    Args:
        factors: Of the amounts of haematoxylin, eosin and DAB.
        offsets: Added to them.

    Example:
        >>> matrix, offset = stain_map(np.ones(3), np.zeros(3))
        >>> bool(np.allclose(matrix, np.eye(3))), offset.tolist()
        (True, [0.0, 0.0, 0.0])
    """
    stains = np.array(STAINS)
    colours = stains / np.linalg.norm(stains, axis=1, keepdims=True)
    return colours.T @ np.diag(factors) @ np.linalg.inv(colours.T), colours.T @ offsets


class Histology(DomainTransforms):
    """Colour images of haematoxylin and eosin slides, or others with haematoxylin.

    A slice has neither up nor left: all eight symmetries of the square are as likely, done without
    interpolation. Stain varies more between laboratories than tissue, so that the random part changes it.

    At strength s, from just above 0: one of the eight symmetries; three in ten are zoomed by up to 0.1 s; all
    have each stain's amount changed by up to 0.05 s (1 is HED-light, 4 HED-strong); half change contrast by
    up to 0.1 s and brightness by up to 0.05 s of white.

    Args:
        size: Side of the square that the network sees, in pixels; 32 or more.
        strength: Strength of the random part, from 0 for none to 5; 1 is modest.

    Source:
        Tellez et al. 2019; see `RandStain`.
    """

    channels: ClassVar[int] = 3

    def changes(self) -> Sequence[Transform]:
        """Return the random changes, of a tensor in [0, 1]."""
        s = self.strength
        zoom = Zoom(1 / (1 + 0.1 * s), 1 + 0.1 * s)
        return [
            RandGeometry(Symmetry(), Sometimes(zoom, 0.3), outside="reflection"),
            RandStain(0.05 * s),
            RandLevels(contrast=0.1 * s, offset=0.05 * s, prob=0.5),
        ]
