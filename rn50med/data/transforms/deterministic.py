"""The deterministic part as MONAI transforms: from what a reader gives to integers of one size.

The functions behind them are in `rn50med.data.pixels` and `rn50med.data.transforms.cropping`, without torch.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from monai.transforms import Transform
from torch import Tensor

from rn50med.data.pixels import (
    Pixels,
    Region,
    as_colour,
    as_grey,
    channels_first,
    display,
    resize,
    stretched,
    windowed,
)
from rn50med.data.readers.image import Image, ImageFault, full_range
from rn50med.data.readers.reader import Reader
from rn50med.data.transforms.cropping import bright_region
from rn50med.errors import DataError


class ReadImage(Transform):  # type: ignore[misc]
    """Read a file, known by its bytes; `Display`, `Window` or `Stretch` come next.

    Args:
        reader: Options of reading; the usual ones where it is not given.
    """

    def __init__(self, reader: Reader | None = None) -> None:
        self.reader = Reader() if reader is None else reader

    def __call__(self, data: Path | str) -> Image:
        """Read one file."""
        return self.reader.read(Path(data))


class Step(Transform):  # type: ignore[misc]
    """A step from what a reader gives to the pixels that a person would look at.

    It knows where its pixels come from, so that what is found on the result can be shown on the image.
    """

    def region(self, data: Image | Pixels) -> Region:
        """Return the rows and columns that are kept, unturned and at their size; all of them here.

        Args:
            data: What the step is given.
        """
        height, width = (data.values if isinstance(data, Image) else data).shape[:2]
        return slice(0, height), slice(0, width)


class Display(Step):
    """Show an image as its file means it: the file's black is 0, its white the largest number.

    Pixels of 8 or 16 bits without a reader's facts pass as they are, with black at 0.
    """

    def __call__(self, data: Image | Pixels) -> Pixels:
        """Show one image."""
        return display(data) if isinstance(data, Image) else _unsigned(data)


class Window(Step):
    """Show a window of Hounsfield units.

    What shows a window already passes as its own black and white say: PNG and the like, screenshots, and
    files whose range was given to the reader.

    Args:
        centre: Middle of the window in Hounsfield units.
        width: From black to white, in Hounsfield units, above 0.
    """

    def __init__(self, centre: float, width: float) -> None:
        self.centre = centre
        self.width = width

    def __call__(self, data: Image | Pixels) -> Pixels:
        """Show one image.

        Raises:
            ImageFault: If it is a DICOM image of other values, or nobody said what is black and white.
        """
        if not isinstance(data, Image):
            return _unsigned(data)
        if data.facts.units == "HU":
            return windowed(data, self.centre, self.width)
        kind = data.values.dtype
        spans_all = kind.kind == "u" and (data.black, data.white) == (0, np.iinfo(kind).max)
        if spans_all or data.facts.format != "DICOM":
            return display(data)
        raise ImageFault(
            f"holds {kind} values that are not said to be Hounsfield units; give CT with its rescale to "
            "them, or images that show one window",
            "no-hounsfield",
        )


class Stretch(Step):
    """Show an image between two of its own percentiles, as where values have no unit (MRI).

    Args:
        low: Percentile that becomes black, from 0.
        high: Percentile that becomes white, to 100.
    """

    def __init__(self, low: float, high: float) -> None:
        self.low = low
        self.high = high

    def __call__(self, data: Image | Pixels) -> Pixels:
        """Show one image."""
        image = data if isinstance(data, Image) else full_range(_unsigned(data))
        return stretched(image, self.low, self.high)


class CropBright(Step):
    """Cut off the dark round the largest bright region; see `rn50med.data.transforms.cropping`.

    Args:
        threshold: Brightness that counts as bright, as a share of white.
    """

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold

    def region(self, data: Image | Pixels) -> Region:
        """Return the rows and columns of the largest bright region."""
        return bright_region(Display()(data), self.threshold)

    def __call__(self, data: Pixels) -> Pixels:
        """Cut one image, ``(H, W)`` or ``(H, W, 3)``."""
        return data[self.region(data)]


class Square(Transform):  # type: ignore[misc]
    """Bring pixels to ``(C, size, size)``, integers still.

    Args:
        size: Side in pixels.
        channels: 1 for grey, 3 for colour.
    """

    def __init__(self, size: int, channels: int) -> None:
        self.size = size
        self.channels = channels

    def __call__(self, data: Image | Pixels) -> Pixels:
        """Convert one image, ``(H, W)`` or ``(H, W, 3)``; what a reader gave is displayed first."""
        shown = Display()(data)
        pixels = as_grey(shown) if self.channels == 1 else as_colour(shown)
        return channels_first(resize(pixels, self.size))


class Unit(Transform):  # type: ignore[misc]
    """Scale integers by their bit depth to 32-bit floats in [0, 1]."""

    def __call__(self, data: Pixels) -> Tensor:
        """Scale one image, ``(C, H, W)``."""
        scaled = np.asarray(data, dtype=np.float32) / np.float32(np.iinfo(data.dtype).max)
        return torch.from_numpy(scaled)


class Clip(Transform):  # type: ignore[misc]
    """Clip to [0, 1], and give a plain tensor."""

    def __call__(self, data: Tensor) -> Tensor:
        """Clip one image."""
        return data.as_subclass(Tensor).clamp(0.0, 1.0)


def _unsigned(data: Pixels) -> Pixels:
    """Refuse numbers whose black and white nobody said."""
    if data.dtype in (np.uint8, np.uint16):
        return data
    raise DataError(
        f"is an array of {data.dtype}, whose black and white are not known; give uint8 or uint16, or an Image"
    )
