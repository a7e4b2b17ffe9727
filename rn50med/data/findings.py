"""What the check before training has to tell, each with a stable code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Severity = Literal["info", "warning", "error"]


@dataclass(frozen=True)
class Finding:
    """Something about the data that its user, or a reader of the report, has to know.

    Args:
        code: Stable name of the kind of finding, such as ``constant-image``.
        severity: An ``error`` stops `fit`, unless its code is allowed.
        message: A sentence without image names or patients: it goes into the report.
        remedy: What to do; empty where there is nothing to do.
        rows: Lines of the source that it is about, the header being line 1.
        details: Sentences that may name images and patients: for the console alone, never kept.
    """

    code: str
    severity: Severity
    message: str
    remedy: str = ""
    rows: tuple[int, ...] = ()
    details: tuple[str, ...] = ()

    def plain(self) -> dict[str, Any]:
        """Return what is kept, in plain types."""
        return {
            "code": self.code,
            "severity": self.severity,
            "message": self.message,
            "remedy": self.remedy,
            "rows": list(self.rows),
        }
