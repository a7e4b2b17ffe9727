"""The one table of predictions: each image once, in order, whatever the batches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rn50med.evaluation.arrays import stored
from rn50med.evaluation.metrics import auroc
from rn50med.evaluation.predictions import Predictions, PredictionTable
from rn50med.tasks import Binary

COUNT = 131
TASK = Binary(negative="normal", positive="pneumonia")


def outputs(num_outputs: int = 1, count: int = COUNT) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    target = torch.arange(count) % 2
    logits = torch.randn(count, num_outputs, generator=generator) + target[:, None]
    return torch.arange(count), logits, target


def collected(batches: Sequence[Tensor], num_outputs: int = 1) -> Predictions:
    """Return the table of batches, each given by the rows that it holds."""
    index, logits, target = outputs(num_outputs)
    table = PredictionTable(num_outputs)
    for rows in batches:
        table.update(index[rows], logits[rows], target[rows])
    return table.predictions()


def same(one: Predictions, other: Predictions) -> bool:
    return all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in ("index", "logits", "target")
    )


@pytest.mark.parametrize("num_outputs", [1, 3])
@pytest.mark.parametrize("size", [1, 7, 64, COUNT])
def test_any_size_of_batch_gives_the_table_of_direct_computation(size: int, num_outputs: int) -> None:
    index, logits, target = outputs(num_outputs)
    direct = Predictions(index.numpy(), stored(logits.numpy()), target.numpy())
    assert same(collected(torch.arange(COUNT).split(size), num_outputs), direct)


def test_the_auroc_is_identical_for_every_size_of_batch() -> None:
    _, logits, target = outputs()
    direct = auroc(TASK.stored_probabilities(stored(logits.numpy()))[:, 0], target.numpy())
    found = {
        TASK.watched(TASK.cases(collected(torch.arange(COUNT).split(size))))["auroc"] for size in (1, 7, 64)
    }
    assert found == {direct}


@given(st.randoms(use_true_random=False), st.integers(0, 40))
@settings(max_examples=30, deadline=None)
def test_order_and_repeats_change_nothing(random: object, repeats: int) -> None:
    rows = list(range(COUNT)) + [random.randrange(COUNT) for _ in range(repeats)]  # type: ignore[attr-defined]
    random.shuffle(rows)  # type: ignore[attr-defined]
    whole = collected([torch.arange(COUNT)])
    assert same(collected(torch.tensor(rows).split(13)), whole)


def test_of_a_repeated_image_the_first_counts() -> None:
    table = PredictionTable(1)
    table.update(torch.tensor([3, 3]), torch.tensor([[1.0], [2.0]]), torch.tensor([1, 1]))
    table.update(torch.tensor([3]), torch.tensor([[4.0]]), torch.tensor([1]))
    assert table.predictions().logits.tolist() == [[1.0]]


def test_uneven_shares_of_ranks_gathered_give_the_table_of_one_process() -> None:
    """Ranks of 66 and 65 images, of which a sampler repeats one, as torchmetrics gathers them."""
    whole = collected([torch.arange(COUNT)])
    shares = [torch.arange(0, COUNT, 2), torch.tensor([*range(1, COUNT, 2), 0])]
    index, logits, target = outputs()
    ranks = [PredictionTable(1) for _ in shares]
    for table, rows in zip(ranks, shares, strict=True):
        table.update(index[rows], logits[rows], target[rows])
    gathered = PredictionTable(1)
    for name in ("index", "logits", "target"):
        setattr(gathered, name, [torch.cat(getattr(table, name)) for table in ranks])
    gathered._update_count = 1
    assert same(gathered.predictions(), whole)


def test_half_precision_logits_are_kept_in_32_bits_and_no_graph_is_held() -> None:
    table = PredictionTable(1)
    logits = torch.tensor([[0.1]], dtype=torch.bfloat16, requires_grad=True)
    table.update(torch.tensor([0]), logits, torch.tensor([1]))
    assert table.logits[0].dtype == torch.float32
    assert not table.logits[0].requires_grad


def test_a_table_of_several_labels_keeps_their_shape() -> None:
    table = PredictionTable(3, (3,))
    table.update(torch.tensor([1, 0]), torch.zeros(2, 3), torch.tensor([[1, 0, 1], [0, 0, -100]]))
    assert table.predictions().target.tolist() == [[0, 0, -100], [1, 0, 1]]


def test_a_single_image_is_a_table_too() -> None:
    table = PredictionTable(1)
    table.update(torch.tensor([5]), torch.tensor([[0.25]]), torch.tensor([1]))
    found = table.predictions()
    assert (found.index.tolist(), found.logits.tolist(), found.target.tolist()) == ([5], [[0.25]], [1])


def test_a_single_image_of_a_single_label_keeps_both_axes() -> None:
    table = PredictionTable(1, (1,))
    table.update(torch.tensor([5]), torch.tensor([[0.25]]), torch.tensor([[-100]]))
    found = table.predictions()
    assert (found.logits.tolist(), found.target.tolist()) == ([[0.25]], [[-100]])


def test_a_rank_without_images_takes_part_with_targets_of_the_right_shape() -> None:
    table = PredictionTable(3, (3,))
    with pytest.raises(ValueError, match="no image was seen"):
        table.predictions()
    assert table.target[0].shape == (0, 3)


def test_an_empty_table_says_what_to_run() -> None:
    table = PredictionTable(1)
    with pytest.raises(ValueError, match="no image was seen; run validation or test first"):
        table.predictions()
    table.update(torch.tensor([0]), torch.zeros(1, 1), torch.tensor([0]))
    table.reset()
    with pytest.raises(ValueError, match="no image was seen"):
        table.predictions()


@pytest.mark.parametrize("value", [1 / 3, -1e-30, 123456789.25, float("nan"), float("inf"), 0.0])
def test_a_stored_number_is_what_its_nine_digits_say(value: float) -> None:
    assert repr(float(stored(np.array(value)))) == repr(float(f"{value:.9g}"))


def test_rows_that_a_process_repeats_are_counted() -> None:
    twice = PredictionTable(1)
    for _ in range(2):
        twice.update(torch.arange(3), torch.zeros(3, 1), torch.zeros(3, dtype=torch.long))
    assert len(twice.predictions().index) == 3
    assert twice.repeated == 3
    twice.reset()
    twice.update(torch.arange(3), torch.zeros(3, 1), torch.zeros(3, dtype=torch.long))
    twice.predictions()
    assert twice.repeated == 0
