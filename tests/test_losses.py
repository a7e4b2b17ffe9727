"""Losses: what they equal, what they leave out, and what they learn of train."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from jsonargparse import ArgumentParser
from timm.loss import AsymmetricLossMultiLabel
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import sigmoid_focal_loss

from rn50med import losses as shipped
from rn50med.cli.classes import subclasses, with_types
from rn50med.errors import RecipeError
from rn50med.losses import Asymmetric, ClassCounts, CrossEntropy, Focal, LogitAdjusted, Loss
from rn50med.parts import build
from rn50med.tasks import UNKNOWN, Binary, MultiClass, MultiLabel, Task
from rn50med.testing import check_loss

EXACT = {"rtol": 1e-6, "atol": 1e-9}
ONE = ClassCounts(((60, 20),), exclusive=False)
THREE = ClassCounts(((60, 20), (5, 75), (40, 40)), exclusive=False)
FOUR = ClassCounts(((50, 20, 9, 1),), exclusive=True)
EVERY_LOSS = [
    CrossEntropy(),
    CrossEntropy(smoothing=0.1),
    CrossEntropy(weights="pos_weight"),
    CrossEntropy(smoothing=0.2, weights="class_balanced"),
    Focal(),
    Focal(gamma=0.5, smoothing=0.1, weights="class_balanced", beta=1.0),
    Asymmetric(),
    Asymmetric(gamma_negative=0.5, gamma_positive=1.0, clip=0.0),
    Asymmetric(clip=0.3),
    LogitAdjusted(),
    LogitAdjusted(tau=0.5, smoothing=0.1),
]


def logits_of(counts: ClassCounts, batch: int = 40, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.randn(batch, counts.num_outputs, generator=generator, dtype=torch.float64)


def target_of(counts: ClassCounts, batch: int = 40, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    several = not counts.exclusive and counts.num_outputs > 1
    size = (batch, counts.num_outputs) if several else (batch,)
    return torch.randint(counts.num_outputs if counts.exclusive else 2, size, generator=generator)


def usable(loss: Loss) -> list[ClassCounts]:
    """Return the classes that a loss does not refuse."""
    multi = loss.fault(FOUR) is None and getattr(loss, "weights", "none") != "pos_weight"
    return [ONE, THREE, FOUR] if multi else [ONE, THREE]


PAIRS = [(loss, counts) for loss in EVERY_LOSS for counts in usable(loss)]
EVERY_PAIR = pytest.mark.parametrize(("loss", "counts"), PAIRS, ids=str)


@dataclass(frozen=True)
class Half(Loss):
    """A user's own: half the cross-entropy."""

    def costs(self, logits: Tensor, counts: ClassCounts) -> Tensor:
        return -logits.log_softmax(dim=2) / 2


@dataclass(frozen=True)
class Climbing(Loss):
    def costs(self, logits: Tensor, counts: ClassCounts) -> Tensor:
        return logits.log_softmax(dim=2)


@dataclass(frozen=True)
class Brittle(Loss):
    def costs(self, logits: Tensor, counts: ClassCounts) -> Tensor:
        return -logits.softmax(dim=2).log()


@dataclass(frozen=True)
class Picky(Loss):
    def fault(self, counts: ClassCounts) -> str | None:
        return "model.loss: nothing will do."

    def costs(self, logits: Tensor, counts: ClassCounts) -> Tensor:
        return logits


@dataclass(frozen=True)
class Flat(Loss):
    def costs(self, logits: Tensor, counts: ClassCounts) -> Tensor:
        return torch.zeros_like(logits)


@pytest.mark.parametrize("loss", [*EVERY_LOSS, Half()], ids=str)
def test_losses_keep_the_contract(loss: Loss) -> None:
    check_loss(loss)


@pytest.mark.parametrize(
    ("loss", "sentence"),
    [
        (Climbing(), "Climbing, of one sigmoid: what is right costs no less than what is wrong"),
        (Brittle(), "not finite for logits of"),
        (Picky(), "refuses every kind of classes"),
        (Flat(), "does not depend on the logits"),
    ],
)
def test_a_loss_that_breaks_a_promise_is_told_which(loss: Loss, sentence: str) -> None:
    with pytest.raises(AssertionError, match=sentence):
        check_loss(loss)


