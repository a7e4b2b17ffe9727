"""Images made worse on purpose: noise, blur, contrast, resolution and exposure, each in two strengths."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

REFERENCE_SIDE = 128
"""Side of the image, in pixels, that the width of the blur is told for."""


def noise(image: Tensor, amount: float, rows: Sequence[int], seed: int) -> Tensor:
    """Add Gaussian noise, the same at every amount but for its size.

    Args:
        image: In [0, 1].
        amount: Standard deviation, as a share of the range from black to white.
        rows: Of the images in the manifest: each has its own noise, whichever batch it is in.
        seed: Of the noise.

    Shape:
        - image, output: ``(B, C, H, W)``.
    """
    shape = tuple(image.shape[1:])
    drawn = [np.random.default_rng([seed, row]).standard_normal(shape, dtype=np.float32) for row in rows]
    return (image + amount * torch.from_numpy(np.stack(drawn)).to(image)).clamp(0.0, 1.0)


def blur(image: Tensor, amount: float, rows: Sequence[int], seed: int) -> Tensor:
    """Blur with a Gaussian; beyond the edge the image goes on as at its edge.

    Args:
        image: In [0, 1].
        amount: Standard deviation in pixels of an image of 128 pixels; of others in proportion.
        rows: Not used.
        seed: Not used.

    Shape:
        - image, output: ``(B, C, H, W)``.
    """
    for axis in (2, 3):
        width = amount * image.shape[axis] / REFERENCE_SIDE
        reach = math.ceil(3 * width)
        offsets = torch.arange(-reach, reach + 1, dtype=image.dtype, device=image.device)
        kernel = torch.exp(-0.5 * (offsets / width) ** 2)
        kernel = (kernel / kernel.sum()).reshape([1, 1, -1, 1] if axis == 2 else [1, 1, 1, -1])
        padding = (0, 0, reach, reach) if axis == 2 else (reach, reach, 0, 0)
        planes = F.pad(image.flatten(0, 1)[:, None], padding, mode="replicate")
        image = F.conv2d(planes, kernel)[:, 0].reshape(image.shape)
    return image.clamp(0.0, 1.0)


def contrast(image: Tensor, amount: float, rows: Sequence[int], seed: int) -> Tensor:
    """Draw an image towards its own mean.

    Args:
        image: In [0, 1].
        amount: Factor on the distance from the mean; 1 changes nothing, 0 leaves none.
        rows: Not used.
        seed: Not used.

    Shape:
        - image, output: ``(B, C, H, W)``.
    """
    mean = image.mean(dim=(1, 2, 3), keepdim=True)
    return (mean + amount * (image - mean)).clamp(0.0, 1.0)


def resolution(image: Tensor, amount: float, rows: Sequence[int], seed: int) -> Tensor:
    """Shrink an image by averaging, and enlarge it again.

    Args:
        image: In [0, 1].
        amount: Factor on height and width, in (0, 1].
        rows: Not used.
        seed: Not used.

    Shape:
        - image, output: ``(B, C, H, W)``.
    """
    height, width = image.shape[2:]
    small = F.interpolate(image, (max(1, round(amount * height)), max(1, round(amount * width))), mode="area")
    return F.interpolate(small, (height, width), mode="bilinear", align_corners=False).clamp(0.0, 1.0)


def gamma(image: Tensor, amount: float, rows: Sequence[int], seed: int) -> Tensor:
    """Raise brightness to a power, which leaves black and white.

    Args:
        image: In [0, 1].
        amount: The power; above 1 darkens.
        rows: Not used.
        seed: Not used.

    Shape:
        - image, output: ``(B, C, H, W)``.
    """
    return image.clamp(0.0, 1.0).pow(amount)


@dataclass(frozen=True)
class Change:
    """A kind of change at one strength.

    Args:
        kind: One word for it.
        strength: ``mild`` or ``strong``.
        amount: In its unit.
        unit: What the amount is, to stand after it.
        apply: Called with images, amount, their rows and a seed.
    """

    kind: str
    strength: str
    amount: float
    unit: str
    apply: Callable[[Tensor, float, Sequence[int], int], Tensor]

    def __call__(self, image: Tensor, rows: Sequence[int], seed: int) -> Tensor:
        """Return changed images.

        Args:
            image: In [0, 1], ``(B, C, H, W)``.
            rows: Of the images in the manifest.
            seed: Of what is drawn.
        """
        return self.apply(image, self.amount, rows, seed)


# Strengths by eye on films of 128 pixels: the mild ones are met in practice, the strong ones still readable.
CHANGES: tuple[Change, ...] = tuple(
    Change(kind.__name__, strength, amount, unit, kind)
    for kind, unit, amounts in (
        (noise, "standard deviation, of the range from black to white", (0.05, 0.1)),
        (blur, f"standard deviation in pixels, of {REFERENCE_SIDE} a side", (1.0, 2.0)),
        (contrast, "times the contrast", (0.7, 0.4)),
        (resolution, "times the resolution", (0.5, 0.25)),
        (gamma, "as the power of the brightness", (1.5, 2.5)),
    )
    for strength, amount in zip(("mild", "strong"), amounts, strict=True)
)
"""What an image is put through, mild before strong."""
