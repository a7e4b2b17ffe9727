"""What is to be done with images: looked at and prepared, each once, in parallel."""

from __future__ import annotations

import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from statistics import median
from time import perf_counter
from typing import TypeVar

from rn50med.data.cache.stored import Prepare, PreparedImages, prepared
from rn50med.data.images import Images
from rn50med.data.looking import look
from rn50med.data.pixels import Pixels
from rn50med.data.readers import ImageFault
from rn50med.data.seen import Seen

AHEAD = 8
"""Groups that each thread may be ahead of the writer: memory stays bounded."""

GROUP = 8
"""Images that a thread takes at once, so that small ones are worth the hand-over."""

TRIED = 15
"""Images that are read one by one first, to see how long one takes."""

SMALL = 0.001
"""Seconds below which an image is small: threads would mostly wait for each other (measured at 28 px: one
thread takes 0.3 ms for an image, two take 0.8)."""

_FORMAT = 1
"""Of the index and its records."""

_LIBRARIES = (
    "numpy", "pillow", "scipy", "pydicom", "nibabel", "python-gdcm", "pylibjpeg-openjpeg", "pyjpegls",
)  # fmt: skip
"""What values or prepared pixels can depend on."""

T = TypeVar("T")
S = TypeVar("S")
Progress = Callable[[int], None]
"""Told of so many more images that are done."""


@dataclass(frozen=True)
class Work:
    """Images, and what is to be made of them.

    Args:
        images: Of the source.
        names: Of the images, in the order of the manifest.
        prepare: The deterministic part of the transforms.
        preparation: What identifies that part, in plain types.
    """

    images: Images
    names: Sequence[str]
    prepare: Prepare
    preparation: Mapping[str, object]

    def keys(self) -> list[bytes | None]:
        """Return the key of what was seen of each image; None where its identity is not known."""
        contract = self.contract
        identities = (self.images.identity(name) for name in self.names)
        return [None if text is None else _hash(contract, text) for text in identities]

    @cached_property
    def contract(self) -> str:
        """Everything that makes values of bytes: the readers' options and the libraries behind them."""
        libraries = {name: _version(name) for name in _LIBRARIES}
        return json.dumps([_FORMAT, dict(self.images.contract), libraries], sort_keys=True)

    @cached_property
    def _prepared_by(self) -> str:
        return self.contract + json.dumps(dict(self.preparation), sort_keys=True)

    def prepared_key(self, seen: Seen) -> bytes:
        """Return the key of the prepared pixels of an image.

        Args:
            seen: What was seen of it.
        """
        return _hash(self._prepared_by, seen.content)


@dataclass(frozen=True)
class Outcome:
    """What came of reading.

    Args:
        seen: What was seen of each image, or what is wrong with it.
        images: Prepared; those alone that nothing is wrong with, in their order.
        known: Images of which the cache knew everything.
    """

    seen: tuple[Seen | ImageFault, ...]
    images: PreparedImages
    known: int


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # a decoder that is not there
        return ""


def _hash(*parts: str) -> bytes:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).digest()


def read_all(work: Work, rows: Iterable[int]) -> Iterator[tuple[Seen | ImageFault, Pixels | None]]:
    """Read, look at and prepare images in parallel; give them in order."""

    def read(row: int) -> tuple[Seen | ImageFault, Pixels | None]:
        try:
            reading = work.images.read(work.names[row])
            return look(reading), prepared(reading.image, work.prepare)
        except ImageFault as fault:
            return fault, None

    todo = list(rows)
    spent = []
    for row in todo[:TRIED]:
        start = perf_counter()
        outcome = read(row)
        spent.append(perf_counter() - start)
        yield outcome
    rest = todo[TRIED:]
    if rest and median(spent) < SMALL:
        yield from map(read, rest)
        return
    threads = os.cpu_count() or 1
    with ThreadPoolExecutor(max_workers=threads) as pool:
        yield from _in_order(pool, read, rest, threads * AHEAD)


def _in_order(
    pool: ThreadPoolExecutor, work: Callable[[T], S], items: Sequence[T], ahead: int
) -> Iterator[S]:
    groups = (items[start : start + GROUP] for start in range(0, len(items), GROUP))
    waiting = deque()  # type: ignore[var-annotated]
    for group in groups:
        waiting.append(pool.submit(lambda some: [work(item) for item in some], group))
        if len(waiting) >= ahead:
            yield from waiting.popleft().result()
    while waiting:
        yield from waiting.popleft().result()
