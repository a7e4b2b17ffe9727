"""From a plan and what a source gives to the split of each image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from rn50med.data.findings import Finding
from rn50med.data.splits.columns import origin_of
from rn50med.data.splits.folds import fold_of, rare_labels
from rn50med.data.splits.plan import SplitPlan
from rn50med.data.splits.strata import Strata
from rn50med.errors import DataError, RecipeError

_COUNT = (
    "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
    "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty",
)  # fmt: skip
"""Numbers of folds as words, from 2."""


@dataclass(frozen=True)
class Made:
    """The splits of a source.

    Args:
        splits: train, val or test, for each image; empty text where it is left out.
        origin: A sentence that says where they come from.
        folds: The fold of each image that was dealt into one; None where its split was given.
        findings: What the user has to know of them.
    """

    splits: tuple[str, ...]
    origin: str
    folds: tuple[int | None, ...]
    findings: tuple[Finding, ...] = ()


def make_splits(
    plan: SplitPlan,
    given: Sequence[str],
    strata: Strata | Sequence[str] | NDArray[np.int64],
    groups: NDArray[np.int64],
    names: Sequence[str],
    seed: int,
) -> Made:
    """Complete the splits that are given.

    Args:
        plan: How.
        given: Split of each image, as `given_splits` returns it; empty text throughout where all are made.
        strata: Class of each image, or labels.
        groups: Group of each image.
        names: A unique name of each image.
        seed: Seed of the splits that are made.

    Raises:
        DataError: If classes are too rare, or train is missing; the message does not name the source.
        RecipeError: If the plan's folds leave nothing to train on.
    """
    kept, present = Strata.of(strata), set(given)
    if plan.crossval is not None:
        return _crossvalidated(plan, given, kept, groups, names, seed)
    if present == {""}:
        return _made(plan, kept, groups, names, seed)
    if "train" not in present:
        raise DataError(
            "the split column has no train rows; add them, or leave the column out to have all splits made "
            "by patient."
        )
    if "val" in present:
        origin = "As the source gives them." if plan.by is None else f"{origin_of(plan)}."
        made = Made(tuple(given), origin, (None,) * len(given))
    else:
        made = _completed(plan, given, kept, groups, names, seed)
    return made if "test" in present else replace(made, findings=(*made.findings, _NO_TEST))


_NO_TEST = Finding(
    "no-test",
    "error",
    "the split column has no test rows.",
    "add them, or leave the column out to have all splits made by patient; where the test images are "
    "elsewhere, give --data.allow '[no-test]' --evaluation.test never",
)


def _made(
    plan: SplitPlan, strata: Strata, groups: NDArray[np.int64], names: Sequence[str], seed: int
) -> Made:
    """Make all splits of folds."""
    if plan.folds == 2:
        raise RecipeError(
            "--data.splits.folds: 2 folds are used up by test and val and leave none for train; give 3 to 20."
        )
    fold = fold_of(strata, groups, names, plan.folds, seed)
    val = (plan.fold + 1) % plan.folds
    splits = np.select([fold == plan.fold, fold == val], ["test", "val"], default="train")
    origin = (
        f"Made by rn50med: {_COUNT[plan.folds - 2]} patient-wise folds, seed {seed}; "
        f"fold {plan.fold} test, fold {val} val."
    )
    findings = rare_labels(strata, groups, plan.folds)
    return Made(tuple(splits.tolist()), origin, tuple(fold.tolist()), findings)


def _completed(
    plan: SplitPlan,
    given: Sequence[str],
    strata: Strata,
    groups: NDArray[np.int64],
    names: Sequence[str],
    seed: int,
) -> Made:
    """Make val of train, and leave test as it is."""
    # strata, groups and names are cut to train together, and folds go back by its rows: never by position
    train = np.flatnonzero(np.asarray(given) == "train")
    rest, rest_groups = strata.take(train), groups[train]
    fold = fold_of(rest, rest_groups, [names[row] for row in train.tolist()], plan.folds, seed)
    splits = list(given)
    folds: list[int | None] = [None] * len(given)
    for row, number in zip(train.tolist(), fold.tolist(), strict=True):
        folds[row] = number
        splits[row] = "val" if number == plan.fold else "train"
    theirs = "Train and test as the source gives them" if "test" in given else "Train as the source gives it"
    start = theirs if plan.by is None else origin_of(plan)
    origin = (
        f"{start}; val made by rn50med: fold {plan.fold} of {_COUNT[plan.folds - 2]} patient-wise folds of "
        f"train, seed {seed}."
    )
    return Made(tuple(splits), origin, tuple(folds), rare_labels(rest, rest_groups, plan.folds))


def _crossvalidated(
    plan: SplitPlan,
    given: Sequence[str],
    strata: Strata,
    groups: NDArray[np.int64],
    names: Sequence[str],
    seed: int,
) -> Made:
    """Deal everything but test into folds anew; test is what `fit` would have, and is left out."""
    own = _made(plan, strata, groups, names, seed).splits if set(given) == {""} else tuple(given)
    rest = np.flatnonzero(np.asarray(own) != "test")
    if not len(rest):
        raise DataError("all images are test, which cross-validation leaves out; give train images too.")
    number = plan.crossval or 0
    kept, kept_groups = strata.take(rest), groups[rest]
    fold = fold_of(kept, kept_groups, [names[row] for row in rest.tolist()], number, seed)
    val = (plan.held_out + 1) % number
    splits, folds = [""] * len(given), cast(list[int | None], [None] * len(given))
    for row, dealt in zip(rest.tolist(), fold.tolist(), strict=True):
        folds[row] = dealt
        splits[row] = "test" if dealt == plan.held_out else "val" if dealt == val else "train"
    left = len(given) - len(rest)
    whose = "made as `fit` makes them" if set(given) == {""} else "as they were given"
    origin = (
        f"Cross-validation over {_COUNT[number - 2]} patient-wise folds, seed {seed}: fold {plan.held_out} "
        f"is held out and called test here, fold {val} is val. "
        + (f"The {left} test images, {whose}, are left out." if left else "No test images were put aside.")
    )
    return Made(tuple(splits), origin, tuple(folds), rare_labels(kept, kept_groups, number))


def assign_splits(
    given: Sequence[str],
    strata: Strata | Sequence[str] | NDArray[np.int64],
    groups: NDArray[np.int64],
    names: Sequence[str],
    seed: int,
) -> tuple[list[str], str]:
    """Complete a table's splits as the default plan does, and say in a sentence where they come from.

    Args:
        given: Split of each image as the table has it; empty text throughout where it has none.
        strata: Class of each image, or labels.
        groups: Group of each image.
        names: A unique name of each image.
        seed: Seed of the splits that are made.

    Raises:
        DataError: If classes are too rare, or train is missing; the message does not name the source.
    """
    made = make_splits(SplitPlan(), given, strata, groups, names, seed)
    return list(made.splits), made.origin
