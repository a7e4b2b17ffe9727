"""Splits by a column of the source: train on two hospitals, test on the third; or on the newest year."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

from rn50med.data.faults import Faults
from rn50med.data.splits.plan import SPLITS, SplitPlan, day_of
from rn50med.errors import listed, unknown

if TYPE_CHECKING:
    import pandas as pd

_CODE = "split-column"

_PRIVATE = frozenset(
    {"image", "file", "path", "patient", "patientid", "mrn", "subject", "subjectid", "study", "studyid",
     "studyinstanceuid", "accession", "accessionnumber", "patientname", "patientbirthdate"}
)  # fmt: skip
"""Columns, without case and separators, whose values may not stand in a report."""


def given_splits(plan: SplitPlan, table: pd.DataFrame, lines: Sequence[int], faults: Faults) -> list[str]:
    """Return the split that is given for each image, and note everything that stands against it.

    Args:
        plan: Names the column that decides, if one does.
        table: The manifest's; its column ``split`` is the answer where the plan names none.
        lines: Line of the source that holds each image.
        faults: Where faults are noted.

    Returns:
        train, val or test; empty text where it is to be made.
    """
    if plan.by is None:
        return [str(split) for split in table["split"]]
    noted = len(faults)
    if plan.by not in table.columns:
        have = [str(name) for name in table.columns]
        remedy = f"The columns are {listed(have)}."
        faults.add(f"--data.splits.by: {unknown('column', plan.by, have, remedy)}", code=_CODE)
        return [""] * len(table)
    cells = [str(cell).strip() for cell in table[plan.by]]
    for cell, line in zip(cells, lines, strict=True):
        if not cell:
            text = f"empty cell in column {plan.by!r}, which the splits go by; fill it in or take the row out"
            faults.add(text, line)
    splits = _by_day(plan, cells, lines, faults) if plan.by_day else _by_value(plan, cells, faults)
    if len(faults) == noted:  # else the cause is told already
        _check_splits(plan, splits, faults)
    return splits


def _by_value(plan: SplitPlan, cells: Sequence[str], faults: Faults) -> list[str]:
    """Give each image the split of its value."""
    present = sorted(set(cells) - {""})
    wanted = {"val": [value.strip() for value in plan.val], "test": [value.strip() for value in plan.test]}
    for key, values in wanted.items():
        for value in values:
            if value not in present:
                remedy = f"Column {plan.by!r} holds {listed(present)}."
                faults.add(f"--data.splits.{key}: {unknown('value', value, present, remedy)}", code=_CODE)
    split_of = {value: key for key, values in wanted.items() for value in values}
    return [split_of.get(cell, "train") for cell in cells]


def _by_day(plan: SplitPlan, cells: Sequence[str], lines: Sequence[int], faults: Faults) -> list[str]:
    """Give each image the split that its day lies in."""
    test, val = (day_of(text or "") or date.max for text in (plan.test_from, plan.val_from))
    splits = []
    for cell, line in zip(cells, lines, strict=True):
        day = day_of(cell)
        if day is None and cell:
            faults.add(f"{cell!r} in column {plan.by!r} is no day; write it as 2024-01-31 or 20240131", line)
        number = 0 if day is None or day < min(val, test) else 1 if day < test else 2
        splits.append(SPLITS[number])
    return splits


def _check_splits(plan: SplitPlan, splits: Sequence[str], faults: Faults) -> None:
    """Note a split that was asked for and is empty."""
    wanted = [("train", "by"), ("test", "test_from" if plan.by_day else "test")]
    wanted += [("val", "val_from")] if plan.val_from is not None else []
    for split, key in wanted:
        if split not in splits:
            text = (
                f"--data.splits.{key}: leaves no image for {split} in column {plan.by!r}; choose other parts."
            )
            faults.add(text, code=_CODE)


def origin_of(plan: SplitPlan) -> str:
    """Return how a plan's column gives the splits, as the start of a sentence.

    Args:
        plan: With a column.

    Example:
        >>> origin_of(SplitPlan(by="site", test=("Bern", "Genf"), val=("Basel",)))
        "By column 'site': test Bern, Genf; val Basel"
        >>> origin_of(SplitPlan(by="patient_id", test=("0042",)))
        "By column 'patient_id': test 1 of its values"
    """
    parts = [("test", plan.test, plan.test_from), ("val", plan.val, plan.val_from)]
    private = "".join(sign for sign in str(plan.by).casefold() if sign.isalnum()) in _PRIVATE
    said = [
        f"{split} {_shown(values, private)}" if values else f"{split} from {day_of(day or '')} on"
        for split, values, day in parts
        if values or day is not None
    ]
    return f"By column {plan.by!r}: {'; '.join(said)}"


def _shown(values: Sequence[str], private: bool) -> str:
    return f"{len(values)} of its values" if private else listed(values)
