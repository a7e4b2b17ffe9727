"""``report``: draw the report of a run or a cross-validation again, from the tables in its folder."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from rn50med.cli.options import Options
from rn50med.errors import RecipeError, StorageError


def run(argv: Sequence[str]) -> int:
    """Write ``report.html`` anew, and of a run ``model_card.md``; nothing is trained or evaluated.

    Args:
        argv: Options after ``report``.

    Raises:
        StorageError: If the folder is none of a run, or cannot be written to.
    """
    parser = Options(
        "report",
        "Draw the report of a run again, from the tables in its folder; or that of a cross-validation, which "
        "leaves the reports of its folds as they are.",
    )
    parser.add_argument("run", metavar="RUN", type=Path, help="a run folder, or that of a cross-validation")
    parser.add_argument(
        "--thumbnails",
        action="store_true",
        help="show the images of the hardest errors; the report is then as confidential as they are",
    )
    options = parser.parse_args(list(argv))
    folder = options.run
    if not (folder / "metrics.json").is_file():
        raise StorageError(f"{folder}: is no run folder with final figures; give one that `fit` finished.")
    from rn50med.evaluation.report import write_report  # noqa: PLC0415 - matplotlib takes a second
    from rn50med.evaluation.report.folds import write_folds_report  # noqa: PLC0415
    from rn50med.evaluation.report.folds_facts import is_crossval  # noqa: PLC0415

    if is_crossval(folder):
        if options.thumbnails:
            raise RecipeError(
                "report: --thumbnails is for a run; give a fold, such as fold-0, of this folder."
            )
        write_folds_report(folder)
    elif options.thumbnails:
        from rn50med.cli.pictures import pictures_of  # noqa: PLC0415 - Lightning takes seconds

        write_report(folder, pictures_of(folder))
    else:
        write_report(folder)
    sys.stdout.write(f"{folder / 'report.html'}\n")
    return 0
