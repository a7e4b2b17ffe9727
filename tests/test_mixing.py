"""Mixup and CutMix: shares of images and targets, for every kind of target."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from films import write_films
from lightning.pytorch import Callback, Trainer, seed_everything

from rn50med import (
    UNKNOWN,
    Binary,
    FineTuneModule,
    LinearHead,
    ManifestDataModule,
    MultiClass,
    MultiLabel,
    Radiograph,
    Regression,
    ResNet50,
)
from rn50med.errors import RecipeError
from rn50med.training.mixing import mixed_batch
from rn50med.training.regularisation import Regularisation

BINARY = Binary(negative="normal", positive="pneumonia")
CLASSES = MultiClass(("a", "b", "c"))
LABELS = MultiLabel(("mass", "nodule"))
MIXUP, CUTMIX = Regularisation(mixup=0.4), Regularisation(cutmix=1.0)


def ones_and_zeros():
    image = torch.zeros(6, 1, 8, 8)
    image[::2] = 1.0
    return image, torch.tensor([1, 0] * 3)


@pytest.mark.parametrize("options", [MIXUP, CUTMIX, Regularisation(mixup=0.4, cutmix=1.0)])
def test_a_targets_share_is_the_share_of_its_pixels_in_the_blend(options):
    image, target = ones_and_zeros()
    shares = set()
    for step in range(40):
        blend, soft = mixed_batch(image, target, BINARY, options, (0, 0, step, 0))
        torch.testing.assert_close(blend.mean(dim=(1, 2, 3)), soft)
        shares.add(round(float(soft[0]), 4))
    assert len(shares) > 10


def test_mixup_blends_every_pixel_and_cutmix_puts_a_rectangle():
    image, target = ones_and_zeros()
    blend, _ = mixed_batch(image, target, BINARY, MIXUP, (0, 0, 1, 0))
    assert torch.equal(blend[0], torch.full((1, 8, 8), float(blend[0, 0, 0, 0])))
    seen = [mixed_batch(image, target, BINARY, CUTMIX, (0, 0, step, 0))[0] for step in range(10)]
    for blend in seen:
        assert set(blend.unique().tolist()) <= {0.0, 1.0}
        cut = (blend[0, 0] == 0.0).nonzero()
        if len(cut):
            (top, left), (bottom, right) = cut.min(dim=0).values, cut.max(dim=0).values
            assert len(cut) == (bottom - top + 1) * (right - left + 1)


def test_targets_that_are_soft_already_are_blended_as_they_are():
    shares = torch.tensor([[0.2, 0.8, 0.0], [1.0, 0.0, 0.0]])
    image = torch.rand(2, 1, 8, 8)
    hard = mixed_batch(image, torch.tensor([1, 0]), CLASSES, MIXUP, (0, 0, 3, 0))[1]
    soft = mixed_batch(image, shares, CLASSES, MIXUP, (0, 0, 3, 0))[1]
    kept = float(hard[0, 1])
    torch.testing.assert_close(soft[0], kept * shares[0] + (1 - kept) * shares[1])


def test_the_soft_targets_of_classes_have_a_sum_of_one():
    target = torch.tensor([0, 1, 2, 1])
    _, soft = mixed_batch(torch.rand(4, 1, 8, 8), target, CLASSES, MIXUP, (0, 0, 3, 0))
    assert soft.shape == (4, 3)
    torch.testing.assert_close(soft.sum(dim=1), torch.ones(4))
    assert 0.0 < float(soft[0, 0]) < 1.0
    assert float(soft[0, 0] + soft[0, 1]) == pytest.approx(1.0)  # the one before it is the last, a 1


def test_a_label_that_is_unknown_in_either_image_is_unknown_in_the_blend():
    target = torch.tensor([[1, UNKNOWN], [0, 0], [1, 1]])
    _, soft = mixed_batch(torch.rand(3, 1, 8, 8), target, LABELS, MIXUP, (0, 0, 3, 0))
    share = float(soft[1, 0])  # of present in the image before it
    assert (soft == UNKNOWN).tolist() == [[False, True], [False, True], [False, False]]
    torch.testing.assert_close(soft[:, 0], torch.tensor([1.0, share, 1.0 - share]))
    assert float(soft[2, 1]) == pytest.approx(1.0 - share)


def test_an_unknown_class_stays_unknown_and_costs_nothing():
    soft = CLASSES.mixed(torch.tensor([0, UNKNOWN]), torch.tensor([1, 2]), 0.25)
    assert soft[1].tolist() == [UNKNOWN] * 3
    logits = torch.randn(2, 3, dtype=torch.double)
    expected = 0.25 * CLASSES.loss(logits[:1], torch.tensor([0]))
    expected += 0.75 * CLASSES.loss(logits[:1], torch.tensor([1]))
    torch.testing.assert_close(CLASSES.loss(logits, soft), expected)
    assert float(CLASSES.loss(logits[1:], soft[1:])) == 0.0


@pytest.mark.parametrize(
    ("task", "one", "other"),
    [
        (BINARY, [0, 1, 1], [1, 1, 0]),
        (CLASSES, [0, 1, 2], [2, 1, 0]),
        (LABELS, [[0, 1], [1, 1], [0, 0]], [[1, 0], [1, 0], [0, 1]]),
    ],
)
def test_the_loss_of_a_blend_is_the_blend_of_the_losses(task, one, other):
    one, other = torch.tensor(one), torch.tensor(other)
    logits = torch.randn(3, task.num_outputs, dtype=torch.double)
    soft = task.mixed(one, other, 0.3).double()
    expected = 0.3 * task.loss(logits, one) + 0.7 * task.loss(logits, other)
    torch.testing.assert_close(task.loss(logits, soft), expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("task", [BINARY, CLASSES, LABELS])
def test_a_blend_of_one_image_alone_has_the_loss_of_its_hard_target(task):
    target = torch.tensor([[1, UNKNOWN], [0, 1]] if task is LABELS else [1, 0])
    logits = torch.randn(2, task.num_outputs)
    torch.testing.assert_close(task.loss(logits, task.soft(target)), task.loss(logits, target))


def test_the_draws_depend_on_seed_epoch_step_and_process_alone():
    image, target = torch.rand(4, 1, 8, 8), torch.tensor([0, 1, 0, 1])
    both = Regularisation(mixup=0.4, cutmix=1.0)
    first = mixed_batch(image, target, BINARY, both, (1, 2, 3, 0))[0]
    torch.rand(5)
    assert torch.equal(mixed_batch(image, target, BINARY, both, (1, 2, 3, 0))[0], first)
    for draw in ((0, 2, 3, 0), (1, 0, 3, 0), (1, 2, 0, 0), (1, 2, 3, 1)):
        assert not torch.equal(mixed_batch(image, target, BINARY, both, draw)[0], first)


def test_a_number_that_marks_unknown_labels_elsewhere_is_blended_as_a_number():
    task = Regression(column="hounsfield", low=-1000, high=1000)
    blend = task.mixed(torch.tensor([-100.0]), torch.tensor([100.0]), 0.75)
    torch.testing.assert_close(blend, torch.tensor([-50.0]))


def test_without_mixing_a_batch_is_given_back_untouched_and_so_is_a_single_image():
    image, target = torch.rand(4, 1, 8, 8), torch.tensor([0, 1, 0, 1])
    for given, options in ((image, Regularisation()), (image[:1], MIXUP)):
        blend, same = mixed_batch(given, target[: len(given)], BINARY, options, (0, 0, 0, 0))
        assert blend is given
        assert same.dtype == target.dtype


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mixup": -0.1}, r"model\.regularisation\.mixup: is -0.1"),
        ({"cutmix": float("inf")}, r"model\.regularisation\.cutmix: is inf"),
        ({"ema_decay": 1.0}, r"model\.regularisation\.ema_decay: is 1.0; give a number below 1"),
        ({"l2_sp": float("nan")}, r"model\.regularisation\.l2_sp: is nan"),
    ],
)
def test_an_option_out_of_range_is_refused_with_its_key(options, message):
    with pytest.raises(RecipeError, match=message):
        Regularisation(**options)


def test_mixup_reaches_the_training_and_not_val_and_goes_with_the_checkpoint(tmp_path):
    class Seen(Callback):
        def on_train_start(self, trainer, pl_module):
            self.images, forward = [], pl_module.backbone.forward
            pl_module.backbone.forward = lambda image: (self.images.append(image.clone()), forward(image))[1]

    data = ManifestDataModule(
        str(write_films(tmp_path)), task=BINARY, transforms=Radiograph(size=32, strength=0), batch_size=8
    )
    images = {}
    for strength in (0.0, 0.4):
        seed_everything(0)
        module = FineTuneModule(
            BINARY,
            backbone=ResNet50(weights="none"),
            head=partial(LinearHead, dropout=0.0),
            regularisation=Regularisation(ema_decay=0.0, mixup=strength),
        )
        seen = Seen()
        trainer = Trainer(
            accelerator="cpu",
            max_epochs=1,
            callbacks=[*module.default_callbacks(tmp_path), seen],
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        trainer.fit(module, data)
        images[strength] = seen.images
    steps = 3
    for plain, mixed in zip(images[0.0][:steps], images[0.4][:steps], strict=True):
        assert not torch.equal(plain, mixed)
        torch.testing.assert_close(plain.mean(), mixed.mean())
    for plain, val in zip(images[0.0][steps:], images[0.4][steps:], strict=True):
        assert torch.equal(plain, val)
    again = FineTuneModule.load_from_checkpoint(tmp_path / "best.ckpt")
    assert again.regularisation == Regularisation(ema_decay=0.0, mixup=0.4)
