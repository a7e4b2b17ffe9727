"""The calls that were wrong with the most confidence, named by their line of the manifest alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rn50med.evaluation.arrays import Floats, Ints
from rn50med.evaluation.report.subjects import Subject

_MOST = 10


@dataclass(frozen=True)
class Hardest:
    """Wrong calls, the most confident first.

    Args:
        false_positives: Line of ``manifest.csv`` and probability, as text; of a case of several images, the
            line of its first and their number.
        false_negatives: Likewise.
        counts: How many there are of both.
    """

    false_positives: tuple[tuple[str, str], ...]
    false_negatives: tuple[tuple[str, str], ...]
    counts: tuple[int, int]

    @property
    def lines(self) -> list[int]:
        """Lines of the first images of all that are listed."""
        return [int(line.split(",")[0]) for line, _ in (*self.false_positives, *self.false_negatives)]


def hardest(subject: Subject) -> Hardest | None:
    """Return up to ten wrong calls of either kind; None without calls, or where lines are not known.

    Args:
        subject: Any.
    """
    if subject.called is None or not subject.lines.size:
        return None
    false = subject.called & ~subject.positive, ~subject.called & subject.positive
    return Hardest(
        _listed(subject, np.flatnonzero(false[0]), -subject.said),
        _listed(subject, np.flatnonzero(false[1]), subject.said),
        (int(false[0].sum()), int(false[1].sum())),
    )


def _listed(subject: Subject, rows: Ints, ease: Floats) -> tuple[tuple[str, str], ...]:
    order = rows[np.lexsort((subject.lines[rows], ease[rows]))][:_MOST]
    return tuple((_line(subject, row), f"{subject.said[row]:.4f}") for row in order)


def _line(subject: Subject, row: int) -> str:
    images = int(subject.images[row])
    return str(subject.lines[row]) + (f", and {images - 1} more" if images > 1 else "")