def test_every_loss_that_is_shipped_is_checked_here() -> None:
    mine = {name for name, part in subclasses(Loss).items() if part.__module__.startswith("rn50med.")}
    assert {type(loss).__name__ for loss in EVERY_LOSS} == mine
    assert mine < set(shipped.__all__)


@pytest.mark.parametrize("loss", EVERY_LOSS, ids=str)
def test_a_checkpoint_holds_a_loss_in_plain_types(loss: Loss) -> None:
    kept = loss.specification()
    assert kept["class_path"] == f"rn50med.losses.{type(loss).__name__}"
    assert build(kept, Loss) == loss


def test_a_recipe_names_a_loss_by_its_class_and_options() -> None:
    for part in subclasses(Loss).values():
        with_types(part)
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--loss", type=Loss | None)
    chosen = ["--loss", "Focal", "--loss.gamma", "1.5", "--loss.weights", "class_balanced"]
    found = parser.instantiate(parser.parse_args(chosen)).loss
    assert found == Focal(gamma=1.5, weights="class_balanced")
    with pytest.raises(Exception, match="weights"):
        parser.parse_args(["--loss", "Focal", "--loss.weights", "balanced"])


@pytest.mark.parametrize(
    ("task", "counts"),
    [
        (Binary("normal", "pneumonia"), ONE),
        (MultiLabel(("mass", "effusion", "nodule")), THREE),
        (MultiClass(("none", "bacteria", "virus", "fungus")), FOUR),
    ],
)
def test_cross_entropy_without_options_is_the_tasks_own_loss(task: Task, counts: ClassCounts) -> None:
    logits, target = logits_of(counts), target_of(counts)
    if isinstance(task, MultiLabel):
        target[::3, 1] = UNKNOWN
    torch.testing.assert_close(
        CrossEntropy().prepared(counts)(logits, target), task.loss(logits, target), **EXACT
    )


@pytest.mark.parametrize("loss", EVERY_LOSS, ids=str)
def test_a_loss_with_half_of_the_labels_blanked_is_that_of_the_rows_that_stay(loss: Loss) -> None:
    logits, target = logits_of(ONE), target_of(ONE)
    masked = torch.where(torch.arange(40) % 2 == 0, target, UNKNOWN)
    prepared = loss.prepared(ONE)
    torch.testing.assert_close(prepared(logits, masked), prepared(logits[::2], target[::2]), **EXACT)
    torch.testing.assert_close(prepared(logits, masked[:, None].double()), prepared(logits, masked), **EXACT)


@pytest.mark.parametrize("loss", EVERY_LOSS, ids=str)
def test_several_labels_half_blanked_are_the_mean_over_the_known_cells(loss: Loss) -> None:
    logits, target = logits_of(THREE), target_of(THREE)
    known = torch.rand(40, 3, generator=torch.Generator().manual_seed(2)) < 0.5
    masked = torch.where(known, target, UNKNOWN)
    found = loss.prepared(THREE)(logits, masked)
    total = 0.0
    for label in range(3):  # each label alone, on the rows in which it is known
        rows = known[:, label]
        alone = loss.prepared(ClassCounts((THREE.numbers[label],), exclusive=False))
        total += float(alone(logits[rows, label : label + 1], target[rows, label])) * int(rows.sum())
    assert float(found) == pytest.approx(total / int(known.sum()), rel=1e-6)


@EVERY_PAIR
def test_an_unknown_row_of_classes_counts_nowhere(loss: Loss, counts: ClassCounts) -> None:
    if not counts.exclusive:
        return
    logits, target = logits_of(counts), target_of(counts)
    prepared, blank = loss.prepared(counts), torch.arange(40) % 2 == 1
    expected = prepared(logits[~blank], target[~blank])
    torch.testing.assert_close(prepared(logits, target.masked_fill(blank, UNKNOWN)), expected, **EXACT)
    soft = F.one_hot(target, 4).double().masked_fill(blank[:, None], UNKNOWN)
    torch.testing.assert_close(prepared(logits, soft), expected, **EXACT)


