"""Libraries that only some sources need, imported when they do."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from rn50med.errors import DataError


def library(module: str, what: str, install: str | None = None) -> ModuleType:
    """Import a library, or say which one is missing.

    Args:
        module: Dotted name of its module.
        what: What it does, to follow its name: ``reads .xlsx tables``.
        install: What pip calls it, where that is not the first part of the module's name.

    Raises:
        DataError: If it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        name = install or module.partition(".")[0]
        raise DataError(f"needs {name!r}, which {what}; install it: pip install {name!r}.") from error
