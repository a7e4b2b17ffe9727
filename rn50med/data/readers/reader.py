"""The reader: which of a file's numbers are its pixels, by options that a checkpoint remembers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rn50med.data.readers.image import Image
from rn50med.parts import Part

CONTRACT = 1
"""Version of what the readers make of bytes; another one is another cache, and is told at prediction."""


@dataclass(frozen=True)
class Reader(Part):
    """Reads image files, known by their bytes and not by their names.

    Args:
        voi: What DICOM shows: the `header`'s VOI LUT or window, or `none`, all the values there are.
        window: Centre and width to show in place of the header's.
        frame: Frame of a file that holds several (DICOM, TIFF, GIF), from 0; needed for these.
        slice: Slice along the last axis of a volume (NIfTI, ``.npy``), from 0; needed for these.
        range: Values that are black and white, for floats and signed integers that do not say.
        most_megapixels: Largest image that is decoded; larger ones are refused from their header.
    """

    voi: Literal["header", "none"] = "header"
    window: tuple[float, float] | None = None
    frame: int | None = None
    slice: int | None = None
    range: tuple[float, float] | None = None
    most_megapixels: int = 200

    @property
    def contract(self) -> Mapping[str, Any]:
        """What turns bytes to values, in plain types."""
        return {"version": CONTRACT, **self.specification()["init_args"]}

    def read(self, path: Path) -> Image:
        """Read a file.

        Args:
            path: The file.

        Raises:
            ImageFault: If it cannot be used; the message does not name it.
        """
        return self.decode(self.open(path))

    def open(self, path: Path) -> bytes:
        """Return the bytes of a file."""
        raise NotImplementedError

    def decode(self, content: bytes) -> Image:
        """Return the image that bytes hold."""
        raise NotImplementedError
