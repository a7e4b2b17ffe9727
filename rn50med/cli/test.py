"""``test``: evaluate a run again, on its own images or another site's."""

from __future__ import annotations

import json
import logging
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rn50med.cli.options import Options
from rn50med.errors import DataError, RecipeError, StorageError, listed
from rn50med.recipe import load_recipe

if TYPE_CHECKING:
    from rn50med.data.datamodule import ManifestDataModule
    from rn50med.training.module import FineTuneModule

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
    _refuse_idle(rest)
    from rn50med.cli.assembly import hush, listen  # noqa: PLC0415 - Lightning takes seconds

    hush()
    listen()
    return _evaluate(options, rest)


def _evaluate(options: Namespace, rest: Sequence[str]) -> int:
    from rn50med.cli.arguments import prepare  # noqa: PLC0415
    from rn50med.cli.assembly import Assembly, tell  # noqa: PLC0415
    from rn50med.cli.fit import table  # noqa: PLC0415
    from rn50med.deployment.predict import find_checkpoint  # noqa: PLC0415
    from rn50med.training.agreement import agree  # noqa: PLC0415
    from rn50med.training.judging import evaluate_again  # noqa: PLC0415
    from rn50med.training.ledger import count_opening  # noqa: PLC0415
    from rn50med.training.module import FineTuneModule  # noqa: PLC0415

    checkpoint = find_checkpoint(options.run)
    folder = checkpoint.parent.parent
    recipe = folder / "recipe.yaml"
    if not recipe.is_file():
        raise StorageError(f"{folder}: has no recipe.yaml; give a run folder that `fit` wrote.")
    words = ["--recipe", str(recipe), *rest]
    assembly = Assembly(prepare(words))
    source = assembly.config.data.source
    own = _same_place(source, load_recipe(str(recipe))["data"]["source"])
    if not own:
        assembly = Assembly(prepare([*words, *_as_another_site(rest)]))
    module = FineTuneModule.load_from_checkpoint(checkpoint)
    _check_preparation(module, assembly.data)
    tell(assembly.data.prepared.audit)
    _tell_strange(module, assembly.data)
    _stop_on_seen_images(folder, assembly.data, own)
    agree(module, assembly.data, learns=False)  # before an opening is counted that does not happen
    if not len(assembly.data.rows_of(options.split)):
        told = "give another --split, or the images with --data.source"
        raise DataError(f"test: there are no images of {options.split}; {told}.")
    if options.split == "test":
        count_opening(assembly.data, folder)
    name = options.split if own else Path(source).resolve().stem
    place, metrics = evaluate_again(
        module, assembly.data, options.split, folder / "test" / name, assembly.config.trainer.accelerator
    )
    sys.stdout.write(table(metrics))
    sys.stdout.write(f"{place}\n")
    return 0


def _as_another_site(rest: Sequence[str]) -> list[str]:
    """Return options for images that are not the run's: what the run said of its own place does not hold.

    All of them are test, where they give no split.
    """
    from rn50med.cli.words import option_values  # noqa: PLC0415

    own = {
        "data.root": "null", "data.join": "null", "data.where": "null", "data.split_file": "null",
        "data.splits.by": "null", "data.splits.test": "[]", "data.splits.val": "[]",
        "data.splits.test_from": "null", "data.splits.val_from": "null", "data.unsplit": "test",
    }  # fmt: skip
    given = {key for key, _ in option_values(rest)}
    return [word for key, value in own.items() if key not in given for word in (f"--{key}", value)]


def _check_preparation(module: FineTuneModule, data: ManifestDataModule) -> None:
    """Stop where images would be read or prepared in another way than the run's."""
    from rn50med.data.transforms import Transforms  # noqa: PLC0415
    from rn50med.parts import build  # noqa: PLC0415

    if module.preprocessing is not None:
        learnt = build(module.preprocessing, Transforms)  # type: ignore[type-abstract]
        ours, theirs = learnt.preparation, data.transforms.preparation
        if other := [f"{k} {theirs.get(k)!r}, not {v!r}" for k, v in ours.items() if v != theirs.get(k)]:
            raise DataError(
                f"data.transforms: {listed(other)} as in training; leave these options as the run had them."
            )
    if module.pixel_contract is not None:
        module.pixel_contract.check_reader(data.reader)


def _tell_strange(module: FineTuneModule, data: ManifestDataModule) -> None:
    """Tell of kinds of images that the run did not learn from."""
    from rn50med.data.contract import kind_of  # noqa: PLC0415

    kinds = [kind_of(seen.facts) for seen in data.inspection().seen if seen is not None]
    contract = module.pixel_contract
    if contract is not None and (strange := contract.strange(kinds)) is not None:
        log.warning("warning (strange-images): %s", strange)


def _refuse_idle(rest: Sequence[str]) -> None:
    """Refuse options that would change nothing here."""
    from rn50med.cli.words import option_values  # noqa: PLC0415

    used = {"data", "task", "recipe", "config", "trust", "trainer.accelerator"}
    idle = [key for key, _ in option_values(rest) if not {key, key.split(".")[0]} & used]
    if idle:
        raise RecipeError(f"test: --{idle[0]} has no effect here; give options of data and task alone.")


def _same_place(one: str, other: str) -> bool:
    return one == other or (one != "phantom" and Path(one).resolve() == Path(other).resolve())


def _stop_on_seen_images(folder: Path, data: ManifestDataModule, own: bool) -> None:
    """Stop where images are not those of the run, or another site's hold some that the run learnt from."""
    table = data.manifest.table
    if own:
        kept = json.loads((folder / "audit.json").read_text(encoding="utf-8"))["manifest_sha256"]
        if data.prepared.audit["manifest_sha256"] != kept:
            raise DataError(
                f"{folder}: its images or their splits are no longer those of the run; restore them, "
                "or give other images with --data.source."
            )
        return
    from rn50med.data.sources import read_table  # noqa: PLC0415 - pandas takes a second

    manifest = read_table(folder / "manifest.csv")
    learnt = manifest[manifest["split"] != "test"]
    same = table["sha256"].isin(set(learnt["sha256"])) | table["pixels_sha256"].isin(
        set(learnt["pixels_sha256"])
    )
    if same.any() and not data.allow_leakage:
        raise DataError(
            f"{data.manifest.name}: {int(same.sum())} of its images are identical to images that the run was "
            "trained or tuned on; leave them out, or the score is of images seen in training."
        )
    known = len(set(table["patient"]) & set(learnt["patient"]))
    if known:
        log.warning(
            "warning (same-patients): %d of its %d patients have the number of a patient that the run was "
            "trained or tuned on; leave them out, unless two sites number theirs alike.",
            known,
            table["patient"].nunique(),
        )
