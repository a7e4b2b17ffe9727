"""Files that were damaged on their way."""

from __future__ import annotations

from hypothesis import strategies as st


def damaged(content: bytes, data: st.DataObject, start: int = 0, header: int = 64, most: int = 3) -> bytes:
    """Return a file with a few bytes changed, and perhaps cut off.

    Args:
        content: The sound file.
        data: What draws.
        start: First byte of its header, where damage leads far, so that half of the changes are there.
        header: Where the header ends.
        most: Bytes that are changed at most.
    """
    changed = bytearray(content)
    for _ in range(data.draw(st.integers(1, most))):
        in_header = st.integers(start, min(len(changed), header) - 1)
        at = data.draw(in_header | st.integers(0, len(changed) - 1))
        changed[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.just(len(changed)) | st.integers(0, len(changed)))
    return bytes(changed[:cut])
