"""Groups from the cells of a column: its values, or bands of its numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from rn50med.evaluation.arrays import Floats, Ints

MISSING = "not given"
"""The group of images whose cell is empty."""

SEVERAL = "several"
"""What a column says of a case whose images differ in it."""

# Numbers with so few values are names of groups: a site, a grade, a sex written 0 and 1.
_FEW = 6
_YEARS = (18.0, 40.0, 65.0)
_DICOM_AGE = re.compile(r"(\d{3})([DWMY])")
_PARTS_OF_YEAR = {"D": 365.25, "W": 52.18, "M": 12.0, "Y": 1.0}
_NOTHING = {"", "nan", "<na>"}


def banded(values: Sequence[str], column: str = "", bands: bool = True) -> tuple[list[str], Ints]:
    """Return the names of a column's groups, and each image's group as a number from 0.

    Ages are cut at 18, 40 and 65 years, other numbers of more than 6 values into quarters; groups of text
    are in alphabetic order, then what is `SEVERAL`, images without a value last.

    Args:
        values: A cell per image.
        column: Its name.
        bands: Whether numbers are cut at all.

    Example:
        >>> banded(["17", "40", "", "064Y"], "patient_age")
        (['under 18', '40 to 64', 'not given'], array([0, 1, 2, 1]))
        >>> banded(["b", "a", "b"], "site")
        (['a', 'b'], array([1, 0, 1]))
        >>> banded(["17", "several", "40"], "age")
        (['under 18', '40 to 64', 'several'], array([0, 2, 1]))
    """
    cells = [str(value).strip() for value in values]
    given = np.array([cell.lower() not in {*_NOTHING, SEVERAL} for cell in cells], dtype=np.bool_)
    named = np.array([SEVERAL if cell == SEVERAL else MISSING for cell in cells], dtype=object)
    texts, age = [cell for cell, there in zip(cells, given, strict=True) if there], _is_age(column)
    numbers = _numbers(texts, age) if bands and texts else None
    if numbers is not None and (age or np.unique(numbers).size > _FEW):
        order, named[given] = _cut(numbers, _YEARS if age else _quarters(numbers), whole=age)
    else:
        order, named[given] = sorted(set(texts)), texts
    held = set(named)
    names = [name for name in dict.fromkeys((*order, SEVERAL, MISSING)) if name in held]
    place = {name: k for k, name in enumerate(names)}
    return names, np.array([place[name] for name in named], dtype=np.int64)


def one_band(values: Sequence[str], column: str) -> bool:
    """Return whether the cells of a case are of one group: ages may differ within their band.

    Args:
        values: A cell per image.
        column: Its name.

    Example:
        >>> one_band(["41", "43"], "age"), one_band(["64", "65"], "age"), one_band(["a", "b"], "site")
        (True, False, False)
    """
    return len(set(values)) == 1 or (_is_age(column) and len(banded(values, column)[0]) == 1)


def _is_age(column: str) -> bool:
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+", column)
    return "age" in [word.lower() for word in words] or column.lower() == "patientage"


def _numbers(texts: Sequence[str], age: bool) -> Floats | None:
    """Return texts as numbers, None where one is none; an age may be DICOM's, such as 045Y or 006M."""
    numbers = []
    for text in texts:
        written = _DICOM_AGE.fullmatch(text) if age else None
        try:
            number = int(written[1]) / _PARTS_OF_YEAR[written[2]] if written else float(text)
        except ValueError:
            return None
        if not np.isfinite(number):
            return None
        numbers.append(number)
    return np.array(numbers, dtype=np.float64)


def _quarters(numbers: Floats) -> tuple[float, ...]:
    cuts = np.unique(np.quantile(numbers, [0.25, 0.5, 0.75], method="inverted_cdf"))
    return tuple(float(cut) for cut in cuts if cut > numbers.min())


def _cut(numbers: Floats, cuts: Sequence[float], whole: bool) -> tuple[list[str], list[str]]:
    """Return the bands' names, lowest first, and that of each number; a cut opens a band."""
    ends = [f"{cut:g}" for cut in cuts]
    if not ends:
        return ["all"], ["all"] * numbers.size
    inner = [
        f"{low} to {float(high) - 1:g}" if whole else f"{low} to under {high}" for low, high in pairwise(ends)
    ]
    names = [f"under {ends[0]}", *inner, f"{ends[-1]} and over"]
    return names, [names[k] for k in np.searchsorted(np.asarray(cuts), numbers, side="right")]
