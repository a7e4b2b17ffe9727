"""What the shorter commands share: their argument parser."""

from __future__ import annotations

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import NoReturn

from rn50med.errors import RecipeError


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
