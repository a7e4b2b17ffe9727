"""What the shorter commands share: their argument parser."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from rn50med.errors import RecipeError, StorageError

if TYPE_CHECKING:
    from rn50med.deployment.items import Tables


class Options(ArgumentParser):
    """An argument parser whose faults are ours, with our exit code.

    Args:
        command: Name of the command.
        description: What it does.
    """

    def __init__(self, command: str, description: str) -> None:
        super().__init__(
            prog=f"rn50med {command}",
            description=description,
            allow_abbrev=False,
            formatter_class=RawDescriptionHelpFormatter,
        )

    def error(self, message: str) -> NoReturn:
        """Raise what is wrong with the options."""
        raise RecipeError(f"{self.prog}: {message}; see `{self.prog} --help`.")


def write_new_recipe(path: Path, text: str) -> None:
    """Write a recipe, never over another.

    Args:
        path: The file, ending in ``.yaml`` or ``.yml``.
        text: What it holds.

    Raises:
        RecipeError: If its name is none of a recipe.
        StorageError: If a file stands there, or none can be written.
    """
    if path.suffix not in {".yaml", ".yml"}:
        raise RecipeError(f"{path}: is no name for a recipe; end it in .yaml.")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise StorageError(f"{path}: is there already; give another name.") from error
    except OSError as error:
        raise StorageError(f"{path}: cannot be written ({error.strerror}); give another place.") from error


def add_table_options(parser: ArgumentParser) -> None:
    """Add the options of `fit` that say how a table of images is read.

    Args:
        parser: Of a command that takes such tables.
    """
    parser.add_argument("--data.root", dest="root", help="folder that a table's image paths are relative to")
    parser.add_argument(
        "--data.columns.image", dest="image_column", default="image", help="a table's column of images"
    )
    parser.add_argument(
        "--data.columns.patient", dest="patient_column", default="patient_id", help="its column of patients"
    )


def tables_of(options: Namespace) -> Tables:
    """Return how tables of images are read.

    Args:
        options: With those of `add_table_options`.
    """
    from rn50med.data.manifest import Columns  # noqa: PLC0415
    from rn50med.deployment.items import Tables  # noqa: PLC0415 - torch takes seconds

    return Tables(options.root, Columns(image=options.image_column, patient=options.patient_column))


def import_trusted(modules: Sequence[str]) -> None:
    """Import the modules that the user trusts; one may lie in the working folder, after what is installed.

    Args:
        modules: Their dotted names.

    Raises:
        RecipeError: If one cannot be imported.
    """
    from importlib import import_module  # noqa: PLC0415
    from importlib.util import find_spec  # noqa: PLC0415

    for name in modules:
        try:
            if find_spec(name.partition(".")[0]) is None:
                sys.path.append(str(Path.cwd()))
            import_module(name)
        except ImportError as error:
            raise RecipeError(f"--trust {name}: cannot be imported ({error}); install it first.") from error
