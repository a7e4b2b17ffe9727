"""Recipes: YAML files that say how to fine-tune, found by name and read strictly."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rn50med.errors import RecipeError, unknown
from rn50med.strict_yaml import dump_yaml, key_positions, parse_yaml

__all__ = [
    "RecipeInfo", "dump_yaml", "find_recipe", "key_positions", "list_recipes", "load_recipe", "parse_yaml",
    "read_recipe",
]  # fmt: skip

RECIPE_GROUP = "rn50med.recipes"
"""Entry points of plug-ins whose package holds ``*.yaml``."""

_RECIPE_KEY = re.compile(r"^(task|data|model|trainer|tracking|seed_everything)[ \t]*:", re.MULTILINE)


@dataclass(frozen=True)
class RecipeInfo:
    """A recipe that can be named.

    Args:
        name: What to write after ``--recipe``.
        path: Its file.
        summary: The first line of its first comment.
        origin: Where it comes from: ``package``, ``plug-in NAME`` or ``working folder``.
    """

    name: str
    path: Path
    summary: str
    origin: str


def find_recipe(name: str) -> Path:
    """Find a recipe by its file or its name.

    A name is looked up among the package's recipes, then the plug-ins', then ``*.yaml`` in the working
    folder; what ends in ``.yaml`` or has a separator is a file.

    Args:
        name: A file, or a name as `list_recipes` gives it.

    Raises:
        RecipeError: If there is none; the nearest name is guessed.
    """
    if name.endswith((".yaml", ".yml")) or "/" in name or "\\" in name:
        path = Path(name).expanduser()
        if path.is_file():
            return path
        raise RecipeError(f"recipe {name}: there is no such file; give a recipe's file or its name.")
    known: dict[str, Path] = {}
    for _, path in _files():
        known.setdefault(path.stem, path)
    if name not in known:
        raise RecipeError(unknown("recipe", name, known, "List them with `rn50med recipes`."))
    return known[name]


def load_recipe(name: str) -> dict[str, Any]:
    """Read a recipe as plain values.

    Args:
        name: Its file or its name.

    Raises:
        RecipeError: If it cannot be found or read, or is not a mapping.
    """
    path = find_recipe(name)
    data = parse_yaml(read_recipe(path), str(path))
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise RecipeError(f"{path}: holds {data!r}; a recipe is keys with values, such as `trainer:`.")
    return data


def read_recipe(path: Path) -> str:
    """Return the text of a recipe.

    Args:
        path: Its file.

    Raises:
        RecipeError: If it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: cannot be read ({error}); give a text file in UTF-8.") from error


def list_recipes() -> list[RecipeInfo]:
    """List the recipes of the package, of plug-ins and of the working folder.

    A recipe whose name an earlier one has is listed by its file. In the working folder only files that
    look like a recipe are listed.
    """
    listed: list[RecipeInfo] = []
    taken: set[str] = set()
    for origin, path in _files():
        try:
            text = read_recipe(path)
        except RecipeError as error:
            warnings.warn(str(error), stacklevel=2)
            continue
        if origin == "working folder" and not _RECIPE_KEY.search(text):
            continue
        name = path.stem if path.stem not in taken else str(path)
        taken.add(path.stem)
        comment = re.search(r"^#[# ]*(.*)$", text, re.MULTILINE)
        listed.append(RecipeInfo(name, path, comment[1].strip() if comment else "", origin))
    return listed


def _files() -> Iterator[tuple[str, Path]]:
    """Yield the origin and file of every recipe, in the order in which names are looked up."""
    package = Path(__file__).parent
    # a wheel holds them inside the package; a source checkout holds them beside it
    shipped = package / "recipes" if (package / "recipes").is_dir() else package.parent / "recipes"
    yield from (("package", path) for path in sorted(shipped.glob("*.yaml")))
    for entry in entry_points(group=RECIPE_GROUP):
        try:
            folders = _folders(entry)
        except Exception as error:  # whatever a plug-in's loader raises
            warnings.warn(f"plug-in {entry.name}: its recipes cannot be found ({error!r}).", stacklevel=2)
            continue
        for folder in folders:
            yield from ((f"plug-in {entry.name}", path) for path in sorted(folder.glob("*.yaml")))
    yield from (("working folder", path) for path in sorted(Path().glob("*.yaml")))


def _folders(entry: EntryPoint) -> list[Path]:
    """Find the folders of a plug-in's package without importing it, which may take seconds."""
    top, *rest = entry.value.split(".")
    spec = find_spec(top)
    if spec is None or spec.submodule_search_locations is None:
        raise RecipeError(f"no package named {top!r}")
    return [Path(location, *rest) for location in spec.submodule_search_locations]
