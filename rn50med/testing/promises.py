"""How a broken promise is told."""

from __future__ import annotations


def require(promise: bool, sentence: str) -> None:
    """Raise what was promised, unless it is kept.

    Args:
        promise: Whether it is.
        sentence: What is broken, and of what.

    Raises:
        AssertionError: If it is not.
    """
    if not promise:
        raise AssertionError(sentence)
