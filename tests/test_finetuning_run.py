"""Fine-tuning in several processes, and from the command line on the weights of an earlier run."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from films import write_films

RECIPE = """
task:
  class_path: MultiClass
  init_args:
    names: [none, bacteria, virus]
    column: etiology
data:
  source: {table}
  transforms:
    class_path: Radiograph
    init_args:
      size: 32
      strength: 0
  batch_size: 8
model:
  finetuning:
    class_path: Staged
    init_args:
      at: [1, 0.5]
trainer:
  max_epochs: 2
  accelerator: cpu
"""

TWO_PROCESSES = """
import sys
import torch
from lightning.pytorch import Callback, Trainer
from rn50med import Binary, FineTuneModule, LinearProbe, ManifestDataModule, Radiograph, ResNet50, Staged

class Drift(Callback):
    def on_train_epoch_end(self, trainer, pl_module):
        for name, modules in pl_module.parts.items():
            own = torch.cat([value.detach().flatten() for module in modules for value in module.parameters()])
            both = pl_module.all_gather(own)
            moved = not torch.equal(own, before[name])
            if trainer.is_global_zero:
                print(f"epoch {trainer.current_epoch} {name}: equal {torch.equal(*both)}, moved {moved}")

task = Binary(negative="normal", positive="pneumonia", column="label")
torch.manual_seed(0)
finetuning = Staged(at=(1,)) if sys.argv[2] == "Staged" else LinearProbe()
module = FineTuneModule(task, ResNet50(weights="none"), finetuning=finetuning)
before = {
    name: torch.cat([value.detach().flatten().clone() for module in modules for value in module.parameters()])
    for name, modules in module.parts.items()
}
data = ManifestDataModule(
    sys.argv[1], task=task, transforms=Radiograph(size=32, strength=0), batch_size=4, cache="none"
)
Trainer(
    accelerator="cpu", devices=2, strategy="ddp", max_epochs=2, callbacks=[Drift()], logger=False,
    enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
).fit(module, data)
"""


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if key != "RN50MED_RUN_FOLDER"}
    here = str(Path(__file__).resolve().parents[1])
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
        env=clean | {"OMP_NUM_THREADS": "1", "PYTHONPATH": here},
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["Staged", "LinearProbe"])
def test_two_processes_train_the_same_parts_to_the_same_numbers(tmp_path, kind):
    table = write_films(tmp_path / "study", patients=12)
    (tmp_path / "two.py").write_text(TWO_PROCESSES)
    done = run(["two.py", str(table), kind], tmp_path)
    assert done.returncode == 0, done.stderr
    told = [line for line in done.stdout.splitlines() if line.startswith("epoch ")]
    moved = {"head"}
    for epoch in range(2):
        moved |= {"stage 5"} if (kind, epoch) == ("Staged", 1) else set()
        for name in ("head", "stage 5", "stage 4", "stage 3", "stage 2", "stem"):
            assert f"epoch {epoch} {name}: equal True, moved {name in moved}" in told, done.stdout


@pytest.mark.slow
def test_weights_of_a_run_are_fine_tuned_to_other_classes_from_the_command_line(tmp_path):
    table = write_films(tmp_path / "study", patients=24)
    small = ["--data.transforms.size", "32", "--trainer.max_epochs", "1", "--trainer.accelerator", "cpu"]
    first = [
        "-m",
        "rn50med",
        "fit",
        "--recipe",
        "chest_xray",
        "--data.source",
        str(table),
        "--output",
        "first",
    ]
    done = run([*first, *small, "--model.backbone.weights", "none"], tmp_path)
    assert done.returncode == 0, done.stderr

    with table.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    other = table.with_name("etiology.csv")
    with other.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*rows[0], "etiology"])
        writer.writeheader()
        for row in rows:
            kind = (
                "none" if row["label"] == "normal" else ("bacteria", "virus")[int(row["patient_id"]) // 2 % 2]
            )
            writer.writerow({**row, "etiology": kind})
    (tmp_path / "etiology.yaml").write_text(RECIPE.format(table=other))
    second = ["-m", "rn50med", "fit", "--recipe", "etiology.yaml", "--output", "second"]
    done = run([*second, "--model.backbone.weights", "first"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "they are the backbone of a run of rn50med, its head is left out" in done.stderr
    assert "training from epoch 1 on: head; frozen: stage 5" in done.stderr
    assert "training from epoch 2 on: head, stage 5, stage 4; frozen: stage 3" in done.stderr
    folder = tmp_path / "second"
    told = json.loads((folder / "environment.json").read_text())["weights"]
    assert (told["requested"], told["used"]) == ("best.ckpt", "file")
    assert "head is left out" in (folder / "report.html").read_text(encoding="utf-8")
    assert "auroc/virus" in json.loads((folder / "metrics.json").read_text())["test"]
    done = run(["-m", "rn50med", "predict", "--run", "second", "--images", "study/films"], tmp_path)
    assert done.returncode == 0, (
        done.stderr
    )  # without the first run's weights, too: they are in its checkpoint
