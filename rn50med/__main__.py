"""``python -m rn50med``, which is the same as the console script ``rn50med``.

``python -m`` puts the working folder on the import path, where a file named like a library would be
imported in its place. It is taken off again. It has to stay where rn50med itself was imported from it,
in a source checkout; there the list of allowed packages alone keeps a recipe from naming a stranger's
module.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path


def _leave_working_folder() -> None:
    """Take the working folder off the import path, unless rn50med itself lies in it."""
    if sys.flags.safe_path or not sys.path:
        return
    here = Path.cwd().resolve()
    home = Path(__file__).resolve().parent.parent
    if here != home and Path(sys.path[0] or os.curdir).resolve() == here:
        del sys.path[0]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; see `rn50med.cli.main`.

    Args:
        argv: The arguments; those of the process where None.
    """
    from rn50med.cli import main as run  # noqa: PLC0415 - after the import path is mended

    return run(argv)


if __name__ == "__main__":
    _leave_working_folder()
    sys.exit(main())
