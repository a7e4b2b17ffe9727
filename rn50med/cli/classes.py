"""Classes that a recipe names: by a short name among known subclasses, or by a dotted path."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, is_dataclass
from importlib import import_module
from typing import get_type_hints

from rn50med.errors import listed, nearest


@dataclass(frozen=True)
class Choice:
    """A class that a recipe chose, and how many of its first arguments the program gives.

    Args:
        part: The class, or a function that returns one.
        given: Number of positional arguments that are not the recipe's to give.
    """

    part: Callable[..., object]
    given: int


def subclasses(base: type) -> dict[str, type]:
    """Return the concrete classes that a short name may mean.

    Args:
        base: The class they have to be, which is one of them where it is concrete.
    """
    found: dict[str, type] = {}
    waiting = [base]
    while waiting:
        part = waiting.pop()
        waiting += type.__subclasses__(part)
        if not (inspect.isabstract(part) or part.__name__.startswith("_") or "<locals>" in part.__qualname__):
            found.setdefault(part.__name__, part)
    return found


def with_types(part: Callable[..., object]) -> None:
    """Resolve the postponed types of a dataclass, where they can be.

    jsonargparse cannot read them in a dataclass that has other bases. It would take any value there, and
    make the class ``'0'`` the number 0.

    Args:
        part: A class or function; only dataclasses are touched.
    """
    if not (inspect.isclass(part) and is_dataclass(part)):
        return
    written = part.__init__.__annotations__
    if any(isinstance(hint, str) for hint in written.values()):
        with suppress(NameError, TypeError):
            part.__init__.__annotations__ = written | get_type_hints(part.__init__)


def named(parts: list[tuple[type, int]]) -> dict[str, type]:
    """Return every class that a short name may mean.

    Args:
        parts: What they have to be subclasses of, as `rn50med.cli.hints.bases` gives them.
    """
    return {name: part for base, _ in parts for name, part in subclasses(base).items()}


def choices(parts: list[tuple[type, int]]) -> str:
    """Return the clause that says which classes there are.

    Args:
        parts: What they have to be subclasses of.
    """
    return f"there are {listed(sorted(named(parts)), most=12)}" if parts else "give its full path"


def find_object(path: str) -> object:
    """Import what a dotted path names. Whether it may be imported is the caller's to ask.

    Args:
        path: A module, a dot, and a name in it, or a name in a class in it.

    Raises:
        ImportError: If there is no such module, or it fails.
        LookupError: If the module has no such name.
    """
    module_name, _, name = path.rpartition(".")
    try:
        holder: object = import_module(module_name)
    except ModuleNotFoundError:
        outer, _, inner = module_name.rpartition(".")
        if not outer:
            raise
        holder = getattr(import_module(outer), inner, None)
        if not inspect.isclass(holder):
            raise
    except Exception as error:  # whatever a stranger's module raises
        raise ImportError(f"{type(error).__name__}: {error}") from error
    try:
        return getattr(holder, name)
    except AttributeError as error:
        raise LookupError(path) from error


def nearest_class(name: str, parts: list[tuple[type, int]]) -> str | None:
    """Return the class most like a misspelt one, as it should be written.

    Args:
        name: A short name or a dotted path.
        parts: What it has to be a subclass of.
    """
    module_name, dot, last = name.rpartition(".")
    known = vars(import_module(module_name)) if dot else named(parts)
    guess = nearest(last, [key for key, item in known.items() if inspect.isclass(item)])
    return module_name + dot + guess if guess else None
