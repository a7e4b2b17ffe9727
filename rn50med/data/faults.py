"""Collects everything that is wrong with a source, so that one message tells it all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rn50med.errors import DataError

MOST_SHOWN = 40


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong.

    Args:
        text: What was found, and what to do where that is not obvious.
        row: Line of the table, the header being line 1; None where it is in no line.
        code: Stable name of the kind of fault.
    """

    text: str
    row: int | None
    code: str

    def __str__(self) -> str:
        return self.text if self.row is None else f"row {self.row}: {self.text}"


class Faults:
    """Faults of one source, raised together.

    Args:
        source: Name of the table or folder, for the message.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self._found: list[Fault] = []

    def add(self, text: str, row: int | None = None, code: str = "row") -> None:
        """Note a fault.

        Args:
            text: What was found, and what to do where that is not obvious.
            row: Line of the table, the header being line 1, where the fault is in one.
            code: Stable name of the kind of fault, such as ``unknown-label``.
        """
        self._found.append(Fault(text, row, code))

    def __len__(self) -> int:
        """Return the number of faults."""
        return len(self._found)

    @property
    def found(self) -> tuple[Fault, ...]:
        """The faults in the order of the rows."""
        return tuple(sorted(self._found, key=lambda fault: fault.row or 0))

    def raise_any(self) -> None:
        """Raise what was noted, in the order of the rows.

        Raises:
            DataError: If anything was noted.
        """
        stop(self.source, [str(fault) for fault in self.found])


def stop(source: str, texts: Sequence[str]) -> None:
    """Raise faults as one message: one sentence where there is one, else a line each.

    Args:
        source: Name of the table or folder.
        texts: The faults.

    Raises:
        DataError: If there are any.
    """
    if not texts:
        return
    if len(texts) == 1:
        raise DataError(f"{source}: {texts[0]}")
    more = [f"... and {len(texts) - MOST_SHOWN} more"] if len(texts) > MOST_SHOWN else []
    lines = "\n  ".join([*texts[:MOST_SHOWN], *more])
    raise DataError(f"{source}: {len(texts)} faults; mend them and run again.\n  {lines}")
