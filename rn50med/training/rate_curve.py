"""The curve of a search for a learning rate: the loss of each step, and the rate that it suggests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer

LEAST_STEPS = 20
"""Steps below which a curve of the loss cannot be told from its noise."""

_WINDOW = 0.1  # share of the steps over which losses are averaged
_CLEARLY = (
    5.0  # standard errors of a mean: of 100 steps of mere noise, a rate was suggested in 3 of 100 cases
)
_RISEN = 1.5  # times the loss at the beginning
_DIGITS = 2  # of the rate that is used, so that recipe, log and report give the same number


class Curve(Callback):
    """Keeps the mean loss of each step, and stops once it has exploded.

    Args:
        threshold: Of the smoothed loss, as a multiple of the least; None never stops.
    """

    def __init__(self, threshold: float | None) -> None:
        self.threshold = threshold
        self.losses: list[float] = []
        self._batches: list[float] = []
        self._least = float("inf")
        self._smooth = 0.0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Keep the loss; several batches may make a step."""
        self._batches.append(float(outputs["loss"]))
        if trainer.global_step == len(self.losses):
            return
        loss = sum(self._batches) / len(self._batches)
        self._batches = []
        self.losses.append(loss)
        # of the last ten steps or so, less at the beginning
        weight = max(0.1, 1 / len(self.losses))
        self._smooth += weight * (loss - self._smooth)
        self._least = min(self._least, self._smooth)
        if self.threshold is not None and self._smooth > self.threshold * self._least:
            trainer.should_stop = True


def suggested(rates: Sequence[float], losses: Sequence[float]) -> float | None:
    """Return the rate at which the loss falls most, to two digits; None where it does not fall.

    That is where the mean loss of the next tenth of the steps lies furthest below that of the tenth before.
    What comes after the loss has risen by half is not looked at: it swings then, and falls from its own
    heights. A slope by the rate itself, as Lightning takes it, is so steep at the smallest
    rates that the noise of their losses wins.

    Args:
        rates: From the smallest on.
        losses: Of the rates, finite; fewer where the loss exploded.

    Example:
        >>> rates = [10 ** (step / 10 - 5) for step in range(50)]
        >>> suggested(rates, [1 / (1 + rate / 1.1e-3) for rate in rates])
        0.001
        >>> suggested(rates, [1 + rate for rate in rates]) is None
        True
    """
    width = max(2, round(_WINDOW * len(rates)))
    if len(losses) < 3 * width:
        return None
    means = np.convolve(losses, np.ones(width) / width, mode="valid")
    # of a mean, from the differences of neighbours, at rates too small to change anything
    noise = float(np.std(np.diff(losses[: max(width, len(losses) // 3)]))) / (2 * width) ** 0.5
    risen = np.flatnonzero(means > _RISEN * means[0])
    means = means[: risen[0]] if len(risen) else means
    falls = means[:-width] - means[width:]
    if not len(falls) or falls.max() <= _CLEARLY * noise:
        return None
    return float(f"{rates[int(falls.argmax()) + width - 1]:.{_DIGITS}g}")
