"""Several findings that may occur together, each present, absent, or not ruled on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from rn50med.errors import RecipeError, listed, nearest
from rn50med.evaluation.arrays import Targets
from rn50med.evaluation.calibration import calibration_of
from rn50med.evaluation.cases import Cases
from rn50med.evaluation.figure import Figure
from rn50med.evaluation.figures import multilabel_figures
from rn50med.evaluation.intervals import label_auroc_interval
from rn50med.evaluation.metrics import label_auroc
from rn50med.evaluation.operating_point import OperatingPoint, OperatingPoints, Thresholds
from rn50med.evaluation.operating_rule import YOUDEN, Rule, choose
from rn50med.evaluation.predictions import Predictions
from rn50med.evaluation.temperature import Temperature, sigmoid_temperature
from rn50med.losses import ClassCounts
from rn50med.tasks.base import UNKNOWN, Columns, Row, Task
from rn50med.tasks.known import check_given, masked_bce
from rn50med.tasks.one_column import check_names

Policy = Literal["ignore", "negative", "positive"]
"""What an unknown label is taken for."""

_ENCODED = {"ignore": UNKNOWN, "negative": 0, "positive": 1}


@dataclass(frozen=True)
class MultiLabel(Task):
    """Findings that may occur together, each present, absent or not ruled on: a logit and a sigmoid each.

    A cell holds ``1`` where the finding is present, ``0`` where it is absent, and ``-1``, ``nan`` or nothing
    where nobody ruled on it. An unknown label that is ignored counts neither in the loss nor in any figure.

    Args:
        labels: Manifest columns, in the order of the logits. The phantom draws its k-th finding for the
            k-th of them.
        unknown: What an unknown label is taken for: left out of loss and figures (`ignore`), `negative`,
            or `positive`.
        unknown_of: The same for single labels, where it differs.
        blank: What an empty cell says: that the label is `unknown`, as -1 does, or that it is `negative`, as
            where a report names only what it saw.
    """

    labels: tuple[str, ...]
    unknown: Policy = "ignore"
    # not a default_factory, which a signature cannot show and a checkpoint could not hold
    unknown_of: dict[str, Policy] | None = field(default=None, hash=False)
    blank: Literal["unknown", "negative"] = "unknown"

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", tuple(self.labels))
        object.__setattr__(self, "unknown_of", dict(self.unknown_of or {}))
        check_names(self.labels, "labels", 1)
        self._check_policies()

    def _check_policies(self) -> None:
        faults = []
        for name, policy in {"": self.unknown, **(self.unknown_of or {})}.items():
            if name and name not in self.labels:
                guess = nearest(name, self.labels)
                hint = f"did you mean {guess!r}?" if guess else f"labels are {listed(self.labels)}."
                faults.append(f"task.unknown_of: there is no label {name!r}; {hint}")
            if policy not in _ENCODED:
                where = f"task.unknown_of.{name}" if name else "task.unknown"
                faults.append(f"{where}: is {policy!r}; give one of {', '.join(_ENCODED)}.")
        if faults:
            raise RecipeError("\n  ".join(faults))

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels."""
        return self.labels

    @property
    def columns(self) -> tuple[str, ...]:
        """The labels: each has its column."""
        return self.labels

    @property
    def target_shape(self) -> tuple[int, ...]:
        """One target per label."""
        return (len(self.labels),)

    def _meaning(self, cell: str) -> int | None:
        """Return what a cell says, before any policy for what is unknown."""
        return 0 if self.blank == "negative" and cell.strip() in _BLANK else _meaning(cell)

    def ruled(self, row: Row) -> list[int]:
        """Return 1, 0 or `UNKNOWN` for each label, as the cells say."""
        return [UNKNOWN if (said := self._meaning(row[name])) is None else said for name in self.labels]

    def policy(self, label: str) -> Policy:
        """Return what an unknown label is taken for."""
        return (self.unknown_of or {}).get(label, self.unknown)

    def fault(self, row: Row) -> str | None:
        """Return what is wrong with the labels, all of them."""
        wrong = [
            f"unknown label {row[name]!r} in column {name!r}"
            for name in self.labels
            if self._meaning(row[name]) is None
        ]
        if not wrong:
            return None
        return f"{', '.join(wrong)}; write 1 (present), 0 (absent), or -1 or nothing where nobody ruled on it"

    def encode(self, row: Row) -> list[int]:
        """Return 1, 0 or what the policy makes of an unknown label, for each."""
        target = []
        for name in self.labels:
            meaning = self._meaning(row[name])
            if meaning is None:
                raise ValueError(self.fault(row))
            target.append(_ENCODED[self.policy(name)] if meaning == UNKNOWN else meaning)
        return target

    def stratum(self, row: Row) -> str:
        """Return the labels that are present, joined by commas; nothing where none is."""
        return ", ".join(n for n, value in zip(self.labels, self.encode(row), strict=True) if value == 1)

    def counts(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Return each label's cells that say present, absent and unknown, as they are written."""
        labels: dict[str, dict[str, Any]] = {}
        for name in self.labels:
            raw = [self._meaning(row[name]) for row in rows]
            found = {"positive": raw.count(1), "negative": raw.count(0), "unknown": raw.count(UNKNOWN)}
            labels[name] = found | {"unknown_is": self.policy(name)}
        return {"classes": {name: found["positive"] for name, found in labels.items()}, "labels": labels}

    def class_counts(self, rows: Sequence[Row]) -> ClassCounts | None:
        """Return how many rows have each label, once unknown ones are encoded, and how many lack it."""
        return ClassCounts.of(self.strata(rows), len(self.labels), exclusive=False)

    def absent(self, rows: Sequence[Row]) -> dict[str, str]:
        """Return the labels without a positive or without a negative image, once unknown ones are encoded."""
        targets = self.strata(rows)
        lacking = {}
        for k, name in enumerate(self.labels):
            have = set(targets[:, k].tolist())
            parts = [word for word, value in (("positive", 1), ("negative", 0)) if value not in have]
            if parts:
                lacking[name] = f"no {' and no '.join(parts)} image of label {name!r}"
        return lacking

    def single(self, rows: Sequence[Row]) -> str | None:
        """Return that no label has both outcomes, if none has."""
        if not rows or len(self.absent(rows)) < len(self.labels):
            return None
        return (
            f"no label has both a positive and a negative image in columns {listed(map(repr, self.labels))}; "
            "a model needs both of at least one"
        )

    def given(self, target: Tensor) -> Tensor:
        """Return 0, 1 or a share for each label; what is no number is not known."""
        filled = target.nan_to_num(float(UNKNOWN)) if target.is_floating_point() else target
        known = (filled == UNKNOWN) | ((filled >= 0) & (filled <= 1))
        check_given(target, known, f"0 or 1 for each label, and {UNKNOWN} or nan for what is not known")
        return filled

    def imagine(self, draw: float) -> tuple[dict[str, str], tuple[int, ...]]:
        """Return labels with a prevalence of 15 to 40 % each, one in twenty of them unknown.

        The finding is drawn whether its label is known or not.
        """
        random = np.random.default_rng(int(draw * 2**53))
        numbers = np.arange(len(self.labels))
        prevalence = 0.4 - 0.25 * (numbers * 0.618 % 1)  # the golden ratio: spread, whatever their number
        present = random.random(numbers.size) < prevalence
        hidden = random.random(numbers.size)
        cells = np.where(hidden < 0.025, "", np.where(hidden < 0.05, "-1", np.where(present, "1", "0")))
        return dict(zip(self.labels, cells.tolist(), strict=True)), tuple(np.flatnonzero(present).tolist())

    @property
    def loss_words(self) -> str:
        """For the methods of a report."""
        return "binary cross-entropy over the labels that were known"

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the binary cross-entropy, the mean over the known labels of the batch; 0 without any."""
        return masked_bce(logits, target)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return each label's probability, shape ``(B, K)``."""
        return logits.sigmoid()

    def call_columns(self, probability: NDArray[np.float64], point: Thresholds) -> Columns:
        """Return ``1`` at or above a label's operating point, at one half where it has none, else ``0``."""
        halves = [0.5 if threshold is None else threshold for threshold in self._thresholds(point)]
        called = np.where(probability >= np.array(halves), "1", "0")
        return {f"call_{name}": called[:, k] for k, name in enumerate(self.labels)}

    def target_columns(self, target: Targets) -> Columns:
        """Return ``1``, ``0``, or nothing where a label is unknown."""
        cells = np.where(target == UNKNOWN, "", np.where(target == 1, "1", "0"))
        return {f"target_{name}": cells[:, k] for k, name in enumerate(self.labels)}

    def _thresholds(self, point: Thresholds) -> list[float | None]:
        points = point if isinstance(point, OperatingPoints) else OperatingPoints({})
        return [points.threshold(name) for name in self.labels]

    def watched(self, cases: Cases) -> dict[str, float]:
        """Return the mean AUROC of the labels that are defined, and each label's."""
        macro, each = label_auroc(cases.probability, cases.target)
        by_label = {f"auroc/{name}": float(value) for name, value in zip(self.labels, each, strict=True)}
        return {"auroc": macro, **by_label}

    def headline(self, cases: Cases) -> Figure:
        """Return the mean AUROC of the labels that are defined."""
        return label_auroc_interval(cases.probability, cases.target, cases.patients)

    def operating_point(self, cases: Cases, rule: Rule = YOUDEN) -> OperatingPoints:
        """Return the rule's point of each label, None for a label without both outcomes in val."""
        points: dict[str, OperatingPoint | None] = {}
        for k, name in enumerate(self.labels):
            known = cases.target[:, k] != UNKNOWN
            said, truth = cases.probability[known, k], cases.target[known, k]
            both = {0, 1} <= set(truth.tolist())
            points[name] = choose(said, truth, rule, cases.patients[known]) if both else None
        return OperatingPoints(points)

    def temperature(self, predictions: Predictions) -> Temperature:
        """Return a temperature for each label."""
        known = predictions.target != UNKNOWN
        found = (
            sigmoid_temperature(predictions.logits[rows, k], predictions.target[rows, k])
            for k, rows in enumerate(known.T)
        )
        return Temperature(tuple(found), self.labels)

    def calibration(self, cases: Cases) -> dict[str, float]:
        """Return the figures of each label."""
        found: dict[str, float] = {}
        for k, name in enumerate(self.labels):
            known = cases.target[:, k] != UNKNOWN
            each = calibration_of(cases.probability[known, k], cases.target[known, k] == 1)
            found |= {f"{key}/{name}": value for key, value in each.items()}
        return found

    @property
    def prevalence_names(self) -> tuple[str, ...]:
        """The labels."""
        return self.labels

    def figures(
        self, cases: Cases, point: Thresholds, prevalence: Mapping[str, float] | None = None
    ) -> dict[str, Figure]:
        """Return the figures of `rn50med.evaluation.figures.multilabel_figures`."""
        thresholds, stated = self._thresholds(point), [(prevalence or {}).get(name) for name in self.labels]
        return multilabel_figures(
            cases.probability, cases.target, cases.patients, thresholds, self.labels, stated
        )


_MEANINGS = {
    **dict.fromkeys(("1", "1.0"), 1),
    **dict.fromkeys(("0", "0.0"), 0),
    **dict.fromkeys(("", "-1", "-1.0", "nan", "NaN"), UNKNOWN),
}


_BLANK = frozenset({"", "nan", "NaN"})
"""An empty cell, and how other programs write one."""


def _meaning(cell: str) -> int | None:
    """Return what a cell says: 1, 0 or `UNKNOWN`; None for what it may not hold."""
    return _MEANINGS.get(cell if cell.strip() else "")
