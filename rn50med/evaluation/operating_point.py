"""The threshold that turns probabilities into calls, with what it reached where it was chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike

from rn50med.evaluation.arrays import Floats, finite, indices

# As predictions are written; a call must be the same from the file as from memory.
_DIGITS = 9


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold: an image at or above it is called positive.

    Args:
        threshold: In [0, 1].
        rule: How it was chosen, such as "youden".
        sensitivity: Reached on the images it was chosen on, in [0, 1].
        specificity: Reached on the images it was chosen on, in [0, 1].

    Example:
        >>> point = OperatingPoint(0.5, "youden", 0.9, 0.8)
        >>> OperatingPoint.from_dict(point.as_dict()) == point
        True
    """

    threshold: float
    rule: str
    sensitivity: float
    specificity: float

    def as_dict(self) -> dict[str, float | str]:
        """Return plain types, for a checkpoint or JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: Mapping[str, float | str]) -> OperatingPoint:
        """Build one from the plain types of ``as_dict``.

        Args:
            plain: Its four fields.

        Raises:
            ValueError: If a field is missing or the threshold is no number.
        """
        absent = [key for key in ("threshold", "rule", "sensitivity", "specificity") if key not in plain]
        if absent:
            raise ValueError(f"operating point: {', '.join(absent)} missing; choose it again on val.")
        return cls(
            float(plain["threshold"]),
            str(plain["rule"]),
            float(plain["sensitivity"]),
            float(plain["specificity"]),
        )


def youden(scores: ArrayLike, target: ArrayLike) -> OperatingPoint:
    """Return the operating point with the largest sensitivity + specificity - 1.

    Choose it on validation images and apply it, unchanged, to test images: a threshold chosen on the
    test set flatters the model. It weighs a missed patient as much as a false alarm, which is a default
    and seldom a clinical choice. Of equally good points the most sensitive is taken. The threshold lies
    midway between neighbouring scores, and scores alike to 9 significant digits count as one, so that
    writing probabilities with 9 digits changes no call.

    Args:
        scores: Probability of the positive class, shape ``(N,)``, in [0, 1].
        target: 0 or 1, shape ``(N,)``. Leave unknown labels out.

    Raises:
        NumericalError: If a score is not finite.
        ValueError: If ``target`` has no positive or no negative, or a score is outside [0, 1].

    Source:
        Youden, Cancer 1950, 10.1002/1097-0142(1950)3:1<32::AID-CNCR2820030106>3.0.CO;2-3.

    Example:
        >>> youden([0.1, 0.4, 0.6, 0.9], [0, 0, 1, 1])
        OperatingPoint(threshold=0.5, rule='youden', sensitivity=1.0, specificity=1.0)
    """
    said = finite(scores, "scores")
    positive = indices(target, 2, said.shape[0]) == 1
    positives, negatives = int(positive.sum()), int((~positive).sum())
    if not positives or not negatives:
        name = "negative" if positives else "positive"
        raise ValueError(f"target: no {name} image; an operating point needs both outcomes.")
    if said.min() < 0.0 or said.max() > 1.0:
        raise ValueError("scores: values outside [0, 1]; give probabilities, not logits.")
    written = np.array([float(f"{score:.{_DIGITS}g}") for score in said])
    levels, index = np.unique(written, return_inverse=True)
    found = np.cumsum(np.bincount(index, weights=positive)[::-1])[::-1]
    alarms = np.cumsum(np.bincount(index, weights=~positive)[::-1])[::-1]
    # In whole images, so that equally good points tie exactly; the first level is the most sensitive.
    best = int(np.argmax(found * negatives - alarms * positives))
    # Calling every image positive is what 0 does for images to come as well.
    threshold = _between(said, written, levels[best]) if best else 0.0
    sensitivity, false_alarms = float(found[best] / positives), float(alarms[best] / negatives)
    return OperatingPoint(threshold, "youden", sensitivity, 1.0 - false_alarms)


def _between(said: Floats, written: Floats, level: float) -> float:
    """Return a threshold that parts scores at a level from those below, as said and as written."""
    above = written >= level
    low = float(max(said[~above].max(), written[~above].max()))
    high = float(min(said[above].min(), written[above].min()))
    # Between neighbouring float64 numbers there is no middle; the upper one parts them too.
    middle = (low + high) / 2
    return middle if middle > low else high
