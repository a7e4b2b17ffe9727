"""Random changes of brightness and colour, as MONAI transforms.

Each takes a tensor or array of floats in [0, 1], ``(C, H, W)``, and gives a plain tensor; put `Clip` last.
Their draws come from ``set_random_state`` alone, as MONAI's do, and take a tenth of the time to seed.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from monai.transforms import Randomizable, RandomizableTransform
from monai.utils.enums import TransformBackends
from torch import Tensor
from torch.nn import functional as F

from rn50med.data.pixels import GREY_WEIGHTS
from rn50med.errors import DataError

_TO_YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
"""Luma and two axes of colour, so that hue is an angle; NTSC, 1953."""


class Seeded(Randomizable):  # type: ignore[misc]
    """Seeds its draws fast: a Mersenne Twister takes longer to seed than a film to turn."""

    def set_random_state(self, seed: int | None = None, state: np.random.RandomState | None = None) -> Seeded:
        """Set the random state, as MONAI's; a seed gives the same draws on every machine.

        Args:
            seed: A whole number.
            state: A state to use as it is.
        """
        if isinstance(seed, int | np.integer):
            state, seed = np.random.RandomState(np.random.PCG64(int(seed) % 2**32)), None
        super().set_random_state(seed=seed, state=state)
        return self


class Random(Seeded, RandomizableTransform, ABC):  # type: ignore[misc]
    """Base of the random transforms: draws whether and what, then applies it.

    Args:
        prob: Probability of a change, from 0 to 1.
    """

    backend = [TransformBackends.TORCH]  # noqa: RUF012 - MONAI's name and type

    def __init__(self, prob: float = 1.0) -> None:
        RandomizableTransform.__init__(self, prob)

    def randomize(self, data: Tensor) -> None:
        """Draw whether to change an image, and how."""
        super().randomize(data)
        if self._do_transform:
            self._draw(data)

    def __call__(self, data: Any, randomize: bool = True) -> Tensor:
        """Change one image; with the last draws again where nothing is to be drawn."""
        image = _plain(data)
        if randomize:
            self.randomize(image)
        return self._apply(image) if self._do_transform else image

    @abstractmethod
    def _draw(self, image: Tensor) -> None:
        """Draw how to change an image from ``self.R``."""

    @abstractmethod
    def _apply(self, image: Tensor) -> Tensor:
        """Return the changed image, a new tensor."""

    def _within(self, reach: float) -> float:
        """Draw from -reach to reach."""
        return float(self.R.uniform(-reach, reach))


def _plain(data: Any) -> Tensor:
    """Return a plain tensor of floats."""
    image = data if type(data) is Tensor else torch.as_tensor(data).as_subclass(Tensor)
    if not image.is_floating_point():
        raise DataError(
            f"random transforms: got an image of {image.dtype}; scale it to [0, 1] first (`Unit`)."
        )
    return image


class RandFactor(Random, ABC):
    """Base of changes by a factor, which is even in its logarithm: 2 is drawn as often as 1/2.

    Args:
        low: Smallest factor, above 0.
        high: Largest factor.
        prob: Probability of a change, from 0 to 1.
    """

    def __init__(self, low: float, high: float, prob: float = 1.0) -> None:
        super().__init__(prob)
        self.low = low
        self.high = high

    def _draw(self, image: Tensor) -> None:
        self._factor = math.exp(self.R.uniform(math.log(self.low), math.log(self.high)))


class RandGamma(RandFactor):
    """Raise brightness to a power, which leaves black and white; a power below 1 brightens.

    Args:
        low: Smallest power, above 0.
        high: Largest power.
        prob: Probability of a change, from 0 to 1.
    """

    def _apply(self, image: Tensor) -> Tensor:
        return image.clamp(0.0, 1.0).pow_(self._factor)


class RandContrast(RandFactor):
    """Stretch brightness about the image's mean, or draw it together; a factor below 1 takes contrast away.

    Args:
        low: Smallest factor, above 0.
        high: Largest factor.
        prob: Probability of a change, from 0 to 1.
    """

    def _apply(self, image: Tensor) -> Tensor:
        mean = image.mean()
        return (image - mean).mul_(self._factor).add_(mean)


class RandResolution(Random):
    """Shrink an image by averaging and enlarge it again, as a coarser detector would have it.

    Args:
        low: Smallest factor on height and width, above 0, at most 1; the largest is 1.
        prob: Probability of a change, from 0 to 1.
    """

    def __init__(self, low: float, prob: float = 1.0) -> None:
        super().__init__(prob)
        self.low = low

    def _draw(self, image: Tensor) -> None:
        self._factor = float(self.R.uniform(self.low, 1.0))

    def _apply(self, image: Tensor) -> Tensor:
        sides = image.shape[-2:]
        small = [max(1, round(self._factor * side)) for side in sides]
        coarse = F.interpolate(image[None], small, mode="area")
        return F.interpolate(coarse, sides, mode="bilinear", align_corners=False)[0]


class RandLevels(Random):
    """Stretch brightness about the middle grey and move it, as another display window does.

    Args:
        contrast: Most that the factor differs from 1, from 0 to 1.
        offset: Most that brightness is moved, as a share of white.
        prob: Probability of a change, from 0 to 1.
    """

    def __init__(self, contrast: float = 0.0, offset: float = 0.0, prob: float = 1.0) -> None:
        super().__init__(prob)
        self.contrast = contrast
        self.offset = offset

    def _draw(self, image: Tensor) -> None:
        self._factor = 1 + self._within(self.contrast)
        self._moved = self._within(self.offset)

    def _apply(self, image: Tensor) -> Tensor:
        return (image * self._factor).add_(0.5 * (1 - self._factor) + self._moved)


class RandNoise(Random):
    """Add Gaussian noise, or multiply by it.

    Args:
        std: Largest standard deviation, as a share of white; each image draws its own from 0 to this.
        multiplied: Whether noise grows with brightness, as speckle does.
        prob: Probability of a change, from 0 to 1.
    """

    def __init__(self, std: float, multiplied: bool = False, prob: float = 1.0) -> None:
        super().__init__(prob)
        self.std = std
        self.multiplied = multiplied

    def _draw(self, image: Tensor) -> None:
        self._std = float(self.R.uniform(0, self.std))
        self._seed = int(self.R.randint(2**31))

    def _apply(self, image: Tensor) -> Tensor:
        # torch draws a whole image in a third of numpy's time
        generator = torch.Generator().manual_seed(self._seed)
        noise = torch.randn(image.shape, generator=generator, dtype=image.dtype).mul_(self._std)
        return noise.add_(1).mul_(image) if self.multiplied else noise.add_(image)


class RandColour(Random):
    """Change brightness, contrast, saturation and hue at once: one linear map of the colours.

    Args:
        brightness: Most that the factor of brightness differs from 1, from 0 to 1.
        contrast: The same about the image's mean luma.
        saturation: The same about each pixel's luma.
        hue: Most that hue is turned, in degrees.
        prob: Probability of a change, from 0 to 1.

    Shape:
        - image: ``(3, H, W)``: red, green, blue.
    """

    def __init__(
        self, brightness: float, contrast: float, saturation: float, hue: float, prob: float = 1.0
    ) -> None:
        super().__init__(prob)
        self.brightness = brightness
        self.contrast = contrast
        self.saturation = saturation
        self.hue = hue

    def _draw(self, image: Tensor) -> None:
        bright, contrast = 1 + self._within(self.brightness), 1 + self._within(self.contrast)
        colour, turn = 1 + self._within(self.saturation), np.radians(self._within(self.hue))
        cos, sin = colour * np.cos(turn), colour * np.sin(turn)
        yiq = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
        self._map = bright * contrast * np.linalg.inv(_TO_YIQ) @ yiq @ _TO_YIQ
        self._grey = bright * (1 - contrast)  # of the mean luma

    def _apply(self, image: Tensor) -> Tensor:
        luma = float(image.mean(dim=(1, 2)) @ torch.tensor(GREY_WEIGHTS, dtype=image.dtype))
        return linear(image, self._map, np.full(3, self._grey * luma))


def linear(image: Tensor, matrix: np.ndarray[Any, Any], offset: np.ndarray[Any, Any]) -> Tensor:
    """Return the image with every pixel's colour multiplied by a matrix, plus an offset.

    Args:
        image: ``(3, H, W)``.
        matrix: ``(3, 3)``.
        offset: ``(3,)``.
    """
    weights = torch.from_numpy(matrix).to(image.dtype)
    bias = torch.from_numpy(offset).to(image.dtype)[:, None]
    return torch.addmm(bias, weights, image.reshape(3, -1)).view(image.shape)
