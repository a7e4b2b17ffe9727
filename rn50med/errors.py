"""Every error that a user can mend, each with the exit code of its kind.

A message reads ``where: what was found; what to do.`` and is one sentence where one will do.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class Rn50MedError(Exception):
    """Base of the errors that rn50med raises on purpose.

    Attributes:
        exit_code: What the command line returns for it.
    """

    exit_code = 1


class RecipeError(Rn50MedError, ValueError):
    """A recipe, an option or a weights file that cannot be used."""

    exit_code = 2


class DataError(Rn50MedError, ValueError):
    """Images or labels that cannot be used."""

    exit_code = 3


class NumericalError(Rn50MedError, ArithmeticError):
    """A number that is not finite where it has to be."""

    exit_code = 4


class StorageError(Rn50MedError, OSError):
    """A folder or checkpoint that cannot be read or written."""

    exit_code = 5


class OfflineError(Rn50MedError, ConnectionError):
    """A connection that was refused because rn50med is offline, or that nobody answered."""

    exit_code = 2


class Interrupted(Rn50MedError, RuntimeError):  # noqa: N818 - the state of a run, not a fault
    """A run that stopped because a signal asked it to.

    Args:
        message: What was saved, and where.
        signal_number: The signal; the exit code is 128 more.
    """

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name most like a misspelt one, or None where none is near.

    Args:
        name: What was written.
        known: What could have been meant.

    Example:
        >>> nearest("max_epoch", ["max_epochs", "max_steps"])
        'max_epochs'
        >>> nearest("Pneumonia ", ["normal", "pneumonia"])
        'pneumonia'
    """
    by_folded = {candidate.strip().casefold(): candidate for candidate in known}
    found = get_close_matches(name.strip().casefold(), by_folded, n=1, cutoff=0.6)
    return by_folded[found[0]] if found else None


def unknown(kind: str, name: str, known: Iterable[str], remedy: str) -> str:
    """Build the message for a name that is not one of the known ones.

    Args:
        kind: What the name should be, such as "recipe".
        name: What was written.
        known: What could have been meant.
        remedy: A sentence that says what to do.

    Example:
        >>> unknown("recipe", "chest_xrya", ["chest_xray", "fundus"], "List them with `rn50med recipes`.")
        "no recipe named 'chest_xrya'; did you mean 'chest_xray'? List them with `rn50med recipes`."
    """
    guess = nearest(name, known)
    hint = f"; did you mean {guess!r}? " if guess is not None else ". "
    return f"no {kind} named {name!r}{hint}{remedy}"


def listed(items: Iterable[object], most: int = 20) -> str:
    """Join the first items by commas and count the others.

    Args:
        items: What to list.
        most: How many to show.

    Example:
        >>> listed(range(5), most=3)
        '0, 1, 2 and 2 more'
    """
    texts = [str(item) for item in items]
    shown = ", ".join(texts[:most])
    return f"{shown} and {len(texts) - most} more" if len(texts) > most else shown
