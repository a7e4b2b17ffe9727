"""Heads, and the contract that any head has to keep."""

from collections.abc import Callable, Sequence
from functools import cache, partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rn50med.cli.classes import subclasses
from rn50med.deployment.explaining import heat_map
from rn50med.errors import RecipeError
from rn50med.model import heads as shipped
from rn50med.model.backbone import ResNet50
from rn50med.model.heads import (
    AttentionHead,
    CosineHead,
    GeMHead,
    Head,
    LinearHead,
    MLPHead,
    MultiScaleHead,
)
from rn50med.parts import build_factory, factory_specification
from rn50med.tasks import Binary
from rn50med.testing import check_head
from rn50med.training.module import FineTuneModule

OURS = (LinearHead, MLPHead, GeMHead, AttentionHead, CosineHead, MultiScaleHead)
EVERY_HEAD = pytest.mark.parametrize("factory", OURS)


class PyramidHead(Head):
    """A user's own: pools every map, not only the last."""

    def __init__(self, channels: Sequence[int], num_outputs: int, hidden: int = 8) -> None:
        super().__init__(channels, num_outputs)
        self.layers = nn.Sequential(
            nn.Linear(sum(channels), hidden), nn.GELU(), nn.Linear(hidden, num_outputs)
        )

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        return self.layers(torch.cat([feature.mean(dim=(-2, -1)) for feature in features], dim=1))


class Squeezed(LinearHead):
    def forward(self, features: Sequence[Tensor]) -> Tensor:
        return super().forward(features)[:, 0]


class Infinite(LinearHead):
    def forward(self, features: Sequence[Tensor]) -> Tensor:
        return super().forward(features) / 0.0


class Unused(LinearHead):
    def __init__(self, channels: Sequence[int], num_outputs: int) -> None:
        super().__init__(channels, num_outputs)
        self.forgotten = nn.Linear(2, 2)


class Forgetful(LinearHead):
    def __init__(self, channels: Sequence[int], num_outputs: int) -> None:
        super().__init__(channels, num_outputs)
        self.scale = torch.rand(())  # no buffer, so that no checkpoint holds it


class Forgets(Forgetful):
    def forward(self, features: Sequence[Tensor]) -> Tensor:
        return super().forward(features) * self.scale


class NeedsABatch(LinearHead):
    def forward(self, features: Sequence[Tensor]) -> Tensor:
        logits = super().forward(features)
        return logits / (logits.amax(dim=0) - logits.amin(dim=0))


class Centred(LinearHead):
    def forward(self, features: Sequence[Tensor]) -> Tensor:
        logits = super().forward(features)
        return logits - logits.mean(dim=0)


class Detached(LinearHead):
    def forward(self, features: Sequence[Tensor]) -> Tensor:
        return super().forward([maps.detach() for maps in features])


class Divided(LinearHead):
    def forward(self, features: Sequence[Tensor]) -> Tensor:
        return super().forward([maps / maps.sum(dim=(-2, -1), keepdim=True) for maps in features])


class Rooted(LinearHead):
    def forward(self, features: Sequence[Tensor]) -> Tensor:
        return super().forward([maps.sqrt() for maps in features])


class Halved(LinearHead):
    def forward(self, features: Sequence[Tensor]) -> Tensor:
        return super().forward([F.max_pool2d(maps, 2) for maps in features])


class In32BitsOnly(LinearHead):
    def forward(self, features: Sequence[Tensor]) -> Tensor:
        return super().forward(features) / (features[-1].dtype == torch.float32)


class NoHead(nn.Module):
    def __init__(self, channels: Sequence[int], num_outputs: int) -> None:
        super().__init__()


class Unfinished(Head):
    pass


@pytest.mark.parametrize(
    "factory",
    [
        *OURS,
        partial(LinearHead, dropout=0.5),
        partial(MLPHead, hidden=3, dropout=0.5),
        partial(GeMHead, p=0.5),
        partial(GeMHead, p=50.0),
        partial(AttentionHead, hidden=1),
        partial(CosineHead, scale=30),
        PyramidHead,
        partial(PyramidHead, hidden=3),
    ],
)
def test_heads_keep_the_contract(factory: Callable[..., Head]) -> None:
    check_head(factory)


