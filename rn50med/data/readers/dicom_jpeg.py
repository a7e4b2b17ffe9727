"""Whether a lossless JPEG frame is sound; its one free decoder ends Python, not itself, where it is not."""

from __future__ import annotations

from dataclasses import dataclass, field

LOSSLESS_FRAME, TABLES, SCAN, END_OF_IMAGE, RESTARTS = 0xC3, 0xC4, 0xDA, 0xD9, 0xDD
IGNORED = frozenset({*range(0xE0, 0xF0), 0xFE})  # what applications add, and comments
ADOBE = 0xEE  # says how colours were transformed: by 0, not at all; by 1, to luma and chroma
IN_DATA = frozenset({0x00, *range(0xD0, 0xD8)})  # what follows 0xFF inside of coded data


@dataclass
class _Frame:
    """What the segments of a frame have said so far."""

    is_rgb: bool
    tables: set[int] = field(default_factory=set)
    precision: int = 0
    components: set[int] = field(default_factory=set)
    scanned: set[int] = field(default_factory=set)


def is_sound(frame: bytes, samples: int, is_rgb: bool) -> bool:
    """Return whether every segment of a lossless JPEG frame says what it may (T.81, B.2 and H).

    Args:
        frame: From its first marker to its last.
        samples: Samples per pixel that it has to have.
        is_rgb: Whether they have to be red, green and blue.
    """
    seen, at = _Frame(is_rgb), 2
    while at + 4 <= len(frame) and frame[at] == 0xFF:
        marker = frame[at + 1]
        if marker == 0xFF:  # a filler
            at += 1
            continue
        if marker == END_OF_IMAGE:
            break
        length = int.from_bytes(frame[at + 2 : at + 4], "big")
        body, at = frame[at + 4 : at + 2 + length], at + 2 + length
        if len(body) != length - 2 or not _may(marker, body, seen, samples):
            return False
        if marker == SCAN:
            at = _next_marker(frame, at)
    whole = frame.startswith(b"\xff\xd8") and frame[at : at + 2] == b"\xff\xd9"
    return whole and len(seen.scanned) == samples


def _may(marker: int, body: bytes, seen: _Frame, samples: int) -> bool:
    """Return whether a segment says what it may, and remember what it says."""
    if marker == LOSSLESS_FRAME:
        return _frame_may(body, seen, samples)
    if marker == TABLES:
        return _tables_may(body, seen)
    if marker == SCAN:
        return _scan_may(body, seen)
    if marker == ADOBE and body.startswith(b"Adobe"):
        return len(body) == 12 and body[11] in {0, 1} and not (body[11] and seen.is_rgb)
    return marker in IGNORED or (marker == RESTARTS and len(body) == 2)


def _frame_may(body: bytes, seen: _Frame, samples: int) -> bool:
    if seen.components or len(body) != 6 + 3 * samples or body[5] != samples:
        return False
    seen.precision, seen.components = body[0], set(body[6::3])
    return 2 <= body[0] <= 16 and len(seen.components) == samples and set(body[7::3]) == {0x11}


def _tables_may(body: bytes, seen: _Frame) -> bool:
    while body:
        counts = body[1:17]
        codes = sum(count << (15 - at) for at, count in enumerate(counts))  # of all that 16 bits can be
        values = body[17 : 17 + sum(counts)]
        whole = len(counts) == 16 and len(values) == sum(counts) > 0
        if not whole or body[0] > 3 or codes > 1 << 16 or max(values) > 16:
            return False
        seen.tables.add(body[0])
        body = body[17 + len(values) :]
    return True


def _scan_may(body: bytes, seen: _Frame) -> bool:
    count = body[0] if body else 0
    if not count or len(body) != 4 + 2 * count:
        return False
    names, tables = body[1 : 1 + 2 * count : 2], body[2 : 2 + 2 * count : 2]
    first, last, shift = body[-3:]
    named = set(names) <= seen.components - seen.scanned and len(set(names)) == count
    tabled = all(table & 15 == 0 and table >> 4 in seen.tables for table in tables)
    seen.scanned |= set(names)
    return named and tabled and 1 <= first <= 7 and last == 0 and shift < seen.precision


def _next_marker(frame: bytes, at: int) -> int:
    """Return where coded data end."""
    at = frame.find(b"\xff", at)
    while at >= 0 and at + 1 < len(frame) and frame[at + 1] in IN_DATA:
        at = frame.find(b"\xff", at + 2)
    return at if at >= 0 else len(frame)
