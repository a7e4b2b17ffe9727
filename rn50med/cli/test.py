"""``test``: evaluate a run again, on its own images or another site's."""

from __future__ import annotations

import logging
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from rn50med.cli.options import Options
from rn50med.errors import StorageError

log = logging.getLogger("rn50med.test")


def run(argv: Sequence[str]) -> int:
    """Evaluate the best epoch of a run, in 32 bits, with the operating point that val chose.

    The run's own files are left alone: figures and predictions go to ``RUN/test/NAME``.

    Args:
        argv: Options after ``test``; dotted keys of the data win over the run's recipe.
    """
    parser = Options(
        "test",
        "Evaluate a run again. Options such as --data.source or --data.root replace those of its recipe.",
    )
    parser.add_argument("--run", required=True, help="a run folder, or a checkpoint in one")
    parser.add_argument("--split", choices=("test", "val"), default="test", help="the split to evaluate")
    options, rest = parser.parse_known_args(list(argv))
    from rn50med.cli.assembly import hush, listen  # noqa: PLC0415 - Lightning takes seconds

    hush()
    listen()
    return _evaluate(options, rest)


def _evaluate(options: Namespace, rest: Sequence[str]) -> int:
    from rn50med.cli.arguments import prepare  # noqa: PLC0415
    from rn50med.cli.assembly import Assembly, tell  # noqa: PLC0415
    from rn50med.cli.fit import table  # noqa: PLC0415
    from rn50med.cli.words import option_values  # noqa: PLC0415
    from rn50med.deployment.predict import find_checkpoint  # noqa: PLC0415
    from rn50med.training.judging import evaluate_again  # noqa: PLC0415
    from rn50med.training.module import FineTuneModule  # noqa: PLC0415

    checkpoint = find_checkpoint(options.run)
    folder = checkpoint.parent.parent
    recipe = folder / "recipe.yaml"
    if not recipe.is_file():
        raise StorageError(f"{folder}: has no recipe.yaml; give a run folder that `fit` wrote.")
    source = dict(option_values(rest)).get("data.source")
    elsewhere = [] if source is None else ["--data.unsplit", "test"]
    assembly = Assembly(prepare(["--recipe", str(recipe), *elsewhere, *rest]))
    module = FineTuneModule.load_from_checkpoint(checkpoint)
    name = options.split if source is None else Path(source).stem
    tell(assembly.data.prepared.audit)
    place, metrics = evaluate_again(module, assembly.data, options.split, folder / "test" / name)
    sys.stdout.write(table(metrics))
    sys.stdout.write(f"{place}\n")
    return 0
