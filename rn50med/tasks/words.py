"""What a task says of itself in a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class Words:
    """The words of a task; a task whose loss or figures are its own says what they are."""

    @property
    def loss_words(self) -> str:
        """Return what `loss` is, such as "cross-entropy", for the methods of a report; empty: nothing."""
        return ""

    @property
    def headline_words(self) -> str:
        """Return what the figure that is watched says, a sentence; empty: what rn50med knows of it."""
        return ""

    @property
    def figure_words(self) -> Mapping[str, str]:
        """Return names for people of figures of its own, by their key up to a slash."""
        return {}

    @property
    def section(self) -> Sequence[str]:
        """Return the paragraphs of a section of its own in the report; mostly none.

        The place for what a reader has to know: how a figure is computed, what a grade means, whose rule
        it is.
        """
        return ()

    def facts(self) -> dict[str, Any]:
        """Return what a report has to know besides, in plain types; mostly nothing."""
        return {}
