"""Heat maps in the network's square: Grad-CAM, Grad-CAM++ and integrated gradients; high is important."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rn50med.errors import NumericalError, RecipeError, unknown
from rn50med.tasks import Task
from rn50med.training.module import FineTuneModule

Method = Literal["gradcam", "gradcam++", "ig", "attention"]
"""Grad-CAM, Grad-CAM++, integrated gradients, or what a head with attention pools."""

Baseline = Literal["black", "grey"]
"""What integrated gradients start from: a black image, or one of the image's own mean."""

METHODS: tuple[Method, ...] = get_args(Method)
BASELINES: tuple[Baseline, ...] = get_args(Baseline)

STEPS = 32
"""Images between baseline and image that integrated gradients look at."""

_CAMS = MappingProxyType({"gradcam": "GradCAM", "gradcam++": "GradCAMpp"})
_AT_ONCE = 400_000  # pixels of the network's squares that are differentiated together: about 2 GB
_SMOOTH = 1 / 64  # of the side; single pixels of a gradient say nothing


def heat_map(
    module: FineTuneModule,
    image: Tensor,
    target: str,
    method: Method = "gradcam",
    baseline: Baseline = "black",
) -> NDArray[np.float32]:
    """Return how much each place of an image contributes to the score of a class.

    Grad-CAM and Grad-CAM++ weigh the last feature maps by how the score rises with them, and keep what
    speaks for the class. Integrated gradients give the magnitude of each pixel's share in the score,
    whether for the class or against it, smoothed a little. Attention is the share of each place in what the
    head pools, whatever the class.

    Args:
        module: In eval mode; nothing of it is changed.
        image: As the network takes it, ``(C, S, S)``, in [0, 1].
        target: The class.
        method: How.
        baseline: What integrated gradients start from.

    Returns:
        ``(S, S)``, from 0 to 1; 1 is the most important. All 0 where nothing speaks for the class.

    Raises:
        RecipeError: If there is no such class, or no gradient reaches the last feature maps, or the head
            has no attention where that is asked for.
        NumericalError: If the map is not finite.

    Source:
        Selvaraju et al., *Grad-CAM*, ICCV 2017, arXiv:1610.02391. Chattopadhyay et al., *Grad-CAM++*, WACV
        2018, arXiv:1710.11063. Sundararajan et al., *Axiomatic attribution for deep networks*, ICML 2017,
        arXiv:1703.01365.
    """
    score = _Score(module, target)
    batch = image[None].detach().clone().requires_grad_()
    if method == "attention":
        found = _attended(module, batch.detach())
    else:
        with _still(module), torch.enable_grad():
            found = _integrated(score, batch, baseline) if method == "ig" else _cam(score, batch, method)
    most = float(found.max())
    if not np.isfinite(most):
        raise NumericalError(f"heat map of {target!r}: is not finite; the network's numbers are too large.")
    return np.asarray(found / most if most > 0 else found, dtype=np.float32)


class _Score(nn.Module):
    """The score of one class, ``(B, 1)``, and the last feature maps that it rests on.

    The hooks of libraries lie on `maps`, which is ours, so that none stays behind on the network.

    Args:
        module: Its backbone and head are shared.
        target: The class.
    """

    def __init__(self, module: FineTuneModule, target: str) -> None:
        super().__init__()
        self.task = module.task
        self.column, self.sign = column_of(module.task, target)
        self.backbone = module.backbone
        self.head = module.head
        self.maps = nn.Identity()
        self.eval()

    def forward(self, image: Tensor) -> Tensor:
        """Return a score whose value is 0: only its gradient counts, and MONAI takes its exponential."""
        features = list(self.backbone(image.contiguous(memory_format=torch.channels_last)))
        features[-1] = self.maps(features[-1]).clone()  # a head may change it in place
        logits = self.task.class_logits(self.head(features).float())
        score = self.sign * logits[:, [self.column]]
        if not score.requires_grad:
            raise RecipeError("explain: no gradient passes the head; give one that can be differentiated.")
        return score - score.detach()


