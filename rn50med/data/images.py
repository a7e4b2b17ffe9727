"""Where the pixels of a source are, by the names that its manifest gives them."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rn50med.data.readers import Image, Reader


@dataclass(frozen=True)
class Reading:
    """One image as it was read.

    Args:
        image: Its values.
        content: SHA-256 of its bytes.
    """

    image: Image
    content: str


class Images(ABC):
    """The images of a source."""

    @abstractmethod
    def read(self, name: str) -> Reading:
        """Read one image.

        Args:
            name: As the manifest calls it.

        Raises:
            ImageFault: If it cannot be used; the message does not name it.
        """

    @abstractmethod
    def identity(self, name: str) -> str | None:
        """Return text that stays the same as long as the image does, without reading it.

        The cache keeps what it knows of an image under a hash of this text; it never holds the text.

        Args:
            name: As the manifest calls it.

        Returns:
            The text; None where nothing can be said, so that the image is read each time.
        """

    def size(self, name: str) -> int | None:
        """Return the bytes that an image's file has, without reading it.

        Args:
            name: As the manifest calls it.

        Returns:
            Their number; None where the image has no file of its own, or it is not there.
        """
        return None

    @property
    def contract(self) -> Mapping[str, object]:
        """What turns bytes to values, in plain types; another contract is another cache."""
        return {}


def file_state(path: Path) -> str | None:
    """Return text that another content of a file changes; None where there is no such file.

    Size, number and time of modification do not do: an archive restores the time, and a file system gives a
    number again. The time of the last change of the file's entry nobody can set.

    Args:
        path: The file.
    """
    try:
        found = path.stat()
    except (OSError, ValueError):  # the second of a name that holds a zero byte
        return None
    times = f"{found.st_mtime_ns}\0{found.st_ctime_ns}"
    return f"{path.absolute()}\0{found.st_size}\0{times}\0{found.st_ino}"


class Files(Images):
    """Image files below a folder.

    Args:
        root: Folder that names are relative to; an absolute name stands for itself.
        reader: Reads them.
    """

    def __init__(self, root: Path, reader: Reader) -> None:
        self.root = root
        self.reader = reader

    def read(self, name: str) -> Reading:
        """Read one file; its bytes are read once."""
        content = self.reader.open(self.root / name)
        return Reading(self.reader.decode(content), hashlib.sha256(content).hexdigest())

    def identity(self, name: str) -> str | None:
        """Return place, size and time of change."""
        state = file_state(self.root / name)
        return None if state is None else f"file\0{state}"

    def size(self, name: str) -> int | None:
        """Return what the file system says."""
        try:
            return (self.root / name).stat().st_size
        except (OSError, ValueError):  # the second of a name that holds a zero byte
            return None

    @property
    def contract(self) -> Mapping[str, object]:
        """The reader's."""
        return self.reader.contract