@EVERY_PAIR
def test_a_batch_without_a_known_label_costs_nothing(loss: Loss, counts: ClassCounts) -> None:
    logits = logits_of(counts).requires_grad_()
    found = loss.prepared(counts)(logits, torch.full_like(target_of(counts), UNKNOWN))
    found.backward()
    assert float(found.detach()) == 0
    assert not logits.grad.any()


@EVERY_PAIR
@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 1.0])
def test_a_mixed_target_costs_the_mixture_of_its_targets(
    loss: Loss, counts: ClassCounts, share: float
) -> None:
    logits, one, other = logits_of(counts), target_of(counts), target_of(counts, seed=3)
    wide = (lambda t: F.one_hot(t, 4).double()) if counts.exclusive else (lambda t: t.double())
    mixed = share * wide(one) + (1 - share) * wide(other)
    prepared = loss.prepared(counts)
    expected = share * prepared(logits, one) + (1 - share) * prepared(logits, other)
    torch.testing.assert_close(prepared(logits, mixed), expected, **EXACT)


@pytest.mark.parametrize("counts", [ONE, THREE, FOUR], ids=str)
def test_focal_at_gamma_0_is_the_cross_entropy(counts: ClassCounts) -> None:
    logits, target = logits_of(counts), target_of(counts)
    plain = (
        F.cross_entropy(logits, target)
        if counts.exclusive
        else F.binary_cross_entropy_with_logits(logits, target.double().reshape(logits.shape))
    )
    torch.testing.assert_close(Focal(gamma=0).prepared(counts)(logits, target), plain, **EXACT)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 5.0])
def test_focal_is_torchvisions_and_its_formula(gamma: float) -> None:
    logits, target = logits_of(THREE), target_of(THREE).double()
    theirs = sigmoid_focal_loss(logits, target, alpha=-1, gamma=gamma, reduction="mean")
    torch.testing.assert_close(Focal(gamma=gamma).prepared(THREE)(logits, target), theirs, **EXACT)
    logits, target = logits_of(FOUR), target_of(FOUR)
    right = logits.softmax(dim=1)[torch.arange(40), target]
    by_hand = -((1 - right) ** gamma * right.log()).mean()
    torch.testing.assert_close(Focal(gamma=gamma).prepared(FOUR)(logits, target), by_hand, **EXACT)


@pytest.mark.parametrize("counts", [ONE, THREE], ids=str)
def test_asymmetric_at_gammas_0_and_clip_0_is_the_cross_entropy(counts: ClassCounts) -> None:
    logits, target = logits_of(counts), target_of(counts)
    plain = F.binary_cross_entropy_with_logits(logits, target.double().reshape(logits.shape))
    torch.testing.assert_close(Asymmetric(0, 0, 0).prepared(counts)(logits, target), plain, **EXACT)


@pytest.mark.parametrize(
    ("negative", "positive", "clip"), [(4, 0, 0.05), (4, 1, 0.05), (2, 2, 0), (3, 1, 0.2)]
)
def test_asymmetric_is_timms_but_for_the_mean(negative: float, positive: float, clip: float) -> None:
    logits, target = logits_of(THREE), target_of(THREE)
    theirs = AsymmetricLossMultiLabel(negative, positive, clip, disable_torch_grad_focal_loss=False)
    # image by image, since its versions differ in how they reduce a batch; it computes in 32 bits
    total = sum(float(theirs(logits[[n]], target[[n]].double())) for n in range(len(logits)))
    mine = Asymmetric(negative, positive, clip).prepared(THREE)(logits, target)
    assert float(mine) == pytest.approx(total / logits.numel(), rel=1e-5)


@pytest.mark.parametrize("clip", [0.0, 0.05])
def test_asymmetric_is_its_formula(clip: float) -> None:
    logits, target = logits_of(THREE), target_of(THREE)
    p = logits.sigmoid()
    shifted = (p - clip).clamp(min=0)
    by_hand = -torch.where(target == 1, (1 - p) ** 1.5 * p.log(), shifted**3 * (1 - shifted).log()).mean()
    torch.testing.assert_close(Asymmetric(3, 1.5, clip).prepared(THREE)(logits, target), by_hand, **EXACT)


