"""Drawing each class equally often, however rare it is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rn50med.tasks import UNKNOWN

Rows = NDArray[np.int64]


def class_groups(rows: Rows, targets: NDArray[np.int64]) -> list[Rows]:
    """Return the images of each class, and of none.

    Of several findings an image is in the group of each that it has, and in that of none where some are
    known and all of those are absent. What is not known at all is in no group. A class without an image has
    no group.

    Args:
        rows: Of the manifest, those of train.
        targets: Theirs, ``(N,)`` class numbers or ``(N, L)`` of 0, 1 and `UNKNOWN`.

    Example:
        >>> groups = class_groups(np.array([5, 6, 7]), np.array([[1, 0], [1, 1], [0, -100]]))
        >>> [group.tolist() for group in groups]
        [[5, 6], [6], [7]]
    """
    if targets.ndim == 1:
        members = [targets == number for number in np.unique(targets[targets != UNKNOWN])]
    else:
        present = targets == 1
        members = [*present.T, (targets == 0).any(axis=1) & ~present.any(axis=1)]
    return [rows[member] for member in members if member.any()]


def balanced_order(groups: Sequence[Rows], count: int, random: np.random.Generator) -> Rows:
    """Return rows in the order of an epoch, as many of each group, to within one.

    Within a group none is drawn a time more before all were drawn.

    Args:
        groups: As `class_groups` returns them.
        count: Rows to draw.
        random: Where chance comes from.

    Source:
        Shen et al., *Relay backpropagation for effective learning of deep convolutional neural networks*,
        ECCV 2016 (class-aware sampling); arXiv:1512.05830.
    """
    share, rest = divmod(count, len(groups))
    extra = set(random.permutation(len(groups))[:rest].tolist())
    drawn = [_decks(group, share + (number in extra), random) for number, group in enumerate(groups)]
    return random.permutation(np.concatenate(drawn))


def _decks(group: Rows, count: int, random: np.random.Generator) -> Rows:
    """Return rows of a group, deck after shuffled deck."""
    decks = [random.permutation(group) for _ in range(-(-count // len(group)))]
    return np.concatenate([*decks, group[:0]])[:count]


def turns(order: Rows) -> Rows:
    """Return for each draw how often its row was drawn before.

    Args:
        order: Rows, some of them more than once.

    Example:
        >>> turns(np.array([7, 3, 7, 7, 3])).tolist()
        [0, 0, 1, 2, 1]
    """
    by_row = np.argsort(order, kind="stable")
    _, first = np.unique(order[by_row], return_index=True)
    found = np.empty_like(order)
    found[by_row] = np.arange(len(order)) - np.repeat(first, np.diff([*first, len(order)]))
    return found


def expected_draws(groups: Sequence[Rows], count: int) -> dict[int, float]:
    """Return how often each row is drawn in an epoch, in the mean; for the log, which says what became of it.

    Args:
        groups: As `class_groups` returns them.
        count: Rows that an epoch draws.

    Example:
        >>> expected_draws([np.array([1, 2, 3, 5]), np.array([4])], count=4)
        {1: 0.5, 2: 0.5, 3: 0.5, 5: 0.5, 4: 2.0}
    """
    draws: dict[int, float] = {}
    for group in groups:
        for row in group.tolist():
            draws[row] = draws.get(row, 0.0) + count / len(groups) / len(group)
    return draws


def balance(groups: Sequence[Rows], rows: Rows, targets: NDArray[np.int64], names: Sequence[str]) -> str:
    """Return one line for the log: the share of each class or finding in an epoch, and what it was.

    Args:
        groups: As `class_groups` returns them.
        rows: Of the manifest, those of train.
        targets: Theirs.
        names: Of the classes or findings.

    Example:
        >>> rows, targets = np.arange(4), np.array([0, 0, 0, 1])
        >>> balance(class_groups(rows, targets), rows, targets, ("normal", "pneumonia"))
        'sampler: balanced: in an epoch normal 50 % (of 75 %), pneumonia 50 % (of 25 %).'
    """
    draws = expected_draws(groups, len(rows))
    drawn = np.array([draws.get(row, 0.0) for row in rows.tolist()])
    parts = []
    for k, name in enumerate(names):
        there = targets == k if targets.ndim == 1 else targets[:, k] == 1
        parts.append(
            f"{name} {drawn[there].sum() / drawn.sum():.0%} (of {there.mean():.0%})".replace("%", " %")
        )
    return f"sampler: balanced: in an epoch {', '.join(parts)}."
