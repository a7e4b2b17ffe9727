"""Drawing each class equally often."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import FilmTable

from rn50med.data.balancing import Rows, balanced_order, class_groups, expected_draws, turns
from rn50med.data.datamodule import ManifestDataModule
from rn50med.data.dataset import EpochSampler, ImageDataset
from rn50med.data.transforms import Radiograph
from rn50med.tasks import UNKNOWN, Binary

ROWS = np.arange(100, 150)
TARGETS = np.array([0] * 40 + [1] * 7 + [2] * 3)
GROUPS = class_groups(ROWS, TARGETS)


def epoch_of(sampler: EpochSampler, epoch: int) -> list[tuple[int, ...]]:
    sampler.set_epoch(epoch)
    return list(sampler)


def classes_of(keys: list[tuple[int, ...]]) -> Counter[int]:
    return Counter(int(TARGETS[key[1] - 100]) for key in keys)


@pytest.mark.parametrize("epoch", range(4))
def test_each_class_is_drawn_equally_often_in_an_epoch(epoch: int) -> None:
    keys = epoch_of(EpochSampler(ROWS.tolist(), 0, True, groups=GROUPS), epoch)
    assert len(keys) == 50
    assert sorted(classes_of(keys).values()) == [16, 17, 17]


def test_within_a_class_no_image_comes_more_than_once_more_than_another() -> None:
    keys = epoch_of(EpochSampler(ROWS.tolist(), 0, True, groups=GROUPS), 0)
    times = Counter(key[1] for key in keys)
    for group in GROUPS[1:]:
        counts = [times[row] for row in group.tolist()]
        assert max(counts) - min(counts) <= 1
    assert max(times[row] for row in GROUPS[0].tolist()) == 1


def test_a_frequent_class_is_seen_whole_over_the_epochs() -> None:
    sampler = EpochSampler(ROWS.tolist(), 0, True, groups=GROUPS)
    seen = {key[1] for epoch in range(20) for key in epoch_of(sampler, epoch)}
    assert seen == set(ROWS.tolist())


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    first = EpochSampler(ROWS.tolist(), 3, True, groups=GROUPS)
    epoch_of(first, 0)  # what was drawn before does not matter
    again = EpochSampler(ROWS.tolist(), 3, True, groups=GROUPS)
    assert epoch_of(first, 5) == epoch_of(again, 5)
    assert epoch_of(first, 6) != epoch_of(again, 5)
    assert epoch_of(EpochSampler(ROWS.tolist(), 4, True, groups=GROUPS), 5) != epoch_of(first, 5)


@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_the_ranks_share_one_balanced_epoch(ranks: int) -> None:
    shares = [EpochSampler(ROWS.tolist(), 0, True, ranks, rank, GROUPS) for rank in range(ranks)]
    drawn = [epoch_of(sampler, 2) for sampler in shares]
    assert {len(share) for share in drawn} == {len(sampler) for sampler in shares} == {-(-50 // ranks)}
    together = classes_of([key for share in drawn for key in share])
    assert max(together.values()) - min(together.values()) <= 1
    keys = [key for share in drawn for key in share]
    assert len(set(keys)) == len(keys)  # no draw of an image is made twice
    assert all(len(classes_of(share)) == 3 for share in drawn)


def test_a_draw_says_which_time_it_is() -> None:
    keys = epoch_of(EpochSampler(ROWS.tolist(), 0, True, groups=GROUPS), 1)
    for row, times in Counter(key[1] for key in keys).items():
        assert [key[2] for key in keys if key[1] == row] == list(range(times))
    assert {key[0] for key in keys} == {1}


def test_val_is_never_balanced() -> None:
    sampler = EpochSampler(ROWS.tolist(), 0, False, groups=GROUPS)
    assert [row for _, row in sampler] == ROWS.tolist()


@pytest.mark.parametrize("draws", [0, 1, 2, 7, 300])
def test_any_number_of_draws_is_shared_out(draws: int) -> None:
    order = balanced_order(GROUPS, draws, np.random.default_rng(0))
    counts = [np.isin(order, group).sum() for group in GROUPS]
    assert sum(counts) == draws
    assert max(counts) - min(counts) <= 1


def test_turns_count_what_came_before() -> None:
    order = np.random.default_rng(0).integers(0, 9, 200)
    expected = [int((order[:place] == row).sum()) for place, row in enumerate(order)]
    assert turns(order).tolist() == expected


def test_of_several_findings_each_is_drawn_as_often_as_none() -> None:
    rng = np.random.default_rng(0)
    targets = (rng.random((400, 3)) < [0.4, 0.1, 0.01]).astype(np.int64)
    targets[rng.random((400, 3)) < 0.1] = UNKNOWN
    rows = np.arange(400)
    groups = class_groups(rows, targets)
    assert [set(group.tolist()) for group in groups[:3]] == [
        set(np.flatnonzero(targets[:, label] == 1).tolist()) for label in range(3)
    ]
    assert (targets[groups[3]] != 1).all()
    order = balanced_order(groups, 400, rng)
    for label in range(3):  # 100 draws for its own sake, and those that come with others
        assert (targets[order][:, label] == 1).sum() >= 100


def test_a_class_without_an_image_has_no_share() -> None:
    assert len(class_groups(np.arange(3), np.array([0, 2, 2]))) == 2
    assert len(class_groups(np.arange(2), np.array([[1, 0], [1, 0]]))) == 1
    assert len(class_groups(np.arange(2), np.array([0, UNKNOWN]))) == 1


def test_an_image_without_a_known_label_is_in_no_group_and_never_drawn() -> None:
    targets = np.array([[1, 0], [0, UNKNOWN], [UNKNOWN, UNKNOWN], [UNKNOWN, 1]])
    groups = class_groups(np.arange(4), targets)
    assert [group.tolist() for group in groups] == [[0], [3], [1]]
    assert 2 not in balanced_order(groups, 40, np.random.default_rng(0))


def test_what_is_expected_is_what_is_drawn_in_the_mean() -> None:
    groups: list[Rows] = [*GROUPS, np.array([100, 149])]  # an image with two findings
    expected = expected_draws(groups, 50)
    assert sum(expected.values()) == pytest.approx(50)
    rng = np.random.default_rng(0)
    total = Counter(row for _ in range(400) for row in balanced_order(groups, 50, rng).tolist())
    for row, mean in expected.items():
        assert total[row] / 400 == pytest.approx(mean, abs=0.15)


def test_an_image_that_comes_again_is_transformed_otherwise(film_table: FilmTable) -> None:
    film_table.split_by_patient()
    data = ManifestDataModule(
        str(Path(film_table.path)),
        task=Binary(negative="normal", positive="pneumonia"),
        transforms=Radiograph(size=32),
        num_workers=0,
    )
    data.setup("fit")
    dataset = ImageDataset(
        data.prepared.images, data.manifest.column("image"), data._targets, data.transforms, True, 0
    )
    batch = dataset.__getitems__([(0, 3, 0), (0, 3, 1), (0, 3, 1), (1, 3, 1)])
    assert batch["index"].tolist() == [3, 3, 3, 3]
    image = batch["image"]
    assert torch.equal(image[1], image[2])
    assert not torch.equal(image[0], image[1])
    assert not torch.equal(image[1], image[3])
