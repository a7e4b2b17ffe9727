"""``rn50med recipes``: list the recipes, show one, or copy one to start from."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rn50med.cli.options import write_new_recipe
from rn50med.recipe import find_recipe, list_recipes, read_recipe


def run(argv: Sequence[str]) -> int:
    """List, show or copy recipes.

    Args:
        argv: Nothing, ``show NAME`` or ``copy NAME FILE``.

    Raises:
        RecipeError: If there is no such recipe.
        StorageError: If the copy cannot be written, or a file stands there.
    """
    parser = argparse.ArgumentParser(prog="rn50med recipes", description="List, show and copy recipes.")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", title="actions")
    actions.add_parser("list", help="name them, with a line on each (what no action does too)")
    show = actions.add_parser("show", help="print one")
    show.add_argument("name", metavar="NAME", help="a recipe's name or file")
    copy = actions.add_parser("copy", help="copy one to a file, never over another")
    copy.add_argument("name", metavar="NAME", help="a recipe's name or file")
    copy.add_argument("file", metavar="FILE", type=Path, help="where to, such as my_recipe.yaml")
    options = parser.parse_args(argv)
    if options.action == "show":
        sys.stdout.write(read_recipe(find_recipe(options.name)))
    elif options.action == "copy":
        _copy(options.name, options.file)
    else:
        _list()
    return 0


def _list() -> None:
    recipes = list_recipes()
    width = max((len(recipe.name) for recipe in recipes), default=0)
    for recipe in recipes:
        origin = "" if recipe.origin == "package" else f" ({recipe.origin})"
        sys.stdout.write(f"{recipe.name:<{width}}  {recipe.summary}{origin}".rstrip() + "\n")
    if not recipes:
        sys.stderr.write("rn50med: no recipes here; reinstall rn50med, or write one.\n")


def _copy(name: str, target: Path) -> None:
    text = read_recipe(find_recipe(name))
    write_new_recipe(target, text)
    sys.stdout.write(f"{target}\n")
