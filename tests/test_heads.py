"""Heads, and the contract that any head has to keep."""

from collections.abc import Callable, Sequence
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from rn50med.errors import RecipeError
from rn50med.model.backbone import ResNet50
from rn50med.model.heads import Head, LinearHead
from rn50med.parts import build_factory, factory_specification
from rn50med.testing import check_head


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


class NoHead(nn.Module):
    def __init__(self, channels: Sequence[int], num_outputs: int) -> None:
        super().__init__()


class Unfinished(Head):
    pass


@pytest.mark.parametrize(
    "factory", [LinearHead, partial(LinearHead, dropout=0.5), PyramidHead, partial(PyramidHead, hidden=3)]
)
def test_heads_keep_the_contract(factory: Callable[..., Head]) -> None:
    check_head(factory)


@pytest.mark.parametrize(
    ("factory", "sentence"),
    [
        (Squeezed, r"in train mode its output is \(2,\); it has to be \(2, 1\)"),
        (Infinite, "not finite"),
        (Unused, "no gradient reaches forgotten.weight, forgotten.bias"),
        (Forgets, "gives other logits"),
        (NeedsABatch, "in eval mode its output is not finite"),
        (NoHead, "is no rn50med.Head"),
    ],
)
def test_a_head_that_breaks_a_promise_is_told_which(factory: Callable[..., Head], sentence: str) -> None:
    with pytest.raises(AssertionError, match=sentence):
        check_head(factory)


def test_a_head_without_forward_is_told_so() -> None:
    with pytest.raises(NotImplementedError, match="Unfinished: has no forward"):
        check_head(Unfinished)


def test_a_head_that_no_checkpoint_can_hold_is_refused() -> None:
    with pytest.raises(RecipeError, match="cannot be kept in a checkpoint"):
        check_head(lambda *sizes: LinearHead(*sizes, dropout=0.5))


@pytest.mark.parametrize("factory", [LinearHead, PyramidHead])
def test_a_users_own_head_swaps_in_by_class(factory: Callable[..., Head]) -> None:
    backbone = ResNet50(weights="none").eval()
    rebuilt = build_factory(factory_specification(factory, "head"), Head)
    assert rebuilt(backbone.channels, 3)(backbone(torch.rand(2, 1, 64, 64))).shape == (2, 3)


def test_the_linear_head_is_pooling_and_one_matrix() -> None:
    head = LinearHead([4, 6], 3, dropout=0.5).eval()
    features = [torch.rand(2, 4, 8, 8), torch.rand(2, 6, 4, 5)]
    pooled = features[1].flatten(2).mean(dim=2)
    torch.testing.assert_close(head(features), pooled @ head.linear.weight.T + head.linear.bias)


def test_dropout_only_acts_in_training() -> None:
    head = LinearHead([64], 2, dropout=0.5)
    features = [torch.rand(1, 64, 2, 2)]
    assert not torch.equal(head(features), head(features))
    head.eval()
    assert torch.equal(head(features), head(features))


@pytest.mark.parametrize(("channels", "num_outputs"), [([], 1), ([8, 0], 1), ([8], 0)])
def test_impossible_sizes_are_refused(channels: list[int], num_outputs: int) -> None:
    with pytest.raises(RecipeError, match="LinearHead"):
        LinearHead(channels, num_outputs)


@pytest.mark.parametrize("dropout", [-0.1, 1.1])
def test_a_dropout_that_is_no_probability_is_refused(dropout: float) -> None:
    with pytest.raises(RecipeError, match=r"\[0, 1\]"):
        LinearHead([8], 1, dropout=dropout)