def test_an_absent_finding_below_the_clip_costs_nothing_and_moves_nothing() -> None:
    logits = torch.tensor([[-4.0], [-3.0], [3.0]], dtype=torch.float64, requires_grad=True)  # 0.018, 0.047
    Asymmetric(clip=0.05).prepared(ONE)(logits, torch.zeros(3, dtype=torch.long)).backward()
    assert (logits.grad[:2] == 0).all()
    assert logits.grad[2] > 0


def test_smoothing_0_is_the_plain_loss() -> None:
    logits, target = logits_of(FOUR), target_of(FOUR)
    plain = F.cross_entropy(logits, target)
    torch.testing.assert_close(CrossEntropy(smoothing=0).prepared(FOUR)(logits, target), plain, **EXACT)


@pytest.mark.parametrize("smoothing", [0.05, 0.1, 0.5])
def test_smoothed_classes_are_torchs(smoothing: float) -> None:
    logits, target = logits_of(FOUR), target_of(FOUR)
    theirs = F.cross_entropy(logits, target, label_smoothing=smoothing)
    torch.testing.assert_close(CrossEntropy(smoothing).prepared(FOUR)(logits, target), theirs, **EXACT)


@pytest.mark.parametrize("smoothing", [0.05, 0.1, 0.5])
def test_a_smoothed_finding_has_the_target_1_minus_half_the_smoothing(smoothing: float) -> None:
    logits, target = logits_of(ONE), target_of(ONE)
    p = logits[:, 0].sigmoid()
    soft = target * (1 - smoothing) + smoothing / 2
    by_hand = -(soft * p.log() + (1 - soft) * (1 - p).log()).mean()
    torch.testing.assert_close(CrossEntropy(smoothing).prepared(ONE)(logits, target), by_hand, **EXACT)


def test_pos_weight_is_torchs() -> None:
    logits, target = logits_of(THREE), target_of(THREE)
    ratio = torch.tensor([60 / 20, 5 / 75, 1.0], dtype=torch.float64)
    theirs = F.binary_cross_entropy_with_logits(logits, target.double(), pos_weight=ratio)
    torch.testing.assert_close(
        CrossEntropy(weights="pos_weight").prepared(THREE)(logits, target), theirs, **EXACT
    )


def test_smoothing_does_not_undo_pos_weight() -> None:
    rare = ClassCounts(((980, 20),), exclusive=False)
    prepared = CrossEntropy(smoothing=0.1, weights="pos_weight").prepared(rare)
    logit = torch.zeros(1, 1, dtype=torch.float64, requires_grad=True)
    prepared(logit, torch.tensor([0])).backward()
    assert float(logit.grad) == pytest.approx(0.5 - 0.05)  # a negative is pulled down, as without weights


@pytest.mark.parametrize("counts", [ONE, THREE, FOUR], ids=str)
def test_class_balanced_at_beta_1_is_the_inverse_frequency(counts: ClassCounts) -> None:
    weights = counts.weights("class_balanced", 1.0)
    products = weights * np.array(counts.numbers)
    assert np.allclose(products, products[:, :1])
    assert np.allclose(counts.weights("class_balanced", 1 - 1e-9), weights, rtol=1e-5)


@pytest.mark.parametrize("beta", [0.0, 0.9, 0.999, 1.0])
@pytest.mark.parametrize("counts", [ONE, THREE, FOUR], ids=str)
def test_the_images_of_train_weigh_one_in_the_mean(counts: ClassCounts, beta: float) -> None:
    weights, numbers = counts.weights("class_balanced", beta), np.array(counts.numbers)
    assert np.allclose((weights * numbers).sum(axis=1), numbers.sum(axis=1))
    if beta == 0:
        assert np.allclose(weights, 1)
    else:
        effective = np.array([[sum(beta**i for i in range(n)) for n in row] for row in counts.numbers])
        assert np.allclose((weights * effective) / (weights * effective)[:, :1], 1)


@pytest.mark.parametrize("weighting", ["none", "pos_weight", "class_balanced"])
@pytest.mark.parametrize("numbers", [(0, 0), (0, 7), (7, 0)])
def test_a_finding_that_train_lacks_has_finite_weights(weighting: str, numbers: tuple[int, int]) -> None:
    counts = ClassCounts((numbers, (3, 4)), exclusive=False)
    weights = counts.weights(weighting, 0.999)
    assert np.isfinite(weights).all()
    assert (weights > 0).all()
    assert np.isfinite(np.log(counts.shares())).all()