@pytest.mark.parametrize(
    ("factory", "sentence"),
    [
        (Squeezed, r"in train mode, of 2x3 cells, its output is \(2,\); it has to be \(2, 1\)"),
        (Infinite, "not finite"),
        (Unused, "no gradient reaches forgotten.weight, forgotten.bias"),
        (Forgets, "gives other logits"),
        (NeedsABatch, "in eval mode, of 2x3 cells, its output is not finite"),
        (Centred, "an image's logits depend on the rest of its batch"),
        (Detached, "no gradient reaches the feature maps"),
        (Divided, "of a blank image its output is not finite"),
        (Rooted, "of a blank image its gradients are not finite"),
        (In32BitsOnly, "in bfloat16 its output is not finite"),
        (NoHead, "is no rn50med.Head"),
    ],
)
def test_a_head_that_breaks_a_promise_is_told_which(factory: Callable[..., Head], sentence: str) -> None:
    with pytest.raises(AssertionError, match=sentence):
        check_head(factory)


def test_a_head_that_cannot_take_a_single_cell_fails_the_check() -> None:
    with pytest.raises(RuntimeError, match="Output size is too small"):
        check_head(Halved)


def test_every_head_that_is_shipped_is_checked_here() -> None:
    public = {name for name in shipped.__all__ if name not in {"Head", "HeadFactory"}}
    assert {head.__name__ for head in OURS} == public
    mine = {name for name, part in subclasses(Head).items() if part.__module__.startswith("rn50med.")}
    assert mine - {"Head"} == public


@EVERY_HEAD
def test_a_checkpoint_names_a_head_by_its_package(factory: Callable[..., Head]) -> None:
    specification = factory_specification(factory, "head")
    assert specification["class_path"] == f"rn50med.model.heads.{factory.__name__}"


def test_a_head_without_forward_is_told_so() -> None:
    with pytest.raises(NotImplementedError, match="Unfinished: has no forward"):
        check_head(Unfinished)


def test_a_head_that_no_checkpoint_can_hold_is_refused() -> None:
    with pytest.raises(RecipeError, match="cannot be kept in a checkpoint"):
        check_head(lambda *sizes: LinearHead(*sizes, dropout=0.5))


@pytest.mark.parametrize("factory", [*OURS, PyramidHead])
def test_a_head_swaps_in_by_class_a_users_own_too(factory: Callable[..., Head]) -> None:
    backbone = backbone_at_random()
    rebuilt = build_factory(factory_specification(factory, "head"), Head)
    assert rebuilt(backbone.channels, 3)(backbone(torch.rand(2, 1, 64, 64))).shape == (2, 3)


def test_the_linear_head_is_pooling_and_one_matrix() -> None:
    head = LinearHead([4, 6], 3, dropout=0.5).eval()
    features = [torch.rand(2, 4, 8, 8), torch.rand(2, 6, 4, 5)]
    pooled = features[1].flatten(2).mean(dim=2)
    torch.testing.assert_close(head(features), pooled @ head.linear.weight.T + head.linear.bias)


@EVERY_HEAD
def test_dropout_only_acts_in_training(factory: Callable[..., Head]) -> None:
    head = factory([64], 2, dropout=0.5)
    features = [torch.rand(1, 64, 2, 2)]
    assert not torch.equal(head(features), head(features))
    head.eval()
    assert torch.equal(head(features), head(features))


@EVERY_HEAD
@pytest.mark.parametrize(("channels", "num_outputs"), [([], 1), ([8, 0], 1), ([8], 0)])
def test_impossible_sizes_are_refused(factory: type[Head], channels: list[int], num_outputs: int) -> None:
    with pytest.raises(RecipeError, match=factory.__name__):
        factory(channels, num_outputs)


@EVERY_HEAD
@pytest.mark.parametrize("dropout", [-0.1, 1.1])
def test_a_dropout_that_is_no_probability_is_refused(factory: type[Head], dropout: float) -> None:
    with pytest.raises(RecipeError, match=rf"{factory.__name__}: .*\[0, 1\]"):
        factory([8], 1, dropout=dropout)


@pytest.mark.parametrize(
    ("factory", "option", "value"),
    [
        (MLPHead, "hidden", 0), (AttentionHead, "hidden", 0), (GeMHead, "p", 0.0), (GeMHead, "p", -1.0),
        (CosineHead, "scale", 0.0), (CosineHead, "scale", float("nan")),
    ],
)  # fmt: skip
def test_an_option_out_of_range_is_refused(factory: type[Head], option: str, value: float) -> None:
    with pytest.raises(RecipeError, match=f"{factory.__name__}: {option}="):
        factory([8], 1, **{option: value})


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0, 7.5])
def test_generalised_mean_pooling_is_its_formula(p: float) -> None:
    maps = torch.rand(3, 5, 4, 6).clamp(min=1e-3)
    expected = maps.double().pow(p).mean(dim=(-2, -1)).pow(1 / p)
    torch.testing.assert_close(GeMHead([5], 1, p=p).pooled([maps]).double(), expected, rtol=1e-5, atol=0)


