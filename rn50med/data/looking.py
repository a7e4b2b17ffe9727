"""Looks at one image for the check before training: enough to compare it, too little to draw it by."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from scipy.fft import dctn

from rn50med.data.images import Reading
from rn50med.data.pixels import GREY_WEIGHTS
from rn50med.data.readers import Image, Values, fingerprint
from rn50med.data.seen import Seen

_SIDE = 32  # pixels of the picture that is transformed
_KEPT = 8  # frequencies kept along each side
_COARSE = 4 * _SIDE  # whole pixels are summed down to this before the exact, slower step
_SAMPLED = 256  # pixels along the shorter side from which the spread is taken

_Floats = NDArray[np.float32]


def look(reading: Reading) -> Seen:
    """Return what the check keeps of an image.

    Args:
        reading: The image and the hash of its bytes.
    """
    image = _finite(reading.image)
    values = image.values
    low, high = float(values.min()), float(values.max())
    black, white = _range(image, low, high)
    step = max(1, min(values.shape[:2]) // _SAMPLED)
    sample = _shown(_grey(values[::step, ::step].astype(np.float32)), black, white)
    return Seen(
        content=reading.content,
        pixels=fingerprint(reading.image),
        look=perceptual_hash(image),
        low=low,
        high=high,
        spread=float(sample.std(dtype=np.float64)),
        coloured=_coloured(values),
        facts=image.facts,
    )


def perceptual_hash(image: Image) -> int:
    """Return 64 bits that alike pictures share: the signs of low frequencies about their median.

    The picture as it is displayed is reduced to 32 x 32 grey pixels. Of its cosine transform the
    frequencies 1 to 8 along both sides are kept, so that neither the mean brightness nor the
    contrast counts. What is constant has the hash 0.

    Args:
        image: Any size, depth and number of channels.

    Source:
        Zauner, *Implementation and benchmarking of perceptual image hash functions*, 2010, section
        3.2.1.

    Example:
        >>> from rn50med.data.readers import full_range
        >>> ramp = np.add.outer(np.arange(64), np.arange(64) ** 2 / 64).astype(np.uint8)
        >>> one, other = (perceptual_hash(full_range(values)) for values in (ramp, ramp + np.uint8(9)))
        >>> (one ^ other).bit_count(), perceptual_hash(full_range(ramp * 0))
        (0, 0)
    """
    image = _finite(image)
    values = image.values
    small = _reduced(_clipped(image))
    black, white = _range(image, float(values.min()), float(values.max()))
    waves = dctn(_shown(_grey(small), black, white), type=2, norm="ortho")[1 : _KEPT + 1, 1 : _KEPT + 1]
    waves = np.where(np.abs(waves) < 1e-4, 0, waves).ravel()  # rounding of a constant picture says nothing
    low, high = np.sort(waves)[_KEPT**2 // 2 - 1 : _KEPT**2 // 2 + 1]  # a fifth of the time of np.median
    return int.from_bytes(np.packbits(waves > (low + high) / 2).tobytes(), "big")


def _finite(image: Image) -> Image:
    """Return the image with every value a number; readers refuse others, and other sources may not."""
    if image.values.dtype.kind != "f" or np.isfinite(image.values).all():
        return image
    return Image(np.nan_to_num(image.values, posinf=0, neginf=0), image.black, image.white, image.facts)


def _range(image: Image, low: float, high: float) -> tuple[float, float]:
    """Return black and white, the lowest and highest value where nobody said."""
    if math.isnan(image.black) or math.isnan(image.white):
        return low, high
    return image.black, image.white


def _clipped(image: Image) -> Values:
    """Return the values without what a display cuts off, in their own type."""
    values: NDArray[Any] = image.values
    if math.isnan(image.black) or math.isnan(image.white):
        return values
    low, high = sorted((image.black, image.white))
    if values.dtype.kind != "f":
        kind = np.iinfo(values.dtype)
        low, high = max(math.floor(low), kind.min), min(math.ceil(high), kind.max)
        if low <= kind.min and high >= kind.max:
            return values
    return np.asarray(np.clip(values, low, high))


def _shown(values: _Floats, black: float, white: float) -> _Floats:
    """Return grey values as a display shows them, from 0 to 1."""
    if black == white:
        return np.zeros_like(values)
    return np.asarray(np.clip((values - np.float32(black)) / np.float32(white - black), 0, 1))


def _grey(values: _Floats) -> _Floats:
    return values if values.ndim == 2 else np.asarray(values @ np.array(GREY_WEIGHTS, dtype=np.float32))


def _coloured(values: Values) -> bool:
    if values.ndim == 2:
        return False
    red, green, blue = (values[..., channel] for channel in range(3))
    return not (np.array_equal(red, green) and np.array_equal(red, blue))


def _reduced(values: Values) -> _Floats:
    """Return means over equal areas, ``(32, 32)`` or ``(32, 32, 3)``."""
    if min(values.shape[:2]) > 2 * _COARSE:
        values = _coarse(values)
    if values.ndim == 2:
        return _box(values)
    return np.stack([_box(values[..., channel]) for channel in range(values.shape[2])], axis=-1)


def _coarse(values: Values) -> _Floats:
    """Return means over 128 x 128 areas of whole pixels, as even in size as can be."""
    kind = np.int64 if values.dtype.kind in "iu" else np.float64
    down, across = (np.linspace(0, side, _COARSE + 1).astype(np.intp) for side in values.shape[:2])
    bands = [values[start:end].sum(axis=0, dtype=kind) for start, end in pairwise(down.tolist())]
    sums = np.add.reduceat(np.stack(bands), across[:-1], axis=1)  # on whole images, ten times slower
    areas = np.multiply.outer(np.diff(down), np.diff(across))
    return np.asarray(sums / (areas if values.ndim == 2 else areas[..., None]), dtype=np.float32)


def _box(channel: Values) -> _Floats:
    picture = Pillow.fromarray(np.ascontiguousarray(channel, dtype=np.float32))
    small = picture.resize((_SIDE, _SIDE), Pillow.Resampling.BOX)
    return np.asarray(small, dtype=np.float32)
