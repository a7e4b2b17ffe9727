"""The rules by which an operating point is chosen, on val alone."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from rn50med.errors import RecipeError
from rn50med.evaluation.arrays import Ints, patients_of
from rn50med.evaluation.operating_point import OperatingPoint, Sweep, youden
from rn50med.evaluation.proportions import proportion_interval

RuleName = Literal["youden", "sensitivity", "specificity", "cost"]

_DEFAULTS = {"at_least": 0.95, "by_lower_limit": False, "false_negative_cost": 1.0}
_USED = {
    "sensitivity": {"at_least", "by_lower_limit"},
    "specificity": {"at_least", "by_lower_limit"},
    "cost": {"false_negative_cost"},
}


@dataclass(frozen=True)
class Rule:
    """How an operating point is chosen.

    Args:
        name: `youden`: the largest sum of sensitivity and specificity; `sensitivity`: the most specific
            point that is sensitive enough; `specificity`: the most sensitive one that is specific enough;
            `cost`: the cheapest one, at the prevalence of the images it is chosen on.
        at_least: Sensitivity or specificity to reach, above 0, at most 1.
        by_lower_limit: Whether its lower 95 % limit, by patient, has to reach it, not the value alone.
        false_negative_cost: Cost of a missed positive, in units of a false alarm, above 0.

    Raises:
        RecipeError: If a number is out of range, or the rule has no use for one that is given.

    Example:
        >>> Rule("sensitivity", 0.9, by_lower_limit=True).asked
        'sensitivity of at least 0.9 by its lower 95 % limit'
        >>> Rule().asked
        ''
    """

    name: RuleName = "youden"
    at_least: float = 0.95
    by_lower_limit: bool = False
    false_negative_cost: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 < self.at_least <= 1.0:
            raise RecipeError(f"evaluation.at_least: is {self.at_least}; give a share above 0, at most 1.")
        if not 0.0 < self.false_negative_cost < math.inf:
            raise RecipeError(
                f"evaluation.false_negative_cost: is {self.false_negative_cost}; give a number above 0."
            )
        for key, default in _DEFAULTS.items():
            if key not in _USED.get(self.name, set()) and getattr(self, key) != default:
                users = " or ".join(name for name, used in _USED.items() if key in used)
                raise RecipeError(
                    f"evaluation.{key}: has no effect with the rule {self.name}; leave it out, or give "
                    f"--evaluation.rule {users}."
                )

    def used(self) -> dict[str, float | bool]:
        """Return the numbers that the rule has a use for."""
        return {key: getattr(self, key) for key in _DEFAULTS if key in _USED.get(self.name, ())}

    @property
    def asked(self) -> str:
        """What has to be reached, a clause; empty for Youden's rule."""
        if self.name == "youden":
            return ""
        if self.name == "cost":
            return f"least cost, a missed positive at {self.false_negative_cost:g} times a false alarm"
        return f"{self.name} of at least {self.at_least:g}" + (
            " by its lower 95 % limit" if self.by_lower_limit else ""
        )


YOUDEN = Rule()
"""The default: it weighs a missed patient as much as a false alarm, which is seldom a clinical choice."""


def choose(
    scores: ArrayLike, target: ArrayLike, rule: Rule = YOUDEN, patients: ArrayLike | None = None
) -> OperatingPoint:
    """Return the operating point of a rule.

    Choose it on validation images and apply it, unchanged, to test images. Every point calls at least one
    image; of two that differ in sensitivity or in specificity alone, the better one is taken. Where no
    point reaches what is asked, the one that comes nearest is taken, the most sensitive or most specific
    of all, and its ``reason`` says so.

    Args:
        scores: Probability of the positive class, shape ``(N,)``, in [0, 1].
        target: 0 or 1, shape ``(N,)``. Leave unknown labels out.
        rule: How to choose.
        patients: Patient of each image, shape ``(N,)``, for lower limits; where it is not given, each image
            is its own.

    Raises:
        NumericalError: If a score is not finite.
        ValueError: If ``target`` has no positive or no negative, or a score is outside [0, 1].

    Example:
        >>> choose([0.1, 0.4, 0.3, 0.9], [0, 0, 1, 1], Rule("specificity", 0.9))
        OperatingPoint(threshold=0.65, rule='specificity', sensitivity=0.5, specificity=1.0)
    """
    if rule.name == "youden":
        return youden(scores, target)
    sweep = Sweep.of(scores, target)
    if rule.name == "cost":
        return _cheapest(sweep, rule)
    index = np.arange(sweep.said.size) if patients is None else patients_of(patients)[0]
    return _reaching(sweep, rule, index)


def _cheapest(sweep: Sweep, rule: Rule) -> OperatingPoint:
    cost = sweep.alarms + rule.false_negative_cost * (sweep.positives - sweep.found)
    # The first is the most sensitive; equal costs must not be told apart by rounding.
    best = int(np.argmax(cost <= cost.min() * (1 + 1e-12)))
    idle = rule.false_negative_cost * sweep.positives < cost[best]
    reason = "calling no case at all would cost less" if idle else ""
    return replace(sweep.point(best, rule.name), asked=rule.asked, reason=reason)


def _reaching(sweep: Sweep, rule: Rule, patients: Ints) -> OperatingPoint:
    sensitive = rule.name == "sensitivity"
    share, other = sweep.found / sweep.positives, sweep.alarms
    if not sensitive:
        share, other = (sweep.negatives - sweep.alarms) / sweep.negatives, sweep.found
    # Of the levels with equal specificity the lowest is the most sensitive, and the other way round.
    front = np.flatnonzero(
        np.append(True, other[1:] != other[:-1]) if sensitive else np.append(other[1:] != other[:-1], True)
    )
    enough = front[share[front] >= rule.at_least].tolist()
    best, limit, reason = _first(sweep, rule, patients, reversed(enough) if sensitive else enough)
    if best is None:
        most = front[share[front] == share[front].max()]
        best = int(most.max() if sensitive else most.min())
        limit = _lower_limit(sweep, best, rule, patients)
        reason = f"no threshold reaches it, and the most {'sensitive' if sensitive else 'specific'} was taken"
    return replace(sweep.point(best, rule.name), asked=rule.asked, limit=limit, reason=reason)


def _first(
    sweep: Sweep, rule: Rule, patients: Ints, places: Iterable[int]
) -> tuple[int | None, float | None, str]:
    """Return the first level that is good enough with its lower limit, where that is asked for."""
    for place in places:
        limit = _lower_limit(sweep, place, rule, patients)
        if limit is None or limit >= rule.at_least:
            return place, limit, ""
    return None, None, ""


def _lower_limit(sweep: Sweep, place: int, rule: Rule, patients: Ints) -> float | None:
    if not rule.by_lower_limit:
        return None
    called = sweep.written >= sweep.levels[place]
    sensitive = rule.name == "sensitivity"
    own = sweep.positive if sensitive else ~sweep.positive
    return proportion_interval(called[own] == sensitive, patients[own]).low
