"""What a task has to promise."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import torch
from torch import Tensor

from rn50med.evaluation.arrays import stored
from rn50med.evaluation.cases import Grouping, Membership
from rn50med.evaluation.operating_point import as_plain, from_plain
from rn50med.evaluation.predictions import Predictions
from rn50med.evaluation.temperature import Temperature
from rn50med.parts import build
from rn50med.tasks import Task
from rn50med.tasks.words import Words
from rn50med.testing.promises import require

_IMAGES = 64
"""Images that a task is tried on."""


def check_task(task: Task) -> None:
    """Check that a task does all that rn50med relies on.

    Its imagined patients have labels without fault, nonsense has one, targets have the shape that it says.
    Its loss is the mean over a batch, of as many numbers as its terms say, finite, lower after a step along
    its gradient, and takes blended targets if it says so. Its probabilities lie in [0, 1], unless it says
    numbers, follow from the logits of a prediction file, and do not depend on the other images of a batch.
    Its columns of a prediction file have the names and length they should, its figures hold the one it is
    chosen by, what it calls by survives a checkpoint, and a checkpoint can rebuild it. What it says of its
    loss in a report is not what another task says of another loss.

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
    require(isinstance(task, Task), f"{where}: is no rn50med.Task; derive the class from it.")
    rebuilt = build(task.specification(), Task)  # type: ignore[type-abstract]
    require(rebuilt == task, f"{where}: rebuilt from a checkpoint it is another; keep all in its arguments.")
    require(deepcopy(task) == task, f"{where}: a copy, as a worker process gets it, is another.")
    rows = _check_labels(task, where)
    target = torch.from_numpy(task.targets(rows))
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(_IMAGES, task.num_outputs, generator=generator, dtype=torch.float64)
    _check_loss(task, logits, target, where)
    _check_parts(task, logits, target, where)
    _check_blends(task, logits, target, where)
    _check_probabilities(task, logits, where)
    predictions = Predictions(np.arange(_IMAGES), stored(logits.numpy()), target.numpy())
    _check_columns(task, predictions, where)
    _check_figures(task, predictions, where)
    _check_words(type(task), where)


def _check_words(task: type[Task], where: str) -> None:
    loss, words = (
        next(each for each in task.__mro__ if name in vars(each)) for name in ("loss", "loss_words")
    )
    # An empty text says nothing, and so nothing that is wrong.
    told = words is Words or issubclass(words, loss)
    require(told, f"{where}: has a loss of its own, and the loss_words of {words.__name__}; say what it is.")


def _check_labels(task: Task, where: str) -> list[dict[str, str]]:
    draws = (np.arange(_IMAGES) + 0.5) / _IMAGES
    imagined = [task.imagine(draw) for draw in draws]
    rows = [labels for labels, _ in imagined]
    again = [task.imagine(draw) for draw in draws]
    require(imagined == again, f"{where}: imagine gives another patient for the same draw.")
    require(all(set(row) == set(task.columns) for row in rows), f"{where}: imagine fills other columns.")
    faults = [fault for row in rows if (fault := task.fault(row)) is not None]
    require(not faults, f"{where}: imagine gives labels with a fault: {faults[:1]}.")
    shown = [number for _, findings in imagined for number in findings]
    require(all(number >= 0 for number in shown), f"{where}: imagine gives a finding below 0.")
    nonsense = dict.fromkeys(task.columns, "?no label?")
    require(task.fault(nonsense) is not None, f"{where}: finds no fault with {nonsense}.")
    wanted = (_IMAGES, *task.target_shape)
    found = np.array([task.encode(row) for row in rows]).shape
    require(found == wanted, f"{where}: targets have the shape {found}; target_shape promises {wanted}.")
    require(task.targets(rows).shape == wanted, f"{where}: targets of all rows have another shape.")
    strata = task.strata(rows)
    require(strata.shape == wanted, f"{where}: strata are not of the targets' shape.")
    named = strata.ndim == 2 or (strata.min() >= 0 and strata.max() < len(task.strata_names))
    require(bool(named), f"{where}: strata run to {strata.max()}, with names for {len(task.strata_names)}.")
    shares = task.class_counts(rows)
    fits = shares is None or shares.num_outputs == task.num_outputs
    require(fits, f"{where}: counts classes for another number of logits than {task.num_outputs}.")
    counted = tuple(task.counts(rows)["classes"])
    require(counted == task.classes, f"{where}: counts {counted}; it has to count {task.classes}.")
    require(not task.absent(rows), f"{where}: no imagined patient has {task.untrained(rows)}.")
    require(task.single(rows) is None, f"{where}: imagined patients have nothing to tell apart.")
    return rows


def _check_loss(task: Task, logits: Tensor, target: Tensor, where: str) -> None:
    logits = logits.clone().requires_grad_()
    loss = task.loss(logits, target)
    require(loss.shape == (), f"{where}: its loss has the shape {tuple(loss.shape)}; give a scalar.")
    require(bool(loss.isfinite()), f"{where}: its loss is {loss.item()}.")
    loss.backward()  # type: ignore[no-untyped-call]
    gradient = logits.grad
    require(gradient is not None and bool(gradient.isfinite().all()), f"{where}: its loss has no gradient.")
    with torch.no_grad():
        after = task.loss(logits - 1e-3 * (gradient if gradient is not None else logits), target)
        twice = task.loss(torch.cat([logits, logits]), torch.cat([target, target]))
    require(bool(after < loss), f"{where}: its loss does not fall along its gradient.")
    require(torch.allclose(twice, loss), f"{where}: its loss is no mean: a batch given twice has another.")


