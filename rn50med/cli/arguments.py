"""From the words of the command line to checked arguments.

Recipes are applied first, wherever they stand on the line, and a dotted key always wins over a recipe.
Every name is checked before anything is imported, and every key before anything is built; all that is
wrong is said at once.
"""

from __future__ import annotations

import re
from argparse import ArgumentError
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from inspect import isclass
from typing import TYPE_CHECKING, Any

from rn50med.cli.classes import Choice
from rn50med.cli.fields import default_part, fields_of, linked_from
from rn50med.cli.keys import check_keys
from rn50med.cli.names import PARSER_MODE, check_names, configure_jsonargparse
from rn50med.cli.sources import Recipes, load_recipes
from rn50med.cli.words import COMMAND_LINE, SHORTCUTS, Arguments, option_values, split_arguments
from rn50med.errors import RecipeError
from rn50med.plugins import load_plugins
from rn50med.recipe import dump_yaml

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

__all__ = [
    "COMMAND_LINE", "PARSER_MODE", "SHORTCUTS", "Arguments", "Ready", "Recipes", "check_keys", "check_names",
    "configure_jsonargparse", "load_recipes", "option_values", "parse", "prepare", "split_arguments",
]  # fmt: skip


# What jsonargparse adds to the one line that says what is wrong.
_NOISE = (
    r"Parser key|Expected a path but|Subtypes:|Errors:|Given value|Does not val|Subclass types exp"
    r"|an? (class|dict)|Problem with given class_path|Not a valid subclass of \w+$"
    r"|Expected an? (<class 'NoneType'>|list)$"
)


@dataclass(frozen=True)
class Ready:
    """Arguments whose names are checked, ready for a parser.

    Args:
        recipes: The recipes' files or names, in the order given.
        trust: Modules that recipes may name besides the trusted packages.
        options: The other words of the command line.
        loaded: The recipes themselves.
    """

    recipes: tuple[str, ...]
    trust: tuple[str, ...]
    options: tuple[str, ...]
    loaded: Recipes


def prepare(argv: Sequence[str]) -> Ready:
    """Read the recipes of a command line, check what they name, and set jsonargparse up.

    Args:
        argv: The words after the command's name.

    Raises:
        RecipeError: If a recipe cannot be read, or names what is not trusted.
    """
    words = split_arguments(argv)
    loaded = load_recipes(words.recipes)
    check_names(loaded, words.options, words.trust)
    configure_jsonargparse(words.trust)
    load_plugins()
    return Ready(words.recipes, words.trust, words.options, loaded)


def parse(parser: ArgumentParser, ready: Ready) -> Namespace:
    """Check every key and parse: recipes first, then options.

    Args:
        parser: jsonargparse's, in our parser mode, with an argument for recipes.
        ready: What `prepare` returned.

    Raises:
        RecipeError: With all keys and classes that do not exist, or the first value that does not fit.
    """
    by_recipes, chosen = check_keys(parser, ready.loaded, ready.options, ready.trust)
    merged = _settle(parser, ready.loaded.merged, by_recipes, chosen)
    words = [f"{_recipe_option(parser)}={dump_yaml(merged)}"] if merged else []
    parser.exit_on_error = False
    try:
        return parser.parse_args([*words, *ready.options])
    except ArgumentError as error:
        raise RecipeError(_sentence(str(error), ready, parser)) from error


def _settle(
    parser: ArgumentParser,
    merged: Mapping[str, Any],
    by_recipes: Mapping[tuple[str, ...], Choice],
    chosen: Mapping[tuple[str, ...], Choice],
) -> dict[str, Any]:
    """Let a class that is chosen bring its own defaults, not those of the class it replaces.

    jsonargparse hands on what the new class also takes: AdamW's weight decay to SGD.
    """
    settled = dict(merged)
    for dest, field in fields_of(parser).items():
        path = tuple(dest.split("."))
        if path not in chosen:
            continue
        if chosen[path] != by_recipes.get(path, chosen[path]):
            settled = _without(settled, path)
        part = chosen[path].part
        replaced = default_part(field)
        if isclass(part) and replaced is not None and replaced is not part:
            name = f"{part.__module__}.{part.__qualname__}"
            parser.set_defaults({dest: part if chosen[path].given else {"class_path": name}})
    return settled


def _without(data: Mapping[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    kept = {key: value for key, value in data.items() if key != path[0]}
    inner = data.get(path[0])
    return kept | {path[0]: _without(inner, path[1:])} if path[1:] and isinstance(inner, dict) else kept


def _recipe_option(parser: ArgumentParser) -> str:
    from jsonargparse import ActionConfigFile  # type: ignore[attr-defined]  # noqa: PLC0415 - 0.1 s

    action = next(action for action in parser._actions if isinstance(action, ActionConfigFile))
    return str(action.option_strings[-1])


def _sentence(message: str, ready: Ready, parser: ArgumentParser) -> str:
    """Make one sentence of jsonargparse's message, with the place of the key that it is about."""
    keys = re.findall(r'(?:Parser key|Key) "([^"]+)"', message)
    key = ".".join(dict.fromkeys(keys))
    if (origin := linked_from(parser, key)) and "Got value: None" in message:
        return _missing(origin)
    lines = [line.strip(" -") for line in message.splitlines()]
    told = list(dict.fromkeys(line.rstrip(".") for line in lines if line and not re.match(_NOISE, line)))
    said = re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", "; ".join(told) or message)
    needed = said.removeprefix("the following arguments are required: ")
    if needed != said:
        return (
            f"{_origin(key, ready)}: {key} needs {needed}; add it to its init_args."
            if key
            else _missing(needed)
        )
    return f"{_origin(key, ready)}: {key}: {said}." if key else f"{COMMAND_LINE}: {said}."


def _missing(keys: str) -> str:
    return f"recipe: {keys} is not given; add it to the recipe, or give --{keys.partition(', ')[0]}."


def _origin(key: str, ready: Ready) -> str:
    given = [name.removesuffix("+") for name, _ in option_values(ready.options)]
    if any(name == key or name.startswith(f"{key}.") or key.startswith(f"{name}.") for name in given):
        return COMMAND_LINE
    while key and key not in ready.loaded.origins:
        key = key.rpartition(".")[0]
    return "{}:{}".format(*ready.loaded.origins[key]) if key else "recipe"
