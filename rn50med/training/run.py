"""A run: train, restore the best epoch, evaluate it in 32 bits, and write the run folder."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import WandbLogger
from torch import distributed

from rn50med.data.datamodule import ManifestDataModule
from rn50med.errors import StorageError
from rn50med.evaluation.figure import Figure
from rn50med.evaluation.report import write_report
from rn50med.training.callbacks import Best, EpochLog, Last, Speed
from rn50med.training.folder import (
    PRIVATE,
    environment,
    finite,
    plain_figures,
    prediction_frame,
    write_json,
    write_manifest,
    write_predictions,
    write_recipe,
)
from rn50med.training.module import CHECKPOINT_KEY, FineTuneModule, read_checkpoint
from rn50med.training.tracking import finish

log = logging.getLogger(__name__)

EVALUATED = ("val", "test")


@dataclass(frozen=True)
class Evaluation:
    """How a run is judged.

    Args:
        test: When the test set is opened: once, at the `end`, or `never`.
        precision: Arithmetic of the figures that stay: 32 bits, or `training`, as fast as training.
    """

    test: Literal["end", "never"] = "end"
    precision: Literal["32-true", "training"] = "32-true"


@dataclass(frozen=True)
class Plan:
    """What a run needs to know besides its parts.

    Args:
        folder: The run folder.
        recipe: Resolved, in plain types.
        evaluation: How it is judged.
        seed: Seed of everything random.
        precision: Of the training.
    """

    folder: Path
    recipe: Mapping[str, Any]
    evaluation: Evaluation
    seed: int | None
    precision: str


@dataclass(frozen=True)
class Run:
    """A finished run.

    Args:
        folder: Its folder.
        metrics: What ``metrics.json`` holds: split, metric, then value, low, high, n.
        module: The best epoch, ready to predict.
    """

    folder: Path
    metrics: dict[str, Any]
    module: FineTuneModule


class Recorder(Callback):
    """Writes what is known before the first epoch, once the starting weights are read.

    Args:
        plan: Of the run.
        data: Prepared.
    """

    def __init__(self, plan: Plan, data: ManifestDataModule) -> None:
        self.plan = plan
        self.data = data

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write recipe, manifest and audit."""
        if not trainer.is_global_zero or not isinstance(pl_module, FineTuneModule):
            return
        report = pl_module.load_report
        recipe = deepcopy(dict(self.plan.recipe))
        if report is not None and report.used in {"none", "imagenet"}:
            backbone = pl_module.backbone.specification()
            recipe["model"]["backbone"] = backbone
            backbone["init_args"]["weights"] = report.used
        if pl_module.lr_factor != 1.0:
            log.info("learning rate: times %g, because the weights are pretrained", pl_module.lr_factor)
        if trainer.world_size > 1 and pl_module.device.type == "cpu":
            log.info(
                "batch norm: each of the %d processes keeps its own statistics on a CPU", trainer.world_size
            )
        write_recipe(self.plan.folder, recipe)
        write_manifest(self.plan.folder, self.data)
        write_json(self.plan.folder / "audit.json", self.data.prepared.audit)


def execute(module: FineTuneModule, data: ManifestDataModule, trainer: Trainer, plan: Plan) -> Run | None:
    """Train, evaluate and report.

    Args:
        module: To train.
        data: Its batches.
        trainer: With the callbacks of `FineTuneModule.default_callbacks` and a `Recorder`.
        plan: Of the run.

    Returns:
        The run, in the first process; None in the others.

    Raises:
        Rn50MedError: As its kind says.
    """
    trainer.fit(module, datamodule=data)
    if trainer.world_size > 1:
        last = trainer.is_global_zero
        if distributed.is_initialized():
            distributed.barrier()
            distributed.destroy_process_group()  # what follows runs in the first process alone
        if not last:
            return None
    path = _best_path(trainer)
    best = FineTuneModule.load_from_checkpoint(path)
    judge = _judge(trainer, plan)
    metrics = judged(best, data, judge, plan.folder, plan.evaluation)
    _freeze(path, best)
    write_json(plan.folder / "environment.json", _environment(module, trainer, judge, plan))
    write_json(plan.folder / "metrics.json", metrics)
    for checkpoint in (plan.folder / "checkpoints").glob("*.ckpt"):
        checkpoint.chmod(PRIVATE)
    write_report(plan.folder)
    _finish_tracking(trainer, metrics, plan.folder)
    return Run(plan.folder, metrics, best)