@pytest.mark.parametrize("loss", EVERY_LOSS, ids=str)
def test_weights_and_priors_do_not_move_when_the_labels_of_val_are_poisoned(loss: Loss) -> None:
    rng = np.random.default_rng(0)
    split = np.array(["train", "val"]).repeat(50)
    targets = rng.integers(0, 2, (100, 3))
    poisoned = np.where((split == "val")[:, None], 1 - targets, targets)
    train = [ClassCounts.of(one[split == "train"], 3, exclusive=False) for one in (targets, poisoned)]
    logits, target = logits_of(THREE), target_of(THREE)
    one, other = (loss.prepared(counts)(logits, target) for counts in train)
    assert train[0] == train[1] != ClassCounts.of(poisoned, 3, exclusive=False)
    assert torch.equal(one, other)


@pytest.mark.parametrize("exclusive", [True, False])
def test_logit_adjustment_is_its_formula(exclusive: bool) -> None:
    logits, target = logits_of(FOUR), target_of(FOUR)
    if exclusive:
        prior = torch.tensor([50, 20, 9, 1], dtype=torch.float64) / 80
        expected = F.cross_entropy(logits + 1.5 * prior.log(), target)
        found = LogitAdjusted(tau=1.5).prepared(FOUR)(logits, target)
    else:
        expected = F.binary_cross_entropy_with_logits(
            logits[:, 0] + 1.5 * math.log(20 / 60), target.clamp(max=1).double()
        )
        found = LogitAdjusted(tau=1.5).prepared(ONE)(logits[:, :1], target.clamp(max=1))
    torch.testing.assert_close(found, expected, **EXACT)
    plain = LogitAdjusted(tau=0).prepared(FOUR)(logits, target)
    torch.testing.assert_close(plain, F.cross_entropy(logits, target), **EXACT)


def trained(loss: Loss, exclusive: bool) -> tuple[float, float]:
    """Return the sensitivity for a rare class and for the frequent one, after training a linear model."""
    rng = np.random.default_rng(0)
    target = (rng.random(2000) < 0.05).astype(np.int64)
    image = torch.tensor(rng.normal(0, 1, (2000, 2)) + 1.5 * target[:, None])
    outputs = 2 if exclusive else 1
    prepared = loss.prepared(ClassCounts.of(target, outputs, exclusive))
    weight = torch.zeros(3, outputs, dtype=torch.float64, requires_grad=True)
    columns = torch.cat([image, torch.ones(2000, 1, dtype=torch.float64)], dim=1)
    optimizer = torch.optim.LBFGS([weight], lr=0.5, max_iter=100)

    def closure() -> Tensor:
        optimizer.zero_grad()
        found = prepared(columns @ weight, torch.from_numpy(target))
        found.backward()
        return found

    optimizer.step(closure)
    logits = (columns @ weight).detach()
    called = (logits.argmax(dim=1) if exclusive else (logits[:, 0] > 0).long()).numpy()
    return float((called[target == 1] == 1).mean()), float((called[target == 0] == 0).mean())


@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize(
    "loss",
    [
        LogitAdjusted(),
        CrossEntropy(weights="class_balanced"),
        Focal(gamma=1, weights="class_balanced", beta=1),
    ],
    ids=str,
)
def test_a_rare_class_gains_without_the_help_of_its_prior(loss: Loss, exclusive: bool) -> None:
    plain, frequent = trained(CrossEntropy(), exclusive)
    gained, paid = trained(loss, exclusive)
    assert plain < 0.5
    assert gained > 0.7
    assert 0.75 < paid < frequent


def test_a_finding_that_is_rare_gains_by_pos_weight_and_by_the_asymmetric_loss() -> None:
    plain, _ = trained(CrossEntropy(), exclusive=False)
    for loss in (CrossEntropy(weights="pos_weight"), Asymmetric()):
        assert trained(loss, exclusive=False)[0] > plain + 0.2


@EVERY_PAIR
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_gradients_are_finite_at_any_logit(loss: Loss, counts: ClassCounts, dtype: torch.dtype) -> None:
    target = target_of(counts, batch=64)
    for size in (0.0, 20.0, 1e4):
        logits = (size * logits_of(counts, batch=64).sign()).to(dtype).requires_grad_()
        found = loss.prepared(counts)(logits, target)
        found.backward()
        assert found.isfinite()
        assert logits.grad.isfinite().all()
        assert found.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)


