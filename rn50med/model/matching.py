"""Whether the tensors of a file are those of a ResNet-50."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from rn50med.errors import RecipeError, listed

_MOST_MISSING = 0.1  # of the tensors; beyond it the file is of something else
_NAMED = 5  # tensors that a message names


@dataclass(frozen=True)
class Match:
    """The tensors of a file that fit a backbone.

    Args:
        state: Those taken over.
        missing: Names that the file lacks.
        unexpected: Names that only the file has.
    """

    state: dict[str, Tensor]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]


def match_state(state: Mapping[str, Tensor], own: Mapping[str, Tensor], path: Path) -> Match:
    """Return what of a file fits a backbone.

    Args:
        state: The file's tensors.
        own: The backbone's.
        path: The file, for the message.

    Raises:
        RecipeError: If the file is of another architecture, or holds numbers that are not finite.
    """
    counters = {name for name in own if name.endswith("num_batches_tracked")}  # older files have none
    misshapen = [
        f"{name} is {tuple(state[name].shape)} and should be {tuple(own[name].shape)}"
        for name in own
        if name in state and state[name].shape != own[name].shape
    ]
    missing = tuple(name for name in own if name not in state and name not in counters)
    unexpected = tuple(sorted(name for name in state if name not in own))
    foreign = [name for name in unexpected if re.match(r"(conv1|bn1|layer\d+)\..*(weight|bias)$", name)]
    if misshapen or foreign or len(missing) > _MOST_MISSING * len(own):
        others = () if misshapen or foreign else unexpected  # nothing else would be told
        told = (
            ("of another shape", misshapen),
            ("missing", missing),
            ("of no ResNet-50", foreign),
            ("of other names", others),
        )
        faults = "; ".join(
            f"{len(names)} tensors {what}: {listed(names, _NAMED)}" for what, names in told if names
        )
        raise RecipeError(
            f"weights {str(path)!r}: is no ResNet-50 ({faults}); "
            "give weights of timm's or torchvision's resnet50."
        )
    taken = {name: state[name] for name in own if name in state}
    odd = [name for name, value in taken.items() if name not in counters and not bool(value.isfinite().all())]
    if odd:
        raise RecipeError(
            f"weights {str(path)!r}: numbers are not finite in {listed(odd, 3)}; take another file."
        )
    return Match(taken, missing, unexpected)
