"""The files of a made-up run of any task, written by the task itself, for tests of what is read from them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
from made_up_run import CANARY, _write
from owned import owned

from rn50med.evaluation.predictions import Predictions
from rn50med.tasks import Task
from rn50med.training.folder import plain_figures, write_predictions


def made_up_of(task: Task, folder: Path, logits: np.ndarray, target: np.ndarray) -> Path:
    """Write a run whose val and test have these logits and targets, six images a patient."""
    count = len(target)
    found = Predictions(np.arange(count), logits, target)
    temperature, kept = task.temperature(found), {}
    (folder / "predictions").mkdir(parents=True)
    for split in ("val", "test"):
        patients = np.array([f"{CANARY}-{split}-{i // 6}" for i in range(count)])
        images = [f"/data/{CANARY}/{split}/{i}.png" for i in range(count)]
        columns = {"image": images, "patient": patients, **task.target_columns(target)}
        columns |= task.output_columns(logits, None, temperature)
        write_predictions(folder / "predictions" / f"{split}.csv", pd.DataFrame(columns))
        kept[split] = plain_figures(task.figures(owned(task, found, patients), None))
    kept["operating_point"] = None
    kept["temperature"] = None if temperature is None else temperature.as_plain()
    rows = [task.imagine((i + 0.5) / count)[0] for i in range(count)]
    counts = {"patients": 10, "images": count, **task.counts(rows)}
    _write(folder, kept, task.classes, counts, task.told())
    place = folder / "environment.json"
    environment = json.loads(place.read_text())
    environment["training"]["monitor"] = f"val/{task.monitor}"
    place.write_text(json.dumps(environment))
    (folder / "metrics.csv").write_text(
        f"epoch,train/loss,val/loss,val/{task.monitor}\n0,0.70,0.71,0.6\n1,0.52,0.60,0.7\n"
    )
    return folder