def _check_parts(task: Task, logits: Tensor, target: Tensor, where: str) -> None:
    """By `terms`, several processes are put together; halves of different sizes stand for them."""
    parts = [slice(0, _IMAGES // 4), slice(_IMAGES // 4, _IMAGES)]
    summed = sum(task.loss(logits[part], target[part]) * task.terms(target[part]) for part in parts)
    whole = task.loss(logits, target) * task.terms(target)
    told = f"{where}: its loss is no mean of as many numbers as its terms say, as several processes need it."
    require(torch.allclose(torch.as_tensor(summed), whole), told)


def _check_blends(task: Task, logits: Tensor, target: Tensor, where: str) -> None:
    """Mixup gives a loss soft targets."""
    if not task.blends:
        return
    told = f"{where}: its loss of soft targets is another than that of the same labels; let blends be False."
    try:
        soft = task.loss(logits, task.soft(target))
        blended = task.loss(logits, task.mixed(target, target.flip(0), 0.3))
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        raise AssertionError(f"{told} ({error})") from error
    require(torch.allclose(soft, task.loss(logits, target)), told)
    require(bool(blended.isfinite()), f"{where}: its loss of blended targets is {blended.item()}.")


def _check_probabilities(task: Task, logits: Tensor, where: str) -> None:
    probability = task.probabilities(logits)
    found, wanted = tuple(probability.shape), (_IMAGES, len(task.probability_names))
    require(found == wanted, f"{where}: its probabilities are {found}; they have to be {wanted}.")
    inside = task.continuous or bool(((probability >= 0) & (probability <= 1)).all())
    require(inside, f"{where}: has probabilities outside [0, 1].")
    alone = torch.cat([task.probabilities(row[None]) for row in logits])
    require(torch.allclose(alone, probability), f"{where}: a probability depends on the rest of its batch.")
    filed = task.of_class_logits(task.class_logits(logits))
    require(torch.allclose(filed, probability), f"{where}: its class logits have other probabilities.")


def _check_columns(task: Task, predictions: Predictions, where: str) -> None:
    point, temperature = task.operating_point(task.cases(predictions)), task.temperature(predictions)
    kept = None if temperature is None else temperature.as_plain()
    require(Temperature.from_plain(kept) == temperature, f"{where}: its temperature is lost in a checkpoint.")
    require(from_plain(as_plain(point)) == point, f"{where}: its operating point is lost in a checkpoint.")
    logits = predictions.logits.copy()
    logits[0] = np.nan  # an image that could not be read
    said, targets = task.output_columns(logits, point, temperature), task.target_columns(predictions.target)
    scores = [] if task.continuous else [f"logit_{name}" for name in task.probability_names]
    wanted = [*task.said_columns, *scores]
    read = ["value"] if task.continuous else [f"prob_{name}" for name in task.probability_names]
    require(set(read) <= set(said), f"{where}: its prediction file lacks {read}, which the report reads.")
    truth = [f"target_{name}" for name in task.classes] if task.target_shape else ["target"]
    require(
        set(truth) <= set(targets), f"{where}: its prediction file lacks {truth}, which the report reads."
    )
    require(
        set(wanted) <= set(said), f"{where}: its prediction file lacks {sorted(set(wanted) - set(said))}."
    )
    require(not set(said) & set(targets), f"{where}: two columns of its prediction file share a name.")
    columns = {**said, **targets}
    lengths = {name: len(column) for name, column in columns.items() if len(column) != _IMAGES}
    require(not lengths, f"{where}: columns of another length than {_IMAGES}: {lengths}.")
    calls = {name: column for name, column in said.items() if name not in wanted}
    require(bool(calls) or task.continuous, f"{where}: calls nothing; give a column of calls.")
    blank = all(column[0] == "" and (column[1:] != "").all() for column in calls.values())
    require(blank, f"{where}: calls have to be empty where logits are nan, and only there.")


def _check_figures(task: Task, predictions: Predictions, where: str) -> None:
    patients = np.array([f"patient {number // 2}" for number in predictions.index])
    alone = Membership(patients, Grouping.alone(len(patients)))
    cases = task.cases(predictions, alone)
    watched = task.watched(cases)
    require(task.monitor in watched, f"{where}: does not watch {task.monitor!r}, which it is chosen by.")
    figures = task.figures(cases, task.operating_point(cases))
    for name, value in watched.items():
        require(name in figures, f"{where}: watches {name!r}, but has no figure of it.")
        same = bool(np.isclose(figures[name].value, value, rtol=1e-9, equal_nan=True))
        require(same, f"{where}: the figure {name!r} is not what was watched.")
    require(task.headline(cases) == figures[task.monitor], f"{where}: its headline is another figure.")
    for name, number in task.calibration(cases).items():
        same = name in figures and bool(np.isclose(figures[name].value, number, rtol=1e-9, equal_nan=True))
        require(same, f"{where}: the calibration {name!r} is not that of its figures.")
    one = Predictions(predictions.index[:1], predictions.logits[:1], predictions.target[:1])
    few = task.watched(task.cases(one))
    require(set(few) == set(watched), f"{where}: what it watches depends on the images.")
