"""What can be told without looking at the content of an image: by its border, its file, its site.

A network that reaches much may have learnt the same shortcut, which fails at another site.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np

from rn50med.evaluation.arrays import Floats
from rn50med.evaluation.cases import Cases
from rn50med.evaluation.figure import QUANTILE, Figure
from rn50med.evaluation.intervals import auroc_interval
from rn50med.evaluation.paired_cases import told_apart

SUSPICIOUS = 0.6
"""AUROC above which a shortcut is a finding, if its interval lies above one half as well."""

_FEW = 16  # different values that each have a place of their own
_QUANTILES = np.arange(1, 8) / 8


def in_bins(learnt: Floats, judged: Floats) -> tuple[Floats, Floats]:
    """Return numbers as bins, so that a linear model sees a relation of any shape.

    Each number is below, at or between the eighths of train's values, or at one of them where there are few;
    what is not known (``nan``) has a bin of its own.

    Args:
        learnt: Of the images of train, ``(N, D)``.
        judged: Of the images to judge, ``(M, D)``.

    Shape:
        - output: ``(N, B)`` and ``(M, B)``, 0 or 1; B is 0 where nothing differs in train.

    Example:
        >>> learnt, judged = in_bins(np.array([[1.0], [2.0], [2.0]]), np.array([[2.0], [1.5]]))
        >>> learnt.tolist(), judged.tolist()
        ([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]], [[0.0, 1.0], [0.0, 0.0]])
    """
    columns = [_bins(learnt[:, k], judged[:, k]) for k in range(learnt.shape[1])]
    numbers = [np.stack([part[side] for part in columns], axis=1) for side in (0, 1)]
    return _indicators(numbers[0], numbers[1])


def _bins(learnt: Floats, judged: Floats) -> tuple[Floats, Floats]:
    """Return the number of the bin of each value of a column, -1 where it is not known."""
    values = learnt[~np.isnan(learnt)]
    different = np.unique(values)
    edges = different if different.size <= _FEW else np.unique(np.quantile(values, _QUANTILES))

    def binned(numbers: Floats) -> Floats:
        # at an edge the two sides differ by one: a value that many images share has a bin for itself
        found = np.searchsorted(edges, numbers, "left") + np.searchsorted(edges, numbers, "right")
        return np.where(np.isnan(numbers), -1.0, found)

    return binned(learnt), binned(judged)


def in_categories(learnt: Sequence[Sequence[str]], judged: Sequence[Sequence[str]]) -> tuple[Floats, Floats]:
    """Return cells of text as indicators; a text that train does not have is none of its categories.

    Args:
        learnt: Of each image of train a cell of each column.
        judged: Of each image to judge, likewise.

    Shape:
        - output: as of `in_bins`.

    Example:
        >>> learnt, judged = in_categories([["here"], ["there"]], [["there"], ["elsewhere"]])
        >>> judged.tolist()
        [[0.0, 1.0], [0.0, 0.0]]
    """
    cells = np.array([*learnt, *judged], dtype=str)
    table = np.unique(cells, return_inverse=True)[1].reshape(len(learnt) + len(judged), -1).astype(np.float64)
    return _indicators(table[: len(learnt)], table[len(learnt) :])


def _indicators(learnt: Floats, judged: Floats) -> tuple[Floats, Floats]:
    """Return a column of 0 and 1 for each value of a column, of those where the images of train differ."""
    parts: list[tuple[Floats, Floats]] = [(np.zeros((len(learnt), 0)), np.zeros((len(judged), 0)))]
    for k in range(learnt.shape[1]):
        values = np.unique(learnt[:, k])
        if values.size > 1:
            parts.append(((learnt[:, k, None] == values) * 1.0, (judged[:, k, None] == values) * 1.0))
    return np.concatenate([part[0] for part in parts], 1), np.concatenate([part[1] for part in parts], 1)


def shortcut(
    what: str, cases: Cases, headline: Callable[[Cases], Figure], names: Sequence[str]
) -> dict[str, Any]:
    """Return what a model that sees nothing but one feature reaches, and whether that is a finding.

    It is one where the AUROC is above 0.6 and its 95 % interval above 0.5. Of several classes or labels
    each is looked at too; there the interval is widened for their number, as Bonferroni does, so that chance
    alone makes a finding of any of them in one run of forty.

    Args:
        what: The feature, to begin a sentence: ``The border of the image``.
        cases: As the model has them.
        headline: Gives the AUROC of cases.
        names: Of the columns of their probabilities.

    Returns:
        Plain types: ``auroc``, ``each`` by name where there are several, ``finding``, and the sentence
        ``message`` where it is one.
    """
    figure = headline(cases)
    columns = told_apart(cases)
    found: dict[str, Any] = {"auroc": figure.as_json()}
    said = [f"an AUROC of {_text(figure)}"] if _suspicious(figure, 1) else []
    if len(names) > 1:
        each = {
            names[column.place]: auroc_interval(
                cases.probability[column.rows, column.place], column.positive, cases.patients[column.rows]
            )
            for column in columns
        }
        found["each"] = {name: part.as_json() for name, part in each.items()}
        guilty = {name: part for name, part in each.items() if _suspicious(part, len(each))}
        said += [f"{_text(part)} for {name!r}" for name, part in guilty.items()]
    found["finding"] = bool(said)
    if said:
        found["message"] = (
            f"{what} alone, without the content, reaches {', '.join(said)}: the network may have learnt it "
            "instead of what is asked, and may fail where it differs. Make it alike for all classes (crop, "
            "mask, or balance the sources) and train again, or judge the network within groups that share it."
        )
    return found


def _text(figure: Figure) -> str:
    return f"{figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})"


def _suspicious(figure: Figure, tests: int) -> bool:
    """Whether an AUROC is above the limit and its interval, widened for several tests, above one half."""
    wider = NormalDist().inv_cdf(1.0 - 0.025 / tests) / QUANTILE
    return figure.value > SUSPICIOUS and figure.value - wider * (figure.value - figure.low) > 0.5
