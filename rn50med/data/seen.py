"""What the check before training keeps of each image: enough to compare it, too little to draw it."""

from __future__ import annotations

from dataclasses import dataclass

from rn50med.data.readers import Facts


@dataclass(frozen=True, slots=True)
class Seen:
    """One image, looked at once.

    Args:
        content: SHA-256 of its bytes.
        pixels: SHA-256 of its values, whatever file format held them.
        look: 64-bit perceptual hash: alike images differ in few bits.
        low: Smallest value.
        high: Largest value.
        spread: Standard deviation, as a share of the range from black to white, or of ``high - low`` where
            nobody said what black and white are.
        coloured: Whether its channels differ.
        facts: What the file says of itself.
    """

    content: str
    pixels: str
    look: int
    low: float
    high: float
    spread: float
    coloured: bool
    facts: Facts
