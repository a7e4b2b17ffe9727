"""What was seen of an image, as text for the index."""

from __future__ import annotations

import json
from dataclasses import asdict

from rn50med.data.readers import Facts
from rn50med.data.seen import Seen


def as_record(seen: Seen) -> str:
    """Return what was seen as JSON.

    Args:
        seen: Of an image.
    """
    return json.dumps(asdict(seen), sort_keys=True)


def from_record(record: str, shared: dict[Facts, Facts]) -> Seen:
    """Return what was seen.

    Args:
        record: As `as_record` gave it.
        shared: Facts met so far: those of most files are equal, and 100,000 copies take much memory.
    """
    plain = json.loads(record)
    facts = plain.pop("facts")
    facts["notes"] = tuple(facts["notes"])
    met = Facts(**facts)
    return Seen(facts=shared.setdefault(met, met), **plain)