def _best_path(trainer: Trainer) -> Path:
    best = next(callback for callback in trainer.checkpoint_callbacks if isinstance(callback, Best))
    if best.best_model_path:
        return Path(best.best_model_path)
    last = next(callback for callback in trainer.checkpoint_callbacks if isinstance(callback, Last))
    if not last.best_model_path:
        raise StorageError(
            "fit: no epoch was finished, so that there is no checkpoint; train one epoch or more."
        )
    log.warning("best epoch: %s was never defined, so that the last epoch is kept", best.monitor)
    return Path(last.best_model_path)


def _judge(trainer: Trainer, plan: Plan) -> Trainer:
    """Return a trainer of one device for the tables that stay."""
    precision: Any = "32-true" if plan.evaluation.precision == "32-true" else plan.precision
    kind = trainer.strategy.root_device.type
    return evaluation_trainer("cpu" if kind == "cpu" else "auto", precision)


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
    judge.validate(module, datamodule=data, verbose=False)
    if evaluation.test == "end":
        judge.test(module, datamodule=data, verbose=False)
    point = module.operating_point
    metrics: dict[str, Any] = {"operating_point": None if point is None else point.as_dict()}
    for split in EVALUATED:
        if split in module.predictions:
            metrics[split] = plain_figures(split_figures(module, data, split))
            frame = prediction_frame(module.task, module.predictions[split], data, point)
            write_predictions(folder / "predictions" / f"{split}.csv", frame)
    return metrics


def evaluate_again(
    module: FineTuneModule, data: ManifestDataModule, split: str, folder: Path
) -> tuple[Path, dict[str, Any]]:
    """Evaluate a finished run on a split, with the operating point that it has.

    Args:
        module: The best epoch.
        data: Its own images, or another site's.
        split: val or test.
        folder: Where figures and predictions go; a number is added where it is taken.

    Returns:
        The folder, and what its ``metrics.json`` holds.
    """
    point = module.operating_point
    judge = evaluation_trainer()
    evaluate = judge.test if split == "test" else judge.validate
    evaluate(module, datamodule=data, verbose=False)
    module.operating_point = point
    metrics: dict[str, Any] = {
        "operating_point": None if point is None else point.as_dict(),
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


def _freeze(path: Path, module: FineTuneModule) -> None:
    """Put the operating point of the 32-bit table into the checkpoint, in place of the epoch's own."""
    checkpoint = read_checkpoint(path)
    point = module.operating_point
    checkpoint[CHECKPOINT_KEY]["operating_point"] = None if point is None else point.as_dict()
    partial = path.with_name(f".{path.name}.tmp")
    torch.save(checkpoint, partial)
    partial.replace(path)


def _environment(module: FineTuneModule, trainer: Trainer, judge: Trainer, plan: Plan) -> dict[str, Any]:
    speed = next((c.images_per_second for c in _callbacks(trainer) if isinstance(c, Speed)), None)
    report = module.load_report
    task = module.task
    return environment(
        {
            "accelerator": trainer.strategy.root_device.type,
            "devices": trainer.world_size,
            "precision": {"training": str(plan.precision), "tables": str(judge.precision)},
            "weights": None if report is None else _brief(asdict(report)),
            "seed": plan.seed,
            "task": {
                "kind": type(task).__name__,
                "classes": list(task.classes),
                "positive": task.positive_class,
            },
            "training": _training(module, trainer),
            "images_per_second": finite(speed),
        }
    )


def _brief(report: dict[str, Any]) -> dict[str, Any]:
    return {name: report[name] for name in ("requested", "used", "statement", "sha256")}


def _training(module: FineTuneModule, trainer: Trainer) -> dict[str, Any]:
    monitor = f"val/{module.task.monitor}"
    rows = next((c.rows for c in _callbacks(trainer) if isinstance(c, EpochLog)), [])
    defined = [row for row in rows if not math.isnan(row.get(monitor, math.nan))]
    best = max(reversed(defined), key=lambda row: row[monitor], default=rows[-1] if rows else {"epoch": 0})
    return {
        "epochs_planned": trainer.max_epochs,
        "epochs_run": len(rows),
        "best_epoch": int(best["epoch"]),
        "monitor": monitor,
        "stopped_early": len(rows) < (trainer.max_epochs or 0),
    }


def _callbacks(trainer: Trainer) -> list[Callback]:
    return list(trainer.callbacks)  # type: ignore[attr-defined]


def _finish_tracking(trainer: Trainer, metrics: Mapping[str, Any], folder: Path) -> None:
    """Send the final figures to whoever tracks the run."""
    figures = {
        f"final/{split}/{name}" + ("" if part == "value" else f"/{part}"): figure[part]
        for split in EVALUATED
        for name, figure in metrics.get(split, {}).items()
        for part in ("value", "low", "high", "n")
    }
    for logger in trainer.loggers:
        if isinstance(logger, WandbLogger):
            finish(logger, figures, folder)
