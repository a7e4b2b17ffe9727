"""Near-duplicates across splits and patients: a warning, since films of two patients can look alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rn50med.data.audit.counting import MOST_DETAILS, lines_of, many, names_of
from rn50med.data.duplicates import NEAR, Near, near_duplicates
from rn50med.data.findings import Finding
from rn50med.data.manifest import Manifest
from rn50med.data.seen import Seen

FLAT = 0.01
"""Spread below which a picture has too little to tell it by."""


def near_findings(manifest: Manifest, seen: Sequence[Seen | None]) -> list[Finding]:
    """Report images that look nearly the same but are not equal, across splits or patients.

    Images of equal pixels count once, and pictures with nothing to tell them by are left out. So are
    synthetic films: each is drawn anew, and all have one anatomy.

    Args:
        manifest: With its splits.
        seen: What was seen of each image; None where it cannot be read.
    """
    if manifest.synthetic:
        return []
    told_apart = [(i, each) for i, each in enumerate(seen) if each is not None and each.spread >= FLAT]
    rows = np.array([i for i, _ in told_apart], dtype=np.int64)
    looks = np.array([each.look for _, each in told_apart], dtype=np.uint64)
    picture = _numbered([each.pixels for _, each in told_apart])
    first = np.unique(picture, return_index=True)[1]
    near = near_duplicates(looks[first])
    across = _apart(_of(manifest, "split", rows), picture, near.pairs)
    strangers = _apart(_of(manifest, "patient", rows), picture, near.pairs)
    told = near.pairs[across | strangers]
    if not len(told):
        return [] if near.complete else [_unfinished()]
    message = (
        f"{many(len(near.pairs), 'pair')} of images {'looks' if len(near.pairs) == 1 else 'look'} nearly the "
        f"same (perceptual hashes within {NEAR} of 64 bits): {int(across.sum())} across splits, "
        f"{int(strangers.sum())} of different patients.{_rest(near)}"
    )
    ordered = told[np.argsort(~across[across | strangers], kind="stable")][:MOST_DETAILS]
    finding = Finding(
        "near-duplicates",
        "warning",
        message,
        "look at them, and put what is one picture in one split",
        lines_of(manifest, rows[np.isin(picture, told)].tolist()),
        tuple(f"{names_of(manifest, pair)} look alike" for pair in rows[first][ordered].tolist()),
    )
    return [finding]


def _of(manifest: Manifest, column: str, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return a number for each cell of a column, -1 for empty ones."""
    cells = manifest.column(column)
    numbers = _numbered(cells)
    numbers[[not cell for cell in cells]] = -1
    return numbers[rows]


def _numbered(keys: Sequence[str]) -> NDArray[np.int64]:
    """Return a number for each key, in the order in which they first appear."""
    number: dict[str, int] = {}
    return np.array([number.setdefault(key, len(number)) for key in keys], dtype=np.int64)


def _apart(
    values: NDArray[np.int64], picture: NDArray[np.int64], pairs: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Return whether some copy of one picture of a pair has another value than some copy of the other."""
    known = values >= 0
    count = int(picture.max(initial=-1)) + 1
    least = np.full(count, np.iinfo(np.int64).max)
    most = np.full(count, -1, dtype=np.int64)
    np.minimum.at(least, picture[known], values[known])
    np.maximum.at(most, picture[known], values[known])
    one, other = pairs[:, 0], pairs[:, 1]
    told = (most[one] >= 0) & (most[other] >= 0)
    return np.asarray(told & (np.minimum(least[one], least[other]) != np.maximum(most[one], most[other])))


def _rest(near: Near) -> str:
    return "" if near.complete else " There are more: too many images look alike to list them all."


def _unfinished() -> Finding:
    message = "So many images look alike that near-duplicates could not all be searched for."
    return Finding("near-duplicates", "warning", message, "look for constant or empty images")
