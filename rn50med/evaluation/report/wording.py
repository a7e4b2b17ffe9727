"""How numbers and names are written in a report."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rn50med.evaluation.cases import Unit
from rn50med.evaluation.figure import Figure

_LABELS = {
    "mae": "Mean absolute error (lower is better)",
    "mae_train_median": "The same of always saying the median of train",
    "rmse": "Root mean squared error (lower is better)",
    "bias": "Mean error, said less true (0 is best)",
    "loa_low": "Limits of agreement, lower",
    "loa_high": "Limits of agreement, upper",
    "r2": "R² (1 is best, 0 is that of the mean)",
    "pearson": "Correlation with the truth",
    "auroc_above": "AUROC of more than a grade",
    "auroc": "AUROC",
    "auprc": "AUPRC (average precision)",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "ppv": "Positive predictive value",
    "npv": "Negative predictive value",
    "ppv_at_prevalence": "Positive predictive value at the stated prevalence",
    "npv_at_prevalence": "Negative predictive value at the stated prevalence",
    "lr_positive": "Likelihood ratio of a positive call",
    "lr_negative": "Likelihood ratio of a negative call",
    "balanced_accuracy": "Balanced accuracy",
    "kappa_quadratic": "Quadratic-weighted kappa",
    "mae_grades": "Mean distance in grades (lower is better)",
    "mcc": "Matthews correlation",
    "net_benefit": "Net benefit at the threshold",
    "accuracy": "Accuracy",
    "brier": "Brier score (lower is better)",
    "brier_scaled": "Scaled Brier score (1 is best, 0 is chance)",
    "log_loss": "Log-loss in nats (lower is better)",
    "ece": "Calibration error, ECE (lower is better)",
    "calibration_slope": "Calibration slope (1 is best)",
    "calibration_intercept": "Calibration in the large (0 is best)",
}
NOTHING = "\N{EN DASH}"
"""What a table shows where there is nothing to show."""

_IMAGE = Unit()
_NONE: Mapping[str, str] = {}
_SHARES = {"sensitivity", "specificity", "ppv", "npv", "accuracy"}


@dataclass(frozen=True)
class Cell:
    """A figure as a table shows it.

    Args:
        value: The number, or "undefined", or a dash where it was not computed.
        interval: Its 95 % interval, or nothing.
        note: How many cases.
        reason: Why it is undefined, or what it leaves out; mostly nothing.
    """

    value: str
    interval: str
    note: str
    reason: str = ""


def number(value: float | None, digits: int = 3) -> str:
    """Write a number for people.

    Args:
        value: None or ``nan`` reads "undefined".
        digits: After the point.

    Example:
        >>> number(0.98765), number(-0.0002), number(float("nan"))
        ('0.988', '0.000', 'undefined')
    """
    # `z`: what rounds to nothing has no sign.
    return "undefined" if value is None or not math.isfinite(value) else f"{value:z.{digits}f}"


def percent(part: float, whole: float) -> str:
    """Write a share as a percentage, a dash for a share of nothing.

    Args:
        part: Of the whole.
        whole: At least 0.

    Example:
        >>> percent(1, 8)
        '12.5 %'
    """
    return f"{100 * part / whole:.1f} %" if whole else NOTHING


def ordinal(count: int) -> str:
    """Write which time it is.

    Args:
        count: From 1.

    Example:
        >>> [ordinal(count) for count in (1, 2, 3, 4, 11, 12, 13, 21, 112)]
        ['1st', '2nd', '3rd', '4th', '11th', '12th', '13th', '21st', '112th']
    """
    teen = count % 100 in {11, 12, 13}
    return f"{count}{'th' if teen else {1: 'st', 2: 'nd', 3: 'rd'}.get(count % 10, 'th')}"


def interval(figure: Figure) -> str:
    """Write the ends of a figure's interval, nothing where it has none.

    Args:
        figure: Any.

    Example:
        >>> interval(Figure(0.5, 0.25, 0.75, 10)), interval(Figure(0.5, 0.25, math.nan, 10))
        ('0.250 to 0.750', '0.250 or more')
    """
    has_low, has_high = math.isfinite(figure.low), math.isfinite(figure.high)
    if has_low and has_high:
        return f"{number(figure.low)} to {number(figure.high)}"
    if has_low:
        return f"{number(figure.low)} or more"
    return f"{number(figure.high)} or less" if has_high else ""


def cell(key: str, figure: Figure | None, unit: Unit = _IMAGE) -> Cell:
    """Return a figure as a table shows it.

    Args:
        key: As in ``metrics.json``; shares are written with their counts.
        figure: None where it was not computed.
        unit: What it counts.

    Example:
        >>> cell("sensitivity", Figure(0.9, 0.6, 0.98, 10)).note
        '9 of 10'
    """
    if figure is None:
        return Cell(NOTHING, "", "")
    if not math.isfinite(figure.value):
        note = ""
    elif key.partition("/")[0] in _SHARES:
        note = f"{round(figure.value * figure.n)} of {figure.n}"
    else:
        note = f"{figure.n} {unit.word(figure.n)}"
    return Cell(number(figure.value), interval(figure), note, figure.reason)


def label(key: str, exclusive: bool = True, own: Mapping[str, str] = _NONE) -> str:
    """Return a figure's name for people.

    Args:
        key: As in ``metrics.json``.
        exclusive: Whether classes exclude each other, so that each is told apart from the rest.
        own: Names that a task gives, by the key up to a slash.

    Example:
        >>> label("ppv"), label("auroc/mild"), label("ppv/mass", exclusive=False)
        ('Positive predictive value', 'AUROC, mild against the rest', 'Positive predictive value, mass')
        >>> label("auroc_above/mild")
        'AUROC of more than mild'
    """
    kind, _, name = key.partition("/")
    if kind in own:
        return f"{own[kind]}, {name}" if name else str(own[kind])
    if kind not in _LABELS:
        return key
    if kind == "auroc_above" and name:
        return f"AUROC of more than {name}"
    rest = " against the rest" if exclusive else ""
    return f"{_LABELS[kind]}, {name}{rest}" if name else _LABELS[kind]


def without_advice(name: str) -> str:
    """Return a figure's name without what is best.

    Args:
        name: As `label` gives it.

    Example:
        >>> without_advice("Log-loss in nats (lower is better)")
        'Log-loss in nats'
        >>> without_advice("AUPRC (average precision)")
        'AUPRC (average precision)'
    """
    return re.sub(r" \([^)]*be(st|tter)[^)]*\)", "", name)


def ordered(splits: Iterable[Mapping[str, Figure]]) -> list[str]:
    """Return the keys of all splits in the order of a table: ranking first, accuracy late.

    Args:
        splits: Figures of each split.

    Example:
        >>> ordered([{"accuracy": 1, "auroc/b": 1, "auroc": 1}])
        ['auroc', 'auroc/b', 'accuracy']
    """
    keys = list(dict.fromkeys(key for figures in splits for key in figures))
    places = list(_LABELS)
    known = {
        key: places.index(key.split("/")[0]) if key.split("/")[0] in places else len(places) for key in keys
    }
    # A figure stands before the same figure of each class; classes keep their order.
    return sorted(keys, key=lambda key: (known[key], "/" in key))


def markdown(value: object) -> object:
    r"""Escape text so that Markdown shows it as it is, in a table too.

    Args:
        value: Text is escaped and put on one line, anything else is left.

    Example:
        >>> markdown("a|b_c <i>")
        'a\\|b\\_c &lt;i&gt;'
    """
    if not isinstance(value, str):
        return value
    text = " ".join(value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").split())
    return "".join(f"\\{letter}" if letter in r"\`*_[]|#" else letter for letter in text)
