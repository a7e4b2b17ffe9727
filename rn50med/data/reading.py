"""Reads every image of a manifest once, and notes those that cannot be read."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from rn50med.data.faults import Faults
from rn50med.data.manifest import ROW, Manifest
from rn50med.data.pixels import Pixels
from rn50med.data.transforms import Transforms
from rn50med.errors import DataError


def read_all(manifest: Manifest, transforms: Transforms, faults: Faults) -> tuple[Pixels, list[str]]:
    """Read and prepare every image in parallel.

    Args:
        manifest: The images.
        transforms: Their deterministic part is applied.
        faults: Where images that cannot be read are noted.

    Returns:
        All prepared images, ``(N, C, S, S)``, and the SHA-256 of each one's bytes; nothing where there
        are faults.
    """
    pipeline = transforms.prepare

    def prepare(image: str) -> tuple[Pixels, str] | DataError:
        try:
            pixels, content = manifest.read(image)
            return pipeline(pixels), content
        except DataError as error:
            return error

    images = manifest.column("image")
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        read = list(pool.map(prepare, images))
    for row, image, outcome in zip(manifest.column(ROW), images, read, strict=True):
        if isinstance(outcome, DataError) and image.strip():
            faults.add(f"{image} {outcome}", int(row))
    good = [outcome for outcome in read if not isinstance(outcome, DataError)]
    if len(faults) or not good:
        return np.zeros((0,), np.uint8), []
    return _stack([pixels for pixels, _ in good]), [content for _, content in good]


def _stack(images: list[Pixels]) -> Pixels:
    """Stack images; where any has 16 bits, all get them, 255 becoming 65535."""
    if all(image.dtype == np.uint8 for image in images):
        return np.stack(images)
    wide = [i.astype(np.uint16) * np.uint16(257) if i.dtype == np.uint8 else i for i in images]
    return np.stack(wide)
