"""The backbone: ResNet-50 from timm, pixels in, feature maps out."""

from __future__ import annotations

import math
from typing import Any, cast

import timm
from torch import Tensor, nn

from rn50med.errors import RecipeError
from rn50med.model.matching import match_state
from rn50med.model.names import Named, named
from rn50med.model.reading import read_tensors
from rn50med.model.stem import Normalisation, fit_channels
from rn50med.model.weights import Found, LoadReport, find_weights, nameless
from rn50med.parts import Part, Specification


class ResNet50(Part, nn.Module):
    """ResNet-50, version 1.5, without its last layer: four feature maps from an image.

    It is built with random parameters, so that a checkpoint opens where the file of weights is
    missing; `load_weights` reads the pretrained ones, once, before training starts. The image is
    normalised inside, so that whatever feeds it only has to know that white is 1.

    A grey image fed to one channel gives what it gives when it is copied to three: stem and
    normalisation are adapted together, see `to_one_channel`. The normalisation goes with the parameters
    into every checkpoint.

    Args:
        weights: Parameters to start from: ``auto``, ImageNet's where they can be had and random ones
            where not; ``imagenet``, the same but a fault where they cannot; ``none``, random; one of timm's
            names for this network, such as ``resnet50.tv2_in1k``; or a file (``.safetensors``, ``.pth``,
            ``.pt``, ``.ckpt``, ``.bin``) of a ResNet-50, with the names of timm or torchvision behind any
            prefix, as MoCo and SimCLR write them, RadImageNet's, torchxrayvision's, or a checkpoint of
            rn50med; or the folder of a run. ImageNet's are looked for in the folder that the environment
            variable RN50MED_WEIGHTS names, in the Hugging Face cache, and at the Hugging Face hub.
        in_channels: Channels of the image: 1 (grey) or 3 (red, green, blue).
        input_range: What black and white were in the training that a file of weights comes from, such as
            ``(-1, 1)``. Where it is not given: what is known of the file (RadImageNet, torchxrayvision, a
            run of rn50med), or else ImageNet's mean and standard deviation.
        drop_path: Probability of skipping the last block in training, in [0, 1); it falls to 0 linearly
            towards the first.

    Shape:
        - image: ``(B, in_channels, H, W)``, in [0, 1].
        - output: four maps, ``(B, C, H / s, W / s)`` rounded up, with C = 256, 512, 1024, 2048 and
          s = 4, 8, 16, 32.

    Raises:
        RecipeError: If ``in_channels`` is neither 1 nor 3, or an option is out of range.

    Source:
        He et al., *Deep residual learning for image recognition*, CVPR 2016, table 1;
        arXiv:1512.03385. Version 1.5 has the stride on the 3x3 convolution: Goyal et al.,
        arXiv:1706.02677, section 5.1. Skipped blocks: Huang et al., *Deep networks with stochastic depth*,
        ECCV 2016; arXiv:1603.09382, equation 4.

    Example:
        >>> import torch
        >>> backbone = ResNet50(weights="none").eval()
        >>> [tuple(feature.shape) for feature in backbone(torch.rand(1, 1, 64, 64))]
        [(1, 256, 16, 16), (1, 512, 8, 8), (1, 1024, 4, 4), (1, 2048, 2, 2)]
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        weights: str = "auto",
        in_channels: int = 1,
        input_range: tuple[float, float] | None = None,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        _check(weights, in_channels, input_range, drop_path)
        self.weights = str(weights)
        self.in_channels = in_channels
        self.input_range = None if input_range is None else Normalisation.of_range(*input_range)
        mean, std = (self.input_range or Normalisation.published()).tensors(in_channels)
        self.register_buffer("mean", mean.float().view(1, -1, 1, 1))
        self.register_buffer("std", std.float().view(1, -1, 1, 1))
        self.register_load_state_dict_pre_hook(_as_it_was)  # type: ignore[no-untyped-call]
        self.body = timm.create_model(
            "resnet50", pretrained=False, features_only=True, out_indices=(1, 2, 3, 4), in_chans=in_channels,
            drop_path_rate=drop_path,
        )  # fmt: skip
        self.channels: tuple[int, ...] = tuple(self.body.feature_info.channels())

    def specification(self) -> Specification:
        """Return class and arguments; of a file of weights the name alone: a path can name a patient."""
        kept = super().specification()
        if "weights" in kept["init_args"]:  # a subclass may know its own
            kept["init_args"]["weights"] = nameless(self.weights)
        return kept

    @property
    def stages(self) -> dict[str, list[nn.Module]]:
        """The stages by name, from the last to the stem, each with what it trains; He et al., table 1."""
        layers = {f"stage {number}": [self.body[f"layer{number - 1}"]] for number in (5, 4, 3, 2)}
        return {**layers, "stem": [self.body["conv1"], self.body["bn1"]]}

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the four feature maps, finest first.

        Args:
            image: Images with values in [0, 1].

        Raises:
            RecipeError: If they are not a batch of numbers with its channels.
        """
        if image.ndim != 4 or image.shape[1] != self.in_channels or not image.is_floating_point():
            raise RecipeError(
                f"batch: its images are {tuple(image.shape)} of {image.dtype}, and this ResNet50 takes "
                f"(images, {self.in_channels}, height, width) of floating point, from 0 to 1; mend the "
                "images, or give --model.backbone.in_channels."
            )
        return cast("list[Tensor]", self.body((image.to(self.mean.dtype) - self.mean) / self.std))

    def load_weights(self) -> LoadReport:
        """Read the pretrained parameters that were asked for, and say what became of it.

        Either all that fits is taken over or, where the file is refused, nothing is changed.

        Raises:
            RecipeError: If a file is missing, damaged, hostile or of another architecture, or if
                ImageNet's weights were insisted on and cannot be had.
        """
        found = find_weights(self.weights)
        requested = nameless(self.weights)
        if found.path is None:
            return LoadReport(requested, found.used, f"{found.statement}.", None, 0, (), (), ())
        tensors, digest = read_tensors(found.path)
        file = named(tensors, found.path)
        normalisation = self.input_range or file.normalisation or Normalisation.published()
        state, adapted = fit_channels(file.state, normalisation, self.in_channels)
        matched = match_state(state, self.body.state_dict(), found.path)
        self.body.load_state_dict(matched.state, strict=False)
        for buffer, values in zip(
            (self.mean, self.std), normalisation.tensors(self.in_channels), strict=True
        ):
            buffer.copy_(values.view(1, -1, 1, 1))
        statement = _statement(found, file, self.in_channels if adapted else None, matched.missing)
        return LoadReport(
            requested, found.used, statement, digest,
            len(matched.state), matched.missing, matched.unexpected, adapted,
        )  # fmt: skip


