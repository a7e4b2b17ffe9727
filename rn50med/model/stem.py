"""What the first convolution sees: the normalisation of its pixels, and its number of channels.

Both belong together: a kernel fits the one normalisation that it was trained with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import timm
import torch
from torch import Tensor

from rn50med.model.weights import MODEL

STEM = "conv1.weight"
_MEAN = "bn1.running_mean"


@dataclass(frozen=True)
class Normalisation:
    """What is taken off a pixel in [0, 1], and what it is then divided by.

    Args:
        mean: For each channel, or one for all of them.
        std: As many, above 0.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def published(cls) -> Normalisation:
        """Return that of ImageNet's weights, for three channels."""
        published = timm.get_pretrained_cfg(MODEL)
        return cls(tuple(published.mean), tuple(published.std))

    @classmethod
    def of_range(cls, black: float, white: float) -> Normalisation:
        """Return that which turns 0 into one number and 1 into another.

        Args:
            black: What 0 becomes.
            white: What 1 becomes; more than `black`.

        Example:
            >>> Normalisation.of_range(-1024, 1024)
            Normalisation(mean=(0.5,), std=(0.00048828125,))
        """
        return cls((-black / (white - black),), (1 / (white - black),))

    def tensors(self, channels: int) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation for a number of channels: as they are, or their averages.

        Args:
            channels: 1 or 3.

        Shape:
            - output: two of ``(channels,)``, in float64.
        """
        mean, std = (torch.tensor(values, dtype=torch.float64) for values in (self.mean, self.std))
        if len(mean) == channels:
            return mean, std
        return mean.mean().expand(channels).clone(), std.mean().expand(channels).clone()


class Fitted(NamedTuple):
    """Tensors of a file for a number of channels.

    Args:
        state: The tensors.
        adapted: Names of those that were computed anew.
    """

    state: dict[str, Tensor]
    adapted: tuple[str, ...]


def fit_channels(state: Mapping[str, Tensor], normalisation: Normalisation, channels: int) -> Fitted:
    """Return the tensors of a file with a stem for a number of channels.

    Args:
        state: Tensors, by the names of a ResNet.
        normalisation: What they were trained with.
        channels: Channels of the images, 1 or 3.
    """
    stem = state.get(STEM)
    given = 0 if stem is None or stem.ndim != 4 else stem.shape[1]
    if (given, channels) == (3, 1):
        changed = to_one_channel(state, normalisation)
    elif (given, channels) == (1, 3):
        changed = to_three_channels(state)
    else:
        changed = {}
    return Fitted({**state, **changed}, tuple(changed))


def to_one_channel(
    state: Mapping[str, Tensor], normalisation: Normalisation | None = None
) -> dict[str, Tensor]:
    r"""Turn the stem of a colour network into one for grey images.

    With a grey pixel x, channel c sees :math:`(x - m_c) / s_c`. One channel that sees
    :math:`(x - m) / s`, with the averages m and s, gives the same convolution with the kernel
    :math:`\sum_c W_c s / s_c`, but for a constant for each output channel,
    :math:`\sum_c \sum_{ij} W_{cij} (m - m_c) / s_c`. Batch norm comes next, without anything in
    between, and takes the constant off its running mean.

    In eval mode both networks are then equal, except for what the zero padding of the stem does to
    the outermost two rows and columns: there a part of the kernel sees no image, and the whole
    constant is too much. With batch statistics, in train mode, the constant drops out by itself.

    Args:
        state: Tensors of the network for three channels.
        normalisation: What they were trained with; ImageNet's where it is not given.

    Shape:
        - ``conv1.weight``: ``(64, 3, 7, 7)`` becomes ``(64, 1, 7, 7)``.
    """
    mean, std = (normalisation or Normalisation.published()).tensors(3)
    per_pixel = state[STEM].double() / std.view(1, 3, 1, 1)
    grey_kernel = per_pixel.sum(dim=1, keepdim=True) * std.mean()
    constant = (per_pixel * (mean.mean() - mean).view(1, 3, 1, 1)).sum(dim=(1, 2, 3))
    changed = {STEM: grey_kernel.float()}
    if _MEAN in state and bool(constant.any()):
        changed[_MEAN] = (state[_MEAN].double() - constant).float()
    return changed


def to_three_channels(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Turn the stem of a grey network into one for colour images: it sees the average of the channels.

    Args:
        state: Tensors of the network for one channel.

    Shape:
        - ``conv1.weight``: ``(64, 1, 7, 7)`` becomes ``(64, 3, 7, 7)``.
    """
    return {STEM: (state[STEM].double() / 3).expand(-1, 3, -1, -1).float().contiguous()}
