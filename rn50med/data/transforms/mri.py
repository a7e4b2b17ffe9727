"""Slices of magnetic resonance images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from monai.transforms import Transform
from torch import Tensor

from rn50med.data.transforms.base import DomainTransforms
from rn50med.data.transforms.deterministic import Stretch
from rn50med.data.transforms.geometry import Mirror, RandGeometry, Scale, Shift, Sometimes, Turn
from rn50med.data.transforms.random import RandGamma, RandNoise, Random

DEGREE = 3
"""Of the polynomial that a bias field's logarithm is; as in Van Leemput et al."""


class RandBias(Random):
    """Multiply by a smooth field, as coils near one side of the head do.

    The field's logarithm is a polynomial of columns and rows of degree 3 without a constant.

    Args:
        reach: Largest coefficient of a term (a product of Legendre polynomials, each at most 1); 0.3 at most
            doubles or halves the brightness of a corner.
        prob: Probability of a change, from 0 to 1.

    Source:
        Van Leemput et al., *Automated model-based bias field correction of MR images of the brain*, IEEE
        Transactions on Medical Imaging 1999, doi:10.1109/42.811268.
    """

    def __init__(self, reach: float, prob: float = 1.0) -> None:
        super().__init__(prob)
        self.reach = reach

    def _draw(self, image: Tensor) -> None:
        terms = np.add.outer(range(DEGREE + 1), range(DEGREE + 1))
        drawn = self.R.uniform(-self.reach, self.reach, terms.shape)
        self._terms = np.where((terms > 0) & (terms <= DEGREE), drawn, 0.0)

    def _apply(self, image: Tensor) -> Tensor:
        rows, columns = (
            np.polynomial.legendre.legvander(np.linspace(-1, 1, side), DEGREE) for side in image.shape[-2:]
        )
        # Rows and columns apart: two small products in place of a sum of images.
        field = torch.from_numpy((rows @ self._terms).astype(np.float32) @ columns.T.astype(np.float32))
        return field.exp_().to(image.dtype) * image


class MRISlice(DomainTransforms):
    """Grey slices of magnetic resonance images, of any sequence.

    Values have no unit and scanners no common scale: each slice is shown between its own 1st and 99th
    percentile. Left and right stay, since a hemisphere can matter, unless the recipe says otherwise.

    At strength s: images are turned by up to 7 s degrees, shifted by up to 0.05 s of the side and
    scaled by up to 0.08 s; half get a bias field with coefficients of up to 0.15 s; half a gamma between 1
    / (1 + 0.3 s) and 1 + 0.3 s; three in ten noise of up to 0.04 s.

    Args:
        size: Side of the square that the network sees, in pixels; 32 or more.
        strength: Strength of the random part, from 0 for none to 5; 1 is modest.
        mirror: Whether half of the images have left and right exchanged in training.
    """

    channels: ClassVar[int] = 1
    random_options: ClassVar[tuple[str, ...]] = ("strength", "mirror")

    def __init__(self, size: int = 224, strength: float = 1.0, mirror: bool = False) -> None:
        super().__init__(size, strength)
        self.mirror = mirror

    def shown(self) -> Sequence[Transform]:
        """Return the steps from what a reader gives to the pixels that a person would look at."""
        return [Stretch(1, 99)]

    def changes(self) -> Sequence[Transform]:
        """Return the random changes, of a tensor in [0, 1]."""
        s = self.strength
        mirrored = [Sometimes(Mirror(), 0.5)] if self.mirror else []
        return [
            RandGeometry(*mirrored, Turn(7 * s), Shift(0.05 * s), Scale(0.08 * s)),
            RandBias(0.15 * s, prob=0.5),
            RandGamma(1 / (1 + 0.3 * s), 1 + 0.3 * s, prob=0.5),
            RandNoise(0.04 * s, prob=0.3),
        ]
