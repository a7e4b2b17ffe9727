"""Collects everything that is wrong with a source, so that one message tells it all."""

from __future__ import annotations

from rn50med.errors import DataError

MOST_SHOWN = 40


class Faults:
    """Faults of one source, raised together.

    Args:
        source: Name of the table or folder, for the message.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self._found: list[tuple[int, str]] = []

    def add(self, text: str, row: int | None = None) -> None:
        """Note a fault.

        Args:
            text: What was found, and what to do where that is not obvious.
            row: Line of the table, the header being line 1, where the fault is in one.
        """
        self._found.append((row or 0, f"row {row}: {text}" if row is not None else text))

    def __len__(self) -> int:
        """Return the number of faults."""
        return len(self._found)

    def raise_any(self) -> None:
        """Raise what was noted, in the order of the rows.

        Raises:
            DataError: If anything was noted.
        """
        if not self._found:
            return
        texts = [text for _, text in sorted(self._found, key=lambda fault: fault[0])]
        if len(texts) == 1:
            raise DataError(f"{self.source}: {texts[0]}")
        more = [f"... and {len(texts) - MOST_SHOWN} more"] if len(texts) > MOST_SHOWN else []
        lines = "\n  ".join(texts[:MOST_SHOWN] + more)
        raise DataError(f"{self.source}: {len(texts)} faults; mend them and run again.\n  {lines}")
