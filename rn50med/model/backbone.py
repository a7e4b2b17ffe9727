"""The backbone: ResNet-50 from timm, pixels in, feature maps out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import timm
import torch
from torch import Tensor, nn

from rn50med.errors import RecipeError, listed
from rn50med.model.weights import KEYWORDS, MODEL, LoadReport, find_weights, read_state
from rn50med.parts import Part, Specification

_MOST_MISSING = 0.1  # of the tensors; beyond it the file is of something else


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


class ResNet50(Part, nn.Module):
    """ResNet-50, version 1.5, without its last layer: four feature maps from an image.

    It is built with random parameters, so that a checkpoint opens where the file of weights is
    missing; `load_weights` reads the pretrained ones, once, before training starts. The image is
    normalised inside, so that whatever feeds it only has to know that white is 1.

    A grey image fed to one channel gives what it gives when it is copied to three: stem and
    normalisation are adapted together, see `to_one_channel`.

    Args:
        weights: Parameters to start from: ``auto``, ImageNet's where they can be had and random ones
            where not; ``imagenet``, the same but a fault where they cannot; ``none``, random; or
            a file (``.safetensors``, ``.pth``, ``.pt``, ``.ckpt``, ``.bin``) with the names of timm or
            torchvision. ImageNet's are looked for in the folder that the environment variable
            RN50MED_WEIGHTS names, in the Hugging Face cache, and at the Hugging Face hub.
        in_channels: Channels of the image: 1 (grey) or 3 (red, green, blue).

    Shape:
        - image: ``(B, in_channels, H, W)``, in [0, 1].
        - output: four maps, ``(B, C, H / s, W / s)`` rounded up, with C = 256, 512, 1024, 2048 and
          s = 4, 8, 16, 32.

    Raises:
        RecipeError: If ``in_channels`` is neither 1 nor 3.

    Source:
        He et al., *Deep residual learning for image recognition*, CVPR 2016, table 1;
        arXiv:1512.03385. Version 1.5 has the stride on the 3x3 convolution: Goyal et al.,
        arXiv:1706.02677, section 5.1.

    Example:
        >>> backbone = ResNet50(weights="none").eval()
        >>> [tuple(feature.shape) for feature in backbone(torch.rand(1, 1, 64, 64))]
        [(1, 256, 16, 16), (1, 512, 8, 8), (1, 1024, 4, 4), (1, 2048, 2, 2)]
    """

    mean: Tensor
    std: Tensor

    def __init__(self, weights: str = "auto", in_channels: int = 1) -> None:
        super().__init__()
        if in_channels not in {1, 3}:
            raise RecipeError(
                f"ResNet50: in_channels={in_channels!r}; give 1 for grey images or 3 for colour images."
            )
        self.weights = str(weights)
        self.in_channels = in_channels
        mean, std = published_normalisation()
        if in_channels == 1:
            mean, std = mean.mean(dim=0, keepdim=True), std.mean(dim=0, keepdim=True)
        # They come with the class and not with a checkpoint: a stem fits no other normalisation.
        self.register_buffer("mean", mean.float().view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", std.float().view(1, -1, 1, 1), persistent=False)
        self.body = timm.create_model(
            "resnet50", pretrained=False, features_only=True, out_indices=(1, 2, 3, 4), in_chans=in_channels
        )
        self.channels: tuple[int, ...] = tuple(self.body.feature_info.channels())

    def specification(self) -> Specification:
        """Return class and arguments; of a file of weights the name alone: a path can name a patient."""
        kept = super().specification()
        if self.weights not in KEYWORDS:
            kept["init_args"]["weights"] = Path(self.weights).name
        return kept

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the four feature maps, finest first.

        Args:
            image: Images with values in [0, 1].
        """
        return cast("list[Tensor]", self.body((image - self.mean) / self.std))

    def load_weights(self) -> LoadReport:
        """Read the pretrained parameters that were asked for, and say what became of it.

        Either all that fits is taken over or, where the file is refused, nothing is changed.

        Raises:
            RecipeError: If a file is missing, damaged, hostile or of another architecture, or if
                ImageNet's weights were insisted on and cannot be had.
        """
        found = find_weights(self.weights)
        requested = self.weights if self.weights in KEYWORDS else Path(self.weights).name
        if found.path is None:
            return LoadReport(requested, found.used, f"{found.statement}.", None, 0, (), (), ())
        state, digest = read_state(found.path)
        adapted: tuple[str, ...] = ()
        if self.in_channels == 1 and _has_colour_stem(state):
            changed = to_one_channel(state)
            state, adapted = {**state, **changed}, tuple(changed)
        matched = match_state(state, self.body.state_dict(), found.path)
        self.body.load_state_dict(matched.state, strict=False)
        statement = found.statement
        if adapted:
            statement += "; its stem was adapted to one channel"
        if matched.missing:
            statement += f"; {len(matched.missing)} tensors are not in it and stay random"
        return LoadReport(
            requested, found.used, f"{statement}.", digest,
            len(matched.state), matched.missing, matched.unexpected, adapted,
        )  # fmt: skip


def published_normalisation() -> tuple[Tensor, Tensor]:
    """Return the mean and standard deviation that ImageNet's weights were trained with.

    Shape:
        - output: two of ``(3,)``, for pixels in [0, 1], in float64.
    """
    published = timm.get_pretrained_cfg(MODEL)
    return torch.tensor(published.mean, dtype=torch.float64), torch.tensor(published.std, dtype=torch.float64)


def _has_colour_stem(state: Mapping[str, Tensor]) -> bool:
    stem = state.get("conv1.weight")
    return stem is not None and stem.ndim == 4 and stem.shape[1] == 3


def to_one_channel(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    r"""Turn the stem of a colour network into one for grey images.

    With a grey pixel x, channel c sees :math:`(x - m_c) / s_c`. One channel that sees
    :math:`(x - m) / s`, with the averages m and s, gives the same convolution with the kernel
    :math:`\sum_c W_c s / s_c`, but for a constant for each output channel,
    :math:`\sum_c \sum_{ij} W_{cij} (m - m_c) / s_c`. Batch norm comes next, without anything in
    between, and takes the constant off its running mean.

    In eval mode both networks are then equal, except for what the zero padding of the stem does to
    the outermost two rows and columns: there a part of the kernel sees no image, and the whole
    constant is too much. With batch statistics, in train mode, the constant drops out by itself.

    Args:
        state: Tensors of the network for three channels.

    Shape:
        - ``conv1.weight``: ``(64, 3, 7, 7)`` becomes ``(64, 1, 7, 7)``.
    """
    mean, std = published_normalisation()
    kernel = state["conv1.weight"].double()
    per_pixel = kernel / std.view(1, 3, 1, 1)
    grey_kernel = per_pixel.sum(dim=1, keepdim=True) * std.mean()
    constant = (per_pixel * (mean.mean() - mean).view(1, 3, 1, 1)).sum(dim=(1, 2, 3))
    changed = {"conv1.weight": grey_kernel.float()}
    if "bn1.running_mean" in state:
        changed["bn1.running_mean"] = (state["bn1.running_mean"].double() - constant).float()
    return changed


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
        named = (("of another shape", misshapen), ("missing", missing), ("of no ResNet-50", foreign))
        faults = "; ".join(
            f"{len(names)} tensors {what}: {listed(names, 3)}" for what, names in named if names
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
