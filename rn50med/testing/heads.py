"""What a head has to promise."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rn50med.model.heads import Head, HeadFactory
from rn50med.parts import build_factory, factory_specification
from rn50med.testing.promises import require

_CASES: tuple[tuple[tuple[int, ...], int], ...] = (
    ((8, 16, 32, 64), 1),
    ((8, 16, 32, 64), 5),
    ((4, 12), 2),
    ((16,), 3),
)
"""Channels and outputs that a head is built with; a backbone may have any."""

_CELLS = ((2, 3), (7, 5), (1, 1))
"""Height and width of the coarsest map; an image of 28 px leaves one cell."""


def check_head(factory: HeadFactory) -> None:
    """Check that a head does all that rn50med relies on.

    It is built for several numbers of channels and outputs, and given maps of even, odd and single cells.
    Its logits have the shape ``(B, K)`` and are finite, in 16 bits and for a blank image too; in eval mode
    a single image will do, and gets the logits that it has in a batch. Gradients reach every parameter and
    the feature maps, and are finite. A checkpoint can rebuild it: from its specification and its state it
    gives the same logits.

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
        require(isinstance(head, Head), f"{where}: is no rn50med.Head; derive the class from it.")
        for cells in _CELLS:
            _check_output(head, _features(channels, 3, cells), num_outputs, where)
        _check_16_bits(head, channels, where)
        _check_gradients(head, channels, where)
        _check_a_blank_image(head, channels, where)
        _check_rebuilding(factory, head, channels, num_outputs, where)


def _features(channels: Sequence[int], batch: int, cells: tuple[int, int] = (2, 3)) -> list[Tensor]:
    """Make feature maps as a backbone gives them: not negative, and halved from one to the next."""
    generator = torch.Generator().manual_seed(0)
    height, width = cells
    finer = [2 ** (len(channels) - 1 - level) for level in range(len(channels))]
    return [
        torch.rand(batch, count, height * times, width * times, generator=generator)
        for count, times in zip(channels, finer, strict=True)
    ]


def _check_output(head: Head, features: list[Tensor], num_outputs: int, where: str) -> None:
    cells = "x".join(str(side) for side in features[-1].shape[-2:])
    in_batch: dict[int, Tensor] = {}
    for training, batch in ((True, 2), (False, 3), (False, 1)):
        head.train(training)
        logits = in_batch[batch] = head([maps[:batch] for maps in features]).detach()
        mode = f"{where}: in {'train' if training else 'eval'} mode, of {cells} cells, its output"
        found, wanted = tuple(logits.shape), (batch, num_outputs)
        require(found == wanted, f"{mode} is {found}; it has to be {wanted}.")
        require(bool(logits.isfinite().all()), f"{mode} is not finite.")
    same = torch.allclose(in_batch[1], in_batch[3][:1], rtol=1e-4, atol=1e-5)
    require(same, f"{where}: in eval mode an image's logits depend on the rest of its batch.")


def _check_16_bits(head: Head, channels: Sequence[int], where: str) -> None:
    features = [maps.bfloat16() for maps in _features(channels, 2)]
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        logits = head.eval()(features)
    require(bool(logits.isfinite().all()), f"{where}: in bfloat16 its output is not finite.")


def _check_gradients(head: Head, channels: Sequence[int], where: str) -> None:
    head.eval()  # dropout would keep gradients away by chance
    head.zero_grad()
    features = [maps.requires_grad_() for maps in _features(channels, 2)]
    head(features).square().sum().backward()
    without = [name for name, value in head.named_parameters() if value.requires_grad and value.grad is None]
    require(
        not without, f"{where}: no gradient reaches {', '.join(without)}; use every parameter in forward."
    )
    reached = any(maps.grad is not None and bool(maps.grad.any()) for maps in features)
    require(reached, f"{where}: no gradient reaches the feature maps, so that no backbone could learn.")


def _check_a_blank_image(head: Head, channels: Sequence[int], where: str) -> None:
    head.eval()
    head.zero_grad()
    features = [torch.zeros_like(maps).requires_grad_() for maps in _features(channels, 2)]
    logits = head(features)
    require(bool(logits.isfinite().all()), f"{where}: of a blank image its output is not finite.")
    logits.square().sum().backward()
    gradients = [value.grad for value in (*head.parameters(), *features) if value.grad is not None]
    finite = all(bool(gradient.isfinite().all()) for gradient in gradients)
    require(finite, f"{where}: of a blank image its gradients are not finite.")


def _check_rebuilding(
    factory: HeadFactory, head: Head, channels: Sequence[int], num_outputs: int, where: str
) -> None:
    rebuilt = build_factory(factory_specification(factory, where), Head)(channels, num_outputs)
    require(type(rebuilt) is type(head), f"{where}: is rebuilt as a {type(rebuilt).__name__}.")
    rebuilt.load_state_dict(head.state_dict())
    features = _features(channels, 2)
    with torch.inference_mode():
        same = torch.equal(head.eval()(features), rebuilt.eval()(features))
    require(
        same,
        f"{where}: rebuilt from a checkpoint it gives other logits; "
        "keep all it needs in its arguments and state.",
    )
