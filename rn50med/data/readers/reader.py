"""The reader: which of a file's numbers are its pixels, by options that a checkpoint remembers."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from rn50med.data.readers import arrays, dicom, nifti, pillow
from rn50med.data.readers.checks import refuse_kind
from rn50med.data.readers.image import Image, ImageFault

CONTRACT = 1
"""Version of what the readers make of bytes; another one is another cache, and is told at prediction."""


class Family(Protocol):
    """What a module of a family of formats has."""

    def reads(self, head: bytes) -> bool:
        """Return whether a file with these first bytes is of the family."""

    def decode(self, content: bytes, options: Reader) -> Image:
        """Return the image, or raise `ImageFault`."""


FAMILIES: tuple[Family, ...] = (dicom, pillow, nifti, arrays)
"""One module per family of formats: ``reads(head)`` knows its own first bytes, ``decode`` reads the whole.

DICOM is asked first, as the 128 bytes before its mark may be those of a TIFF. A new format is a file here
and its name in this tuple. Libraries are imported when such a file is met.
"""

HEAD = 1024
"""Bytes that tell what a file is; a NIfTI's mark ends at byte 348."""

BYTES_PER_PIXEL = 16
"""Largest file per pixel that may be decoded: twice a volume of 64-bit floats."""


@dataclass(frozen=True)
class Reader:
    """Reads image files, known by their bytes and not by their names.

    Args:
        voi: What DICOM (and NIfTI) shows: the `header`'s VOI LUT or window, or `none`, all the values that
            the header allows for.
        window: Centre and width to show in place of the header's, in its units; from half the width below
            the centre to half the width above. Of grey DICOM and NIfTI.
        frame: Frame of a file that holds several (DICOM, TIFF, GIF, WebP), from 0; needed for these.
        slice: Slice along the last axis of a volume (NIfTI, ``.npy``), from 0; needed for these.
        range: Values that are black and white, for floats and signed integers that do not say.
        most_megapixels: Largest image that is decoded; larger ones are refused from their header. Of a
            DICOM file and a TIFF one frame counts, of a volume all of it.
    """

    voi: Literal["header", "none"] = "header"
    window: tuple[float, float] | None = None
    frame: int | None = None
    slice: int | None = None
    range: tuple[float, float] | None = None
    most_megapixels: int = 200

    @property
    def contract(self) -> Mapping[str, Any]:
        """What turns bytes to values, in plain types; not what is refused."""
        options = {name: value for name, value in asdict(self).items() if name != "most_megapixels"}
        return {"version": CONTRACT, **options}

    def read(self, path: Path) -> Image:
        """Read a file.

        Args:
            path: The file.

        Raises:
            ImageFault: If it cannot be used; the message does not name it.
        """
        return self.decode(self.open(path))

    def open(self, path: Path) -> bytes:
        """Return the bytes of a file.

        Args:
            path: The file.

        Raises:
            ImageFault: If it is not there, is none, cannot be opened, is empty, or is too large to be an
                image that would be decoded.
        """
        try:
            self._check_file(path)
            content = path.read_bytes()
        except FileNotFoundError:
            raise ImageFault("is not there", "missing") from None
        except ImageFault:
            raise
        except (OSError, ValueError) as error:  # the second of a name that holds a zero byte
            reason = getattr(error, "strerror", None) or error
            raise ImageFault(f"cannot be opened ({reason})", "cannot-open") from error
        if not content:
            refuse_kind(content)
        return content

    def _check_file(self, path: Path) -> None:
        """Refuse what is no file, or larger than any image that would be decoded, before it is read."""
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):  # reading a pipe might never end
            kind = "a folder" if stat.S_ISDIR(found.st_mode) else "no regular file"
            raise ImageFault(f"cannot be opened (it is {kind})", "cannot-open")
        if found.st_size > self.most_megapixels * 1_000_000 * BYTES_PER_PIXEL:
            raise ImageFault(
                f"is a file of {found.st_size / 1e9:.1f} GB; --data.reader.most_megapixels allows "
                f"{self.most_megapixels} million pixels; raise it if the image is right",
                "too-large",
            )

    def decode(self, content: bytes) -> Image:
        """Return the image that bytes hold.

        Several threads may decode at once.

        Args:
            content: All bytes of a file.

        Raises:
            ImageFault: If they are no image that can be used.
        """
        head = content[:HEAD]
        for family in FAMILIES:
            if family.reads(head):
                return family.decode(content, self)
        return refuse_kind(content)
