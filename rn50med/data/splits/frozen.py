"""A file of splits that a later run can be held to: hashes of images alone, no name and no patient."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rn50med.data.splits.plan import SPLITS
from rn50med.errors import DataError, StorageError

_FORMAT = 1
_HASH = re.compile(r"[0-9a-f]{64}")
_OTHERWISE = "or leave out --data.split_file to have splits made anew."


@dataclass(frozen=True)
class FrozenSplits:
    """Splits that were written down.

    Args:
        name: Name of the file, for messages.
        splits: train, val or test by the SHA-256 of an image's bytes.
        origin: Where they came from, a sentence.
        seed: Of those that were made.
        sha256: Hash of ``splits``.
    """

    name: str
    splits: Mapping[str, str]
    origin: str
    seed: int
    sha256: str


def splits_hash(splits: Mapping[str, str]) -> str:
    """Return the SHA-256 of which image is in which split, whatever their order.

    Args:
        splits: Split by the SHA-256 of an image's bytes.
    """
    lines = "".join(f"{content} {split}\n" for content, split in sorted(splits.items()))
    return hashlib.sha256(lines.encode("utf-8")).hexdigest()


def write_splits(path: Path, contents: Sequence[str], splits: Sequence[str], origin: str, seed: int) -> str:
    """Write splits down, the same bytes on every machine, and return their hash.

    Args:
        path: Of the file; one that is there is replaced, in one step.
        contents: SHA-256 of each image's bytes.
        splits: train, val or test, for each image.
        origin: Where they come from, a sentence.
        seed: Of those that were made.

    Raises:
        DataError: If identical images are in two splits, which a file of hashes cannot say.
        StorageError: If the file cannot be written.
    """
    kept = dict(zip(contents, splits, strict=True))
    if torn := {content for content, split in zip(contents, splits, strict=True) if kept[content] != split}:
        count = f"{len(torn)} image{' has' if len(torn) == 1 else 's have'}"
        raise DataError(
            f"{path.name}: {count} identical copies in another split, so that no file can "
            "hold later runs to these splits; keep all copies of an image in one split."
        )
    digest = splits_hash(kept)
    facts = {"format": _FORMAT, "sha256": digest, "origin": origin, "seed": seed, "splits": kept}
    # ASCII, sorted and with one kind of line end: no locale or platform shows in the bytes
    _write(path, (json.dumps(facts, indent=1, sort_keys=True) + "\n").encode("ascii"))
    return digest


def _write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    try:
        handle, draft = tempfile.mkstemp(dir=path.parent, prefix=".splits-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            os.replace(draft, path)
        except BaseException:
            os.unlink(draft)
            raise
    except OSError as error:
        raise StorageError(
            f"{path}: cannot be written ({error.strerror or error}); choose another place or make room."
        ) from error


def read_splits(path: Path) -> FrozenSplits:
    """Read splits that were written down.

    Args:
        path: Of the file.

    Raises:
        StorageError: If there is no such file, or it is none of ours.
        DataError: If its splits are no longer those that its hash was taken of.
    """
    try:
        facts = json.loads(path.read_bytes().decode("utf-8"))
    except OSError as error:
        raise StorageError(
            f"{path}: cannot be read ({error.strerror or error}); name a file of splits that a run wrote, "
            f"{_OTHERWISE}"
        ) from error
    except (ValueError, RecursionError) as error:
        raise StorageError(
            f"{path}: is no file of splits; name one that a run wrote, {_OTHERWISE}"
        ) from error
    if (fault := _fault(facts)) is not None:
        raise StorageError(f"{path}: {fault}; name a file of splits that a run wrote, {_OTHERWISE}")
    found = splits_hash(facts["splits"])
    if found != facts["sha256"]:
        raise DataError(
            f"{path}: was changed after it was written: its splits have the hash {found[:12]}, and it says "
            f"{facts['sha256'][:12]}; take the file as it was, {_OTHERWISE}"
        )
    return FrozenSplits(path.name, facts["splits"], facts["origin"], facts["seed"], found)


def _fault(facts: Any) -> str | None:
    """Return what keeps a file's content from being splits, or None."""
    if not isinstance(facts, dict) or "format" not in facts:
        return "is no file of splits"
    if facts["format"] != _FORMAT:
        return f"has format {facts['format']!r}, and this version of rn50med reads format {_FORMAT}"
    kinds = {"sha256": str, "origin": str, "seed": int, "splits": dict}
    if wrong := [key for key, kind in kinds.items() if not isinstance(facts.get(key), kind)]:
        return f"has no {' and no '.join(wrong)} that could be used"
    if any(split not in SPLITS or not _HASH.fullmatch(content) for content, split in facts["splits"].items()):
        return "has entries that are not the hash of an image with train, val or test"
    return None


def hold_to(frozen: FrozenSplits, contents: Sequence[str]) -> list[str]:
    """Return the split that was written down for each image.

    Args:
        frozen: The splits.
        contents: SHA-256 of each image's bytes.

    Raises:
        DataError: If the images are not those that the splits were written down for, with how many are not.
    """
    unknown = sum(content not in frozen.splits for content in contents)
    missing = len(frozen.splits.keys() - set(contents))
    faults = []
    if unknown:
        faults.append(
            f"{unknown} of the source's {len(contents)} images {'is' if unknown == 1 else 'are'} not in this "
            f"file of splits; take {'it' if unknown == 1 else 'them'} out of the source, {_OTHERWISE}"
        )
    if missing:
        faults.append(
            f"{missing} of the {len(frozen.splits)} images in this file of splits "
            f"{'is' if missing == 1 else 'are'} not in the source; bring {'it' if missing == 1 else 'them'} "
            f"back, {_OTHERWISE}"
        )
    if faults:
        sentences = " ".join(
            fault[0].upper() + fault[1:] if number else fault for number, fault in enumerate(faults)
        )
        raise DataError(f"{frozen.name}: {sentences}")
    return [frozen.splits[content] for content in contents]
