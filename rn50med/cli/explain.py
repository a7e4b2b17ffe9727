"""``explain``: heat maps of what a model's scores rest on."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from rn50med.cli.options import Options, add_table_options, import_trusted, tables_of
from rn50med.errors import DataError
from rn50med.plugins import load_plugins

_METHODS = (
    "gradcam",
    "gradcam++",
    "ig",
    "attention",
)  # written out, since the light commands never import torch


def run(argv: Sequence[str]) -> int:
    """Write heat maps of images into a new folder.

    Args:
        argv: Options after ``explain``.

    Raises:
        StorageError: If the output is not empty, or the run cannot be read.
        DataError: If some images failed; the maps of the others are written all the same.
    """
    options = _parser().parse_args(list(argv))
    load_plugins()
    import_trusted(options.trust)
    from rn50med.deployment.explain import NOTICE, Asked, explain  # noqa: PLC0415 - torch takes seconds
    from rn50med.deployment.explaining.words import sanity_summary  # noqa: PLC0415

    asked = Asked(options.method, options.target, options.baseline, options.sanity)
    frame = explain(options.run, options.images, options.output, asked, tables_of(options))
    failed = frame[frame["status"] == "error"]
    sys.stderr.write(f"{len(frame) - len(failed)} heat maps written to {options.output}\n{NOTICE}\n")
    if options.sanity:
        sys.stdout.write(sanity_summary(frame) + "\n")
    sys.stdout.write(f"{options.output}\n")
    if len(failed):
        first = failed.iloc[0]
        raise DataError(
            f"explain: {len(failed)} of {len(frame)} rows are in error, the first being of "
            f"{first['image']} ({first['error']}); see the column error of explanations.csv."
        )
    return 0


def _parser() -> Options:
    parser = Options(
        "explain",
        "Draw heat maps over images: what the model's scores rest on, high = important.\n\n"
        "A heat map is not evidence of location.",
    )
    parser.add_argument("--run", required=True, help="a run folder, or a checkpoint in one")
    parser.add_argument(
        "--images", required=True, nargs="+", help="files, folders, or a table with an image column"
    )
    parser.add_argument("--output", required=True, type=Path, help="a new or empty folder")
    parser.add_argument(
        "--method",
        choices=_METHODS,
        default="gradcam",
        help="Grad-CAM, Grad-CAM++, integrated gradients, or what a head with attention pools "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--target",
        help="class to explain; where it is not given, the positive class of two, or what was called",
    )
    parser.add_argument(
        "--baseline",
        choices=("black", "grey"),
        default="black",
        help="what integrated gradients start from: a black image, or the image's own mean "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--sanity",
        action="store_true",
        help="compare each map with those of random weights",
    )
    parser.add_argument(
        "--trust", action="append", default=[], help="import this module, which the run's parts need"
    )
    add_table_options(parser)
    return parser
