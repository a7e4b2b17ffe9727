"""Likelihood ratios with their intervals, and the predictive values that follow from them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from rn50med.evaluation.arrays import Floats
from rn50med.evaluation.bootstrap import percentiles
from rn50med.evaluation.decision import negative_predictive_value_at, positive_predictive_value_at
from rn50med.evaluation.figure import Figure, undefined

_SINGLE = "no interval from a single patient"

Ends = tuple[float, float, float]
"""A ratio and its interval, any of them infinite, ``nan`` where there is none."""


def likelihood_figures(
    shares: tuple[Figure, Figure],
    drawn: Mapping[str, Floats],
    uncalled: tuple[str, str],
    prevalence: float | None,
) -> dict[str, Figure]:
    """Return both likelihood ratios and, where a prevalence is stated, the predictive values there.

    Args:
        shares: Sensitivity and specificity.
        drawn: Both ratios on each resample; empty without one.
        uncalled: Why a ratio is undefined where no case is called negative, or positive.
        prevalence: In (0, 1), or None.

    Source:
        Where the bootstrap has no end (every resample gives 0, some give infinity) it is that of a ratio of
        two proportions, recovered from theirs: Donner and Zou, Statistical Methods in Medical Research 2012,
        10.1177/0962280210383082.

    Example:
        >>> shares = Figure(0.9, 0.8, 0.95, 50), Figure(1.0, 0.9, 1.0, 40)
        >>> figures = likelihood_figures(shares, {}, ("", ""), 0.5)
        >>> figures["lr_positive"].reason, round(figures["ppv_at_prevalence"].low, 2)
        ('no false alarm: the ratio is infinite', 0.9)
    """
    found, spared = shares
    n = found.n + spared.n
    positive = _ends(found, _other(spared), drawn.get("lr_positive"))
    negative = _ends(_other(found), spared, drawn.get("lr_negative"))
    infinite = "no false alarm: the ratio is infinite", f"{uncalled[0]} rightly: the ratio is infinite"
    figures = {
        "lr_positive": _figure(positive, n, uncalled[1], infinite[0]),
        "lr_negative": _figure(negative, n, uncalled[0], infinite[1]),
    }
    if prevalence is None:
        return figures
    return figures | {
        "ppv_at_prevalence": _at(positive_predictive_value_at, positive, prevalence, n, uncalled[1]),
        "npv_at_prevalence": _at(negative_predictive_value_at, negative, prevalence, n, uncalled[0]),
    }


def _other(share: Figure) -> Figure:
    return Figure(1.0 - share.value, 1.0 - share.high, 1.0 - share.low, share.n)


def _ends(part: Figure, whole: Figure, drawn: Floats | None) -> Ends:
    if part.value == 0.0 and whole.value == 0.0:
        return math.nan, math.nan, math.nan
    if part.value == 0.0:
        return 0.0, 0.0, _upper(part, whole)
    if whole.value == 0.0:
        most = _upper(whole, part)
        return math.inf, (1.0 / most if most else math.inf), math.inf
    value = part.value / whole.value
    if drawn is None:
        return value, math.nan, math.nan
    low, high = percentiles(drawn)
    return value, min(low, value), max(_upper(part, whole) if math.isinf(high) else high, value)


def _upper(part: Figure, whole: Figure) -> float:
    """Return the upper end of a ratio, recovered from those of its parts."""
    divisor, product = whole.low * (2.0 * whole.value - whole.low), part.value * whole.value
    if divisor <= 0.0:
        return math.inf
    root = product**2 - part.high * (2.0 * part.value - part.high) * divisor
    return (product + math.sqrt(max(0.0, root))) / divisor


def _figure(ends: Ends, n: int, uncalled: str, infinite: str) -> Figure:
    value, low, high = ends
    if not math.isfinite(value):
        return undefined(uncalled if math.isnan(value) else infinite, n)
    if math.isnan(low):
        return Figure(value, math.nan, math.nan, n, _SINGLE)
    if math.isinf(high):
        return Figure(value, low, math.nan, n, "no upper end: it has no limit in some resamples")
    return Figure(value, low, high, n)


def _at(
    rule: Callable[[float, float], float], ends: Ends, prevalence: float, n: int, uncalled: str
) -> Figure:
    value, low, high = (math.nan if math.isnan(end) else rule(end, prevalence) for end in ends)
    if math.isnan(value):
        return undefined(uncalled, n)
    if math.isnan(low):
        return Figure(value, math.nan, math.nan, n, _SINGLE)
    return Figure(value, min(low, high), max(low, high), n)
