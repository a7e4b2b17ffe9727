"""Which modules a recipe may name: a recipe is data that somebody may mail you."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rn50med.cli.hints import walk
from rn50med.cli.sources import Recipes
from rn50med.cli.words import COMMAND_LINE, option_values, read_value
from rn50med.errors import RecipeError
from rn50med.parts import FOREIGN_CODE, TRUSTED_PACKAGES, trusted
from rn50med.plugins import plugin_packages
from rn50med.recipe import dump_yaml, parse_yaml

PARSER_MODE = "rn50med"
"""The parser mode of jsonargparse that reads YAML strictly."""


def allowed(path: str, trust: Sequence[str]) -> bool:
    """Return whether a recipe may name an object; a name without a dot it always may.

    Args:
        path: Its dotted path.
        trust: Modules that the user trusts, as ``--trust`` gives them.
    """
    if "." not in path or any(path == module or path.startswith(f"{module}.") for module in trust):
        return True
    return trusted(path) or trusted(path, plugin_packages())  # the second looks through all that is installed


def check_names(recipes: Recipes, options: Sequence[str], trust: Sequence[str]) -> None:
    """Refuse every ``class_path`` that a recipe may not name, before anything is imported.

    Args:
        recipes: What `load_recipes` returned.
        options: The other words of the command line; YAML in their values is looked through as well.
        trust: Modules that the user trusts.

    Raises:
        RecipeError: With all of them, each with its key and place.
    """
    faults = [
        untrusted(source.place(path), ".".join(path), str(value))
        for source in recipes.sources
        for path, value in walk(source.data)
        if path[-1:] == ("class_path",) and not allowed(str(value), trust)
    ]
    for key, value in option_values(options):
        for path, item in walk(read_value(value), tuple(key.split("."))):
            if path[-1] == "class_path" and not allowed(str(item), trust):
                faults.append(untrusted(COMMAND_LINE, f"--{'.'.join(path)}", str(item)))
    refuse(faults)


def untrusted(where: str, key: str, path: str) -> str:
    """Return the message for a name that a recipe may not give.

    Args:
        where: File and line, or the command line.
        key: The full key.
        path: The name.
    """
    module = path.partition(".")[0]
    return f"{where}: {key} names {path!r}, which is not trusted; if you trust it, add --trust {module}."


def refuse(faults: Sequence[str]) -> None:
    """Raise one error for all faults, where there are any.

    Args:
        faults: A sentence each.

    Raises:
        RecipeError: If there is one.
    """
    found = list(dict.fromkeys(faults))
    if len(found) == 1:
        raise RecipeError(found[0])
    if found:
        raise RecipeError(f"{len(found)} things to mend:\n  " + "\n  ".join(found))


def configure_jsonargparse(trust: Sequence[str]) -> None:
    """Make jsonargparse read YAML strictly, and import nothing that recipes may not name.

    It holds for the process. A trusted module that lies in the working folder is made importable, after
    everything that is installed.

    Args:
        trust: Modules that the user trusts.

    Raises:
        RecipeError: If one of them is no module's name.
    """
    import lightning.pytorch.cli  # noqa: F401, PLC0415 - it lets recipes be read from addresses; undone below
    from jsonargparse import set_dumper, set_loader, set_parsing_settings  # noqa: PLC0415 - 0.1 s

    set_loader(PARSER_MODE, _load, exceptions=(RecipeError,))
    set_dumper(PARSER_MODE, dump_yaml)
    set_dumper("yaml", dump_yaml)  # Lightning asks for this one; PyYAML's is read back wrongly, as in 1e-3
    try:
        set_parsing_settings(
            config_read_mode_urls_enabled=False,
            config_read_mode_fsspec_enabled=False,
            import_path_denylist=["*", *FOREIGN_CODE],
            import_path_allowlist=[*TRUSTED_PACKAGES, *plugin_packages(), *trust],
            instantiate_subclass_spec_in_any=False,
        )
    except ValueError as error:
        raise RecipeError(f"{COMMAND_LINE}: --trust {' '.join(trust)}: {error}") from error
    here = Path.cwd()
    for module in trust:
        top = module.split(".")[0]
        if find_spec(top) is None and ((here / f"{top}.py").is_file() or (here / top).is_dir()):
            sys.path.append(str(here))


def _load(text: str) -> Any:
    return parse_yaml(text, COMMAND_LINE)
