"""Facts on a run for its report: machine, precision, weights, epochs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from lightning.pytorch import Callback, Trainer

from rn50med.training.callbacks import EpochLog, Speed, best_row
from rn50med.training.folder import environment, finite
from rn50med.training.module import FineTuneModule


def run_facts(
    module: FineTuneModule, trainer: Trainer, tables: str, training: str, seed: int | None
) -> dict[str, Any]:
    """Return what ``environment.json`` holds.

    Args:
        module: As trained.
        trainer: That trained it.
        tables: Precision of the tables that stay.
        training: Precision of the training.
        seed: Of the run.
    """
    speed = next((c.images_per_second for c in _callbacks(trainer) if isinstance(c, Speed)), None)
    report = module.load_report
    return environment(
        {
            "accelerator": trainer.strategy.root_device.type,
            "devices": trainer.world_size,
            "precision": {"training": training, "tables": tables},
            "weights": None if report is None else asdict(report),
            "seed": seed,
            "task": module.task.told(),
            "training": _training(module, trainer),
            "images_per_second": finite(speed),
        }
    )


def _training(module: FineTuneModule, trainer: Trainer) -> dict[str, Any]:
    monitor = f"val/{module.task.monitor}"
    rows = next((c.rows for c in _callbacks(trainer) if isinstance(c, EpochLog)), [])
    best = best_row(rows, monitor, module.task.monitor_mode) or (rows[-1] if rows else {"epoch": 0})
    found = module.found_rate
    planned = trainer.max_epochs or -1
    return {
        "epochs_planned": planned if planned > 0 else None,  # where steps are counted
        "epochs_run": len(rows),
        "best_epoch": int(best["epoch"]),
        "monitor": monitor,
        "stopped_early": len(rows) < planned,
        **({} if found is None else {"learning_rate": asdict(found)}),
    }


def _callbacks(trainer: Trainer) -> list[Callback]:
    return list(trainer.callbacks)  # type: ignore[attr-defined]
