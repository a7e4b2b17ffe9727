"""What was tried for the recipe chest_xray on real films; `choices.py` trains with these."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from monai.transforms import Transform
from torch import Tensor

from rn50med import Radiograph, ResNet50
from rn50med.data.transforms import (
    RandContrast,
    RandGamma,
    RandGeometry,
    RandLevels,
    RandNoise,
    RandResolution,
)
from rn50med.data.transforms.geometry import Scale, Shift, Turn, Zoom
from rn50med.data.transforms.random import Random

PLACE = RandGeometry(Turn(7), Shift(0.06), Scale(0.08), prob=0.9)
TONE = (RandGamma(1 / 2.2, 2.2, prob=0.6), RandContrast(0.4, 1.4, prob=0.6), RandLevels(offset=0.1, prob=0.5))
ROUGH = (RandResolution(0.25, prob=0.5), RandNoise(0.1, prob=0.5))


class Modest(Radiograph):
    """The random part as it was before: gamma, offset and noise, all small."""

    def changes(self) -> Sequence[Transform]:
        """Return the random changes."""
        return [
            PLACE,
            RandGamma(1 / 1.4, 1.4, 0.7),
            RandLevels(offset=0.08, prob=0.5),
            RandNoise(0.03, prob=0.3),
        ]


class Wide(Radiograph):
    """Exposure, contrast, resolution and noise, each as far as a film can still be read."""

    def changes(self) -> Sequence[Transform]:
        """Return the random changes."""
        return [PLACE, *TONE, *ROUGH]


class Placed(Radiograph):
    """`Wide`, with larger changes of place and a zoom."""

    def changes(self) -> Sequence[Transform]:
        """Return the random changes."""
        place = RandGeometry(Turn(10), Shift(0.08), Scale(0.1), Zoom(0.85, 1.3), prob=0.95)
        return [place, *TONE, *ROUGH]


class Far(Radiograph):
    """The random part as it was after that, at strength 1 about twice as far as today's."""

    def changes(self) -> Sequence[Transform]:
        """Return the random changes."""
        s = self.strength
        return [
            RandGeometry(Turn(12 * s), Shift(0.1 * s), Scale(0.18 * s), prob=0.9),
            RandGamma(1 / (1 + s), 1 + s, prob=0.5),
            RandContrast(1 / (1 + s), 1 + 0.3 * s, prob=0.4),
            RandLevels(offset=0.08 * s, prob=0.4),
            RandResolution(1 / (1 + 3 * s), prob=0.3),
            RandNoise(0.1 * s, prob=0.3),
        ]


class Still(Far):
    """`Far`, with smaller changes of place."""

    def changes(self) -> Sequence[Transform]:
        """Return the random changes."""
        return [PLACE, *super().changes()[1:]]


class Cropped(Far):
    """`Far`, turned, shifted, squeezed and cropped as Inception was, down to two thirds of a side."""

    def changes(self) -> Sequence[Transform]:
        """Return the random changes."""
        place = RandGeometry(Turn(12), Shift(0.12), Scale(0.2), Zoom(0.9, 1.5), prob=0.9)
        return [place, *super().changes()[1:]]


class RandBorder(Random):
    """Paint a frame of one grey over the edges, each of a width of its own."""

    def _draw(self, image: Tensor) -> None:
        self._grey = float(self.R.uniform(0, 0.6))
        self._widths = [int(self.R.uniform(0, 0.12) * image.shape[1]) for _ in range(4)]

    def _apply(self, image: Tensor) -> Tensor:
        top, bottom, left, right = self._widths
        height, width = image.shape[1:]
        framed = image.new_full(image.shape, self._grey)
        inside = (slice(None), slice(top, height - bottom), slice(left, width - right))
        framed[inside] = image[inside]
        return framed


class Bordered(Radiograph):
    """`Wide`, with frames painted over the edges, which tell the classes apart on these films."""

    def changes(self) -> Sequence[Transform]:
        """Return the random changes."""
        return [PLACE, *TONE, RandBorder(prob=0.5), *ROUGH]


class Standardised(ResNet50):
    """Each image less its own mean, divided by its own deviation."""

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the four feature maps.

        Args:
            image: In [0, 1], ``(B, C, H, W)``.
        """
        mean, deviation = image.mean((1, 2, 3), keepdim=True), image.std((1, 2, 3), keepdim=True)
        return cast("list[Tensor]", self.body((image - mean) / (deviation + 0.02)))
