"""Some of many cases, in the proportions of all of them."""

from __future__ import annotations

import numpy as np

from rn50med.evaluation.arrays import Ints


def sampled(target: Ints, most: int, seed: int) -> Ints:
    """Return cases drawn at random, with each outcome in its proportion; all of them where they are few.

    Of labels that may occur together, a case's outcome is the rarest that it has.

    Args:
        target: Class numbers, shape ``(N,)``; or 1 where a label is there, shape ``(N, L)``.
        most: Cases to draw, at the most; 1 or more.
        seed: Of the draw.

    Returns:
        Their positions, increasing.

    Source:
        Systematic sampling of a list in order of outcome: Cochran, *Sampling techniques*, 1977, chapter 8.

    Example:
        >>> target = np.array([0] * 30 + [1] * 10)
        >>> drawn = sampled(target, 8, seed=0)
        >>> np.bincount(target[drawn]).tolist()
        [6, 2]
    """
    number = len(target)
    if number <= most:
        return np.arange(number)
    shuffled = np.lexsort((np.random.default_rng(seed).random(number), _outcome(target)))
    return np.sort(shuffled[((np.arange(most) + 0.5) * number / most).astype(np.int64)])


def _outcome(target: Ints) -> Ints:
    if target.ndim == 1:
        return target
    there = target == 1
    rarity = np.where(there, there.sum(axis=0), len(target) + 1)
    return np.where(there.any(axis=1), rarity.argmin(axis=1), -1)
