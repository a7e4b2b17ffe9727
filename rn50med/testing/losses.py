"""What a loss has to promise."""

from __future__ import annotations

import torch
from torch import Tensor

from rn50med.errors import RecipeError
from rn50med.evaluation.arrays import UNKNOWN
from rn50med.losses import ClassCounts, Loss, PreparedLoss
from rn50med.parts import build
from rn50med.testing.promises import require

_CASES = {
    "one sigmoid": ClassCounts(((60, 20),), exclusive=False),
    "three sigmoids": ClassCounts(((60, 20), (5, 75), (80, 0)), exclusive=False),
    "a softmax of four": ClassCounts(((50, 20, 9, 1),), exclusive=True),
}
"""Classes that a loss is tried on; it may refuse some of them."""

_IMAGES = 32
_EXTREME = 1e4  # a logit that no training should reach


def check_loss(loss: Loss) -> None:
    """Check that a loss does all that rn50med relies on.

    For each kind of classes that it does not refuse, it is a mean over the batch, finite, and lower after a
    step along its gradient; what is right costs less than what is wrong. A label that nobody ruled on has
    no gradient, hard targets cost what the same targets cost when they are written as soft ones, and
    gradients are finite for logits of any size. A checkpoint can rebuild it.

    Args:
        loss: One with any options.

    Raises:
        AssertionError: If a promise is broken; the message says which.
        RecipeError: If a checkpoint cannot hold the loss's options.

    Example:
        >>> from rn50med.losses import Focal
        >>> check_loss(Focal(gamma=1.5))
    """
    where = type(loss).__name__
    require(isinstance(loss, Loss), f"{where}: is no rn50med.Loss; derive the class from it.")
    rebuilt = build(loss.specification(), Loss)  # type: ignore[type-abstract]
    require(rebuilt == loss, f"{where}: rebuilt from a checkpoint it is another; keep all in its arguments.")
    refused = 0
    for kind, counts in _CASES.items():
        try:
            prepared = loss.prepared(counts)
        except RecipeError:
            refused += 1
            continue
        _check(prepared, f"{where}, of {kind}")
    require(refused < len(_CASES), f"{where}: refuses every kind of classes.")


def _check(loss: PreparedLoss, where: str) -> None:
    logits, target, soft = _batch(loss.counts)
    logits.requires_grad_()
    found = loss(logits, target)
    require(found.shape == (), f"{where}: has the shape {tuple(found.shape)}; give each answer a cost.")
    require(bool(found.isfinite()), f"{where}: is {found.item()}.")
    require(found.requires_grad, f"{where}: does not depend on the logits.")
    found.backward()  # type: ignore[no-untyped-call]
    gradient = logits.grad if logits.grad is not None else torch.full_like(logits, torch.nan)
    require(bool(gradient.isfinite().all()), f"{where}: has no finite gradient.")
    unknown = soft == UNKNOWN
    require(not bool(gradient[unknown].any()), f"{where}: a label that nobody ruled on has a gradient.")
    with torch.no_grad():
        after = loss(logits - 1e-3 * gradient, target)
        twice = loss(torch.cat([logits, logits]), torch.cat([target, target]))
        as_soft = loss(logits, soft)
    require(bool(after < found), f"{where}: does not fall along its gradient.")
    require(torch.allclose(twice, found), f"{where}: is no mean: a batch given twice has another.")
    require(torch.allclose(as_soft, found), f"{where}: hard targets cost another sum written as soft ones.")
    _check_answers(loss, where)
    _check_extremes(loss, where)


def _check_answers(loss: PreparedLoss, where: str) -> None:
    """Check that a network that is sure and right pays less than one that is sure and wrong."""
    _, target, soft = _batch(loss.counts)
    sure = 3 * (2 * soft.clamp(min=0) - 1)
    cheaper = bool(loss(sure, target) < loss(-sure, target))
    require(cheaper, f"{where}: what is right costs no less than what is wrong.")


def _batch(counts: ClassCounts) -> tuple[Tensor, Tensor, Tensor]:
    """Return logits, hard targets with some that are unknown, and the same targets as shares."""
    generator = torch.Generator().manual_seed(0)
    outputs = counts.num_outputs
    logits = 2 * torch.randn(_IMAGES, outputs, generator=generator, dtype=torch.float64)
    size = (_IMAGES,) if counts.exclusive or outputs == 1 else (_IMAGES, outputs)
    target = torch.randint(outputs if counts.exclusive else 2, size, generator=generator)
    target[::5] = UNKNOWN
    if not counts.exclusive:
        return logits, target, target.double().reshape(_IMAGES, outputs)
    soft = torch.nn.functional.one_hot(target.clamp(min=0), outputs).double()
    soft[::5] = UNKNOWN
    return logits, target, soft


def _check_extremes(loss: PreparedLoss, where: str) -> None:
    logits, target, _ = _batch(loss.counts)
    for size in (-_EXTREME, 0.0, _EXTREME):
        far = logits.float().mul(0).add(size)
        far[:, 0] *= -1
        far.requires_grad_()
        found = loss(far, target)
        found.backward()  # type: ignore[no-untyped-call]
        finite = bool(found.isfinite()) and far.grad is not None and bool(far.grad.isfinite().all())
        require(finite, f"{where}: it or its gradient is not finite for logits of {size:g}.")
