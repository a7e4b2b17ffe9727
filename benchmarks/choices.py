"""Which settings hold on films that are worse than those of train: fits on parts of the training films.

Patients that the table calls train are cut into five parts. Each candidate learns on four parts, or on
a share of their patients, and is judged on half of the patients of the fifth: on their images as they are,
under noise, blur, contrast, resolution and gamma as in ``rn50med.training.changes``, and in other places.
The official test images are not read.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import mean

import candidates  # noqa: F401 - checkpoints name its classes
import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from rn50med import FineTuneModule, Radiograph
from rn50med.data.transforms.deterministic import ReadImage
from rn50med.evaluation.ranking import auroc
from rn50med.evaluation.scoring import log_loss
from rn50med.training.changes import CHANGES

FOLDS, SPARE = 5, 10
"""Parts of the patients, and patients that the run calls test, since a table has to have some."""

UNCHANGED = "as they are"

WIDE = {"data.transforms": "candidates.Wide"}
FAR = {"data.transforms": "candidates.Far"}
CANDIDATES: Mapping[str, Mapping[str, object]] = {
    "recipe": {},
    "modest": {"data.transforms": "candidates.Modest"},
    "wide": WIDE,
    "wide, places": {"data.transforms": "candidates.Placed"},
    "wide, borders": {"data.transforms": "candidates.Bordered"},
    "wide, mixup": WIDE | {"model.regularisation.mixup": 0.2},
    "wide, standardised": WIDE | {"model.backbone": "candidates.Standardised"},
    "wide, stages 3 to 5": WIDE | {"model.head": "MultiScaleHead"},
    "far": FAR,
    "far, half": FAR | {"data.transforms.strength": 0.5},
    "far, seven tenths": FAR | {"data.transforms.strength": 0.7},
    "still": {"data.transforms": "candidates.Still"},
    "cropped": {"data.transforms": "candidates.Cropped"},
}
"""Keys that differ from the recipe chest_xray."""


def framed(images: Tensor, share: float) -> Tensor:
    """Return images whose edges are covered by a frame of a dark grey.

    Args:
        images: ``(B, C, H, W)``.
        share: Of the side that the frame is wide.
    """
    width = round(share * images.shape[-1])
    covered = torch.full_like(images, 0.25)
    covered[..., width:-width, width:-width] = images[..., width:-width, width:-width]
    return covered


def placed(
    images: Tensor, degrees: float = 0.0, width: float = 1.0, height: float = 1.0, shift: float = 0.0
) -> Tensor:
    """Return images turned, scaled and shifted; beyond their edges it is black.

    Args:
        images: ``(B, C, H, W)``.
        degrees: Of the turn.
        width: Factor on the width of what is seen; above 1 enlarges.
        height: Likewise.
        shift: To the right and down, as a share of the side.
    """
    turn = math.radians(degrees)
    c, s = math.cos(turn), math.sin(turn)
    back = torch.tensor([[c / width, -s / width, -2 * shift], [s / height, c / height, -2 * shift]])
    grid = F.affine_grid(back.expand(len(images), 2, 3), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


PLACES: Mapping[str, Callable[[Tensor], Tensor]] = {
    "turned by 10 degrees": partial(placed, degrees=10),
    "enlarged by 1.25": partial(placed, width=1.25, height=1.25),
    "shrunk by 0.8": partial(placed, width=0.8, height=0.8),
    "narrower by 0.8": partial(placed, width=0.8),
    "lower by 0.8": partial(placed, height=0.8),
    "shifted by a tenth": partial(placed, shift=0.1),
    "edges covered": partial(framed, share=0.08),
}
"""Changes of place and edges, which the report does not look at: films are taken and cropped otherwise."""


@dataclass(frozen=True)
class Fit:
    """One training.

    Args:
        candidate: Name in `CANDIDATES`.
        fold: Which part of the patients is val.
        options: Of the command line.
    """

    candidate: str
    fold: int
    options: argparse.Namespace = field(hash=False)

    @property
    def folder(self) -> Path:
        """Its run folder."""
        short = self.candidate.replace(",", "").replace(" ", "-")
        return Path(self.options.output / f"{short}-{self.fold}")

    @property
    def source(self) -> Path:
        """Its table."""
        return Path(self.options.output / f"fold-{self.fold}.csv")

    @property
    def command(self) -> list[str]:
        """Command line of the training; test stays closed."""
        keys: dict[str, object] = {
            "recipe": "chest_xray",
            "trust": "candidates",
            "data.source": self.source,
            "data.root": self.options.table.parent,
            "data.transforms.size": self.options.size,
            "trainer.max_epochs": self.options.epochs,
            "model.backbone.weights": "none",
            "evaluation.test": "never",
            "evaluation.checks": "false",
            "output": self.folder,
        }
        own = dict(CANDIDATES[self.candidate])  # first, since the options of a class come after it
        words = [f"--{key}={value}" for key, value in (own | keys).items()]
        return [sys.executable, "-m", "rn50med", "fit", *words]


def write_fold(table: Path, fold: int, share: float, path: Path) -> None:
    """Write the rows of one fold.

    Args:
        table: All films, with the columns image, label, patient_id and split.
        fold: Which part of the patients is val.
        share: Of the other patients that are used.
        path: Of the new table.
    """
    rows = pd.read_csv(table, dtype=str)
    rows = rows[rows["split"] == "train"]
    parts = np.array_split(np.random.default_rng(0).permutation(sorted(set(rows["patient_id"]))), FOLDS)
    others = np.concatenate([part for number, part in enumerate(parts) if number != fold])
    learnt = np.random.default_rng(fold).permutation(others)[: int(share * len(others))]
    kinds = dict.fromkeys(parts[fold][: len(parts[fold]) // 2], "val") | dict.fromkeys(learnt, "train")
    kinds |= dict.fromkeys(parts[fold][-SPARE:], "test")
    rows = rows[rows["patient_id"].isin(kinds)]
    rows.assign(split=rows["patient_id"].map(kinds)).to_csv(path, index=False)


def judged(fit: Fit) -> dict[str, dict[str, float]]:
    """Return AUROC and log-loss of val, unchanged and after each change, by image, without a temperature.

    Args:
        fit: Trained.
    """
    module = FineTuneModule.load_from_checkpoint(fit.folder / "checkpoints" / "best.ckpt").eval()
    rows = pd.read_csv(fit.source, dtype=str)
    rows = rows[rows["split"] == "val"]
    transforms, read = Radiograph(size=fit.options.size), ReadImage()
    images = torch.stack(
        [transforms.eval(transforms.prepare(read(fit.options.table.parent / name))) for name in rows["image"]]
    )
    target = (rows["label"] == "pneumonia").to_numpy().astype(int)

    def figures(images: Tensor) -> dict[str, float]:
        with torch.inference_mode():
            logits = torch.cat([module(batch) for batch in images.split(128)])
        probability = torch.sigmoid(logits.double())[:, 0].numpy()
        return {"auroc": auroc(probability, target), "log_loss": log_loss(probability, target)}

    found = {UNCHANGED: figures(images)}
    for change in CHANGES:
        found[f"{change.kind}, {change.strength}"] = figures(change(images, range(len(images)), 0))
    for name, move in PLACES.items():
        found[name] = figures(move(images))
    return found


def fitted(fit: Fit) -> dict[str, dict[str, float]]:
    """Train and judge, unless it is done.

    Args:
        fit: Which training.
    """
    done = fit.folder / "choices.json"
    if not done.is_file():
        with fit.folder.with_suffix(".log").open("w") as log:
            paths = os.pathsep.join(filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH")]))
            one = {**os.environ, "OMP_NUM_THREADS": str(fit.options.threads), "PYTHONPATH": paths}
            subprocess.run(fit.command, check=True, stdout=log, stderr=log, env=one)
        done.write_text(json.dumps(judged(fit), indent=1))
        for checkpoint in (fit.folder / "checkpoints").glob("*.ckpt"):
            checkpoint.unlink()  # 400 MB each
    return dict(json.loads(done.read_text()))


def told(found: Mapping[Fit, Mapping[str, Mapping[str, float]]]) -> Iterator[str]:
    """Yield the lines of the table.

    Args:
        found: What each training came to.
    """
    heads = "".join(f"{head:>20}" for head in ("as they are", "worse in tone", "in other places"))
    yield f"{'':<22}{'part':>5}{heads}{'the worst':>30}"
    yield f"{'':<27}{'AUROC  log-loss':>20}{'AUROC  log-loss':>20}{'AUROC  log-loss':>20}{'log-loss':>30}"
    for fit, figures in found.items():
        tones = [name for name in figures if name not in PLACES and name != UNCHANGED]
        worst = max(figures, key=lambda name: figures[name]["log_loss"])
        cells = "".join(
            f"{mean(figures[name]['auroc'] for name in names):>11.3f}"
            f"{mean(figures[name]['log_loss'] for name in names):>9.3f}"
            for names in ([UNCHANGED], tones, list(PLACES))
        )
        last = f"{worst} {figures[worst]['log_loss']:.3f}"
        yield f"{fit.candidate:<22}{fit.fold:>5}{cells}{last:>30}"


def main() -> int:
    """Print a table with a row per training."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", type=Path, required=True, help="labels.csv of the films")
    parser.add_argument("--candidates", nargs="+", default=list(CANDIDATES), choices=list(CANDIDATES))
    parser.add_argument("--folds", type=int, nargs="+", default=[0], help=f"of 0 to {FOLDS - 1}")
    parser.add_argument("--share", type=float, default=0.5, help="of the patients to learn from")
    parser.add_argument("--size", type=int, default=64, help="pixels")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1, help="of each training")
    parser.add_argument("--together", type=int, default=os.cpu_count(), help="trainings at a time")
    parser.add_argument("--output", type=Path, default=Path("choices"), help="folder; what is done is kept")
    options = parser.parse_args()
    options.table, options.output = options.table.resolve(), options.output.resolve()
    options.output.mkdir(parents=True, exist_ok=True)
    fits = [Fit(candidate, fold, options) for fold in options.folds for candidate in options.candidates]
    for fold in options.folds:
        write_fold(options.table, fold, options.share, options.output / f"fold-{fold}.csv")
    with ThreadPoolExecutor(options.together) as pool:
        found = dict(zip(fits, pool.map(fitted, fits), strict=True))
    print("\n".join(told(found)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
