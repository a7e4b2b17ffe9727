"""A number on a scale, such as an age."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from rn50med.errors import RecipeError
from rn50med.evaluation.arrays import Targets, stored
from rn50med.evaluation.cases import Cases, Membership
from rn50med.evaluation.figure import Figure
from rn50med.evaluation.figures_regression import mean_absolute_error, regression_figures
from rn50med.evaluation.operating_point import Thresholds
from rn50med.evaluation.temperature import Temperature
from rn50med.tasks.base import Columns, Row, Task
from rn50med.tasks.known import check_given

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_BETA = 0.1  # of the scale: errors beyond it count in proportion, smaller ones by their square
_PARTS = ("lowest part", "second part", "third part", "fourth part", "fifth part")
_PATIENTS = 40  # of a stratum, at the least: enough for 20 folds


@dataclass(frozen=True)
class Regression(Task):
    """A number on a scale, such as bone age in months: one logit, and the value in proportion to it.

    Values are clipped to the scale, on which all labels lie, so that clipping makes no error larger. The loss
    sees them as they are. A case of several images has the mean of their values.

    Args:
        column: Manifest column of the number. A decimal point, no comma; an empty cell is a fault.
        low: The lower end of the scale: no label lies below.
        high: The upper end, likewise.
        unit: What the number counts, such as `months`, for report and messages.

    Source:
        Girshick, *Fast R-CNN*, ICCV 2015, equation 3, arXiv:1504.08083 (smooth L1); it is Huber's loss,
        Annals of Mathematical Statistics 1964, 10.1214/aoms/1177703732.

    Example:
        >>> task = Regression(column="age", low=0, high=228, unit="months")
        >>> task.fault({"age": "300"})
        "'300' in column 'age' lies outside 0 to 228 months; mend the cell, or widen task.low and task.high"
    """

    column: str
    low: float
    high: float
    unit: str = ""

    monitor: ClassVar[str] = "mae"
    monitor_mode: ClassVar[Literal["max", "min"]] = "min"
    continuous: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            object.__setattr__(self, name, float(getattr(self, name)))
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise RecipeError(
                f"task: the scale runs from {self.low:g} to {self.high:g}; give low and, above it, high."
            )

    @property
    def _scale(self) -> str:
        return f"{self.low:g} to {self.high:g}{f' {self.unit}' if self.unit else ''}"

    def facts(self) -> dict[str, Any]:
        """Return the number's name, its scale and its unit."""
        return {"number": self.column, "low": self.low, "high": self.high, "unit": self.unit}

    @property
    def classes(self) -> tuple[str, ...]:
        """None."""
        return ()

    @property
    def probability_names(self) -> tuple[str, ...]:
        """The value alone."""
        return ("value",)

    @property
    def said_columns(self) -> tuple[str, ...]:
        """The value alone."""
        return ("value",)

    @property
    def columns(self) -> tuple[str, ...]:
        """The number's column."""
        return (self.column,)

    def given(self, target: Tensor) -> Tensor:
        """Return the numbers, on the scale of the table."""
        check_given(target, target.isfinite(), f"a number from {self._scale}")
        return target

    def fault(self, row: Row) -> str | None:
        """Return what is wrong with the number."""
        cell = row[self.column].strip()
        if not cell:
            return f"empty cell in column {self.column!r}; write a number from {self._scale}"
        if not _NUMBER.fullmatch(cell):
            comma = _NUMBER.fullmatch(cell.replace(",", ".", 1))
            hint = "write a decimal point" if comma else f"write a number from {self._scale}"
            return f"{row[self.column]!r} in column {self.column!r} is no number; {hint}"
        if self.low <= float(cell) <= self.high:
            return None
        return (
            f"{row[self.column]!r} in column {self.column!r} lies outside {self._scale}; mend the cell, or "
            "widen task.low and task.high"
        )

    def encode(self, row: Row) -> float:
        """Return the number."""
        return float(row[self.column])

    def stratum(self, row: Row) -> str:
        """Return the number with its unit."""
        return f"{float(row[self.column]):g}{f' {self.unit}' if self.unit else ''}"

    def targets(self, rows: Sequence[Row]) -> Targets:
        """Return the numbers, ``(N,)``."""
        return np.array([self.encode(row) for row in rows], dtype=np.float64)

    def strata(self, rows: Sequence[Row]) -> NDArray[np.int64]:
        """Return in which fifth of the patients each number lies; in fewer parts where there are few."""
        values = self.targets(rows)
        patients: dict[str, list[float]] = {}
        for number, (row, value) in enumerate(zip(rows, values.tolist(), strict=True)):
            patients.setdefault(row.get("patient", str(number)), []).append(value)
        parts = min(len(_PARTS), max(1, len(patients) // _PATIENTS))
        each = [float(np.median(numbers)) for numbers in patients.values()]
        edges = np.quantile(each, np.arange(1, parts) / parts) if each else np.empty(0)
        return np.searchsorted(edges, values, side="right").astype(np.int64)

    @property
    def strata_names(self) -> tuple[str, ...]:
        """The parts, the lowest numbers first."""
        return _PARTS

    def counts(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Return no classes, and how the numbers are spread; not the extreme ones, which are somebody's."""
        if not rows:
            return {"classes": {}, "values": {"unit": self.unit}}
        values = self.targets(rows)
        low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
        spread = {"mean": values.mean(), "sd": values.std(), "q1": low, "median": middle, "q3": high}
        found = {key: float(stored(np.array(value), 4)) for key, value in spread.items()}
        return {"classes": {}, "values": {**found, "unit": self.unit}}

    def absent(self, rows: Sequence[Row]) -> dict[str, str]:
        """Return that there is one number alone, if there is."""
        if len({self.encode(row) for row in rows}) != 1:
            return {}
        return {self.column: f"no two different values in column {self.column!r}"}

    def single(self, rows: Sequence[Row]) -> str | None:
        """Return the only number there is, if there is only one."""
        if not self.absent(rows):
            return None
        return (
            f"only the value {self.stratum(rows[0])} found in column {self.column!r}; a model needs images "
            "of different values"
        )

    def imagine(self, draw: float) -> tuple[dict[str, str], tuple[int, ...]]:
        """Return numbers that are spread evenly over the scale; the phantom's heart grows with them."""
        return {self.column: f"{self.low + draw * (self.high - self.low):.6g}"}, ()

    def growth(self, draw: float) -> float | None:
        """Return the place of the number on the scale."""
        return draw

    @property
    def loss_words(self) -> str:
        """For the methods of a report."""
        return "smooth L1 loss"

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the smooth L1 loss on a scale of length 1."""
        middle, length = (self.low + self.high) / 2, self.high - self.low
        place = (target.to(logits.dtype) - middle) / length
        return F.smooth_l1_loss(logits[:, 0], place, beta=_BETA)

    def mixed(self, target: Tensor, other: Tensor, share: float) -> Tensor:
        """Return the numbers in between: none is unknown, though one may be what marks unknown labels."""
        return share * target.float() + (1 - share) * other.float()

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return the value, clipped to the scale, shape ``(B, 1)``."""
        middle, length = (self.low + self.high) / 2, self.high - self.low
        return (middle + length * logits).clamp(self.low, self.high)

    def call_columns(self, probability: NDArray[np.float64], point: Thresholds) -> Columns:
        """Return none: a number is no call."""
        return {}

    def target_columns(self, target: Targets) -> Columns:
        """Return the true numbers."""
        return {"target": target.astype(np.float64)}

    def output_columns(
        self,
        logits: NDArray[np.float64],
        point: Thresholds,
        temperature: Temperature | None = None,
        membership: Membership | None = None,
    ) -> Columns:
        """Return the value of each image; ``nan`` of one that could not be read."""
        return {"value": self.stored_probabilities(logits, temperature)[:, 0]}

    def watched(self, cases: Cases) -> dict[str, float]:
        """Return the mean absolute error."""
        return {"mae": mean_absolute_error(cases.probability[:, 0], cases.target)}

    def chance(self, learnt: Targets, cases: Cases) -> float:
        """Return the mean absolute error of always saying the median of train."""
        return mean_absolute_error(np.full(len(cases.target), np.median(learnt)), cases.target)

    def headline(self, cases: Cases) -> Figure:
        """Return the mean absolute error."""
        return self.figures(cases, None)["mae"]

    def figures(
        self, cases: Cases, point: Thresholds, prevalence: Mapping[str, float] | None = None
    ) -> dict[str, Figure]:
        """Return the figures of `rn50med.evaluation.figures_regression.regression_figures`."""
        return regression_figures(cases.probability[:, 0], cases.target, cases.patients)

    def baselines(self, learnt: Targets, cases: Cases) -> dict[str, Figure]:
        """Return the mean absolute error of always saying the median of train."""
        said = np.full(len(cases.target), np.median(learnt))
        return {"mae_train_median": regression_figures(said, cases.target, cases.patients)["mae"]}
