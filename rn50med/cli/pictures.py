"""Small pictures of a run's images, for a report whose reader asked for them."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from rn50med.cli.arguments import prepare
from rn50med.cli.assembly import Assembly, hush, listen
from rn50med.errors import DataError, StorageError
from rn50med.evaluation.report import Pictures

log = logging.getLogger("rn50med.report")

_SIDE = 192  # pixels, shown at half of that


def pictures_of(folder: Path) -> Pictures:
    """Return what draws images of a run, as the network sees them, from where its recipe says they are.

    Args:
        folder: The run folder.

    Raises:
        StorageError: If the folder lacks its recipe.
        DataError: If the images are not there any more, or are others.
    """
    recipe = folder / "recipe.yaml"
    if not recipe.is_file():
        raise StorageError(f"{folder}: has no recipe.yaml; give a run folder that `fit` wrote.")
    hush()
    listen()
    data = Assembly(prepare(["--recipe", str(recipe)])).data
    kept = json.loads((folder / "audit.json").read_text(encoding="utf-8"))["manifest_sha256"]
    if data.prepared.audit["manifest_sha256"] != kept:
        raise DataError(
            f"{folder}: its images or their splits are no longer those of the run; restore them, or leave "
            "--thumbnails out."
        )
    log.info("report: it will hold images of patients; keep it where they are kept")

    def draw(lines: Sequence[int]) -> dict[int, bytes]:
        # Line 1 is the header.
        return {line: _png(data.prepared.images.one(line - 2)) for line in lines}

    return draw


def _png(pixels: np.ndarray[tuple[int, ...], np.dtype[np.integer]]) -> bytes:
    """Return a prepared image as a small PNG of 8 bits."""
    eight = pixels if pixels.dtype == np.uint8 else (pixels // 257).astype(np.uint8)
    shown = eight[0] if len(eight) == 1 else np.moveaxis(eight, 0, -1)
    buffer = io.BytesIO()
    picture = Image.fromarray(shown)
    picture.thumbnail((_SIDE, _SIDE))
    picture.save(buffer, "PNG")
    return buffer.getvalue()
