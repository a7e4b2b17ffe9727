"""Judging a trained module: figures and tables of val and test, in 32 bits, on one device."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from lightning.pytorch import Trainer

from rn50med.data.datamodule import ManifestDataModule
from rn50med.errors import RecipeError, unknown
from rn50med.evaluation.arrays import stored
from rn50med.evaluation.cases import Combination
from rn50med.evaluation.operating_point import OperatingPoint, OperatingPoints, Thresholds, as_plain
from rn50med.evaluation.operating_rule import YOUDEN, Rule, RuleName
from rn50med.evaluation.protocol import Asked, Protocol
from rn50med.evaluation.schema import check_metrics
from rn50med.tasks import Task
from rn50med.training.folder import plain_figures, write_json, write_predictions
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
        unit: What a case is, of which figures, intervals and the operating point are: `image`, `study` or
            `patient`; `auto` is the patient where all images of each patient have the same label, else the
            image.
        images: How the probabilities of a case's images are put together: `mean`, or `max`, where one image
            with the finding is enough.
        temperature: Whether logits are divided by the temperature that makes val's log-loss least (`val`)
            or left as they are (`none`).
        prevalence: Of classes or labels where the model is to be used, as in ``{pneumonia: 0.1}``, above 0
            and below 1: predictive values are given for it as well as for val and test as they are.
        subgroups: Columns of the manifest whose groups the report shows; sex, age, site, scanner and view
            where it is not given.
        checks: Whether robustness, baselines and shortcuts are looked at after the evaluation.

    Raises:
        RecipeError: If the rule cannot be followed, or has no use for a number that is given; or if a
            prevalence is no share.
    """

    test: Literal["end", "never"] = "end"
    precision: Literal["32-true", "training"] = "32-true"
    rule: RuleName = "youden"
    at_least: float = 0.95
    by_lower_limit: bool = False
    false_negative_cost: float = 1.0
    unit: Asked = "auto"
    images: Combination = "mean"
    temperature: Literal["val", "none"] = "val"
    prevalence: dict[str, float] | None = None
    subgroups: list[str] | None = None
    checks: bool = True

    def __post_init__(self) -> None:
        _ = self.protocol  # refuses what it cannot follow, before anything is read
        for name, share in (self.prevalence or {}).items():
            if not 0.0 < share < 1.0:
                raise RecipeError(
                    f"evaluation.prevalence: of {name} is {share}; give a share above 0 and below 1."
                )

    @property
    def protocol(self) -> Protocol:
        """How the run is judged."""
        return Protocol(
            rule=Rule(self.rule, self.at_least, self.by_lower_limit, self.false_negative_cost),
            unit=self.unit,
            images=self.images,
            temperature=self.temperature == "val",
            prevalence=dict(self.prevalence or {}),
            subgroups=None if self.subgroups is None else tuple(self.subgroups),
        )

    def check(self, task: Task, columns: Sequence[str]) -> None:
        """Refuse names that task or manifest do not know.

        Args:
            task: Of the run.
            columns: Of its manifest.

        Raises:
            RecipeError: With every prevalence of no class or label, and every subgroup of no column.
        """
        known, faults = task.prevalence_names, []
        for name in self.prevalence or {}:
            if name not in known:
                remedy = (
                    f"Give one of {', '.join(known)}." if known else "Leave it out: this task takes none."
                )
                faults.append(f"evaluation.prevalence: {unknown('class', name, known, remedy)}")
        for name in self.subgroups or []:
            if name not in columns:
                remedy = f"The manifest has {', '.join(columns)}."
                faults.append(f"evaluation.subgroups: {unknown('column', name, columns, remedy)}")
        if task.continuous and self.images == "max":
            faults.append("evaluation.images: is max, which is for probabilities; give mean.")
        if faults:
            raise RecipeError("\n  ".join(faults))


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
    module.chooses = True
    with exact(judge.precision == "32-true"):
        judge.validate(module, datamodule=data, verbose=False)
        module.chooses = False  # from now on: test and other sites are judged by it
        _tell_point(module.operating_point, module.protocol.rule)
        if evaluation.test == "end":
            judge.test(module, datamodule=data, verbose=False)
    splits = [split for split in EVALUATED if split in module.predictions]
    for split in splits:
        frame = prediction_frame(module, data, split)
        write_predictions(folder / "predictions" / f"{split}.csv", frame)
    metrics, rows = split_metrics(module, splits), data.manifest.rows()
    learnt = module.task.targets([rows[row] for row in data.rows_of("train")])
    for split in splits:
        metrics[split] |= plain_figures(module.task.baselines(learnt, module.cases[split]))
    return metrics


def prediction_frame(module: FineTuneModule, data: ManifestDataModule, split: str) -> pd.DataFrame:
    """Return a prediction file's rows: image, patient, targets, probabilities, logits, calls.

    Args:
        module: Holds the predictions of the split.
        data: Knows images and patients.
        split: val or test.
    """
    found, task = module.predictions[split], module.task
    known = data.manifest.table.iloc[found.index]
    names = ["image", "patient", *(["study"] if module.unit.of == "study" else [])]
    columns: dict[str, Any] = {name: known[name].to_numpy() for name in names}
    columns |= task.target_columns(found.target)
    columns |= task.output_columns(
        found.logits, module.operating_point, module.temperature, module.memberships.get(split)
    )
    return pd.DataFrame(columns)


def split_metrics(module: FineTuneModule, splits: Sequence[str]) -> dict[str, Any]:
    """Return what ``metrics.json`` holds.

    Args:
        module: Holds the cases of the splits.
        splits: Those that were evaluated.
    """
    temperature, task = module.temperature, module.task
    metrics: dict[str, Any] = {
        "protocol": module.protocol.published(module.unit),
        "temperature": None if temperature is None else temperature.as_plain(),
        "operating_point": as_plain(module.operating_point),
    }
    if temperature is not None:
        before = {
            split: task.calibration(task.cases(found, module.memberships.get(split)))
            for split, found in module.predictions.items()
        }
        metrics["uncalibrated"] = {split: _plain_numbers(before[split]) for split in splits}
    for split in splits:
        figures = task.figures(module.cases[split], module.operating_point, module.protocol.prevalence)
        metrics[split] = plain_figures(figures)
    return metrics


def _plain_numbers(figures: Mapping[str, float]) -> dict[str, float | None]:
    return {
        name: float(stored(np.array(value))) if math.isfinite(value) else None
        for name, value in figures.items()
    }


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
    module.chooses = False
    judge = evaluation_trainer(accelerator)
    evaluate = judge.test if split == "test" else judge.validate
    with exact():
        evaluate(module, datamodule=data, verbose=False)
    metrics = split_metrics(module, [split])
    place, number = folder, 2
    while place.exists():
        place, number = folder.with_name(f"{folder.name}-{number}"), number + 1
    write_predictions(place / "predictions" / f"{split}.csv", prediction_frame(module, data, split))
    check_metrics(metrics)
    write_json(place / "metrics.json", metrics)
    return place, metrics
