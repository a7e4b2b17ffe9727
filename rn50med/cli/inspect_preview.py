"""A picture of what the network will see: images as for test, and below each three draws as for train."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from torch import Tensor

    from rn50med.data.inspection import Inspection
    from rn50med.data.transforms import Transforms
    from rn50med.tasks import Task

SHOWN = 16
DRAWS = 3

_CELL = 120  # pixels
_GAP = 4
_MARGIN = 44  # left, for the names of the rows
_HEAD = 18  # above each image, for its class
_PAPER, _INK = (255, 255, 255), (30, 30, 30)


def preview(found: Inspection, task: Task, transforms: Transforms, seed: int) -> Image.Image | None:
    """Return a grid of images, without their names; None where no image can be used.

    A column is an image: first as in val and test, then as three epochs of training draw it.

    Args:
        found: By the gate.
        task: Knows the classes.
        transforms: Of the recipe.
        seed: Of the random draws.
    """
    from rn50med.data.transforms import light, seeded  # noqa: PLC0415 - with torch

    labels = [_label(task, row) for row in found.manifest.rows()]
    readable = [position for position, seen in enumerate(found.seen) if seen is not None]
    if not readable:
        return None
    splits = found.manifest.column("split")
    picked = chosen([splits[position] for position in readable], [labels[position] for position in readable])
    rows = [readable[number] for number in picked]
    with light():
        columns = []
        for row in rows:
            pixels = found.picture(row)
            drawn = [seeded(transforms.train, pixels, (seed, epoch, row)) for epoch in range(DRAWS)]
            columns.append([_picture(tensor) for tensor in (transforms.eval(pixels), *drawn)])
    return _grid(columns, [labels[row] for row in rows])


def _label(task: Task, row: Mapping[str, str]) -> str:
    """Return a row's class; a label that is none could be anything, a name too."""
    return "?" if task.fault(row) is not None else task.stratum(row)


def chosen(splits: list[str], classes: list[str]) -> list[int]:
    """Return rows of train, the classes in turns; of all splits where there is no train.

    Args:
        splits: Of each image.
        classes: Of each image.

    Example:
        >>> chosen(["test", "train", "train", "train"], ["a", "b", "b", "c"])
        [1, 3, 2]
    """
    train = [row for row, split in enumerate(splits) if split == "train"] or list(range(len(splits)))
    queues: dict[str, list[int]] = {}
    for row in train:
        queues.setdefault(classes[row], []).append(row)
    longest = max(map(len, queues.values()), default=0)
    turns = [queue[k] for k in range(min(longest, SHOWN)) for queue in queues.values() if k < len(queue)]
    return turns[:SHOWN]


def _picture(tensor: Tensor) -> Image.Image:
    values: NDArray[np.float32] = tensor.numpy()
    pixels = np.clip(np.rint(values * 255), 0, 255).astype(np.uint8)
    picture = Image.fromarray(
        pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0))
    )
    return picture.convert("RGB").resize((_CELL, _CELL), Image.Resampling.BILINEAR)


def _grid(columns: list[list[Image.Image]], classes: list[str]) -> Image.Image:
    step = _CELL + _GAP
    size = (_MARGIN + step * len(columns), _HEAD + step * len(columns[0]))
    grid = Image.new("RGB", size, _PAPER)
    pen, font = ImageDraw.Draw(grid), ImageFont.load_default(11)
    for line, name in enumerate(("test", *("train",) * DRAWS)):
        pen.text((4, _HEAD + step * line + _CELL // 2 - 6), name, _INK, font)
    for number, (pictures, name) in enumerate(zip(columns, classes, strict=True)):
        left = _MARGIN + step * number
        pen.text((left, 3), _fitting(name, font), _INK, font)
        for line, picture in enumerate(pictures):
            grid.paste(picture, (left, _HEAD + step * line))
    return grid


def _fitting(text: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont) -> str:
    while text and font.getlength(text) > _CELL:
        text = text[:-1]
    return text
