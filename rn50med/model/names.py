"""Whose names a file of weights uses: prefixes, numbers in place of names, several networks in one file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from rn50med.errors import RecipeError, listed
from rn50med.model.stem import STEM, Normalisation

_FIRST_BLOCK = "layer1.0.conv1.weight"  # in every ResNet, so that what stands before it is a prefix
_NUMBERED_BLOCK = re.compile(r"(|.*\.)4\.0\.conv1\.weight")
_NUMBERS = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}
_FOLLOWER = re.compile(r"encoder_k|momentum|target|(^|[._])ema")
"""Networks that only follow another in self-supervised learning: MoCo's key encoder, BYOL's target."""

_OWN_PREFIX = "backbone.body."
_XRV_OUTPUTS = 18  # findings of torchxrayvision's classifiers


@dataclass(frozen=True)
class Named:
    """The tensors of a file, by the names of a ResNet.

    Args:
        state: Those tensors, and whatever else was in the file.
        notes: What was done to the names, and whose the file is; a clause each.
        normalisation: What pixels the weights were trained with, where the file tells.
    """

    state: dict[str, Tensor]
    notes: tuple[str, ...]
    normalisation: Normalisation | None


def named(content: Mapping[str, Tensor], path: Path) -> Named:
    """Return the tensors of a file by the names of a ResNet.

    Prefixes are taken off, such as ``module.``, ``backbone.``, ``module.encoder_q.``. The numbers that
    ``nn.Sequential`` gives the children of torchvision's ResNet become names.

    Args:
        content: Tensors as the file names them.
        path: The file, for the message.

    Raises:
        RecipeError: If it holds several networks, and none of them is the one to take.
    """
    found = [name.removesuffix(_FIRST_BLOCK) for name in content if name.endswith(_FIRST_BLOCK)]
    numbered = not found
    if numbered:
        found = [match[1] for name in content if (match := _NUMBERED_BLOCK.fullmatch(name))]
        found = [prefix for prefix in found if _is_kernel(content.get(f"{prefix}0.weight"))]
    if not found:
        return Named(dict(content), (), None)
    prefix = _one(found, path)
    notes = [f"of {len(found)} networks in it, {prefix!r} was taken"] if len(found) > 1 else []
    if prefix and len(found) == 1 and prefix != _OWN_PREFIX:
        notes.append(f"the prefix {prefix!r} was taken off its names")
    if numbered:
        notes.append("its numbers were given the names of a ResNet")
    state = {_renamed(name, prefix, numbered): value for name, value in content.items()}
    source, normalisation = _source(content, state, prefix, numbered)
    return Named(state, (*notes, *source), normalisation)


def _is_kernel(value: Tensor | None) -> bool:
    return value is not None and value.ndim == 4


def _one(prefixes: Iterable[str], path: Path) -> str:
    """Return the prefix of the network to take: the one that was trained, where others follow it."""
    every = sorted(prefixes)
    leading = [prefix for prefix in every if not _FOLLOWER.search(prefix)] if len(every) > 1 else every
    if len(leading) == 1:
        return leading[0]
    raise RecipeError(
        f"weights {str(path)!r}: holds several networks (named {listed(map(repr, every))}); "
        "save the one that you mean to a file of its own."
    )


def _renamed(name: str, prefix: str, numbered: bool) -> str:
    short = name.removeprefix(prefix)
    number, dot, rest = short.partition(".")
    return f"{_NUMBERS[number]}.{rest}" if numbered and dot and number in _NUMBERS else short


def _source(
    content: Mapping[str, Tensor], state: Mapping[str, Tensor], prefix: str, numbered: bool
) -> tuple[tuple[str, ...], Normalisation | None]:
    """Return whose weights they are, and with what pixels they were trained, where that can be told."""
    if prefix == _OWN_PREFIX:
        mean, std = content.get("backbone.mean"), content.get("backbone.std")
        own = None if mean is None or std is None else Normalisation(_plain(mean), _plain(std))
        return ("they are the backbone of a run of rn50med, its head is left out",), own
    stem, classifier = state.get(STEM), state.get("fc.weight")
    outputs = 0 if classifier is None else classifier.shape[0]
    if stem is not None and stem.ndim == 4 and stem.shape[1] == 1 and outputs == _XRV_OUTPUTS:
        # torchxrayvision's models see -1024 to 1024: `torchxrayvision.datasets.normalize`
        return ("taken for torchxrayvision's, which see black as -1024 and white as 1024",), (
            Normalisation.of_range(-1024, 1024)
        )
    if numbered and prefix == "backbone." and all(name.startswith(prefix) for name in content):
        # (pixel - 127.5) * 2 / 255: the PyTorch example of RadImageNet
        return ("taken for RadImageNet's, which see black as -1 and white as 1",), (
            Normalisation.of_range(-1, 1)
        )
    return (), None


def _plain(values: Tensor) -> tuple[float, ...]:
    return tuple(float(value) for value in values.flatten())