def _check(weights: str, in_channels: int, input_range: tuple[float, float] | None, drop_path: float) -> None:
    """Refuse options out of range, all at once."""
    faults = []
    if in_channels not in {1, 3}:
        faults.append(f"in_channels={in_channels!r}; give 1 for grey images or 3 for colour images.")
    if not 0 <= drop_path < 1:
        faults.append(f"drop_path={drop_path!r}; give a probability from 0 to below 1.")
    if input_range is not None:
        if len(input_range) != 2 or not -math.inf < input_range[0] < input_range[1] < math.inf:
            faults.append(f"input_range={list(input_range)!r}; give what black and white were, [-1, 1].")
        elif weights in {"auto", "imagenet"}:
            faults.append(
                f"input_range is given with weights={weights!r}, whose range is known; leave it out."
            )
    if faults:
        raise RecipeError("\n  ".join(f"ResNet50: {fault}" for fault in faults))


def _statement(found: Found, file: Named, channels: int | None, missing: tuple[str, ...]) -> str:
    """Return what became of a file, in one sentence."""
    clauses = [found.statement, *file.notes]
    if channels is not None:
        clauses.append(f"its stem was adapted to {'one channel' if channels == 1 else 'three channels'}")
    if missing:
        clauses.append(f"{len(missing)} tensors are not in it and stay random")
    return "; ".join(clauses) + "."


def _as_it_was(backbone: nn.Module, state: dict[str, Any], prefix: str, *_: object) -> None:
    """Give a state of before the normalisation went with it the one that all had then."""
    for name in ("mean", "std"):
        state.setdefault(f"{prefix}{name}", getattr(backbone, name))
