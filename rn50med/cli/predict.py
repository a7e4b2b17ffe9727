"""``predict``: probabilities and calls of images that have no labels."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from rn50med.cli.options import Options, add_table_options, import_trusted, tables_of
from rn50med.errors import DataError, RecipeError, StorageError
from rn50med.plugins import load_plugins


def run(argv: Sequence[str]) -> int:
    """Predict images and write a row for each.

    Args:
        argv: Options after ``predict``.

    Raises:
        StorageError: If the output is there already, or the run cannot be read.
        DataError: If some images could not be read; the others are written all the same.
    """
    parser = Options(
        "predict", "Give probabilities and calls for images, one row per image; no labels needed."
    )
    parser.add_argument("--run", required=True, help="a run folder, or a checkpoint in one")
    parser.add_argument(
        "--images", required=True, nargs="+", help="files, folders, or a table with an image column"
    )
    parser.add_argument(
        "--output", type=Path, help="a .csv or .parquet file, new; standard output where it is not given"
    )
    parser.add_argument(
        "--trust", action="append", default=[], help="import this module, which the run's parts need"
    )
    add_table_options(parser)
    options = parser.parse_args(list(argv))
    _check_output(options.output)
    load_plugins()
    import_trusted(options.trust)
    from rn50med.deployment.predict import predict  # noqa: PLC0415 - torch takes seconds
    from rn50med.training.folder import write_predictions  # noqa: PLC0415

    frame = predict(options.run, options.images, tables_of(options))
    if options.output is None:
        frame.to_csv(sys.stdout, index=False, float_format="%.9g", lineterminator="\n")
    else:
        write_predictions(options.output, frame)
        sys.stderr.write(f"{len(frame)} rows written to {options.output}\n")
    failed = frame[frame["status"] == "error"]
    if len(failed):
        first = failed.iloc[0]
        raise DataError(
            f"predict: {len(failed)} of {len(frame)} images could not be read, the first being "
            f"{first['image']} ({first['error']}); see the column error."
        )
    return 0


def _check_output(output: Path | None) -> None:
    if output is None:
        return
    if output.suffix.lower() not in {".csv", ".parquet"}:
        raise RecipeError(f"--output {output}: is no .csv or .parquet file; name one.")
    if output.exists():
        raise StorageError(f"--output {output}: is there already; give a new file.")
    if not output.parent.is_dir():
        raise StorageError(f"--output {output}: there is no folder {str(output.parent)!r}; make it first.")