def column_of(task: Task, target: str) -> tuple[int, int]:
    """Return the logit that a class's score is, and its sign.

    Args:
        task: Names the classes.
        target: One of them.

    Raises:
        RecipeError: If it is none of them.

    Example:
        >>> from rn50med.tasks import Binary
        >>> column_of(Binary("normal", "pneumonia"), "normal")
        (0, -1)
    """
    if target in task.probability_names:
        return task.probability_names.index(target), 1
    if target in task.classes:  # the negative one of two that share a logit
        return 0, -1
    known = task.classes or task.probability_names
    raise RecipeError(unknown("class", target, known, f"Give one of {', '.join(known)}."))


@contextmanager
def _still(module: nn.Module) -> Iterator[None]:
    """Leave the parameters out of the gradient: it goes to the image, and nothing is left behind."""
    moving = [parameter for parameter in module.parameters() if parameter.requires_grad]
    for parameter in moving:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in moving:
            parameter.requires_grad_(True)


def _cam(score: _Score, batch: Tensor, method: str) -> NDArray[Any]:
    """Return a class activation map, over the whole square."""
    from monai.visualize import class_activation_maps  # noqa: PLC0415 - slow to import

    cam = getattr(class_activation_maps, _CAMS[method])(score, "maps")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that no gradient arrived; said better below
        try:
            # Not the call, which would turn the map upside down with MONAI's default normaliser.
            cells = cam.compute_map(batch, class_idx=0)
        except IndexError:
            raise RecipeError(
                f"explain: the head does not use the last feature maps, which {method} looks at; "
                "give --method ig."
            ) from None
    stride = score.backbone.body.feature_info.reduction()[-1]
    return _spread(cells[0, 0].detach().double().cpu().numpy(), batch.shape[-1], stride)


def _attended(module: FineTuneModule, batch: Tensor) -> NDArray[Any]:
    """Return what the head pools, over the whole square."""
    attention = getattr(module.head, "attention", None)
    if attention is None:
        raise RecipeError(
            f"explain: {type(module.head).__name__} has no attention; give another --method, or train with "
            "--model.head AttentionHead."
        )
    with torch.no_grad():
        cells = attention(module.backbone(batch.contiguous(memory_format=torch.channels_last)))
    stride = module.backbone.body.feature_info.reduction()[-1]
    return _spread(cells[0].double().cpu().numpy(), batch.shape[-1], stride)


def _spread(cells: NDArray[Any], size: int, stride: int) -> NDArray[Any]:
    """Interpolate between the cells of a feature map, level beyond the outermost ones.

    Every layer of the network pads evenly, so that cell i looks at what lies round pixel i x stride. To
    stretch the map over the square, as is usual, would move everything by half a cell down and right: of 40
    planted squares the maximum then met 15, and so it meets all.

    Args:
        cells: ``(N, N)``.
        size: Side of the square in pixels.
        stride: From one cell to the next, in pixels.
    """
    middles = np.arange(len(cells)) * stride
    weights = np.stack([np.interp(np.arange(size), middles, one) for one in np.eye(len(cells))], axis=1)
    return np.asarray(weights @ cells @ weights.T)


def _integrated(score: _Score, batch: Tensor, baseline: Baseline) -> NDArray[Any]:
    """Return the magnitude of integrated gradients, summed over colours."""
    from captum.attr import IntegratedGradients  # noqa: PLC0415 - slow to import, and for one method only
    from scipy import ndimage  # noqa: PLC0415

    size = batch.shape[-1]
    shares = IntegratedGradients(score).attribute(
        batch,
        batch.detach().mean(dim=(-2, -1), keepdim=True).expand_as(batch) if baseline == "grey" else 0.0,
        target=0,
        n_steps=STEPS,
        internal_batch_size=max(1, _AT_ONCE // size**2),
    )
    magnitude = shares.detach().abs().sum(dim=1)[0].cpu().numpy()
    return np.asarray(ndimage.gaussian_filter(magnitude, size * _SMOOTH))
