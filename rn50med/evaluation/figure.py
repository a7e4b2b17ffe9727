"""One figure with its interval, and where either is undefined, the reason."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

# A two-sided 95 % interval leaves 2.5 % on either side.
CONFIDENCE = 0.95
QUANTILE = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)


@dataclass(frozen=True)
class Figure:
    """A number computed from images, with its 95 % interval.

    Args:
        value: The estimate, ``nan`` where undefined.
        low: Lower end of the interval, ``nan`` where there is none.
        high: Upper end of the interval, ``nan`` where there is none.
        n: Images it was computed from: its denominator.
        reason: A clause that says why a part is ``nan``, or which classes were left out.

    Example:
        >>> Figure(0.5, 0.25, 0.75, 10).as_json()
        {'value': 0.5, 'low': 0.25, 'high': 0.75, 'n': 10}
        >>> undefined("no case of class 'pneumonia'", 10).as_json()["value"] is None
        True
    """

    value: float
    low: float
    high: float
    n: int
    reason: str = ""

    def as_json(self) -> dict[str, float | int | str | None]:
        """Return plain types for ``json``, which has no ``nan``: null, with the reason beside it."""
        plain: dict[str, float | int | str | None] = {}
        for key, number in (("value", self.value), ("low", self.low), ("high", self.high)):
            plain[key] = float(number) if math.isfinite(number) else None
        plain["n"] = int(self.n)
        if self.reason:
            plain["reason"] = self.reason
        return plain


def undefined(reason: str, n: int) -> Figure:
    """Return the figure that could not be computed.

    Args:
        reason: Why, as a clause.
        n: Images that were there.

    Example:
        >>> undefined("no cases", 0)
        Figure(value=nan, low=nan, high=nan, n=0, reason='no cases')
    """
    return Figure(math.nan, math.nan, math.nan, n, reason)