def test_generalised_mean_pooling_lies_between_mean_and_maximum() -> None:
    maps = torch.rand(2, 5, 6, 6)
    mean, most = maps.mean(dim=(-2, -1)), maps.amax(dim=(-2, -1))
    pooled = [GeMHead([5], 1, p=p).pooled([maps]) for p in (1.0, 3.0, 1000.0)]
    torch.testing.assert_close(pooled[0], mean)
    assert (pooled[1] > mean).all()
    assert (pooled[1] < most).all()
    torch.testing.assert_close(pooled[2], most, rtol=0.01, atol=0)


@pytest.mark.parametrize("size", [1e-4, 1.0, 1e4])
def test_generalised_mean_pooling_is_finite_whatever_p_has_become(size: float) -> None:
    maps = (size * torch.rand(2, 5, 6, 6)).requires_grad_()
    for p in (1e-3, 1.0, 60.0, 1e4):
        head = GeMHead([5], 1, p=p)
        pooled = head.pooled([maps])
        assert pooled.isfinite().all()
        gradients = torch.autograd.grad(pooled.sum(), [maps, head.log_p])
        assert all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (7, 5)])
def test_attention_sums_to_one_over_the_positions(shape: tuple[int, int]) -> None:
    features = [torch.rand(3, 4, 9, 9), torch.rand(3, 8, *shape)]
    attention = AttentionHead([4, 8], 2).attention(features)
    assert attention.shape == (3, *shape)
    assert (attention >= 0).all()
    torch.testing.assert_close(attention.sum(dim=(1, 2)), torch.ones(3))


def test_attention_is_what_the_head_pools_by() -> None:
    head = AttentionHead([8], 2).eval()
    features = [torch.rand(3, 8, 4, 5)]
    pooled = (features[0] * head.attention(features)[:, None]).flatten(2).sum(dim=2)
    torch.testing.assert_close(head(features), head.linear(pooled))
    by_hand = torch.zeros(3, 4, 5)
    for row in range(4):
        for column in range(5):
            cell = features[0][:, :, row, column]
            gated = torch.tanh(head.signal(cell)) * torch.sigmoid(head.gate(cell))
            by_hand[:, row, column] = (gated @ head.score.weight.T)[:, 0]
    weights = by_hand.flatten(1).softmax(dim=1).reshape(3, 4, 5)
    torch.testing.assert_close(head.attention(features), weights)


def test_attention_does_not_care_where_a_position_is() -> None:
    head = AttentionHead([8], 2).eval()
    maps = torch.rand(3, 8, 4, 5)
    torch.testing.assert_close(head([maps.flip(-1)]), head([maps]))
    torch.testing.assert_close(head.attention([maps.flip(-1)]), head.attention([maps]).flip(-1))


def test_longer_features_change_no_logit_of_the_cosine_head() -> None:
    head = CosineHead([8], 3).eval()
    maps = torch.rand(4, 8, 3, 3)
    torch.testing.assert_close(head([5 * maps]), head([maps]))
    assert (head([maps]).abs() <= 10).all()
    exactly = head.weight.detach()[:, :, None, None].expand(-1, -1, 2, 2)
    torch.testing.assert_close(head([exactly]).diagonal(), torch.full((3,), 10.0))


def test_longer_weights_change_no_logit_of_the_cosine_head() -> None:
    head = CosineHead([8], 3).eval()
    maps = torch.rand(4, 8, 3, 3)
    before = head([maps]).detach()
    with torch.no_grad():
        head.weight *= torch.tensor([[0.5], [2.0], [30.0]])
    torch.testing.assert_close(head([maps]), before)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_the_multi_scale_head_uses_the_last_three_maps_or_as_many_as_there_are(count: int) -> None:
    channels = [4, 6, 8, 10][:count]
    head = MultiScaleHead(channels, 1).eval()
    features = [torch.rand(2, size, 4, 4).requires_grad_() for size in channels]
    head(features).sum().backward()
    reached = [maps.grad is not None for maps in features]
    assert reached == [False] * max(0, count - 3) + [True] * min(3, count)


