"""What the gate found, and what of it stops."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rn50med.data.audit.counting import MOST_DETAILS
from rn50med.data.cache import PreparedImages
from rn50med.data.faults import stop
from rn50med.data.findings import Finding
from rn50med.data.manifest import Manifest
from rn50med.data.pixels import Pixels
from rn50med.data.seen import Seen


@dataclass(frozen=True)
class Inspection:
    """What the gate found.

    Args:
        name: Of the source, without its path.
        manifest: With its splits, where they could be made.
        seen: What was seen of each image; None where it cannot be read.
        images: Prepared, those alone that can be read; see `picture`.
        findings: All of them; the gravest stop `fit`.
        audit: Facts for run folder and report, without names.
        allowed: Codes of findings that do not stop.
    """

    name: str
    manifest: Manifest
    seen: tuple[Seen | None, ...]
    images: PreparedImages
    findings: tuple[Finding, ...]
    audit: dict[str, Any]
    allowed: frozenset[str]

    def picture(self, position: int) -> Pixels:
        """Return a prepared image, ``(C, S, S)``.

        Args:
            position: In the manifest, of an image that can be read.
        """
        before = sum(each is not None for each in self.seen[:position])
        return self.images.one(before)

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that stop."""
        return tuple(f for f in self.findings if f.severity == "error" and f.code not in self.allowed)

    def stop_on_errors(self) -> None:
        """Raise everything that stops, as one message.

        Raises:
            DataError: If anything does.
        """
        lines = [line for finding in self.errors for line in _lines(finding)]
        stop(self.name, [text for _, text in sorted(lines, key=lambda line: line[0])])


def _lines(finding: Finding) -> list[tuple[int, str]]:
    """Return what a finding has to say, each sentence with its row; the remedy once."""
    texts = list(finding.details) or [finding.message]
    if finding.remedy and "; " not in texts[0]:  # faults of rows and images bring theirs along
        remedy = finding.remedy[0].lower() + finding.remedy[1:].rstrip(".")
        texts[0] = f"{texts[0].rstrip('.')}; {remedy}."
    if len(finding.details) == MOST_DETAILS:
        texts.append(f"and perhaps more: {finding.message}")
    rows = finding.rows if len(finding.rows) == len(texts) else (finding.rows or (0,))[:1] * len(texts)
    return list(zip(rows, texts, strict=True))
