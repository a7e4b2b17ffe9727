"""Fetching one published file, whole and verified, or not at all."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from functools import partial
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from tempfile import NamedTemporaryFile
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from rn50med.errors import DataError, OfflineError, StorageError
from rn50med.network import is_offline, within

_CHUNK = 2**20


def download(url: str, md5: str, target: Path, seconds: float = 30.0) -> None:
    """Fetch a file to a temporary one beside its place, verify it, and put it there.

    Args:
        url: Its address, with ``http://`` or ``https://``.
        md5: Checksum that was published with it.
        target: Where it belongs. Nothing is left there, or beside it, unless all of it is right.
        seconds: The longest to wait for an answer, and for each piece of the file.

    Raises:
        OfflineError: If rn50med is offline, or nobody gives the whole file.
        DataError: If what came is not the file that was published.
        StorageError: If it cannot be written.
    """
    elsewhere = f"fetch {url} (MD5 {md5}) on a connected machine and put it at {target}."
    if is_offline():
        raise OfflineError(f"{target.name}: is not there, and rn50med is offline; {elsewhere}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        found = _put(url, target, md5, seconds)
    except OfflineError as error:
        raise OfflineError(f"{target.name}: could not be had ({error}); {elsewhere}") from error
    except OSError as error:
        raise StorageError(
            f"{target.parent}: {target.name} cannot be written there ({error.strerror}); give another folder "
            "with --data.root DIR."
        ) from error
    if found != md5:
        raise DataError(
            f"{target.name}: {url} gave a file with the MD5 {found} in place of {md5} (a log-in page?); "
            f"it was thrown away: run again, or {elsewhere}"
        )


def _put(url: str, target: Path, md5: str, seconds: float) -> str:
    """Fetch a file and return its MD5; it is put in its place if this is the right one."""
    digest = hashlib.md5(usedforsecurity=False)
    with NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as file:
        beside = Path(file.name)
    try:
        with beside.open("wb") as file:
            for piece in _pieces(url, target.name, seconds):
                digest.update(piece)
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        if digest.hexdigest() == md5:
            os.replace(beside, target)
    finally:
        beside.unlink(missing_ok=True)
    return digest.hexdigest()


def _pieces(url: str, name: str, seconds: float) -> Iterator[bytes]:
    """Yield what an address gives, to the last byte that was promised.

    Raises:
        OfflineError: With the reason alone, whatever it was.
    """
    size, promised = 0, 0
    try:
        if urlsplit(url).scheme not in {"http", "https"}:
            raise OfflineError("it is no web address")
        answer: HTTPResponse = within(seconds, partial(urlopen, url, timeout=seconds))
        promised = int(answer.headers.get("Content-Length") or 0)
        with answer, _progress() as progress:
            task = progress.add_task(name, total=promised or None)
            while piece := answer.read(_CHUNK):
                size += len(piece)
                progress.update(task, completed=size)
                yield piece
    except HTTPError as error:
        raise OfflineError(f"the server says {error.code} {error.reason}") from error
    except TimeoutError as error:
        raise OfflineError(f"nothing came for {seconds:g} s") from error
    except (URLError, HTTPException, ConnectionError, ValueError) as error:
        raise OfflineError(" ".join(str(getattr(error, "reason", error)).split())) from error
    if size < promised:
        raise OfflineError(f"the transfer broke off after {size} of {promised} bytes")


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    quiet = not sys.stderr.isatty()
    return Progress(*columns, console=Console(stderr=True), transient=True, disable=quiet)