def test_no_scale_of_the_multi_scale_head_drowns_another() -> None:
    head = MultiScaleHead([6, 8, 10], 2).eval()
    features = [10 * torch.rand(2, size, 4, 4) for size in (6, 8, 10)]  # far above the norm's epsilon
    louder = [1000 * features[0], *features[1:]]
    torch.testing.assert_close(head(louder), head(features), rtol=1e-3, atol=1e-3)


@cache
def backbone_at_random() -> ResNet50:
    return ResNet50(weights="none").eval()


class Strided(nn.Module):
    """A body of three small maps."""

    class Info:
        """What timm says of a body's maps."""

        @staticmethod
        def reduction() -> list[int]:
            """From one cell to the next, in pixels."""
            return [4, 8, 16]

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.feature_info = self.Info()
        self.first = nn.Conv2d(1, channels[0], 5, stride=4, padding=2)
        self.second = nn.Conv2d(channels[0], channels[1], 3, stride=2, padding=1)
        self.third = nn.Conv2d(channels[1], channels[2], 3, stride=2, padding=1)

    def forward(self, image: Tensor) -> list[Tensor]:
        maps = [self.first(image).relu()]
        maps.append(self.second(maps[-1]).relu())
        return [*maps, self.third(maps[-1]).relu()]


class Small(ResNet50):
    """A backbone that trains in a second."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.weights, self.in_channels, self.channels = "none", 1, (8, 16, 16)
        self.body = Strided(self.channels)
        self.register_buffer("mean", torch.tensor(0.5), persistent=False)
        self.register_buffer("std", torch.tensor(0.25), persistent=False)


def spotted(count: int) -> tuple[Tensor, Tensor, list[tuple[int, int]]]:
    """Return noise of 64 px, half of it with a bright square of 16 px, and where the squares begin."""
    generator = torch.Generator().manual_seed(0)
    image = 0.4 + 0.1 * torch.randn(count, 1, 64, 64, generator=generator)
    target = torch.arange(count) % 2
    corners = torch.randint(0, 48, (count, 2), generator=generator).tolist()
    for number in torch.nonzero(target)[:, 0].tolist():
        top, left = corners[number]
        image[number, :, top : top + 16, left : left + 16] += 0.3
    return image.clamp(0, 1), target, [(top, left) for top, left in corners]


@EVERY_HEAD
def test_grad_cam_of_every_head_shows_the_finding(factory: Callable[..., Head]) -> None:
    torch.manual_seed(0)
    task = Binary("normal", "pneumonia")
    module = FineTuneModule(task, backbone=Small(), head=factory)
    image, target, corners = spotted(64)
    optimizer = torch.optim.Adam(module.parameters(), 1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        task.loss(module(image), target).backward()
        optimizer.step()
    module.eval()
    right = ((module(image)[:, 0] > 0) == (target == 1)).float().mean()
    assert right > 0.95
    met = []
    for number in range(1, 32, 2):
        found = heat_map(module, image[number], "pneumonia")
        row, column = np.unravel_index(found.argmax(), found.shape)
        top, left = corners[number]
        met.append(top - 8 <= row < top + 24 and left - 8 <= column < left + 24)  # within half a cell
    assert np.mean(met) > 0.8


class Narrow(Head):
    """Is made for another network."""

    def __init__(self, channels: Sequence[int], num_outputs: int) -> None:
        super().__init__(channels, num_outputs)
        self.linear = nn.Linear(512, num_outputs)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        return self.linear(features[-1].mean(dim=(-2, -1)))


class Unbegun(Head):
    """Forgets its base."""

    def __init__(self, channels: Sequence[int], num_outputs: int) -> None:
        nn.Module.__init__(self)


class Stranger(nn.Linear):
    """Is none of ours."""

    def __init__(self, channels: Sequence[int], num_outputs: int) -> None:
        super().__init__(channels[-1], num_outputs)


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (Narrow, r"Narrow fails on feature maps of 256, 512, 1024, 2048 channels \(RuntimeError"),
        (Head, r"Head fails on .* \(NotImplementedError: Head: has no forward"),
        (Unbegun, r"Unbegun is no rn50med\.Head; .*super\(\)\.__init__\(channels, num_outputs\)"),
        (Stranger, r"Stranger is no rn50med\.Head"),
    ],
)
def test_a_head_that_cannot_work_is_refused_in_a_sentence(head: type, said: str) -> None:
    with pytest.raises(RecipeError, match=rf"^model\.head: {said}"):
        FineTuneModule(Binary("a", "b"), ResNet50(weights="none"), head=head)
