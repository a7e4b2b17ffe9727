"""What parsers and classes take, and where in a recipe a walk beside them stands."""

from __future__ import annotations

import re
from argparse import SUPPRESS
from dataclasses import dataclass, replace
from inspect import isclass
from typing import TYPE_CHECKING

from rn50med.cli.classes import Choice, find_object
from rn50med.cli.sources import Source
from rn50med.cli.words import COMMAND_LINE

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser


@dataclass(frozen=True)
class Field:
    """What one key takes.

    Args:
        hint: Its type hint; None takes anything.
        default: Its default, a ``{"class_path": ...}`` where it is a class.
    """

    hint: object
    default: object = None


@dataclass(frozen=True)
class Place:
    """Where in a recipe or an option the walk stands.

    Args:
        path: The key's parts, ``init_args`` included.
        written: The key's parts as they were written, which may leave ``init_args`` out.
        source: The recipe, or None on the command line.
    """

    path: tuple[str, ...] = ()
    written: tuple[str, ...] = ()
    source: Source | None = None

    def below(self, *parts: str) -> Place:
        """Return the place of a key below."""
        return replace(self, path=(*self.path, *parts), written=(*self.written, *parts))

    def unwritten(self, *parts: str) -> Place:
        """Return the place below a key that was left out."""
        return replace(self, path=(*self.path, *parts))

    def where(self) -> str:
        """Return file and line, or the command line."""
        return COMMAND_LINE if self.source is None else self.source.place(self.written)

    def key(self, *parts: str) -> str:
        """Return the key as it is written, or one beside it."""
        return ("--" if self.source is None else "") + ".".join((*self.written, *parts))


def fields_of(parser: ArgumentParser) -> dict[str, Field]:
    """Return what a parser takes: each dotted key.

    Args:
        parser: jsonargparse's.
    """
    from jsonargparse import ActionConfigFile  # type: ignore[attr-defined]  # noqa: PLC0415 - 0.1 s

    return {
        action.dest: Field(getattr(action, "_typehint", None), action.default)
        for action in parser._actions
        if action.default is not SUPPRESS and not isinstance(action, ActionConfigFile)
    }


def default_part(field: Field) -> object:
    """Return the class that a field has by default, or None.

    Args:
        field: What a key takes.
    """
    path = field.default.get("class_path") if hasattr(field.default, "get") else None
    return find_object(path) if isinstance(path, str) and "." in path else None  # the program's own name


def linked_from(parser: ArgumentParser, key: str) -> str | None:
    """Return the key whose value another one takes, or None.

    Args:
        parser: jsonargparse's.
        key: The dotted key that may be linked.
    """
    texts = [text for action in parser._actions if action.dest == key for text in action.option_strings]
    origins = [text.partition(" --> ")[0] for text in texts if " --> " in text]
    return re.sub(r"^\w+\((.*)\)$", r"\1", origins[0]) if origins else None  # `int(seed)` is from `seed`


def fields_of_choice(choice: Choice) -> dict[str, Field] | None:
    """Return what a class takes, or None where its signature cannot be read.

    Args:
        choice: The class.
    """
    from jsonargparse import ArgumentParser  # noqa: PLC0415 - 0.1 s

    parser = ArgumentParser(exit_on_error=False)
    skip: set[str | int] = {choice.given} if choice.given else set()
    try:
        if isclass(choice.part):
            parser.add_class_arguments(choice.part, None, fail_untyped=False, skip=skip)
        else:
            parser.add_function_arguments(choice.part, None, fail_untyped=False, skip=skip)
    except (TypeError, ValueError):
        return None  # a signature that cannot be read: jsonargparse is left to judge
    return fields_of(parser)
