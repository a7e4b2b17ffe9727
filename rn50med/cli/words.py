"""The words of a command line: recipes, modules to trust, and options."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from rn50med.errors import RecipeError
from rn50med.recipe import parse_yaml

COMMAND_LINE = "command line"
SHORTCUTS = MappingProxyType({"--wandb": "--tracking.wandb"})
"""Short options and the keys that they stand for."""

_RECIPE_OPTIONS = ("--recipe", "--config")  # the second is hidden, for Lightning's users
_TRUST_OPTIONS = ("--trust",)


@dataclass(frozen=True)
class Arguments:
    """The words of a command line, sorted.

    Args:
        recipes: Files or names, in the order given.
        trust: Modules that recipes may name besides the trusted packages.
        options: The other words, as they stood.
    """

    recipes: tuple[str, ...]
    trust: tuple[str, ...]
    options: tuple[str, ...]


def split_arguments(argv: Sequence[str]) -> Arguments:
    """Sort the words of a command line, wherever they stand.

    Args:
        argv: The words after the command's name.

    Raises:
        RecipeError: If a recipe or a module to trust is not named.

    Example:
        >>> split_arguments(["--a.b", "1", "--recipe", "chest_xray", "--trust=my_heads"])
        Arguments(recipes=('chest_xray',), trust=('my_heads',), options=('--a.b', '1'))
    """
    recipes: list[str] = []
    trust: list[str] = []
    options: list[str] = []
    words = iter(argv)
    for word in words:
        name, equals, value = word.partition("=")
        if name not in (*_RECIPE_OPTIONS, *_TRUST_OPTIONS):
            options.append(SHORTCUTS.get(name, name) + equals + value)
            continue
        value = value if equals else next(words, "")
        if not value or (value.startswith("--") and not equals):
            raise RecipeError(f"{COMMAND_LINE}: {name} names nothing; write {name} NAME.")
        (trust if name in _TRUST_OPTIONS else recipes).append(value)
    return Arguments(tuple(recipes), tuple(trust), tuple(options))


def option_values(options: Sequence[str]) -> list[tuple[str, str | None]]:
    """Return the key and value of every ``--key value``, ``--key=value`` and ``--key+=value``.

    Args:
        options: Words of a command line. A key that has no value has None.

    Example:
        >>> option_values(["--a.b", "-1", "--c+=x", "--d"])
        [('a.b', '-1'), ('c+', 'x'), ('d', None)]
    """
    found: list[tuple[str, str | None]] = []
    for index, word in enumerate(options):
        if not word.startswith("--") or word == "--":
            continue
        name, equals, value = word[2:].partition("=")
        following = options[index + 1] if index + 1 < len(options) else "--"
        given = value if equals else (None if following.startswith("--") else following)
        found.append((name, given))
    return found


def read_value(value: str | None) -> Any:
    """Return what an option's value holds: a list or mapping where it is one, else the text itself.

    Args:
        value: The word.
    """
    if value is None:
        return None
    try:
        read = parse_yaml(value, COMMAND_LINE)
    except RecipeError:
        return value  # free text, such as a path with a colon
    return read if isinstance(read, dict | list) or read is None else value
