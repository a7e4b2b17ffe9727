"""A fingerprint of what an image shows, whatever file held it."""

from __future__ import annotations

import hashlib

import numpy as np

from rn50med.data.readers.image import Image, Values

_TYPES = (np.uint8, np.uint16, np.int16, np.int32)


def fingerprint(image: Image) -> str:
    """Return SHA-256 of an image's values, equal for equal pictures in different files.

    Hashed are height, width, the number of channels and the values, row by row, in the smallest of ``uint8``,
    ``uint16``, ``int16``, ``int32`` and ``int64`` that holds them all, or else as 32-bit floats; all little
    endian. Three equal channels count as one. Black and white are left out: one film exported with two
    windows is one picture. A rescaled copy (8 bits spread over 16, or another size) is another picture.

    Args:
        image: As it was read.

    Example:
        >>> from rn50med.data.readers.image import full_range
        >>> grey = np.arange(6, dtype=np.uint8).reshape(2, 3)
        >>> colour = np.repeat(grey[..., None], 3, axis=2)
        >>> fingerprint(full_range(grey)) == fingerprint(full_range(colour.astype(np.uint16)))
        True
    """
    values = _one_channel(image.values)
    plain = _smallest(values)
    digest = hashlib.sha256(f"{values.shape} {plain.dtype.name}".encode())
    little = plain.astype(plain.dtype.newbyteorder("<"), copy=False)
    digest.update(np.ascontiguousarray(little).data)
    return digest.hexdigest()


def _one_channel(values: Values) -> Values:
    if values.ndim == 2:
        return values
    first = values[..., 0]
    same = np.array_equal(first, values[..., 1]) and np.array_equal(first, values[..., 2])
    return first if same else values


def _smallest(values: Values) -> Values:
    if values.dtype.kind == "f":
        with np.errstate(invalid="ignore"):  # floats beyond 64-bit integers are floats
            whole = values.astype(np.int64)
        if not np.array_equal(whole, values):
            return values.astype(np.float32)
        values = whole
    if values.dtype == np.uint8 or not values.size:
        return values
    low, high = int(values.min()), int(values.max())
    for kind in _TYPES:
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return values.astype(kind)
    return values.astype(np.int64) if high < 2**63 else values.astype(np.float32)
