"""A run: train, restore the best epoch, evaluate it in 32 bits, and write the run folder."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import WandbLogger
from torch import distributed

from rn50med.data.datamodule import ManifestDataModule
from rn50med.errors import RecipeError
from rn50med.evaluation.report import write_report
from rn50med.evaluation.schema import check_metrics
from rn50med.evaluation.verdict import as_plain, in_words
from rn50med.training.checkpoints import Best, Last, read_checkpoint
from rn50med.training.checks import checks
from rn50med.training.facts import run_facts
from rn50med.training.folder import (
    PRIVATE,
    mark_latest,
    write_json,
    write_manifest,
    write_recipe,
    write_split_file,
)
from rn50med.training.found_rate import with_rate
from rn50med.training.judging import EVALUATED, Evaluation, evaluation_trainer, judged
from rn50med.training.ledger import count_opening
from rn50med.training.module import FineTuneModule
from rn50med.training.overfitting import account
from rn50med.training.tracking import finish, tell_recipe

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """What a run needs to know besides its parts.

    Args:
        folder: The run folder.
        recipe: Resolved, in plain types.
        evaluation: How it is judged.
        seed: Seed of everything random.
        precision: Of the training.
        chosen: Whether the user chose the folder.
    """

    folder: Path
    recipe: Mapping[str, Any]
    evaluation: Evaluation
    seed: int | None
    precision: str
    chosen: bool


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
        if report is not None and report.requested == "auto":  # what it became; names stay as they were given
            backbone = pl_module.backbone.specification()
            recipe["model"]["backbone"] = backbone
            if "weights" in backbone["init_args"]:  # a backbone of one's own may know its own
                backbone["init_args"]["weights"] = report.used
        if pl_module.found_rate is not None:
            recipe = with_rate(recipe, pl_module.found_rate)
            tell_recipe(trainer.loggers, recipe)
        if pl_module.lr_factor != 1.0:
            log.info("learning rate: times %g, because the weights are pretrained", pl_module.lr_factor)
        if trainer.world_size > 1 and pl_module.device.type == "cpu":
            log.info(
                "batch norm: each of the %d processes keeps its own statistics on a CPU", trainer.world_size
            )
        if not self.plan.chosen:
            mark_latest(self.plan.folder)
        write_recipe(self.plan.folder, recipe)
        write_manifest(self.plan.folder, self.data)
        write_split_file(self.plan.folder, self.data)
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
    plan.evaluation.check(module.task, [str(name) for name in data.manifest.table])
    if plan.evaluation.test == "end" and not len(data.rows_of("test")):
        raise RecipeError(
            "evaluation.test: is end, but there are no images of test; add some, or give "
            "--evaluation.test never."
        )
    module.protocol = plan.evaluation.protocol
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
    openings = count_opening(data, plan.folder) if plan.evaluation.test == "end" else None
    metrics = judged(best, data, judge, plan.folder, plan.evaluation)
    _freeze(path, best)
    facts = run_facts(module, trainer, str(judge.precision), plan.precision, plan.seed)
    facts["training"] |= _verdict(best, data, trainer, judge)
    write_json(plan.folder / "environment.json", facts | {"test_openings": openings})
    check_metrics(metrics)
    write_json(plan.folder / "metrics.json", metrics)
    if plan.evaluation.checks and module.task.continuous:
        log.info("checks: none of a number; robustness, baselines and shortcuts are of classes")
    elif plan.evaluation.checks:
        split = next(split for split in reversed(EVALUATED) if split in metrics)
        write_json(plan.folder / "checks.json", checks(best, data, judge, split))
    for checkpoint in (plan.folder / "checkpoints").glob("*.ckpt"):
        checkpoint.chmod(PRIVATE)
    write_report(plan.folder)
    _finish_tracking(trainer, metrics, plan.folder)
    return Run(plan.folder, metrics, best)


def _verdict(
    best: FineTuneModule, data: ManifestDataModule, trainer: Trainer, judge: Trainer
) -> dict[str, Any]:
    """Return the verdict on overfitting, and tell it."""
    verdict = as_plain(account(best, data, trainer, judge))
    for name, text in in_words(verdict):
        log.info("%s: %s", name.lower(), text)
    return {"verdict": verdict}


def _best_path(trainer: Trainer) -> Path:
    best = next(callback for callback in trainer.checkpoint_callbacks if isinstance(callback, Best))
    if best.best_model_path:
        return Path(best.best_model_path)
    last = next(callback for callback in trainer.checkpoint_callbacks if isinstance(callback, Last))
    if not last.best_model_path:
        raise RecipeError(
            "fit: no epoch was finished; give --trainer.max_epochs 1 or more, without fast_dev_run."
        )
    log.warning("best epoch: %s was never defined, so that the last epoch is kept", best.monitor)
    return Path(last.best_model_path)


def _judge(trainer: Trainer, plan: Plan) -> Trainer:
    """Return a trainer of one device for the tables that stay."""
    precision: Any = "32-true" if plan.evaluation.precision == "32-true" else plan.precision
    kind = trainer.strategy.root_device.type
    return evaluation_trainer("cpu" if kind == "cpu" else "auto", precision)


def _freeze(path: Path, module: FineTuneModule) -> None:
    """Put temperature and operating point of the 32-bit table into the checkpoint."""
    checkpoint = read_checkpoint(path)
    module.on_save_checkpoint(checkpoint)
    partial = path.with_name(f".{path.name}.tmp")
    torch.save(checkpoint, partial)
    partial.replace(path)


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
