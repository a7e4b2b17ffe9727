"""Judging a trained module: figures and tables of val and test, in 32 bits, on one device."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch import Trainer

from rn50med.data.datamodule import ManifestDataModule
from rn50med.evaluation.figure import Figure
from rn50med.evaluation.operating_point import OperatingPoint, OperatingPoints, Thresholds, as_plain
from rn50med.evaluation.operating_rule import YOUDEN, Rule, RuleName
from rn50med.training.folder import plain_figures, prediction_frame, write_json, write_predictions
from rn50med.training.module import FineTuneModule
from rn50med.training.precision import exact

log = logging.getLogger(__name__)

EVALUATED = ("val", "test")


@dataclass(frozen=True)
class Evaluation:
    """How a run is judged.

    Args:
        test: When the test set is opened: once, at the `end`, or `never`.
        precision: Arithmetic of the figures that stay: 32 bits, or `training`, as fast as training.
        rule: How the operating point is chosen on val: `youden`, a default and seldom a clinical choice;
            `sensitivity` or `specificity`, which has to be `at_least` so high, the other as high as it can
            be; `cost`, the cheapest at val's prevalence.
        at_least: Sensitivity or specificity to reach, above 0, at most 1.
        by_lower_limit: Whether its lower 95 % limit, by patient, has to reach it.
        false_negative_cost: For `cost`: cost of a missed positive, in units of a false alarm, above 0.

    Raises:
        RecipeError: If the rule cannot be followed, or has no use for a number that is given.
    """

    test: Literal["end", "never"] = "end"
    precision: Literal["32-true", "training"] = "32-true"
    rule: RuleName = "youden"
    at_least: float = 0.95
    by_lower_limit: bool = False
    false_negative_cost: float = 1.0

    def __post_init__(self) -> None:
        _ = self.operating_rule  # refuses what it cannot follow, before anything is read

    @property
    def operating_rule(self) -> Rule:
        """How the operating point is chosen."""
        return Rule(self.rule, self.at_least, self.by_lower_limit, self.false_negative_cost)


def evaluation_trainer(accelerator: str = "auto", precision: Any = "32-true") -> Trainer:
    """Return a trainer that only evaluates, on one device, and writes nothing.

    Args:
        accelerator: As the Trainer takes it.
        precision: Likewise.
    """
    return Trainer(
        accelerator=accelerator,
        devices=1,
        precision=precision,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def judged(
    module: FineTuneModule, data: ManifestDataModule, judge: Trainer, folder: Path, evaluation: Evaluation
) -> dict[str, Any]:
    """Evaluate the best epoch: choose the operating point on val, then open test, and write both tables.

    Args:
        module: The best epoch.
        data: Its images.
        judge: Evaluates.
        folder: The run folder.
        evaluation: Whether test is opened.
    """
    with exact(judge.precision == "32-true"):
        judge.validate(module, datamodule=data, verbose=False)
        _tell_point(module.operating_point, module.rule)
        if evaluation.test == "end":
            judge.test(module, datamodule=data, verbose=False)
    point = module.operating_point
    metrics: dict[str, Any] = {"operating_point": as_plain(point)}
    for split in EVALUATED:
        if split in module.predictions:
            metrics[split] = plain_figures(split_figures(module, data, split))
            frame = prediction_frame(module.task, module.predictions[split], data, point)
            write_predictions(folder / "predictions" / f"{split}.csv", frame)
    return metrics


def _tell_point(point: Thresholds, rule: Rule) -> None:
    """Tell where a rule that was asked for could not be kept to."""
    if rule == YOUDEN:
        return
    points = point.by_name if isinstance(point, OperatingPoints) else {"": point}
    for name, each in points.items():
        where = f"operating point of {name}" if name else "operating point"
        if not isinstance(each, OperatingPoint):
            log.warning("warning (no-operating-point): %s: none on val by %s", where, rule.asked)
        elif each.reason:
            log.warning("warning (operating-point): %s: %s: %s", where, rule.asked, each.reason)


def evaluate_again(
    module: FineTuneModule, data: ManifestDataModule, split: str, folder: Path, accelerator: str
) -> tuple[Path, dict[str, Any]]:
    """Evaluate a finished run on a split, with the operating point that it has.

    Args:
        module: The best epoch.
        data: Its own images, or another site's.
        split: val or test.
        folder: Where figures and predictions go; a number is added where it is taken.
        accelerator: As the Trainer takes it.

    Returns:
        The folder, and what its ``metrics.json`` holds.
    """
    point = module.operating_point
    judge = evaluation_trainer(accelerator)
    evaluate = judge.test if split == "test" else judge.validate
    with exact():
        evaluate(module, datamodule=data, verbose=False)
    module.operating_point = point
    metrics: dict[str, Any] = {
        "operating_point": as_plain(point),
        split: plain_figures(split_figures(module, data, split)),
    }
    place, number = folder, 2
    while place.exists():
        place, number = folder.with_name(f"{folder.name}-{number}"), number + 1
    write_predictions(
        place / "predictions" / f"{split}.csv",
        prediction_frame(module.task, module.predictions[split], data, point),
    )
    write_json(place / "metrics.json", metrics)
    return place, metrics


def split_figures(module: FineTuneModule, data: ManifestDataModule, split: str) -> dict[str, Figure]:
    """Return the figures of a split that was evaluated.

    Args:
        module: Holds the predictions.
        data: Knows the patients.
        split: val or test.
    """
    predictions = module.predictions[split]
    patients = data.manifest.table["patient"].to_numpy(dtype=str)[predictions.index]
    return module.task.figures(predictions, patients, module.operating_point)
