"""What a recipe can say about splits."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from rn50med.errors import RecipeError, listed

SPLITS = ("train", "val", "test")

FOLDS = range(2, 21)
"""Numbers of folds that can be asked for."""

_DAY = re.compile(r"(\d{4})([-./]?)(\d\d)\2(\d\d)(?:$|[T ]|\d{2,6}(?:[.+&-]|$))")


@dataclass(frozen=True)
class SplitPlan:
    """How images come into train, val and test.

    Args:
        folds: Number of patient-wise folds, 2 to 20.
        fold: The fold that is test, from 0; the next one is val. Where test is given, it is the fold of
            train that is val.
        by: Manifest column that decides, such as a site or a date, in place of the source's own splits.
        test: Values of that column that are test; all others are train.
        val: Values of that column that are val; where none are given, val is made of train by patient.
        test_from: First day of test, where the column holds dates, as 2024-01-31 or 20240131; earlier ones
            are train.
        val_from: First day of val, earlier than that of test; where none is given, val is made of train by
            patient.
        crossval: Number of patient-wise folds, 3 to 20, that train and val are dealt into anew, for
            cross-validation; test is left out then.
        held_out: Of these, the fold that is predicted and plays test, from 0; the next one is val.

    Raises:
        RecipeError: If they cannot be used together, with everything that is wrong.
    """

    folds: int = 5
    fold: int = 0
    by: str | None = None
    test: tuple[str, ...] = ()
    val: tuple[str, ...] = ()
    test_from: str | None = None
    val_from: str | None = None
    crossval: int | None = None
    held_out: int = 0

    def __post_init__(self) -> None:
        checks = (
            self._wrong_folds, self._wrong_column, self._wrong_values, self._wrong_days, self._wrong_crossval
        )  # fmt: skip
        if faults := [fault for check in checks for fault in check()]:
            raise RecipeError("\n  ".join(faults))

    @property
    def by_day(self) -> bool:
        """Whether the column holds dates."""
        return self.test_from is not None

    def _wrong_folds(self) -> Iterator[str]:
        if self.folds not in FOLDS:
            yield f"--data.splits.folds: is {self.folds}; give {FOLDS[0]} to {FOLDS[-1]}."
        elif self.fold not in range(self.folds):
            yield f"--data.splits.fold: is {self.fold}; give 0 to {self.folds - 1}, one of the folds."

    def _wrong_column(self) -> Iterator[str]:
        """Yield what is wrong with how column, values and days go together."""
        values, days = bool(self.test or self.val), not (self.test_from is None and self.val_from is None)
        if self.by is None:
            for key in (key for key in ("test", "val", "test_from", "val_from") if getattr(self, key)):
                yield f"--data.splits.{key}: is given without a column; name it with --data.splits.by."
        elif values and days:
            yield (
                f"--data.splits.by: column {self.by!r} cannot be split by values and by days at once; give "
                "either test and val, or test_from and val_from."
            )
        elif not self.test and self.test_from is None:
            yield (
                f"--data.splits.by: nothing says which part of column {self.by!r} is test; give "
                "--data.splits.test VALUES or --data.splits.test_from DAY."
            )

    def _wrong_values(self) -> Iterator[str]:
        if both := sorted({v.strip() for v in self.test} & {v.strip() for v in self.val}):
            yield (
                f"--data.splits.test: {listed(map(repr, both))} {'is' if len(both) == 1 else 'are'} in "
                "--data.splits.val too; leave each value in one."
            )

    def _wrong_days(self) -> Iterator[str]:
        days = {"test_from": self.test_from, "val_from": self.val_from}
        for key, text in days.items():
            if text is not None and day_of(text) is None:
                yield f"--data.splits.{key}: {text!r} is no day; write it as 2024-01-31 or 20240131."
        test, val = (day_of(text) for text in (self.test_from or "", self.val_from or ""))
        if test is not None and val is not None and val >= test:
            yield (
                f"--data.splits.val_from: {val} is not before --data.splits.test_from, {test}; val lies "
                "between train and test."
            )

    def _wrong_crossval(self) -> Iterator[str]:
        if self.crossval is None:
            if self.held_out:
                yield (
                    f"--data.splits.held_out: is {self.held_out} without folds; give --data.splits.crossval "
                    "too, or use the command crossval."
                )
        elif self.crossval not in FOLDS[1:]:
            yield (
                f"--data.splits.crossval: is {self.crossval}; give {FOLDS[1]} to {FOLDS[-1]}: one fold is "
                "held out, one is val, and the others are train."
            )
        elif self.held_out not in range(self.crossval):
            yield f"--data.splits.held_out: is {self.held_out}; give 0 to {self.crossval - 1}, one of them."


def day_of(text: str) -> date | None:
    """Return the day of a date or time in ISO's or DICOM's spelling, or None where it is neither.

    Args:
        text: Such as a cell.

    Example:
        >>> day_of("20240131"), day_of("2024-01-31T08:15"), day_of("31.01.2024")
        (datetime.date(2024, 1, 31), datetime.date(2024, 1, 31), None)
    """
    if (found := _DAY.match(text.strip())) is None:
        return None
    year, _, month, day = found.groups()
    try:
        return date(int(year), int(month), int(day))
    except ValueError:
        return None
