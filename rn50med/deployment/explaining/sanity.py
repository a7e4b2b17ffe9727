"""Tests of heat maps: whether they depend on what was learnt, and whether they point at what is known."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import nn
from torchmetrics.functional.image import structural_similarity_index_measure

from rn50med.training.module import FineTuneModule

Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels; right and bottom exclusive."""


def randomised(module: FineTuneModule, seed: int = 0, whole: bool = False) -> FineTuneModule:
    """Return a copy whose head and last stage, or all of it, have forgotten what they learnt.

    A layer that knows how to start afresh does; of any other, the values are shuffled.

    Args:
        module: A trained one; it is not changed.
        seed: Of the new values.
        whole: Whether the whole network forgets; else what comes before the last stage stays as it was.

    Source:
        Adebayo et al., *Sanity checks for saliency maps*, NeurIPS 2018, arXiv:1810.03292.
    """
    copy = deepcopy(module)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        for part in (copy.backbone.body if whole else copy.backbone.body["layer4"], copy.head):
            for layer in part.modules():
                _forget(layer)
    return copy.eval()


def _forget(layer: nn.Module) -> None:
    reset = getattr(layer, "reset_parameters", None)
    if callable(reset):
        place = next(layer.parameters(), torch.empty(0)).device
        layer.cpu()  # so that every device draws the same numbers
        reset()
        layer.to(place)
        return
    for parameter in layer.parameters(recurse=False):
        order = torch.randperm(parameter.numel()).to(parameter.device)
        parameter.copy_(parameter.flatten()[order].view_as(parameter))


def likeness(one: NDArray[np.float32], other: NDArray[np.float32]) -> tuple[float, float]:
    """Return how alike two maps are: Spearman's rank correlation, and the structural similarity (SSIM).

    Args:
        one: In [0, 1], ``(H, W)``.
        other: The same.

    Returns:
        Each 1 for equal maps; the correlation is ``nan`` where a map is constant.

    Example:
        >>> ramp = np.linspace(0, 1, 1024, dtype=np.float32).reshape(32, 32)
        >>> [round(value, 3) for value in likeness(ramp, ramp)]
        [1.0, 1.0]
    """
    constant = np.ptp(one) == 0 or np.ptp(other) == 0
    rank = float("nan") if constant else float(stats.spearmanr(one.ravel(), other.ravel()).statistic)
    first, second = (torch.from_numpy(each)[None, None] for each in (one, other))
    return rank, float(torch.as_tensor(structural_similarity_index_measure(first, second, data_range=1.0)))


def pointing_game(heat: NDArray[np.float32], box: Box) -> bool:
    """Return whether the largest value of a map lies within a box; a constant map points nowhere.

    Args:
        heat: ``(H, W)``.
        box: Left, top, right, bottom in pixels; right and bottom exclusive.

    Source:
        Zhang et al., *Top-down neural attention by excitation backprop*, ECCV 2016, section 4.2;
        arXiv:1608.00507. Without their tolerance of 15 pixels.

    Example:
        >>> heat = np.zeros((8, 4), np.float32)
        >>> heat[6, 1] = 1
        >>> pointing_game(heat, (1, 6, 2, 7)), pointing_game(heat, (6, 1, 7, 2))
        (True, False)
    """
    if np.ptp(heat) == 0:
        return False
    row, column = np.unravel_index(int(np.argmax(heat)), heat.shape)
    left, top, right, bottom = box
    return bool(left <= column < right and top <= row < bottom)
