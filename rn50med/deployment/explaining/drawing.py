"""Draws a heat map over its image, and writes what is found, for its owner alone."""

from __future__ import annotations

import os
import re
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL.PngImagePlugin import PngInfo

from rn50med.data.pixels import Pixels, as_grey
from rn50med.training.folder import PRIVATE

NOTICE = (
    "A heat map is not evidence of location: it shows what moved the model's score, which need not be where "
    "the finding is, nor what a reader would look at."
)
"""Said wherever heat maps are."""

COLOURS = "inferno"
"""Perceptually uniform: equal steps of importance look equal, in print and to the colour-blind too."""

OPAQUE = 0.6
"""Opacity of the most important place; the least important shows the image alone."""

OUTLINED = 0.1
"""Share of the pixels that the outline encloses: the most important ones."""

_OUTLINE = (0, 255, 255)  # cyan is neither a grey nor one of the map's colours
_STEM = 60  # characters of an image's name that a file's name keeps


def overlay(pixels: Pixels, heat: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return an image in grey under its heat map, the most important tenth outlined.

    Args:
        pixels: As displayed, ``(H, W)`` or ``(H, W, 3)``, 8 or 16 bits.
        heat: ``(H, W)``, from 0 to 1.

    Returns:
        ``(H, W, 3)``.

    Example:
        >>> drawn = overlay(np.full((4, 4), 7, np.uint8), np.zeros((4, 4), np.float32))
        >>> np.unique(drawn)
        array([7], dtype=uint8)
    """
    from matplotlib import colormaps  # noqa: PLC0415 - slow to import

    white = np.iinfo(pixels.dtype).max
    grey = (as_grey(pixels) * np.float32(255 / white))[..., None]
    table = np.asarray(colormaps[COLOURS](np.arange(256), bytes=True))[:, :3].astype(np.float32)
    opacity = (OPAQUE * heat)[..., None]
    drawn = (1 - opacity) * grey + opacity * table[np.rint(heat * 255).astype(np.intp)]
    picture = np.rint(drawn).astype(np.uint8)
    picture[_outline(heat)] = _OUTLINE
    return picture


def _outline(heat: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return the inner rim of the most important tenth, wider on larger images."""
    from scipy import ndimage  # noqa: PLC0415 - slow to import

    most = (heat >= np.quantile(heat, 1 - OUTLINED)) & (heat > 0)
    width = max(1, round(max(heat.shape) / 400))
    inside = ndimage.binary_erosion(most, iterations=width, border_value=True)
    return np.asarray(most & ~inside)


def stem_of(path: Path, number: int) -> str:
    """Return how the files of a map are called: its number, which no other has, and the image's name.

    Args:
        path: Of the image.
        number: Of the map, from 1.

    Example:
        >>> stem_of(Path("/data/site A/film 7 (left).dcm"), 12)
        '00012-film_7_left'
    """
    plain = re.sub(r"[^\w.-]+", "_", path.stem, flags=re.ASCII).strip("._")[:_STEM]
    return f"{number:05d}-{plain}" if plain else f"{number:05d}"


def write_map(folder: Path, stem: str, heat: NDArray[np.float32], picture: NDArray[np.uint8]) -> None:
    """Write a map as numbers and as a picture.

    Args:
        folder: Where.
        stem: Of both files' names.
        heat: ``(H, W)``.
        picture: Of `overlay`.
    """
    numbers, drawn, words = BytesIO(), BytesIO(), PngInfo()
    np.save(numbers, heat, allow_pickle=False)
    words.add_text("Comment", NOTICE)
    PillowImage.fromarray(picture).save(drawn, "PNG", pnginfo=words)
    _write(folder / f"{stem}.npy", numbers)
    _write(folder / f"{stem}.png", drawn)


def _write(path: Path, content: BytesIO) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, PRIVATE), "wb") as file:
        file.write(content.getbuffer())


_BINARY: Any = getattr(os, "O_BINARY", 0)  # Windows would change line ends
