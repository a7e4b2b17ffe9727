"""``inspect``: read every image and label, and say what is wrong before any training."""

from __future__ import annotations

import shlex
import sys
from argparse import Namespace
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from rn50med.cli.options import Options, write_new_recipe
from rn50med.errors import DataError, RecipeError, StorageError

if TYPE_CHECKING:
    from rn50med.data.datamodule import ManifestDataModule

_RECIPE = ("recipe", "config")
_USED = frozenset({"data", "task", "seed_everything", "trust", *_RECIPE})


def run(argv: Sequence[str]) -> int:
    """Check a source; print findings, splits and a verdict.

    Args:
        argv: Options after ``inspect``; dotted keys of data and task win over the recipe.
    """
    options, source, words = _read(argv)
    for path in (options.write, options.preview, options.page, options.json):
        _refuse_folder(path)
    from rn50med.cli.assembly import hush, listen  # noqa: PLC0415 - Lightning takes seconds

    hush()
    listen()
    if any(word.partition("=")[0].removeprefix("--") in _RECIPE for word in words):
        if options.write is not None:
            raise RecipeError("inspect: --write guesses a recipe, and --recipe gives one; leave one out.")
        return _inspect(options, [*words, "--data.source", source])
    with TemporaryDirectory() as folder:
        recipe = _guessed(source, words, options.write, Path(folder))
        code = _inspect(options, ["--recipe", str(recipe), *words])
    if options.write is not None:
        line = ["python", "-m", "rn50med", "fit", "--recipe", options.write.as_posix(), *_kept(words)]
        first = "once that is mended:\n" if code else ""
        sys.stdout.write(f"{first}{shlex.join(line)}\n")
    return code


def _kept(words: Sequence[str]) -> list[str]:
    """Return the options that the written recipe does not hold."""
    kept, key = [], ""
    for word in words:
        if word.startswith("--"):
            key = word.partition("=")[0].removeprefix("--").removeprefix("data.")
        if not _steers(key):
            kept.append(word)
    return kept


def _read(argv: Sequence[str]) -> tuple[Namespace, str, list[str]]:
    """Sort the words into our options, the source, and options of the recipe."""
    parser = Options(
        "inspect",
        "Read every image and label, and say what is wrong before any training. Without a recipe, one is "
        "guessed from the data.\nOptions such as --data.root or --data.columns.patient are those of `fit`.",
    )
    parser.usage = "rn50med inspect SRC [--recipe NAME|FILE] [OPTIONS]"
    parser.add_argument("--recipe", help="a recipe's name or file", default=[], action="append")
    parser.add_argument(
        "--write", metavar="FILE.yaml", type=Path, help="write a commented recipe for this data"
    )
    parser.add_argument(
        "--preview", metavar="FILE.png", type=Path, help="draw what the network will see of some images"
    )
    parser.add_argument("--page", metavar="FILE.html", type=Path, help="write the findings as a page")
    parser.add_argument("--thumbnails", action="store_true", help="show images on the page: patients' data")
    parser.add_argument("--json", metavar="FILE.json", type=Path, help="write the facts, as `fit` does")
    options, rest = parser.parse_known_args(list(argv))
    words, sources = _sorted(rest)
    if len(sources) != 1:
        found = (
            f"{len(sources)} sources are named ({', '.join(sources)})" if sources else "no source is named"
        )
        raise RecipeError(f"inspect: {found}; write `rn50med inspect SRC`, a table, a folder or phantom.")
    recipes = [word for name in options.recipe for word in ("--recipe", name)]
    return options, sources[0], recipes + words


def _sorted(rest: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the dotted options with their values, and the other words."""
    from rn50med.cli.words import option_values  # noqa: PLC0415

    words: list[str] = []
    alone: list[str] = []
    following = False
    for word in rest:
        is_option = word.startswith("--")
        (words if is_option or following else alone).append(word)
        following = is_option and "=" not in word
    idle = [key for key, _ in option_values(words) if key.split(".")[0] not in _USED]
    if idle:
        raise RecipeError(f"inspect: --{idle[0]} has no effect here; give options of data and task alone.")
    return words, alone


def _guessed(source: str, words: Sequence[str], target: Path | None, folder: Path) -> Path:
    """Guess a recipe, write it, and return its file."""
    from rn50med.cli.inspect_console import told_guess  # noqa: PLC0415
    from rn50med.cli.words import option_values  # noqa: PLC0415
    from rn50med.data.guess import guess, recipe_text  # noqa: PLC0415

    given = {key.removeprefix("data."): value for key, value in option_values(words) if value is not None}
    guessed = guess(source, {key: value for key, value in given.items() if _steers(key)})
    path = folder / "guess.yaml" if target is None else target
    text = recipe_text(guessed, path.as_posix())
    if target is None:
        sys.stdout.write(told_guess(guessed))
        path.write_text(text, encoding="utf-8")
        return path
    write_new_recipe(target, text)
    return target


def _steers(key: str) -> bool:
    return key in {"root", "join", "where"} or key.startswith("columns.")


def _inspect(options: Namespace, words: Sequence[str]) -> int:
    from rn50med.cli.arguments import prepare  # noqa: PLC0415
    from rn50med.cli.assembly import Assembly  # noqa: PLC0415
    from rn50med.cli.inspect_console import report  # noqa: PLC0415

    data = Assembly(prepare(words)).data
    found = data.inspection()
    sys.stdout.write(report(found))
    _write_files(options, data)
    return DataError.exit_code if found.errors else 0


def _write_files(options: Namespace, data: ManifestDataModule) -> None:
    """Write what was asked for."""
    from rn50med.cli.inspect_page import page  # noqa: PLC0415
    from rn50med.cli.inspect_preview import preview  # noqa: PLC0415
    from rn50med.training.folder import write_json, write_private  # noqa: PLC0415

    found = data.inspection()
    written = []
    if options.json is not None:
        write_json(options.json, found.audit)
        written.append(options.json)
    if options.page is not None:
        write_private(options.page, page(found, data.transforms if options.thumbnails else None))
        written.append(options.page)
    if options.preview is not None:
        grid = preview(found, data.task, data.transforms, data.seed)
        if grid is None:
            sys.stderr.write("no preview: no image can be used; mend what is wrong first\n")
        else:
            buffer = BytesIO()
            grid.save(buffer, "PNG")
            write_private(options.preview, buffer.getvalue())
            written.append(options.preview)
    sys.stdout.writelines(f"written: {path}\n" for path in written)


def _refuse_folder(path: Path | None) -> None:
    """Refuse a place that cannot be written to, before images are read, which may take a while."""
    if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
        raise StorageError(f"{path}: cannot be written; give a file in a folder that is there.")
    if path is not None and path.exists():
        raise StorageError(f"{path}: is there already; give another name.")
