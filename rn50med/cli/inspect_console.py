"""What ``inspect`` prints: findings, the gravest first, splits, and a verdict."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rn50med.data.splits import split_lines
from rn50med.errors import listed

if TYPE_CHECKING:
    from rn50med.data.findings import Finding
    from rn50med.data.guess import Guess
    from rn50med.data.inspection import Inspection

_ORDER = ("error", "warning", "info")
_WIDTH = 100
_MOST_ROWS = 10
_MOST_DETAILS = 5


def report(found: Inspection) -> str:
    """Return everything that was found, as text.

    Args:
        found: By the gate.
    """
    parts = [_findings(found), _splits(found.audit), _flow(found.audit), verdict(found)]
    return "\n".join(part for part in parts if part)


def verdict(found: Inspection) -> str:
    """Return whether `fit` would go on, and how many findings there are.

    Args:
        found: By the gate.
    """
    counted = {s: sum(finding.severity == s for finding in found.findings) for s in _ORDER}
    stopping = len(found.errors)
    parts = [_many(stopping, "error")]
    if counted["error"] > stopping:
        parts.append(f"{_many(counted['error'] - stopping, 'error')} allowed")
    parts.append(_many(counted["warning"], "warning"))
    said = "not ready to fit" if stopping else "ready to fit"
    return f"{found.name}: {said}: {_many(len(found.manifest), 'image')}, {', '.join(parts)}\n"


def _many(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def in_order(found: Inspection) -> list[Finding]:
    """Return the findings, the gravest first.

    Args:
        found: By the gate.
    """
    return sorted(found.findings, key=lambda finding: _ORDER.index(finding.severity))


def _findings(found: Inspection) -> str:
    width = max((len(finding.code) for finding in found.findings), default=0)
    return "".join(
        line
        for finding in in_order(found)
        for line in _finding(finding, width, finding.code in found.allowed)
    )


def _finding(finding: Finding, width: int, allowed: bool) -> Iterator[str]:
    """Yield the lines of a finding: what, where, what to do."""
    severity = "allowed" if allowed and finding.severity == "error" else finding.severity
    head = f"{severity:<7}  {finding.code:<{width}}  "
    indent = " " * len(head)
    yield from _wrapped(finding.message, head, indent)
    if finding.rows:
        shown = listed(finding.rows, _MOST_ROWS)
        yield from _wrapped(f"{'row' if len(finding.rows) == 1 else 'rows'} {shown}", indent, indent)
    for detail in finding.details[:_MOST_DETAILS]:
        yield from _wrapped(f"- {detail}", indent, f"{indent}  ")
    if len(finding.details) > _MOST_DETAILS:
        yield f"{indent}- and {len(finding.details) - _MOST_DETAILS} more\n"
    if finding.remedy:
        yield from _wrapped(f"-> {finding.remedy}", indent, f"{indent}   ")


def _wrapped(text: str, first: str, others: str) -> Iterator[str]:
    width = max(_WIDTH, len(others) + 50)
    lines = textwrap.wrap(
        text,
        width,
        initial_indent=first,
        subsequent_indent=others,
        break_long_words=False,
        break_on_hyphens=False,
    )
    yield from (f"{line}\n" for line in lines)


def _splits(audit: Mapping[str, Any]) -> str:
    origin = audit["split_origin"]
    lines = [*split_lines(audit["splits"]), *([f"splits: {origin}"] if origin else [])]
    return "".join(f"{line}\n" for line in lines)


def _flow(audit: Mapping[str, Any]) -> str:
    return "".join(f"not used: {step['images']} ({step['what']})\n" for step in audit.get("flow", ()))


def told_guess(guessed: Guess) -> str:
    """Return a guess as text, each part with its reason.

    Args:
        guessed: A recipe.
    """
    values: dict[str, Any] = {"task": guessed.task, "data.transforms": guessed.transforms}
    values |= {f"task.{key}": value for key, value in guessed.options.items()}
    columns = guessed.data.get("columns") or {}
    values |= {f"data.columns.{role}": name for role, name in columns.items()}
    values |= {"data.where": guessed.data["where"]} if "where" in guessed.data else {}
    lines = ["guessed, since no recipe was given (--write FILE.yaml keeps it):\n"]
    for key, value in values.items():
        shown = listed(value, 6) if isinstance(value, list) else value
        reason = guessed.reasons.get(key, "")
        lines += _wrapped(f"{key}: {shown}{f' ({reason})' if reason else ''}", "  ", "      ")
    return "".join(lines) + "\n"
