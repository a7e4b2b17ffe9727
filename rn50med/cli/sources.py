"""Recipes as they were read, with the line of every key, and merged into one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rn50med.cli.hints import walk
from rn50med.errors import RecipeError
from rn50med.recipe import find_recipe, key_positions, parse_yaml, read_recipe

_SPECIFICATION = frozenset({"class_path", "init_args", "dict_kwargs"})


@dataclass(frozen=True)
class Source:
    """One recipe as it was read.

    Args:
        where: Its file.
        data: Its plain values.
        lines: The line of every dotted key.
    """

    where: str
    data: Mapping[str, Any]
    lines: Mapping[str, int]

    def place(self, path: Sequence[str]) -> str:
        """Return the file and line of a key.

        Args:
            path: The key's parts.
        """
        line = self.lines.get(".".join(path))
        return self.where if line is None else f"{self.where}:{line}"


@dataclass(frozen=True)
class Recipes:
    """Several recipes as one.

    Args:
        sources: Each of them; a later one wins.
        merged: Their values together.
        origins: The file and line of every dotted key of ``merged``.
    """

    sources: tuple[Source, ...]
    merged: dict[str, Any]
    origins: dict[str, tuple[str, int]]


def load_recipes(names: Sequence[str]) -> Recipes:
    """Read recipes and merge them, later ones winning key by key.

    Where a later one names another class, the options of the earlier class are dropped.

    Args:
        names: Files or names.

    Raises:
        RecipeError: If one cannot be found or read, or is not a mapping.
    """
    sources = tuple(_read(find_recipe(name)) for name in names)
    merged: dict[str, Any] = {}
    origins: dict[str, tuple[str, int]] = {}
    for source in sources:
        merged = _merge(merged, source.data)
        origins |= {key: (source.where, line) for key, line in source.lines.items()}
    present = {".".join(path) for path, _ in walk(merged)}
    return Recipes(sources, merged, {key: place for key, place in origins.items() if key in present})


def _read(path: Path) -> Source:
    text = read_recipe(path)
    data = parse_yaml(text, str(path))
    if not isinstance(data, dict | None):
        raise RecipeError(f"{path}: holds {data!r}; a recipe is keys with values, such as `trainer:`.")
    # a group whose lines are all comments is no value
    kept = {key: value for key, value in (data or {}).items() if value is not None}
    return Source(str(path), kept, key_positions(text))


def _merge(earlier: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(earlier)
    for key, value in later.items():
        before = merged.get(key)
        if isinstance(before, str) and isinstance(value, dict) and "init_args" in value:
            before = {"class_path": before}
        if isinstance(before, dict) and isinstance(value, dict):
            merged[key] = _merge_values(before, value)
        else:
            merged[key] = value
    return merged


def _merge_values(before: Mapping[str, Any], value: Mapping[str, Any]) -> dict[str, Any]:
    """Merge the values of one key, either of which may be the specification of a class."""
    if "class_path" not in before:
        return dict(value) if "class_path" in value else _merge(before, value)
    if "class_path" in value and not _same_class(before["class_path"], value["class_path"]):
        return dict(value)
    if not _SPECIFICATION & set(value):  # the short form: options of the class chosen before
        value = {"init_args": value}
    return _merge(before, value)


def _same_class(one: object, other: object) -> bool:
    """Return whether two names can mean one class, as `SGD` and `torch.optim.SGD` do."""
    names = (str(one), str(other))
    short = min(names, key=len)
    return names[0] == names[1] or ("." not in short and max(names, key=len).endswith(f".{short}"))
