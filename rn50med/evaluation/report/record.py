"""How a run was set up, as its folder says: recipe, study, checks beside the figures."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rn50med.errors import RecipeError, StorageError
from rn50med.evaluation.report.facts import read_json
from rn50med.evaluation.study import Study
from rn50med.recipe import load_recipe

_OWN = re.compile(r"(test|val)(-\d+)?")  # folders in which `test` evaluates the run's own images again


@dataclass(frozen=True, eq=False)
class Record:
    """How a run was set up.

    Args:
        recipe: Resolved, in plain values; it holds paths, which no page may show.
        study: What its authors say.
        checks: Robustness, baselines and shortcuts; empty where they were not looked at.
        elsewhere: How often the run was evaluated on images other than its own.
    """

    recipe: Mapping[str, Any] = field(default_factory=dict)
    study: Study = field(default_factory=Study)
    checks: Mapping[str, Any] = field(default_factory=dict)
    elsewhere: int = 0

    def part(self, *keys: str) -> Any:
        """Return what stands at a key of the recipe, None where nothing does.

        Args:
            keys: Parts of the dotted key.

        Example:
            >>> Record({"data": {"batch_size": 16}}).part("data", "batch_size")
            16
        """
        found: Any = self.recipe
        for key in keys:
            found = found.get(key) if isinstance(found, Mapping) else None
        return found

    @property
    def held_out(self) -> str:
        """Which fold of a cross-validation the run held out, a sentence; nothing for a run of its own."""
        folds, fold = self.part("data", "splits", "crossval"), self.part("data", "splits", "held_out")
        if not isinstance(folds, int) or not isinstance(fold, int):
            return ""
        return (
            f"This run is fold {fold} of {folds} of a cross-validation, counted from 0: what it calls test "
            "is the fold that was held out. The test images of the study stayed closed."
        )

    def named(self, *keys: str) -> str:
        """Return a class of the recipe with the numbers it was given, without any text: that may be a path.

        Args:
            keys: Parts of the dotted key.

        Example:
            >>> head = {"class_path": "rn50med.LinearHead", "init_args": {"dropout": 0.2, "file": "/x"}}
            >>> Record({"model": {"head": head}}).named("model", "head")
            'LinearHead (dropout 0.2)'
        """
        path = self.part(*keys, "class_path")
        if not isinstance(path, str):
            return ""
        numbers = self.numbers(*keys)
        told = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in numbers.items())
        return path.rpartition(".")[2] + (f" ({told})" if told else "")

    def numbers(self, *keys: str) -> dict[str, float]:
        """Return the numbers that a class of the recipe was given, by their names.

        Args:
            keys: Parts of the class's dotted key.
        """
        options = self.part(*keys, "init_args")
        told = options.items() if isinstance(options, Mapping) else ()
        return {
            str(name): float(value)
            for name, value in told
            if isinstance(value, int | float) and not isinstance(value, bool)
        }


def read_record(folder: Path) -> Record:
    """Read how a run was set up; a file that is not there is left out.

    Args:
        folder: The run folder.

    Raises:
        StorageError: If a file in it cannot be read.
    """
    recipe = _recipe(folder / "recipe.yaml")
    return Record(
        recipe=recipe,
        study=Study.from_recipe(recipe),
        checks=read_json(folder / "checks.json"),
        elsewhere=sum(not _OWN.fullmatch(path.parent.name) for path in folder.glob("test/*/metrics.json")),
    )


def _recipe(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        return load_recipe(str(path))
    except RecipeError as error:
        raise StorageError(f"{path.name}: cannot be read; restore it or run again.") from error
