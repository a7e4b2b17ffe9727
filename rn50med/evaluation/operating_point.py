"""The thresholds that turn probabilities into calls, with what they reached where they were chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from rn50med.evaluation.arrays import Bools, Floats, finite, indices

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
        asked: What the rule had to reach, a clause; empty for Youden's.
        limit: Lower 95 % limit of what had to be reached, where that was asked for.
        reason: Why it is not what was asked for, a clause; empty where it is.

    Example:
        >>> point = OperatingPoint(0.5, "youden", 0.9, 0.8)
        >>> OperatingPoint.from_dict(point.as_dict()) == point
        True
    """

    threshold: float
    rule: str
    sensitivity: float
    specificity: float
    asked: str = field(default="", repr=False)
    limit: float | None = field(default=None, repr=False)
    reason: str = field(default="", repr=False)

    def as_dict(self) -> dict[str, float | str]:
        """Return plain types, for a checkpoint or JSON; what is empty is left out."""
        optional = ("asked", "limit", "reason")
        return {k: v for k, v in asdict(self).items() if k not in optional or v not in ("", None)}

    @classmethod
    def from_dict(cls, plain: Mapping[str, float | str]) -> OperatingPoint:
        """Build one from the plain types of ``as_dict``.

        Args:
            plain: Its fields; those that were left out are empty.

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
            str(plain.get("asked", "")),
            float(plain["limit"]) if "limit" in plain else None,
            str(plain.get("reason", "")),
        )


@dataclass(frozen=True)
class OperatingPoints:
    """A threshold for each of several findings.

    Args:
        by_name: The point of each finding, None where none could be chosen.

    Example:
        >>> points = OperatingPoints({"mass": OperatingPoint(0.5, "youden", 0.9, 0.8), "hernia": None})
        >>> points.threshold("mass"), points.threshold("hernia")
        (0.5, None)
    """

    by_name: Mapping[str, OperatingPoint | None]

    def threshold(self, name: str) -> float | None:
        """Return a finding's threshold, None where it has no point.

        Args:
            name: The finding.
        """
        point = self.by_name.get(name)
        return None if point is None else point.threshold

    def as_dict(self) -> dict[str, dict[str, float | str] | None]:
        """Return plain types, for a checkpoint or JSON."""
        return {name: None if point is None else point.as_dict() for name, point in self.by_name.items()}


Thresholds = OperatingPoint | OperatingPoints | None
"""What turns a task's probabilities into calls: one point, one for each finding, or none."""


def as_plain(thresholds: Thresholds) -> dict[str, Any] | None:
    """Return operating points in plain types, for a checkpoint or JSON.

    Args:
        thresholds: One point, several, or none.
    """
    return None if thresholds is None else dict(thresholds.as_dict())


def from_plain(plain: Mapping[str, Any] | None) -> Thresholds:
    """Return the operating points that plain types stand for.

    Args:
        plain: As `as_plain` gives it: the fields of one point, a mapping from findings to points, or None.

    Raises:
        ValueError: If a field of a point is missing or a threshold is no number.

    Example:
        >>> point = OperatingPoint(0.5, "youden", 0.9, 0.8)
        >>> from_plain(as_plain(point)) == point
        True
        >>> from_plain({"mass": point.as_dict(), "hernia": None}).threshold("mass")
        0.5
    """
    if plain is None:
        return None
    # A point holds numbers and text, several hold points: a finding may be called `threshold`.
    if plain and all(each is None or isinstance(each, Mapping) for each in plain.values()):
        points = {
            name: None if each is None else OperatingPoint.from_dict(each) for name, each in plain.items()
        }
        return OperatingPoints(points)
    return OperatingPoint.from_dict(plain)


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
    sweep = Sweep.of(scores, target)
    # In whole images, so that equally good points tie exactly; the first level is the most sensitive.
    best = int(np.argmax(sweep.found * sweep.negatives - sweep.alarms * sweep.positives))
    return sweep.point(best, "youden")


@dataclass(frozen=True, eq=False)
class Sweep:
    """What is called at each of the different scores, from the lowest, which calls every image, upwards.

    Args:
        said: The scores, shape ``(N,)``.
        written: The scores with 9 digits, shape ``(N,)``.
        positive: Which images are, shape ``(N,)``.
        levels: The different written scores, shape ``(L,)``, increasing.
        found: Positive images at or above each level, shape ``(L,)``.
        alarms: Negative images at or above each level, shape ``(L,)``.
    """

    said: Floats
    written: Floats
    positive: Bools
    levels: Floats
    found: Floats
    alarms: Floats

    @classmethod
    def of(cls, scores: ArrayLike, target: ArrayLike) -> Sweep:
        """Sort scores.

        Args:
            scores: Probability of the positive class, shape ``(N,)``, in [0, 1].
            target: 0 or 1, shape ``(N,)``.

        Raises:
            NumericalError: If a score is not finite.
            ValueError: If ``target`` has no positive or no negative, or a score is outside [0, 1].
        """
        said = finite(scores, "scores")
        positive = indices(target, 2, said.shape[0]) == 1
        if positive.all() or not positive.any():
            name = "negative" if positive.any() else "positive"
            raise ValueError(f"target: no {name} case; an operating point needs both outcomes.")
        if said.min() < 0.0 or said.max() > 1.0:
            raise ValueError("scores: values outside [0, 1]; give probabilities, not logits.")
        written = np.array([float(f"{score:.{_DIGITS}g}") for score in said])
        levels, index = np.unique(written, return_inverse=True)
        found, alarms = (
            np.cumsum(np.bincount(index, weights=each)[::-1], dtype=np.float64)[::-1]
            for each in (positive, ~positive)
        )
        return cls(said, written, positive, levels, found, alarms)

    @property
    def positives(self) -> int:
        """Positive images."""
        return int(self.found[0])

    @property
    def negatives(self) -> int:
        """Negative images."""
        return int(self.alarms[0])

    def point(self, place: int, rule: str) -> OperatingPoint:
        """Return the operating point that calls the images at or above a level.

        Args:
            place: The level's.
            rule: How it was chosen.
        """
        # Calling every image positive is what 0 does for images to come as well.
        threshold = _between(self.said, self.written, self.levels[place]) if place else 0.0
        sensitivity = float(self.found[place] / self.positives)
        return OperatingPoint(threshold, rule, sensitivity, 1.0 - float(self.alarms[place] / self.negatives))


def _between(said: Floats, written: Floats, level: float) -> float:
    """Return a threshold that parts scores at a level from those below, as said and as written."""
    above = written >= level
    low = float(max(said[~above].max(), written[~above].max()))
    high = float(min(said[above].min(), written[above].min()))
    # Between neighbouring float64 numbers there is no middle; the upper one parts them too.
    middle = (low + high) / 2
    return middle if middle > low else high
