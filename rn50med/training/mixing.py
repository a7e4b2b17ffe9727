"""Mixup and CutMix: batches whose images and targets are blended in pairs."""

from __future__ import annotations

from math import sqrt

import numpy as np
import torch
from torch import Tensor

from rn50med.tasks import Task
from rn50med.training.regularisation import Regularisation


def mixed_batch(
    image: Tensor, target: Tensor, task: Task, options: Regularisation, draw: tuple[int, ...]
) -> tuple[Tensor, Tensor]:
    r"""Blend each image of a batch with the one before it, and the targets in the same shares.

    Mixup takes :math:`\lambda x_i + (1 - \lambda) x_j`; CutMix puts a rectangle of :math:`x_j`, of the share
    :math:`1 - \lambda` of the area, into :math:`x_i`. The share is drawn once for the batch, from
    Beta(alpha, alpha). Where both are asked for, half of the batches get one and half the other. A label
    that is unknown in either image is unknown in the blend.

    Args:
        image: The batch.
        target: As the task encodes it.
        task: Blends the targets.
        options: With ``mixup`` and ``cutmix``; where both are 0 the batch is given back as it is.
        draw: What the random draws depend on, such as seed, epoch, step and process.

    Shape:
        - image: ``(B, C, H, W)``.
        - target: ``(B,)`` or ``(B, L)``; soft, ``(B, K)``, for a task of K classes that exclude each other.

    Source:
        Zhang et al., *mixup: beyond empirical risk minimization*, ICLR 2018, section 2; arXiv:1710.09412.
        Yun et al., *CutMix*, ICCV 2019, section 3.1; arXiv:1905.04899.
    """
    if not (options.mixup or options.cutmix) or len(image) < 2:
        return image, target
    random = np.random.default_rng(draw)
    cut = random.random() < (0.5 if options.mixup else 1.0) if options.cutmix else False
    alpha = options.cutmix if cut else options.mixup
    share = float(random.beta(alpha, alpha))
    other = image.roll(1, 0)
    if cut:
        blend, share = _pasted(image, other, share, random)
    else:
        blend = torch.lerp(other, image, share)
    return blend, task.mixed(target, target.roll(1, 0), share)


def _pasted(image: Tensor, other: Tensor, share: float, random: np.random.Generator) -> tuple[Tensor, float]:
    """Return images with a rectangle of others, and the share of the area that stayed."""
    height, width = image.shape[-2:]
    side = sqrt(1.0 - share)
    top, left = int(random.integers(height)), int(random.integers(width))  # the middle of the rectangle
    rows = slice(max(0, round(top - side * height / 2)), min(height, round(top + side * height / 2)))
    columns = slice(max(0, round(left - side * width / 2)), min(width, round(left + side * width / 2)))
    blend = image.clone()
    blend[..., rows, columns] = other[..., rows, columns]
    cut = (rows.stop - rows.start) * (columns.stop - columns.start)
    return blend, 1.0 - cut / (height * width)
