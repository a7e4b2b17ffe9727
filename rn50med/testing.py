"""What one's own part has to promise, checked: the contracts of a head and of a task."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

import numpy as np
import torch
from torch import Tensor

from rn50med.evaluation.arrays import stored
from rn50med.evaluation.cases import Grouping, Membership
from rn50med.evaluation.operating_point import as_plain, from_plain
from rn50med.evaluation.predictions import Predictions
from rn50med.evaluation.temperature import Temperature
from rn50med.model.heads import Head, HeadFactory
from rn50med.parts import build, build_factory, factory_specification
from rn50med.tasks import Task

_CASES: tuple[tuple[tuple[int, ...], int], ...] = (
    ((8, 16, 32, 64), 1),
    ((8, 16, 32, 64), 5),
    ((4, 12), 2),
    ((16,), 3),
)
"""Channels and outputs that a head is built with; a backbone may have any."""


def check_head(factory: HeadFactory) -> None:
    """Check that a head does all that rn50med relies on.

    It is built for several numbers of channels and outputs. Its logits have the shape ``(B, K)`` and
    are finite, a single image will do in eval mode, gradients reach every parameter, and a
    checkpoint can rebuild it: from its specification and its state it gives the same logits.

    Args:
        factory: The class, or a `functools.partial` of it with its options.

    Raises:
        AssertionError: If a promise is broken; the message says which.
        RecipeError: If a checkpoint cannot hold the head's options.

    Example:
        >>> from rn50med.model.heads import LinearHead
        >>> check_head(LinearHead)
    """
    for channels, num_outputs in _CASES:
        head = factory(channels, num_outputs)
        where = f"{type(head).__name__}(channels={list(channels)}, num_outputs={num_outputs})"
        _require(isinstance(head, Head), f"{where}: is no rn50med.Head; derive the class from it.")
        _check_output(head, channels, num_outputs, where)
        _check_gradients(head, channels, where)
        _check_rebuilding(factory, head, channels, num_outputs, where)


def _require(promise: bool, sentence: str) -> None:
    if not promise:
        raise AssertionError(sentence)


def _features(channels: Sequence[int], batch: int) -> list[Tensor]:
    """Make feature maps as a backbone gives them: not negative, and halved from one to the next."""
    generator = torch.Generator().manual_seed(0)
    sizes = [2 ** (len(channels) - level) for level in range(len(channels))]
    return [
        torch.rand(batch, count, size, size + 1, generator=generator)
        for count, size in zip(channels, sizes, strict=True)
    ]


def _check_output(head: Head, channels: Sequence[int], num_outputs: int, where: str) -> None:
    for training, batch in ((True, 2), (False, 3), (False, 1)):
        head.train(training)
        logits = head(_features(channels, batch))
        mode = "train" if training else "eval"
        found, wanted = tuple(logits.shape), (batch, num_outputs)
        _require(found == wanted, f"{where}: in {mode} mode its output is {found}; it has to be {wanted}.")
        _require(bool(logits.isfinite().all()), f"{where}: in {mode} mode its output is not finite.")


def _check_gradients(head: Head, channels: Sequence[int], where: str) -> None:
    head.eval()  # dropout would keep gradients away by chance
    head.zero_grad()
    head(_features(channels, 2)).square().sum().backward()
    without = [name for name, value in head.named_parameters() if value.requires_grad and value.grad is None]
    _require(
        not without, f"{where}: no gradient reaches {', '.join(without)}; use every parameter in forward."
    )


def _check_rebuilding(
    factory: HeadFactory, head: Head, channels: Sequence[int], num_outputs: int, where: str
) -> None:
    rebuilt = build_factory(factory_specification(factory, where), Head)(channels, num_outputs)
    _require(type(rebuilt) is type(head), f"{where}: is rebuilt as a {type(rebuilt).__name__}.")
    rebuilt.load_state_dict(head.state_dict())
    features = _features(channels, 2)
    with torch.inference_mode():
        same = torch.equal(head.eval()(features), rebuilt.eval()(features))
    _require(
        same,
        f"{where}: rebuilt from a checkpoint it gives other logits; "
        "keep all it needs in its arguments and state.",
    )


_IMAGES = 64
"""Images that a task is tried on."""


def check_task(task: Task) -> None:
    """Check that a task does all that rn50med relies on.

    Its imagined patients have labels without fault, nonsense has one, targets have the shape that it says.
    Its loss is the mean over a batch, finite, and lower after a step along its gradient. Its probabilities
    lie in [0, 1] and do not depend on the other images of a batch. Its columns of a prediction file have
    the names and length they should, its figures hold the one it is chosen by, what it calls by survives
    a checkpoint, and a checkpoint can rebuild it.

    Args:
        task: One with any options.

    Raises:
        AssertionError: If a promise is broken; the message says which.
        RecipeError: If a checkpoint cannot hold the task's options.

    Example:
        >>> from rn50med.tasks import Binary
        >>> check_task(Binary(negative="normal", positive="pneumonia"))
    """
    where = type(task).__name__
    _require(isinstance(task, Task), f"{where}: is no rn50med.Task; derive the class from it.")
    rebuilt = build(task.specification(), Task)  # type: ignore[type-abstract]
    _require(rebuilt == task, f"{where}: rebuilt from a checkpoint it is another; keep all in its arguments.")
    _require(deepcopy(task) == task, f"{where}: a copy, as a worker process gets it, is another.")
    rows = _check_labels(task, where)
    target = torch.from_numpy(task.strata(rows))
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(_IMAGES, task.num_outputs, generator=generator, dtype=torch.float64)
    _check_loss(task, logits, target, where)
    _check_probabilities(task, logits, where)
    predictions = Predictions(np.arange(_IMAGES), stored(logits.numpy()), target.numpy())
    _check_columns(task, predictions, where)
    _check_figures(task, predictions, where)


def _check_labels(task: Task, where: str) -> list[dict[str, str]]:
    draws = (np.arange(_IMAGES) + 0.5) / _IMAGES
    imagined = [task.imagine(draw) for draw in draws]
    rows = [labels for labels, _ in imagined]
    again = [task.imagine(draw) for draw in draws]
    _require(imagined == again, f"{where}: imagine gives another patient for the same draw.")
    _require(all(set(row) == set(task.columns) for row in rows), f"{where}: imagine fills other columns.")
    faults = [fault for row in rows if (fault := task.fault(row)) is not None]
    _require(not faults, f"{where}: imagine gives labels with a fault: {faults[:1]}.")
    shown = [number for _, findings in imagined for number in findings]
    _require(all(number >= 0 for number in shown), f"{where}: imagine gives a finding below 0.")
    nonsense = dict.fromkeys(task.columns, "?no label?")
    _require(task.fault(nonsense) is not None, f"{where}: finds no fault with {nonsense}.")
    wanted = (_IMAGES, *task.target_shape)
    found = np.array([task.encode(row) for row in rows]).shape
    _require(found == wanted, f"{where}: targets have the shape {found}; target_shape promises {wanted}.")
    _require(task.strata(rows).shape == wanted, f"{where}: strata are not of the targets' shape.")
    counted = tuple(task.counts(rows)["classes"])
    _require(counted == task.classes, f"{where}: counts {counted}; it has to count {task.classes}.")
    _require(not task.absent(rows), f"{where}: no imagined patient has {task.untrained(rows)}.")
    _require(task.single(rows) is None, f"{where}: imagined patients have nothing to tell apart.")
    return rows


def _check_loss(task: Task, logits: Tensor, target: Tensor, where: str) -> None:
    logits = logits.clone().requires_grad_()
    loss = task.loss(logits, target)
    _require(loss.shape == (), f"{where}: its loss has the shape {tuple(loss.shape)}; give a scalar.")
    _require(bool(loss.isfinite()), f"{where}: its loss is {loss.item()}.")
    loss.backward()  # type: ignore[no-untyped-call]
    gradient = logits.grad
    _require(gradient is not None and bool(gradient.isfinite().all()), f"{where}: its loss has no gradient.")
    with torch.no_grad():
        after = task.loss(logits - 1e-3 * (gradient if gradient is not None else logits), target)
        twice = task.loss(torch.cat([logits, logits]), torch.cat([target, target]))
    _require(bool(after < loss), f"{where}: its loss does not fall along its gradient.")
    _require(torch.allclose(twice, loss), f"{where}: its loss is no mean: a batch given twice has another.")


def _check_probabilities(task: Task, logits: Tensor, where: str) -> None:
    probability = task.probabilities(logits)
    found, wanted = tuple(probability.shape), (_IMAGES, len(task.probability_names))
    _require(found == wanted, f"{where}: its probabilities are {found}; they have to be {wanted}.")
    inside = bool(((probability >= 0) & (probability <= 1)).all())
    _require(inside, f"{where}: has probabilities outside [0, 1].")
    alone = torch.cat([task.probabilities(row[None]) for row in logits])
    _require(torch.allclose(alone, probability), f"{where}: a probability depends on the rest of its batch.")


def _check_columns(task: Task, predictions: Predictions, where: str) -> None:
    point, temperature = task.operating_point(task.cases(predictions)), task.temperature(predictions)
    kept = None if temperature is None else temperature.as_plain()
    _require(
        Temperature.from_plain(kept) == temperature, f"{where}: its temperature is lost in a checkpoint."
    )
    _require(from_plain(as_plain(point)) == point, f"{where}: its operating point is lost in a checkpoint.")
    logits = predictions.logits.copy()
    logits[0] = np.nan  # an image that could not be read
    said, targets = task.output_columns(logits, point, temperature), task.target_columns(predictions.target)
    wanted = [f"{kind}_{name}" for kind in ("prob", "logit") for name in task.probability_names]
    _require(
        set(wanted) <= set(said), f"{where}: its prediction file lacks {sorted(set(wanted) - set(said))}."
    )
    _require(not set(said) & set(targets), f"{where}: two columns of its prediction file share a name.")
    columns = {**said, **targets}
    lengths = {name: len(column) for name, column in columns.items() if len(column) != _IMAGES}
    _require(not lengths, f"{where}: columns of another length than {_IMAGES}: {lengths}.")
    calls = {name: column for name, column in said.items() if name not in wanted}
    _require(bool(calls), f"{where}: calls nothing; give a column of calls.")
    blank = all(column[0] == "" and (column[1:] != "").all() for column in calls.values())
    _require(blank, f"{where}: calls have to be empty where logits are nan, and only there.")


def _check_figures(task: Task, predictions: Predictions, where: str) -> None:
    patients = np.array([f"patient {number // 2}" for number in predictions.index])
    alone = Membership(patients, Grouping.alone(len(patients)))
    cases = task.cases(predictions, alone)
    watched = task.watched(cases)
    _require(task.monitor in watched, f"{where}: does not watch {task.monitor!r}, which it is chosen by.")
    figures = task.figures(cases, task.operating_point(cases))
    for name, value in watched.items():
        _require(name in figures, f"{where}: watches {name!r}, but has no figure of it.")
        same = bool(np.isclose(figures[name].value, value, rtol=1e-9, equal_nan=True))
        _require(same, f"{where}: the figure {name!r} is not what was watched.")
    _require(task.headline(cases) == figures[task.monitor], f"{where}: its headline is another figure.")
    for name, number in task.calibration(cases).items():
        same = name in figures and bool(np.isclose(figures[name].value, number, rtol=1e-9, equal_nan=True))
        _require(same, f"{where}: the calibration {name!r} is not that of its figures.")
    one = Predictions(predictions.index[:1], predictions.logits[:1], predictions.target[:1])
    few = task.watched(task.cases(one))
    _require(set(few) == set(watched), f"{where}: what it watches depends on the images.")
