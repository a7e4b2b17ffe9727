"""The files of a made-up cross-validation, for tests of what is drawn and computed from its folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
from made_up_run import BINARY, CANARY, made_up_labels, made_up_run

from rn50med.evaluation.arrays import UNKNOWN
from rn50med.evaluation.cases import Unit
from rn50med.evaluation.figures import binary_figures, multilabel_figures
from rn50med.evaluation.figures_multiclass import multiclass_figures
from rn50med.evaluation.prediction_file import from_rows
from rn50med.strict_yaml import dump_yaml

PATIENTS, EACH = 12, 4
"""Patients of a fold, and images of each."""


def _logits(fold: int, seed: int, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return the label of each patient's images, and logits that know a little of it."""
    numbers = np.repeat(np.arange(PATIENTS), EACH)
    if len(shape) == 2:
        cells = numbers[:, None] + 2 * np.arange(shape[1]) + fold
        target = np.where(cells % 7 == 0, UNKNOWN, (cells % 3 == 0).astype(int))
        there = target == 1
    else:
        target = (numbers + fold) % shape[0]
        there = np.eye(shape[0])[target]
    random = np.random.default_rng([fold, seed])
    return target, np.round(random.normal(size=there.shape) * 1.5 + 1.5 * there, 6)


def _table(fold: int, seed: int, classes: tuple[str, ...], labels: bool, unit: Unit) -> pd.DataFrame:
    """Return what was said of a fold's images, called at one half, or the most probable class."""
    shape = (0, len(classes)) if labels else (len(classes),)
    target, logits = _logits(fold, seed, shape)
    number = len(target)
    patients = [f"{CANARY}-{fold}-{row // EACH}" for row in range(number)]
    columns = {"image": [f"/data/{CANARY}/{fold}/{row}.png" for row in range(number)], "patient": patients}
    columns["study"] = [f"study {row // 2}" for row in range(number)]
    names = classes if labels or len(classes) > 2 else classes[1:]
    if labels or len(classes) == 2:
        logits = logits[:, -len(names) :]
        said = 1 / (1 + np.exp(-logits))
    else:
        said = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    if labels:
        truth = np.where(target == UNKNOWN, "", target.astype(str))
        columns |= {f"target_{name}": truth[:, k] for k, name in enumerate(classes)}
    else:
        columns["target"] = np.array(classes)[target]
    columns |= {f"prob_{name}": said[:, k] for k, name in enumerate(names)}
    columns |= {f"logit_{name}": logits[:, k] for k, name in enumerate(names)}
    table = pd.DataFrame(columns)
    together = table.groupby({"image": "image", "study": ["patient", "study"], "patient": "patient"}[unit.of])
    mean = together[[f"prob_{name}" for name in names]].transform("mean").to_numpy()
    if labels:
        return table.assign(**{f"call_{n}": (mean[:, k] >= 0.5).astype(int) for k, n in enumerate(names)})
    called = (mean[:, 0] >= 0.5).astype(int) if len(names) == 1 else mean.argmax(axis=1)
    return table.assign(call=np.array(classes)[called])


def _figures(table: pd.DataFrame, task: dict, unit: Unit) -> dict:
    run = from_rows(table.astype(str), task, "made up").by_case(unit)
    names, rest = run.names, (run.target, run.patients)
    if run.several:
        found = multilabel_figures(run.probabilities, *rest, [0.5] * len(names), names)
    elif run.positive is not None:
        found = binary_figures(run.probabilities[:, 1], *rest, 0.5, names)
    else:
        found = multiclass_figures(run.probabilities, *rest, names)
    return {key: figure.as_json() for key, figure in found.items()}


def made_up_folds(
    folder: Path,
    classes: tuple[str, ...] = BINARY,
    labels: bool = False,
    unit: Unit | None = None,
    seed: int = 0,
    head: str = "a",
    folds: int = 3,
) -> Path:
    """Write the folder of a cross-validation whose folds are finished, up to where they are put together."""
    tables = [_table(fold, seed, classes, labels, unit or Unit()).round(9) for fold in range(folds)]
    images = pd.concat([table[["image", "patient"]] for table in tables])
    for fold in range(folds):
        place = folder / f"fold-{fold}"
        (made_up_labels if labels else made_up_run)(place, classes)
        environment = json.loads((place / "environment.json").read_text()) | {"seed": seed}
        (place / "environment.json").write_text(json.dumps(environment))
        metrics = {"operating_point": None}
        if unit is not None:
            metrics["protocol"] = {"unit": unit.of, "images": unit.images, "rule": "youden"}
        for split, number in (("val", (fold + 1) % folds), ("test", fold)):
            tables[number].to_csv(place / "predictions" / f"{split}.csv", index=False)
            metrics[split] = _figures(tables[number], environment["task"], unit or Unit())
        (place / "metrics.json").write_text(json.dumps(metrics))
        splits = ["test" if f"/{fold}/" in name else "train" for name in images["image"]]
        manifest = images.assign(sha256=images["image"].map(lambda name: name[-20:]), split=splits)
        manifest.to_csv(place / "manifest.csv", index=False)
        write_recipe(place, seed, head, folds, fold)
    write_recipe(folder, seed, head, folds, 0)
    return folder


def write_recipe(place: Path, seed: int, head: str, folds: int, held_out: int) -> None:
    """Write a recipe that is as long as it has to be."""
    recipe = {
        "seed_everything": seed,
        "data": {"source": f"/data/{CANARY}/labels.csv", "splits": {"crossval": folds, "held_out": held_out}},
        "model": {"head": head},
    }
    (place / "recipe.yaml").write_text(dump_yaml(recipe))
