"""Leakage: what stands in two splits and must not, and copies that stand in one."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from rn50med.data.audit.counting import MOST_DETAILS, Hashed, groups, lines_of, many, names_of, studies
from rn50med.data.findings import Finding
from rn50med.data.manifest import Manifest
from rn50med.data.splits import SPLITS
from rn50med.errors import listed

_ONE_SPLIT = "put all images of a {} in one split, or the test score is of patients seen in training"


def leakage(manifest: Manifest, seen: Sequence[Hashed | None]) -> list[Finding]:
    """Report patients, studies and copies of an image that stand in two splits.

    Args:
        manifest: With its splits; an image without one is in none.
        seen: What was seen of each image; None where it cannot be read.
    """
    found = [_keyed(manifest, [name or None for name in manifest.column("patient")], "patient", "patients")]
    found.append(_keyed(manifest, studies(manifest), "study", "studies"))
    found.append(
        _copies_across(
            manifest, [each.content if each else None for each in seen], "identical-leak", "byte-identical"
        )
    )
    found.append(_copies_across(manifest, _pixels_beyond_bytes(seen), "pixels-leak", "pixel-identical"))
    return [finding for finding in found if finding is not None]


def copies(manifest: Manifest, seen: Sequence[Hashed | None], given: Sequence[str]) -> list[Finding]:
    """Report groups of images that are identical in bytes, and of those identical in pixels alone.

    Args:
        manifest: The images.
        seen: What was seen of each; None where it cannot be read.
        given: Split of each image as the source gives it, or the made one where it gives none.
    """
    alike = [each.content if each else None for each in seen]
    return [
        *_copies(manifest, alike, given, "identical-images", "byte-identical images"),
        *_copies(
            manifest, _pixels_beyond_bytes(seen), given, "identical-pixels",
            "images of equal pixels in files of other bytes",
        ),
    ]  # fmt: skip


def _in_two(manifest: Manifest, members: dict[str, list[int]]) -> Iterator[tuple[str, list[int], str]]:
    """Yield each key in two splits, its images, and the splits."""
    splits = manifest.column("split")
    for key, positions in members.items():
        where = {splits[position] for position in positions} - {""}
        if len(where) > 1:
            yield key, positions, ", ".join(sorted(where))


def _keyed(manifest: Manifest, keys: Sequence[str | None], what: str, plural: str) -> Finding | None:
    """Report patients or studies that stand in two splits."""
    found = list(_in_two(manifest, groups(keys)))
    if not found:
        return None
    verb = "stands" if len(found) == 1 else "stand"
    return Finding(
        f"{what}-leak",
        "error",
        f"{many(len(found), what, plural)} {verb} in more than one split.",
        _ONE_SPLIT.format(what),
        lines_of(manifest, (row for _, rows, _ in found for row in rows)),
        tuple(
            f"{what} {key!r} is in splits {where} {_rows(manifest, rows)}"
            for key, rows, where in found[:MOST_DETAILS]
        ),
    )


def _copies_across(manifest: Manifest, keys: Sequence[str | None], code: str, kind: str) -> Finding | None:
    """Report copies of an image that stand in two splits."""
    found = list(_in_two(manifest, groups(keys)))
    if not found:
        return None
    verb = "stands" if len(found) == 1 else "stand"
    return Finding(
        code,
        "error",
        f"{many(len(found), f'group of {kind} images', f'groups of {kind} images')} {verb} in more than "
        "one split.",
        "put all copies of an image in one split, or keep one of them",
        lines_of(manifest, (row for _, rows, _ in found for row in rows)),
        tuple(
            f"images {names_of(manifest, rows)} are {kind.split('-')[1]} and in splits {where} "
            f"{_rows(manifest, rows)}"
            for _, rows, where in found[:MOST_DETAILS]
        ),
    )


def _rows(manifest: Manifest, positions: Sequence[int]) -> str:
    return f"(rows {listed(lines_of(manifest, positions), 6)})"


def _pixels_beyond_bytes(seen: Sequence[Hashed | None]) -> list[str | None]:
    """Return the hash of an image's values where files of other bytes have it too, else None."""
    contents: dict[str, set[str]] = defaultdict(set)
    for each in seen:
        if each is not None:
            contents[each.pixels].add(each.content)
    return [each.pixels if each is not None and len(contents[each.pixels]) > 1 else None for each in seen]


def _copies(
    manifest: Manifest, keys: Sequence[str | None], given: Sequence[str], code: str, kind: str
) -> list[Finding]:
    found = [rows for rows in groups(keys).values() if len(rows) > 1]
    if not found:
        return []
    patients = manifest.column("patient")
    inside = Counter(split for rows in found for split in {given[row] for row in rows})
    joined = sum(len({patients[row] for row in rows}) > 1 for rows in found)
    where = ", ".join(f"{inside[split]} inside {split}" for split in SPLITS if inside[split])
    apart = any(len({given[row] for row in rows}) > 1 for rows in found)
    message = (
        f"{len(found)} groups of {kind}{f': {where}' if where else ''}; {joined} of them "
        f"{'joins' if joined == 1 else 'join'} different patients."
        f"{'' if apart else ' Each group is kept in one split.'}"
    )
    details = tuple(f"{names_of(manifest, rows)} are copies" for rows in found[:MOST_DETAILS])
    rows = lines_of(manifest, (row for rows in found for row in rows))
    return [Finding(code, "warning", message, "keep one of each group", rows, details)]
