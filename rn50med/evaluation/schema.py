"""What ``metrics.json`` may hold: its published JSON schema, and what no schema can say of its figures."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any

_SLACK = 1e-9
"""By how much rounding may move an end of an interval past its value."""


def metrics_schema() -> dict[str, Any]:
    """Return the JSON schema (2020-12) of ``metrics.json``, for whoever checks or reads one.

    It covers what `fit`, `test` and `crossval` write, with the figures of the tasks of rn50med; a plug-in's
    task may have others.

    Example:
        >>> metrics_schema()["$defs"]["share"]["description"]
        'A figure from 0 to 1.'
    """
    text = files("rn50med.evaluation").joinpath("metrics.schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def check_metrics(metrics: Mapping[str, Any]) -> None:
    """Refuse figures that contradict themselves, before anyone reads them.

    A number has to be finite, and lie in its interval; what is undefined has to say why. A fault is one of
    the program that computed them.

    Args:
        metrics: What ``metrics.json`` is to hold, in plain types.

    Raises:
        ValueError: If a figure is wrong; all that are wrong are named.

    Example:
        >>> check_metrics({"val": {"auroc": {"value": 0.9, "low": 0.8, "high": 0.95, "n": 60}}})
        >>> check_metrics({"val": {"auroc": {"value": 0.9, "low": 0.95, "high": 1.0, "n": 60}}})
        Traceback (most recent call last):
            ...
        ValueError: metrics.json: val.auroc: value 0.9 is below its low 0.95
    """
    faults = [f"{where}: {fault}" for where, fault in _faults("", metrics)]
    if faults:
        raise ValueError(f"metrics.json: {'; '.join(faults)}")


def _faults(where: str, plain: Any) -> Iterator[tuple[str, str]]:
    """Yield each place that is wrong, with what is wrong there."""
    if isinstance(plain, float) and not abs(plain) < float("inf"):
        yield where, f"is {plain}; null stands for what is not finite"
    elif isinstance(plain, Mapping):
        if {"value", "n"} <= set(plain):
            yield from ((where, fault) for fault in _contradictions(plain))
        for key, each in plain.items():
            yield from _faults(f"{where}.{key}" if where else str(key), each)
    elif isinstance(plain, (list, tuple)):
        for place, each in enumerate(plain):
            yield from _faults(f"{where}[{place}]", each)


def _contradictions(figure: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with a figure, or with its spread over folds."""
    value, ends = figure["value"], [key for key in ("low", "lowest", "high", "highest") if key in figure]
    if value is None:
        if not figure.get("reason"):
            yield "is undefined without a reason"
        yield from (f"is undefined, with {key} {figure[key]}" for key in ends if figure[key] is not None)
        return
    for key in (key for key in ends if figure[key] is not None):
        beyond = figure[key] - value if key.startswith("low") else value - figure[key]
        if beyond > _SLACK * max(1.0, abs(value)):
            yield f"value {value} is {'below' if key.startswith('low') else 'above'} its {key} {figure[key]}"
