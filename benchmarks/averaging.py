"""Which batch-norm statistics the averaged weights should have: log-loss and AUROC of val, four ways.

One training with each seed, on small films with a faint bright square; every second epoch val is judged by

- ``raw``: the weights of the training;
- ``averaged``: the average, its statistics averaged like the weights;
- ``seen``: the average, its statistics estimated on the last images of train as the network saw them;
- ``plain``: the same on images of train without random changes.

    python benchmarks/averaging.py --seeds 3
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterable
from copy import deepcopy
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from PIL import Image
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from rn50med import Binary, FineTuneModule, ManifestDataModule, Radiograph, Regularisation, ResNet50
from rn50med.evaluation.metrics import auroc
from rn50med.training.averaging import decay_after

TASK = Binary(negative="normal", positive="pneumonia")
SIZE, PATIENTS, EPOCHS, STEPS, BATCH = 32, 320, 8, 13, 16


def write_films(folder: Path, seed: int) -> Path:
    """Write a film for each patient: pneumonia is a square, 14 of 255 brighter than noise of 20."""
    random = np.random.default_rng(seed)
    (folder / "films").mkdir(parents=True)
    table = folder / "labels.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "patient_id", "label", "split"])
        for patient in range(PATIENTS):
            label, turn = ("normal", "pneumonia")[patient % 2], patient // 2
            split = "test" if turn % 16 == 1 else "val" if turn % 4 == 0 else "train"
            pixels = random.normal(90, 20, (SIZE, SIZE)) * random.uniform(0.9, 1.1)
            if label == "pneumonia":
                top, left = random.integers(4, 18, 2)
                pixels[top : top + 10, left : left + 10] += 14
            name = f"films/{patient}.png"
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / name)
            writer.writerow([name, f"{patient:04d}", label, split])
    return table


def renew(module: LightningModule, images: Iterable[Tensor]) -> None:
    """Estimate batch-norm statistics on images."""
    norms = [each for each in module.modules() if isinstance(each, _BatchNorm)]
    module.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    with torch.no_grad():
        for image in images:
            module(image)
    for norm in norms:
        norm.momentum = 0.1
        norm.eval()


class Four(Callback):
    """Judges val four ways, every second epoch."""

    def __init__(self, data: ManifestDataModule, seed: int) -> None:
        self.data, self.seed = data, seed
        self.average: dict[str, Tensor] = {}
        self.updates = 0
        self.seen: list[Tensor] = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Average weights and buffers."""
        decay = decay_after(self.updates, 0.999) if self.updates else 0.0
        for name, tensor in pl_module.state_dict().items():
            self.average.setdefault(name, tensor.float().clone()).lerp_(tensor.float(), 1 - decay)
        self.updates += 1
        self.seen = [*self.seen, batch["image"]][-16:]

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Judge, and leave everything as it was."""
        if trainer.current_epoch % 2 == 0:
            return
        before = deepcopy(pl_module.state_dict())
        dataset: Any = self.data.val_dataloader().dataset
        keys = [(0, row) for row in self.data.rows_of("train").tolist()]
        parts = [keys[start : start + BATCH] for start in range(0, len(keys), BATCH)]
        plain = [dataset.__getitems__(part)["image"] for part in parts]
        found = {"raw": self.judged(pl_module)}
        pl_module.load_state_dict({n: self.average[n].to(t.dtype) for n, t in before.items()})
        found["averaged"] = self.judged(pl_module)
        for name, images in (("seen", self.seen), ("plain", plain)):
            renew(pl_module, images)
            found[name] = self.judged(pl_module)
        pl_module.load_state_dict(before)
        pl_module.train()
        told = "; ".join(f"{name} {loss:.3f} {rank:.3f}" for name, (loss, rank) in found.items())
        print(f"seed {self.seed}, step {self.updates}: log-loss and AUROC: {told}", flush=True)

    def judged(self, module: LightningModule) -> tuple[float, float]:
        """Return log-loss and AUROC of val."""
        module.eval()
        with torch.no_grad():
            parts = [(module(batch["image"]), batch["target"]) for batch in self.data.val_dataloader()]
        logits, target = (torch.cat(each) for each in zip(*parts, strict=True))
        return float(TASK.loss(logits, target)), auroc(logits[:, 0].double().numpy(), target.numpy())


def main() -> None:
    """Train once for each seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    for seed in range(parser.parse_args().seeds):
        with TemporaryDirectory() as folder:
            table = write_films(Path(folder) / "films", seed)
            data = ManifestDataModule(
                str(table),
                task=TASK,
                transforms=Radiograph(size=SIZE),
                seed=seed,
                cache="none",
                num_workers=0,
            )
            seed_everything(seed)
            module = FineTuneModule(
                TASK,
                backbone=ResNet50(weights="none"),
                optimizer=partial(torch.optim.AdamW, lr=1e-3, weight_decay=0.05),
                regularisation=Regularisation(ema_decay=0.0),
            )
            trainer = Trainer(
                accelerator="cpu",
                max_epochs=EPOCHS,
                limit_train_batches=STEPS,
                limit_val_batches=0,
                callbacks=[Four(data, seed)],
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
            )
            trainer.fit(module, data)


if __name__ == "__main__":
    main()
