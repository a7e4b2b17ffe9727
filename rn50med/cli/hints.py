"""What a type hint takes: the classes that a recipe may name for it, and the values that fit it."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from functools import reduce
from operator import or_
from os import PathLike
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeGuard, Union, get_args, get_origin

from rn50med.errors import nearest
from rn50med.recipe import parse_yaml

_WORDS = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    NoneType: "null",
}.items()


def alternatives(hint: object) -> list[object]:
    """Return the members of a union, or the hint itself.

    Args:
        hint: Any type hint.

    Example:
        >>> alternatives(int | None)
        [<class 'int'>, <class 'NoneType'>]
    """
    origin = get_origin(hint)
    if origin is Annotated:
        return alternatives(get_args(hint)[0])
    if origin in {Union, UnionType}:
        return [member for item in get_args(hint) for member in alternatives(item)]
    alias = getattr(hint, "__value__", None) or getattr(hint, "__supertype__", None)
    return [hint] if alias is None else alternatives(alias)


def bases(hint: object) -> list[tuple[type, int]]:
    """Return the classes whose subclasses a hint takes, each with the arguments that the program gives.

    Args:
        hint: Any type hint; a factory ``Callable[[Sequence[int], int], Head]`` takes heads without their
            first two arguments.
    """
    found: list[tuple[type, int]] = []
    for member in alternatives(hint):
        origin = get_origin(member) or member
        if origin is Callable and get_args(member):
            given, made = get_args(member)
            count = len(given) if isinstance(given, list) else 0
            found += [(item, count) for item in alternatives(made) if _is_part(item)]
        elif _is_part(origin):
            found.append((origin, 0))
    return found


def items(hint: object) -> object:
    """Return the hint of a list's items, or None where the hint takes no list."""
    return _arguments(
        hint, lambda origin: issubclass(origin, Iterable) and not issubclass(origin, Mapping), 0
    )


def values(hint: object) -> object:
    """Return the hint of a mapping's values, or None where the hint takes no mapping."""
    return _arguments(hint, lambda origin: issubclass(origin, Mapping), 1)


def names_only(hint: object) -> bool:
    """Return whether text can mean nothing but the name of a class or function."""
    members = alternatives(hint)
    named = [
        member for member in members if (get_origin(member) or member) in {Callable, type} or bases(member)
    ]
    return bool(named) and all(
        member in named or member in {NoneType, int, float, bool} or items(member) or values(member)
        for member in members
    )


def is_plain(hint: object, word: str) -> bool:
    """Return whether a word of the command line is a number, truth value or null that a hint takes.

    Args:
        hint: Any type hint.
        word: The word.

    Example:
        >>> is_plain(int | str, "3"), is_plain(bool | None, "3")
        (True, False)
    """
    read = _read(word)
    return not isinstance(read, str) and any(_is(read, member) for member in alternatives(hint))


def misfit(hint: object, value: object, text: bool) -> str | None:
    """Return what is wrong with a plain value, or None where it fits or cannot be judged here.

    Args:
        hint: Any type hint; only those of text, numbers, truth values and literals are judged.
        value: What a recipe or an option gives.
        text: Whether the value is a word of the command line, which need not be quoted to be text.

    Example:
        >>> misfit(int, "12:30", text=False)
        "'12:30' is not a whole number."
    """
    members = alternatives(hint)
    plain = [member for member in members if member in dict(_WORDS)]
    literals = [item for member in members if get_origin(member) is Literal for item in get_args(member)]
    if len(plain) + sum(get_origin(member) is Literal for member in members) < len(members):
        return None
    read = _read(value) if text else value
    if (
        any(_is(read, kind) for kind in plain)
        or read in literals
        or (text and (str in plain or value in literals))
    ):
        return None
    known = [word for kind, word in _WORDS if kind in plain] + [repr(item) for item in literals]
    guess = nearest(str(value), [str(item) for item in literals])
    remedy = f"; did you mean {guess!r}?" if guess else "."
    if str in plain and isinstance(value, int | float):
        remedy = f"; quote it: '{str(value).lower()}'."
    return f"{value!r} is not {' or '.join(known)}{remedy}"


def _read(value: object) -> object:
    try:
        return parse_yaml(value, "command line") if isinstance(value, str) else value
    except ValueError:
        return value


def _is(value: object, kind: object) -> bool:
    """Return whether a value is of a kind; a truth value is no number, and a whole number is a number."""
    if isinstance(value, bool):
        return kind is bool
    return type(value) is kind or (kind is float and isinstance(value, int))


def _is_part(member: object) -> TypeGuard[type]:
    """Return whether recipes name this class's subclasses, as they do a head's but not a number's."""
    if not inspect.isclass(member) or get_origin(member) is not None or member.__name__ == "Tensor":
        return False  # `float | Tensor` is torch's way to say a number
    return not (
        issubclass(member, Enum | PathLike | int | float | str)
        or member.__module__.split(".")[0] in sys.stdlib_module_names
    )


def _arguments(hint: object, fits: Callable[[type], bool], first: int) -> object:
    found: list[Any] = []
    for member in alternatives(hint):
        origin = get_origin(member)
        if inspect.isclass(origin) and not _is_part(origin) and origin is not type and fits(origin):
            found += [item for item in get_args(member)[first:] if item is not Ellipsis]
    return reduce(or_, found) if found else None


def walk(data: object, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    """Yield the path and value of everything in nested mappings and lists.

    Args:
        data: Plain values.
        path: What stands before each path.
    """
    yield path, data
    if isinstance(data, dict):
        for key, value in data.items():
            yield from walk(value, (*path, str(key)))
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from walk(value, (*path, str(index)))
