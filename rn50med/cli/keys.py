"""Whether every key of recipes and options exists, said of all of them at once.

jsonargparse stops at the first key that it does not know, and tells neither its file nor its nearest
neighbour. Here the parser's own arguments are walked, and below them those of every class that is named.
Of jsonargparse its public functions are used, and what its arguments hold of names and type hints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from inspect import isclass
from types import NoneType
from typing import TYPE_CHECKING, Any

from rn50med.cli.classes import Choice, choices, find_object, named, nearest_class, subclasses, with_types
from rn50med.cli.fields import Field, Place, default_part, fields_of, fields_of_choice, linked_from
from rn50med.cli.hints import alternatives, bases, is_plain, items, misfit, names_only, values
from rn50med.cli.names import allowed, refuse, untrusted
from rn50med.cli.sources import Recipes
from rn50med.cli.words import COMMAND_LINE, option_values, read_value
from rn50med.errors import listed, nearest

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

_OUR_OPTIONS = ("recipe", "trust", "debug", "offline")
_SPECIFICATION = ("class_path", "init_args", "dict_kwargs")
_ABSENT = object()  # what an option without a value holds: jsonargparse says that it needs one


def check_keys(
    parser: ArgumentParser, recipes: Recipes, options: Sequence[str], trust: Sequence[str]
) -> tuple[Mapping[tuple[str, ...], Choice], Mapping[tuple[str, ...], Choice]]:
    """Refuse every key, class and plain value that the parser does not take.

    Nothing that is not trusted is imported.

    Args:
        parser: jsonargparse's, with all its arguments.
        recipes: What `load_recipes` returned.
        options: The other words of the command line.
        trust: Modules that recipes may name besides the trusted packages.

    Returns:
        The class chosen at each key, by the recipes alone and by the options after them.

    Raises:
        RecipeError: With all faults, each with its full key, its place and the nearest valid key.
    """
    checker = _Checker(parser, trust)
    for source in recipes.sources:
        checker.group(checker.root, source.data, Place(source=source), ())
    by_recipes = dict(checker.chosen)
    for name, value in option_values(options):
        checker.option(name, value)
    refuse(checker.faults)
    return by_recipes, checker.chosen


class _Checker:
    """Walks values beside the parser and collects what does not fit."""

    def __init__(self, parser: ArgumentParser, trust: Sequence[str]) -> None:
        self.parser = parser
        self.trust = trust
        self.root = fields_of(parser)
        self.faults: list[str] = []
        self.chosen: dict[tuple[str, ...], Choice] = {}
        self._known: dict[tuple[object, int], dict[str, Field] | None] = {}

    def option(self, name: str, value: str | None) -> None:
        """Check one option of the command line."""
        key = name.removesuffix("+")
        read = _ABSENT if value is None else read_value(value)
        registered = key not in self.root and f"--{key}" in self.parser._option_string_actions
        if registered and not isinstance(read, dict) and linked_from(self.parser, key) is None:
            return  # --help and the like, and a group as a file
        if name.endswith("+") and key in self.root and f"--{name}" not in self.parser._option_string_actions:
            self.faults.append(f"{COMMAND_LINE}: --{key} cannot be added to; give it as a whole.")
            return
        appended = name.endswith("+") and not isinstance(read, list)
        nested: object = [read] if appended else read
        for part in reversed(key.split(".")):
            nested = {part: nested}
        if isinstance(nested, dict):
            self.group(self.root, nested, Place(), ())

    def group(
        self, fields: Mapping[str, Field], data: Mapping[str, Any], at: Place, prefix: tuple[str, ...]
    ) -> None:
        """Check the keys of a mapping against those of a parser or a class."""
        for name, value in data.items():
            dotted = ".".join((*prefix, str(name)))
            inner = at.below(str(name))
            if dotted in fields:
                self.value(fields[dotted], value, inner)
            elif any(field.startswith(f"{dotted}.") for field in fields):
                self._below(fields, value, inner, (*prefix, str(name)))
            else:
                self._unknown(fields, inner, prefix, _rest(value) if at.source is None else ())

    def _below(self, fields: Mapping[str, Field], value: object, at: Place, prefix: tuple[str, ...]) -> None:
        if isinstance(value, dict):
            self.group(fields, value, at, prefix)
        elif value is not None and at.source is not None:
            self.faults.append(f"{at.where()}: {at.key()}: {value!r} holds no keys; write them below it.")

    def value(self, field: Field, value: object, at: Place) -> None:
        """Check the value of a key that exists."""
        if value is _ABSENT or field.hint is None or _takes_anything(field.hint):
            return
        if isinstance(value, dict):
            self._mapping(field, value, at)
        elif isinstance(value, list):
            self._list(field, value, at)
        else:
            self._scalar(field, value, at)

    def _scalar(self, field: Field, value: object, at: Place) -> None:
        parts = bases(field.hint)
        if value is None and parts and NoneType not in alternatives(field.hint):
            wanted = parts[0][0].__name__
            self.faults.append(f"{at.where()}: {at.key()}: null is no {wanted}; {choices(parts)}.")
        elif isinstance(value, str) and names_only(field.hint):
            if at.source is not None or not is_plain(field.hint, value):
                self._name(value, parts, at, at)
        elif wrong := misfit(field.hint, value, text=at.source is None):
            self.faults.append(f"{at.where()}: {at.key()}: {wrong}")

    def _list(self, field: Field, value: Sequence[object], at: Place) -> None:
        item = items(field.hint)
        if item is None:
            return
        for index, part in enumerate(value):
            inner = at.below(str(index))
            self.value(Field(item), part, inner)
            if inner.path in self.chosen:  # `--callbacks.monitor` after `--callbacks+=...` means the last
                self.chosen[at.path] = self.chosen[inner.path]

    def _mapping(self, field: Field, value: Mapping[str, Any], at: Place) -> None:
        parts = bases(field.hint)
        if "class_path" in value and (parts or names_only(field.hint)):
            self._specification(parts, value, at)
        elif parts:
            self._options(self._choice_before(field, parts, at), value, at)
        elif (item := items(field.hint)) is not None:
            self.value(Field(item), value, at)
        elif (inner := values(field.hint)) is not None:
            for name, part in value.items():
                self.value(Field(inner), part, at.below(str(name)))

    def _specification(self, parts: list[tuple[type, int]], value: Mapping[str, Any], at: Place) -> None:
        """Check ``{class_path: ..., init_args: ...}``."""
        self._name(value["class_path"], parts, at, at.below("class_path"))
        choice = self.chosen.get(at.path)
        for name in value:
            if name not in _SPECIFICATION:
                inner = at.below(str(name))
                known = self._fields(choice) or {}
                guess = f"init_args.{name}" if name in known else nearest(str(name), _SPECIFICATION)
                self.faults.append(_no_key(inner, at.key(guess) if guess else None, _SPECIFICATION))
        options = value.get("init_args")
        if isinstance(options, dict):
            self._options(choice, {"init_args": options}, at)

    def _options(self, choice: Choice | None, value: Mapping[str, Any], at: Place) -> None:
        """Check the options of a class, with or without ``init_args`` around them."""
        fields = self._fields(choice)
        if fields is None:
            return
        if not set(value) <= set(_SPECIFICATION):
            self.group(fields, value, at.unwritten("init_args"), ())
        elif isinstance(value.get("init_args"), dict):
            self.group(fields, value["init_args"], at.below("init_args"), ())

    def _name(self, name: object, parts: list[tuple[type, int]], at: Place, place: Place) -> None:
        """Check the name of a class or function that stands at a place, and remember which it is."""
        self.chosen.pop(at.path, None)
        if not isinstance(name, str):
            return  # jsonargparse says what it expects
        if name.endswith((".yaml", ".yml")):
            self.faults.append(f"{place.where()}: {place.key()}: {name!r} is a file; give it after --recipe.")
            return
        if not allowed(name, self.trust):
            self.faults.append(untrusted(place.where(), place.key(), name))
            return
        found = self._found(name, parts, place)
        given = _given(found, parts)
        if found is not None and isclass(found) and parts and given is None:
            wanted = " or ".join(base.__name__ for base, _ in parts)
            self.faults.append(f"{place.where()}: {place.key()}: {name!r} is no {wanted}; {choices(parts)}.")
        elif callable(found):
            with_types(found)
            self.chosen[at.path] = Choice(found, given or 0)

    def _found(self, name: str, parts: list[tuple[type, int]], place: Place) -> object:
        """Find a class by its path, or by its name among the known subclasses."""
        if "." not in name and not parts:
            return None  # jsonargparse says what it expects
        try:
            return find_object(name) if "." in name else named(parts)[name]
        except ImportError as error:
            self.faults.append(f"{place.where()}: {place.key()}: {name!r} cannot be imported ({error}).")
        except LookupError:
            guess = nearest_class(name, parts)
            hint = f"did you mean {guess!r}?" if guess else f"{choices(parts)}."
            self.faults.append(f"{place.where()}: {place.key()}: there is no class {name!r}; {hint}")
        return None

    def _choice_before(self, field: Field, parts: list[tuple[type, int]], at: Place) -> Choice | None:
        """Return the class that options without a name are for."""
        if at.path in self.chosen:
            return self.chosen[at.path]
        found = default_part(field)
        if callable(found):
            with_types(found)
            return Choice(found, _given(found, parts) or 0)
        base, given = parts[0]
        return Choice(base, given) if base.__name__ in subclasses(base) else None

    def _fields(self, choice: Choice | None) -> dict[str, Field] | None:
        """Return the options of a class, or None where they cannot be told."""
        if choice is None:
            return None
        key = (choice.part, choice.given)
        if key not in self._known:
            self._known[key] = fields_of_choice(choice)
        return self._known[key]

    def _unknown(
        self, fields: Mapping[str, Field], at: Place, prefix: tuple[str, ...], rest: tuple[str, ...]
    ) -> None:
        """Note a key that does not exist, with the nearest that does."""
        start = ".".join((*prefix, ""))
        beside = {field[len(start) :].split(".")[0] for field in fields if field.startswith(start)}
        if len(at.path) == 1 and at.source is None:
            beside |= set(_OUR_OPTIONS)
        parent = replace(at, written=at.written[:-1])
        guess = nearest(at.written[-1], beside)
        if guess is not None:
            suggestion: str | None = parent.key(guess, *rest)
        else:
            far = nearest(".".join((*prefix, at.written[-1])), fields)
            stem = replace(parent, written=parent.written[: len(parent.written) - len(prefix)])
            suggestion = stem.key(far) if far else None
        place = replace(at, written=(*at.written, *rest)) if at.source is None else at
        self.faults.append(self._linked(at) or _no_key(place, suggestion, sorted(beside)))

    def _linked(self, at: Place) -> str | None:
        """Return the message for a key whose value the parser takes from another."""
        origin = linked_from(self.parser, ".".join(at.path))
        return f"{at.where()}: {at.key()} is taken from {origin!r}; set that." if origin else None


def _no_key(at: Place, suggestion: str | None, known: Sequence[str]) -> str:
    hint = f"did you mean {suggestion!r}?" if suggestion else f"here are {listed(known, most=12)}."
    return f"{at.where()}: there is no key {at.key()!r}; {hint}"


def _given(found: object, parts: list[tuple[type, int]]) -> int | None:
    """Return how many arguments the program gives a class, or None where it is none of those wanted."""
    return next((count for base, count in parts if isclass(found) and issubclass(found, base)), None)


def _rest(value: object) -> tuple[str, ...]:
    """Return the parts of an option's key that follow the one that is wrong."""
    parts: list[str] = []
    while isinstance(value, dict) and len(value) == 1:
        name, value = next(iter(value.items()))
        parts.append(str(name))
    return tuple(parts)


def _takes_anything(hint: object) -> bool:
    return any(member is Any or member is object for member in alternatives(hint))
