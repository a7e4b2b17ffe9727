"""What one's own part has to promise, checked: the contract of a head."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rn50med.model.heads import Head, HeadFactory
from rn50med.parts import build_factory, factory_specification

_CASES: tuple[tuple[tuple[int, ...], int], ...] = (
    ((8, 16, 32, 64), 1),
    ((8, 16, 32, 64), 5),
    ((4, 12), 2),
    ((16,), 3),
)
"""Channels and outputs that a head is built with; a backbone may have any."""


def check_head(factory: HeadFactory) -> None:
    """Check that a head does all that rn50med relies on.

    It is built for several numbers of channels and outputs. Its logits have the shape ``(B, K)`` and
    are finite, a single image will do in eval mode, gradients reach every parameter, and a
    checkpoint can rebuild it: from its specification and its state it gives the same logits.

    Args:
        factory: The class, or a `functools.partial` of it with its options.

    Raises:
        AssertionError: If a promise is broken; the message says which.
        RecipeError: If a checkpoint cannot hold the head's options.

    Example:
        >>> from rn50med.model.heads import LinearHead
        >>> check_head(LinearHead)
    """
    for channels, num_outputs in _CASES:
        head = factory(channels, num_outputs)
        where = f"{type(head).__name__}(channels={list(channels)}, num_outputs={num_outputs})"
        _require(isinstance(head, Head), f"{where}: is no rn50med.Head; derive the class from it.")
        _check_output(head, channels, num_outputs, where)
        _check_gradients(head, channels, where)
        _check_rebuilding(factory, head, channels, num_outputs, where)


def _require(promise: bool, sentence: str) -> None:
    if not promise:
        raise AssertionError(sentence)


def _features(channels: Sequence[int], batch: int) -> list[Tensor]:
    """Make feature maps as a backbone gives them: not negative, and halved from one to the next."""
    generator = torch.Generator().manual_seed(0)
    sizes = [2 ** (len(channels) - level) for level in range(len(channels))]
    return [
        torch.rand(batch, count, size, size + 1, generator=generator)
        for count, size in zip(channels, sizes, strict=True)
    ]


def _check_output(head: Head, channels: Sequence[int], num_outputs: int, where: str) -> None:
    for training, batch in ((True, 2), (False, 3), (False, 1)):
        head.train(training)
        logits = head(_features(channels, batch))
        mode = "train" if training else "eval"
        found, wanted = tuple(logits.shape), (batch, num_outputs)
        _require(found == wanted, f"{where}: in {mode} mode its output is {found}; it has to be {wanted}.")
        _require(bool(logits.isfinite().all()), f"{where}: in {mode} mode its output is not finite.")


def _check_gradients(head: Head, channels: Sequence[int], where: str) -> None:
    head.eval()  # dropout would keep gradients away by chance
    head.zero_grad()
    head(_features(channels, 2)).square().sum().backward()
    without = [name for name, value in head.named_parameters() if value.requires_grad and value.grad is None]
    _require(
        not without, f"{where}: no gradient reaches {', '.join(without)}; use every parameter in forward."
    )


def _check_rebuilding(
    factory: HeadFactory, head: Head, channels: Sequence[int], num_outputs: int, where: str
) -> None:
    rebuilt = build_factory(factory_specification(factory, where), Head)(channels, num_outputs)
    _require(type(rebuilt) is type(head), f"{where}: is rebuilt as a {type(rebuilt).__name__}.")
    rebuilt.load_state_dict(head.state_dict())
    features = _features(channels, 2)
    with torch.inference_mode():
        same = torch.equal(head.eval()(features), rebuilt.eval()(features))
    _require(
        same,
        f"{where}: rebuilt from a checkpoint it gives other logits; "
        "keep all it needs in its arguments and state.",
    )
