"""The files of a made-up run, for tests of what is drawn from a run folder."""

from __future__ import annotations

import hashlib
import json
import shutil
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

import numpy as np
import pandas as pd

from rn50med.evaluation.arrays import UNKNOWN
from rn50med.evaluation.figures import binary_figures, multiclass_figures, multilabel_figures
from rn50med.evaluation.operating_point import OperatingPoints, youden
from rn50med.evaluation.report import write_report
from rn50med.tasks import MultiLabel

CANARY = "canary-7731"
BINARY = ("normal", "pneumonia")
# Each of them has broken a page, a table or a chart somewhere.
MANY = ("none", "mild | <b>severe</b>", "$x_1$ & 'more'", "_proliferative")


_FOLDERS = TemporaryDirectory(prefix="made-up-runs-")
"""Runs that were made up once; the figures of several labels take seconds."""


def _new_folder() -> Path:
    folder = Path(mkdtemp(dir=_FOLDERS.name))
    (folder / "predictions").mkdir()
    return folder


def _copied(made: Path, folder: Path) -> Path:
    shutil.copytree(made, folder)
    return folder


def pages_of(folder: Path) -> tuple[str, str]:
    """Return report and model card of a run folder; of equal files they are drawn once."""
    state = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        state.update(f"{path.relative_to(folder)}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    if state.hexdigest() not in _PAGES:
        write_report(folder)
        _PAGES[state.hexdigest()] = tuple(
            (folder / name).read_text(encoding="utf-8") for name in ("report.html", "model_card.md")
        )
    return _PAGES[state.hexdigest()]


_PAGES: dict[str, tuple[str, str]] = {}


def _split(folder: Path, split: str, classes: tuple[str, ...], occurring: int, point: list) -> dict:
    """Write a split's predictions and return its figures."""
    random = np.random.default_rng(len(split))
    target = np.arange(60) % occurring
    patients = np.array([f"{CANARY}-{split}-{i // 6}" for i in range(60)])
    logits = random.normal(size=(60, len(classes))) + 2 * np.eye(len(classes))[target]
    said = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    if len(classes) == 2:
        if not point:
            point.append(youden(said[:, 1], target))
        figures = binary_figures(said[:, 1], target, patients, point[0].threshold, classes)
        called, shown = (said[:, 1] >= point[0].threshold).astype(int), [1]
    else:
        figures = multiclass_figures(said, target, patients, classes)
        called, shown = said.argmax(axis=1), range(len(classes))
    columns = {"image": [f"/data/{CANARY}/{i}.png" for i in range(60)], "patient": patients}
    columns["target"] = np.array(classes)[target]
    columns |= {f"prob_{classes[k]}": said[:, k] for k in shown}
    columns |= {f"logit_{classes[k]}": logits[:, k] for k in shown}
    table = pd.DataFrame(columns | {"call": np.array(classes)[called]})
    table.to_csv(folder / "predictions" / f"{split}.csv", index=False, float_format="%.9g")
    return {key: figure.as_json() for key, figure in figures.items()}


def _label_split(folder: Path, split: str, labels: tuple[str, ...], points: dict) -> dict:
    """Write a split's predictions of labels, one in nine unknown, and return its figures."""
    random = np.random.default_rng(len(split))
    cells = np.arange(60)[:, None] + 2 * np.arange(len(labels))
    target = np.where(cells % 9 == 0, UNKNOWN, (cells % 3 == 0).astype(int))
    patients = np.array([f"{CANARY}-{split}-{i // 6}" for i in range(60)])
    logits = random.normal(size=target.shape) + 2 * (target == 1)
    said = 1 / (1 + np.exp(-logits))
    for k, name in enumerate(labels):
        known = target[:, k] != UNKNOWN
        points.setdefault(name, youden(said[known, k], target[known, k]) if name != NEVER else None)
        if name == NEVER:
            target[known, k] = 0
    thresholds = [None if points[name] is None else points[name].threshold for name in labels]
    figures = multilabel_figures(said, target, patients, thresholds, labels)
    called = said >= np.array([0.5 if threshold is None else threshold for threshold in thresholds])
    columns = {"image": [f"/data/{CANARY}/{i}.png" for i in range(60)], "patient": patients}
    columns |= {
        f"target_{n}": np.where(t < 0, "", t.astype(str)) for n, t in zip(labels, target.T, strict=True)
    }
    columns |= {f"prob_{n}": column for n, column in zip(labels, said.T, strict=True)}
    columns |= {f"logit_{n}": column for n, column in zip(labels, logits.T, strict=True)}
    columns |= {f"call_{n}": column.astype(int) for n, column in zip(labels, called.T, strict=True)}
    pd.DataFrame(columns).to_csv(folder / "predictions" / f"{split}.csv", index=False, float_format="%.9g")
    return {key: figure.as_json() for key, figure in figures.items()}


NEVER = "never | <seen>"
LABELS = (*MANY, NEVER, *(f"finding {number}" for number in range(9)))


def made_up_labels(folder: Path, labels: tuple[str, ...] = LABELS) -> Path:
    """Write the files of a run with labels that may occur together; one of them is never positive."""
    return _copied(_made_of_labels(labels), folder)


@cache
def _made_of_labels(labels: tuple[str, ...]) -> Path:
    folder = _new_folder()
    points: dict = {}
    kept = {split: _label_split(folder, split, labels, points) for split in ("val", "test")}
    counts = {"patients": 10, "images": 60, "classes": dict.fromkeys(labels, 20)}
    cells = {"positive": 20, "negative": 33, "unknown": 7, "unknown_is": "ignore"}
    counts["labels"] = dict.fromkeys(labels, cells) | {labels[1]: cells | {"unknown_is": "positive"}}
    kept = {"operating_point": OperatingPoints(points).as_dict(), **kept}
    task = {"kind": "MultiLabel", "classes": labels, "positive": None, "loss": MultiLabel(labels).loss_words}
    return _write(folder, kept, labels, counts, task)


def made_up_run(
    folder: Path, classes: tuple[str, ...] = BINARY, test_classes: int = 0, synthetic: bool = True
) -> Path:
    """Write the files of a run; test has only the first `test_classes` classes, where given."""
    return _copied(_made_of_classes(classes, test_classes, synthetic), folder)


@cache
def _made_of_classes(classes: tuple[str, ...], test_classes: int, synthetic: bool) -> Path:
    folder = _new_folder()
    point: list = []
    kept = {"val": _split(folder, "val", classes, len(classes), point)}
    kept["test"] = _split(folder, "test", classes, test_classes or len(classes), point)
    kept = {"operating_point": point[0].as_dict() if point else None, **kept}
    counts = {"patients": 10, "images": 60, "classes": dict.fromkeys(classes, 60 // len(classes))}
    task = {
        "kind": "Binary" if len(classes) == 2 else "MultiClass",
        "classes": classes,
        "positive": classes[1] if len(classes) == 2 else None,
        "loss": "binary cross-entropy" if len(classes) == 2 else "",
    }
    return _write(folder, kept, classes, counts, task, synthetic)


def _write(
    folder: Path, kept: dict, classes: tuple[str, ...], counts: dict, task: dict, synthetic: bool = True
) -> Path:
    """Write everything but the predictions."""
    audit = {
        "source": "phantom",
        "synthetic": synthetic,
        "classes": classes,
        "manifest_sha256": "0123456789abcdef" * 4,
        "split_origin": "Five patient-wise folds were made.",
        "patients_are_images": False,
        "splits": dict.fromkeys(("train", "val", "test"), counts),
        "findings": [{"code": "few", "severity": "warning", "message": "Class <normal> is rare."}],
    }
    environment = {
        "rn50med": "1.2.3",
        "python": "3.12.1",
        "packages": {"torch": "2.15.0"},
        "threads": 2,
        "accelerator": "cpu",
        "devices": 1,
        "precision": {"training": "bf16-mixed", "tables": "32-true"},
        "weights": {"requested": "auto", "used": "none", "statement": "From random weights.", "sha256": None},
        "seed": 17,
        "task": task,
        "training": {
            "epochs_planned": 8,
            "epochs_run": 4,
            "best_epoch": 2,
            "monitor": "val/auroc",
            "stopped_early": True,
        },
        "images_per_second": 41.26,
    }
    for name, plain in (("metrics", kept), ("audit", audit), ("environment", environment)):
        (folder / f"{name}.json").write_text(json.dumps(plain), encoding="utf-8")
    rows = "0,0.70,0.71,0.6\n1,0.52,0.60,\n2,0.41,0.55,0.9\n3,0.30,0.57,0.8\n"
    (folder / "metrics.csv").write_text(f"epoch,train/loss,val/loss,val/auroc\n{rows}")
    (folder / "recipe.yaml").write_text(f"data: {{source: /data/{CANARY}/labels.csv}}\n")
    return folder


def with_manifest(folder: Path, patients: int = 20) -> Path:
    """Give a run a manifest, and `patients` patients a split: images under a path, odd and usual columns."""
    rows = []
    for split in ("val", "test"):
        path = folder / "predictions" / f"{split}.csv"
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        numbers = np.arange(len(table)) * patients // len(table)
        table["patient"] = [f"{CANARY}-{split}-{number}" for number in numbers]
        table["image"] = [f"/data/{CANARY}/{split}/{k}.png" for k in range(len(table))]
        table.to_csv(path, index=False)
        columns = {"image": table["image"], "patient": table["patient"], "split": split}
        columns |= {"PatientName": f"{CANARY}^name", "study": f"{CANARY}-study"}
        columns |= {"PatientSex": np.array(["F", "M"])[numbers % 2]}
        columns |= {"site": np.where(numbers < 10, "north", np.where(numbers < 16, "south", "west"))}
        columns |= {"scanner": [f"scanner of {CANARY} {number}" for number in numbers]}
        columns |= {"view": np.where(numbers % 2 == 0, "a_b@c.example", "PA")}
        rows.append(pd.DataFrame(columns))
    # Not in the order of the predictions.
    pd.concat(rows[::-1]).to_csv(folder / "manifest.csv", index=False)
    return folder
