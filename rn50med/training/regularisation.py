"""What keeps a network from learning its training images by heart, beside head, transforms and optimizer."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from rn50med.errors import RecipeError


@dataclass(frozen=True)
class Regularisation:
    """Options against overfitting; 0 leaves one out.

    Args:
        ema_decay: Weight that a moving average of the weights gives to what it has been, at least 0 and
            below 1. It rises to this with the number of steps, so that short trainings are averaged over
            their last ninth. Val and checkpoints use the average.
        mixup: Blends pairs of images and their targets, in shares from Beta(mixup, mixup); 0.1 to 0.4 is
            usual, 1 is strong.
        cutmix: Puts a rectangle of one image into another, its area from Beta(cutmix, cutmix); 1 is usual. A
            small finding may be cut away, or be all that is taken over.
        l2_sp: Draws pretrained weights of the backbone back to where they started, by this factor and the
            learning rate in each step, in place of weight decay; as large as a weight decay.

    Raises:
        RecipeError: If one is out of its range.
    """

    ema_decay: float = 0.999
    mixup: float = 0.0
    cutmix: float = 0.0
    l2_sp: float = 0.0

    def __post_init__(self) -> None:
        faults = [
            f"model.regularisation.{name}: is {value}; give a number of 0 or more."
            for name, value in asdict(self).items()
            if not 0.0 <= value < float("inf")
        ]
        if self.ema_decay >= 1.0:
            faults.append(f"model.regularisation.ema_decay: is {self.ema_decay}; give a number below 1.")
        if faults:
            raise RecipeError("\n  ".join(faults))