@EVERY_PAIR
def test_gradients_are_those_of_finite_differences(loss: Loss, counts: ClassCounts) -> None:
    logits, target = logits_of(counts, batch=6).requires_grad_(), target_of(counts, batch=6)
    assert torch.autograd.gradcheck(lambda z: loss.prepared(counts)(z, target), [logits])


def test_counts_are_those_of_the_known_labels() -> None:
    targets = [[1, 0, UNKNOWN], [1, UNKNOWN, UNKNOWN], [0, 0, UNKNOWN]]
    assert ClassCounts.of(targets, 3, exclusive=False).numbers == ((1, 2), (2, 0), (0, 0))
    assert ClassCounts.of([2, 2, UNKNOWN, 0], 4, exclusive=True).numbers == ((1, 0, 2, 0),)
    assert ClassCounts.of([2, 0], 4, exclusive=True).num_outputs == 4


def test_the_statement_says_how_frequent_the_classes_are_and_what_they_weigh() -> None:
    balanced = CrossEntropy(weights="class_balanced", beta=1)
    assert balanced.prepared(FOUR).statement(["a", "b", "c", "d"]) == (
        "loss: CrossEntropy(smoothing=0.0, weights='class_balanced', beta=1); "
        "train has a 50 (weight 0.4), b 20 (weight 1), c 9 (weight 2.22), d 1 (weight 20)."
    )
    assert LogitAdjusted().prepared(ONE).statement(["normal", "pneumonia"]) == (
        "loss: LogitAdjusted(tau=1.0, smoothing=0.0); train has normal 60, pneumonia 20."
    )
    assert "no mass 60, mass 20, no nodule 5, nodule 75" in Focal().prepared(THREE).statement(
        ["mass", "nodule", "effusion"]
    )


@pytest.mark.parametrize("loss", EVERY_LOSS, ids=str)
def test_a_loss_says_whether_it_makes_up_for_rare_classes(loss: Loss) -> None:
    weighs = not np.array_equal(loss.weights_of(THREE), np.ones((3, 2)))
    assert loss.balances == (weighs or isinstance(loss, Asymmetric | LogitAdjusted))


@pytest.mark.parametrize("loss", [CrossEntropy(weights="pos_weight"), Focal(weights="pos_weight")], ids=str)
def test_pos_weight_of_classes_that_exclude_each_other_is_refused(loss: Loss) -> None:
    with pytest.raises(RecipeError, match="give class_balanced"):
        loss.prepared(FOUR)


def test_the_asymmetric_loss_of_classes_that_exclude_each_other_is_refused() -> None:
    with pytest.raises(RecipeError, match="give Focal"):
        Asymmetric().prepared(FOUR)


@pytest.mark.parametrize(("counts", "found"), [(THREE, 2), (FOUR, 3), (ONE, 2)])
def test_a_head_with_another_number_of_outputs_is_refused(counts: ClassCounts, found: int) -> None:
    with pytest.raises(RecipeError, match=f"gives {found} logits, and the loss was prepared for"):
        CrossEntropy().prepared(counts)(torch.zeros(4, found), torch.zeros(4, dtype=torch.long))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: CrossEntropy(smoothing=1), "CrossEntropy: smoothing is 1"),
        (lambda: CrossEntropy(weights="balanced"), "did you mean 'class_balanced'"),
        (lambda: CrossEntropy(beta=1.5), "CrossEntropy: beta is 1.5"),
        (lambda: Focal(gamma=-1, smoothing=-0.1), r"gamma is -1; .*\n  Focal: smoothing is -0.1"),
        (lambda: Focal(gamma=math.nan), "gamma is nan"),
        (lambda: Asymmetric(gamma_positive=-1, clip=1), r"gamma_positive is -1; .*\n  Asymmetric: clip is 1"),
        (lambda: LogitAdjusted(tau=-1), "LogitAdjusted: tau is -1"),
    ],
)
def test_an_option_out_of_range_is_refused_with_all_others(make: Callable[[], Loss], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        make()
