"""How the AUROC holds when images are made worse."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from rn50med.data.dataset import ImageDataset
from rn50med.data.progress import bar
from rn50med.evaluation.arrays import Floats, Ints
from rn50med.evaluation.cases import Cases
from rn50med.evaluation.figure import Figure
from rn50med.evaluation.paired_cases import paired_headline
from rn50med.training.changes import CHANGES
from rn50med.training.precision import exact

MOST_CASES = 500
"""Cases whose images are changed; more are drawn from."""

MOST_IMAGES = 1000
"""Their images, at the most, as cases may have many."""

_CPU_PIXELS = 80 * 128**2
"""Pixels of images that a CPU is asked to change: 80 films of 128 pixels a side take it about 25 s in all."""

_CPU_IMAGES = 80  # of any size: fewer say little


def most_cases(images: int, cases: int, side: int, device: torch.device) -> int:
    """Return how many cases may be drawn, so that the check takes little time beside the training.

    Args:
        images: Images of the split.
        cases: Cases of the split.
        side: Of an image, in pixels.
        device: That the network runs on.

    Example:
        >>> most_cases(300, 100, 128, torch.device("cpu")), most_cases(9000, 9000, 224, torch.device("cuda"))
        (26, 500)
    """
    most = MOST_IMAGES
    if device.type == "cpu":
        most = min(most, max(_CPU_IMAGES, _CPU_PIXELS // side**2))
    return max(2, min(MOST_CASES, most * cases // images))


def changed_logits(
    module: LightningModule, images: ImageDataset, rows: Ints, batch_size: int, device: torch.device
) -> list[Floats] | None:
    """Return the network's logits of unchanged images and, after them, of each change.

    Args:
        module: The network.
        images: As they are evaluated.
        rows: Of the images in the manifest.
        batch_size: Images at once.
        device: To run on, in 32 bits.

    Shape:
        - output: of each ``(N, K)``; None where images are not in [0, 1], so that no change has a size.
    """
    found: list[list[Tensor]] = [[] for _ in range(1 + len(CHANGES))]
    batches = [rows[start : start + batch_size].tolist() for start in range(0, len(rows), batch_size)]
    with _running(module, device), bar("changing images", len(rows)) as progress:
        for batch in batches:
            image = images.__getitems__([(0, row) for row in batch])["image"].to(device, torch.float32)
            if image.min() < 0.0 or image.max() > 1.0:
                return None
            found[0].append(module(image))
            for place, change in enumerate(CHANGES):
                found[1 + place].append(module(change(image, batch, images.seed)))
            progress(len(batch))
    return [torch.cat(each).double().cpu().numpy() for each in found]


@contextmanager
def _running(module: LightningModule, device: torch.device) -> Iterator[None]:
    """Let a module judge on a device, and bring it back where it was."""
    home, training = module.device, module.training
    module.to(device).eval()
    try:
        with torch.inference_mode(), exact():
            yield
    finally:
        module.to(home).train(training)


def robustness(
    unchanged: Cases, changed: Sequence[Cases], headline: Callable[[Cases], Figure]
) -> dict[str, Any]:
    """Return the AUROC of unchanged images, and of each change the AUROC and how much it differs.

    Args:
        unchanged: Cases of the images as they are.
        changed: The same cases after each change, in their order.
        headline: Gives the AUROC of cases.
    """
    changes = []
    for change, cases in zip(CHANGES, changed, strict=True):
        told = {key: value for key, value in asdict(change).items() if key != "apply"}
        figures = {"auroc": headline(cases), "difference": paired_headline(cases, unchanged, headline)}
        changes.append(told | {key: figure.as_json() for key, figure in figures.items()})
    return {"unchanged": headline(unchanged).as_json(), "changes": changes}
