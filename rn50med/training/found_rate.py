"""A learning rate that was found, and the recipe that gives it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

FINDER = "LearningRateFinder"
"""Lightning's callback, whose name asks for a search."""


@dataclass(frozen=True)
class FoundRate:
    """A learning rate that was searched for.

    Args:
        rate: The one that was found.
        asked: That of the recipe.
        steps: Steps of the search.
        low: Rate that the search began with.
        high: Rate that it went up to.
        used: Whether training is at the rate that was found.
    """

    rate: float
    asked: float
    steps: int
    low: float
    high: float
    used: bool

    @property
    def statement(self) -> str:
        """What was found, in words."""
        kept = "" if self.used else ", which is kept"
        return (
            f"{self.rate:g} found by LearningRateFinder over {self.steps} steps; the recipe said "
            f"{self.asked:g}{kept}"
        )


def searches_rate(recipe: Mapping[str, Any]) -> bool:
    """Return whether a resolved recipe has a `LearningRateFinder`.

    Args:
        recipe: In plain types.
    """
    return any(map(_is_finder, _given(recipe)))


def with_rate(recipe: Mapping[str, Any], found: FoundRate) -> dict[str, Any]:
    """Return a resolved recipe that gives the rate that was used, and searches for none.

    Args:
        recipe: In plain types.
        found: The rate.
    """
    kept = [each for each in _given(recipe) if not _is_finder(each)]
    model, optimizer = recipe["model"], recipe["model"]["optimizer"]
    options = optimizer["init_args"] | ({"lr": found.rate} if found.used else {})
    return {
        **recipe,
        "model": {**model, "optimizer": {**optimizer, "init_args": options}},
        "trainer": {**recipe["trainer"], "callbacks": kept or None},
    }


def _given(recipe: Mapping[str, Any]) -> list[Any]:
    given = recipe["trainer"].get("callbacks") or []
    return list(given) if isinstance(given, list) else [given]


def _is_finder(callback: Any) -> bool:
    path = str(callback["class_path"]) if isinstance(callback, Mapping) else ""
    return path.rpartition(".")[2] == FINDER
