"""What a network makes of the phantom: minutes of training, so marked slow."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rn50med import fit
from rn50med.data.phantom import cohort, draw_film

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def write_shuffled(folder: Path, seed: int) -> Path:
    """Write the phantom's films, their true labels dealt out anew among the patients."""
    films = cohort(seed)
    patients = sorted({film.patient for film in films})
    labels = np.random.default_rng(seed).permutation([patient % 2 for patient in patients])
    dealt = dict(zip(patients, labels, strict=True))
    rows = []
    for film in films:
        name = f"{film.patient:04d}-{film.film}.png"
        shown = [0] if film.patient % 2 else []
        Image.fromarray(draw_film(seed, film.patient, film.film, shown).pixels).save(folder / name)
        label = ("normal", "pneumonia")[dealt[film.patient]]
        rows.append({"image": name, "patient_id": film.patient, "label": label, "split": film.split})
    with (folder / "labels.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder / "labels.csv"


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_shipped_recipe_learns_the_phantom(tmp_path, seed):
    options = {"model.backbone.weights": "none", "seed_everything": seed}
    made = fit("chest_xray", options, output=tmp_path / "run")
    assert made.metrics["test"]["auroc"]["value"] >= 0.95


def test_nothing_but_the_finding_is_learnt_when_labels_are_shuffled_by_patient(tmp_path):
    options = {"model.backbone.weights": "none", "data.source": str(write_shuffled(tmp_path, seed=0))}
    made = fit("chest_xray", options, output=tmp_path / "run")
    kept = json.loads((made.folder / "metrics.json").read_text())
    assert abs(kept["test"]["auroc"]["value"] - 0.5) <= 0.1
