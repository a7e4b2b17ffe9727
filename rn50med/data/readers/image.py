"""What a reader gives: values, what of them is black and what is white, and what the file says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rn50med.errors import DataError

Values = NDArray[Any]
"""Integers or floats, ``(H, W)`` or ``(H, W, 3)``; rows first, as the file shows them upright."""


class ImageFault(DataError):  # noqa: N818 - what is wrong with one image, raised or kept
    """An image that cannot be used; the message does not name it.

    Args:
        message: What was found, and what to do: ``is empty (0 bytes); copy the file again``.
        code: Stable name of the kind of fault, such as ``truncated``.
    """

    def __init__(self, message: str, code: str = "unreadable") -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Facts:
    """What a file says of itself: never a name, a date or a place.

    Args:
        format: ``PNG``, ``JPEG``, ``TIFF``, ``BMP``, ``WebP``, ``GIF``, ``DICOM``, ``NIfTI``, ``NumPy``,
            ``phantom``.
        mode: Pillow's mode, DICOM's photometric interpretation, or an array's type.
        bits: Bits of a sample that are used.
        height: Rows.
        width: Columns.
        channels: 1 or 3, as stored.
        rotated: Whether the file's header turned it.
        modality: DICOM's, such as ``DX``.
        view: DICOM's ViewPosition, such as ``PA``.
        presentation: DICOM's PresentationIntentType.
        burned_in: DICOM's BurnedInAnnotation, upper case; empty where it is not said.
        units: ``HU`` where values are Hounsfield units, else empty.
        notes: Codes of what was done that a reader of the report should know: ``cmyk``,
            ``sixteen-bit-colour`` (read at 8 bits), ``voi-lut`` (applied), ``no-window`` (none in the
            header), ``padding`` (darkened).
    """

    format: str
    mode: str
    bits: int
    height: int
    width: int
    channels: int
    rotated: bool = False
    modality: str = ""
    view: str = ""
    presentation: str = ""
    burned_in: str = ""
    units: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Image:
    """One image as it was read.

    Values are what the file means (after DICOM's modality LUT), not yet clipped or scaled. Black and white
    are the values that a display shows so; black is above white where low values are bright, as in
    MONOCHROME1.

    Args:
        values: Integers or floats, ``(H, W)`` or ``(H, W, 3)``.
        black: Value that is shown black; ``nan`` where nobody said.
        white: Value that is shown white; ``nan`` where nobody said.
        facts: What the file says of itself.
    """

    values: Values
    black: float
    white: float
    facts: Facts


def full_range(values: Values, format: str = "NumPy", mode: str = "") -> Image:
    """Return unsigned integers as an image whose black is 0 and whose white is the type's largest number.

    Args:
        values: ``uint8`` or ``uint16``, ``(H, W)`` or ``(H, W, 3)``.
        format: Where they come from.
        mode: As in `Facts`.
    """
    kind = np.iinfo(values.dtype)
    channels = 1 if values.ndim == 2 else values.shape[2]
    height, width = values.shape[:2]
    facts = Facts(format, mode or values.dtype.name, kind.bits, height, width, channels)
    return Image(values, 0.0, float(kind.max), facts)
