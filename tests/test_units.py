"""Images are judged by patient where each patient has one label: in fit, in the checkpoint, in predict."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import FilmTable
from films import write_films
from lightning.pytorch import Trainer, seed_everything

from rn50med.data.datamodule import ManifestDataModule
from rn50med.data.transforms import Radiograph
from rn50med.data.units import decided_unit
from rn50med.deployment.items import tell_each_alone
from rn50med.deployment.predict import predict
from rn50med.errors import DataError, RecipeError
from rn50med.evaluation.cases import Unit
from rn50med.evaluation.metrics import auroc
from rn50med.evaluation.temperature import sigmoid_temperature
from rn50med.model.backbone import ResNet50
from rn50med.tasks import Binary
from rn50med.training.agreement import agree
from rn50med.training.judging import Evaluation, evaluate_again, evaluation_trainer, judged
from rn50med.training.module import FineTuneModule

TASK = Binary(negative="normal", positive="pneumonia")


@dataclass(frozen=True)
class Judged:
    """A module that was trained for a step and judged, and what came of it."""

    folder: Path
    table: Path
    data: ManifestDataModule
    module: FineTuneModule
    metrics: dict[str, Any]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    """A run of 48 patients with two films each, after one step."""
    folder = tmp_path_factory.mktemp("run")
    table = write_films(folder / "study", patients=48, size=32)
    data = ManifestDataModule(str(table), task=TASK, transforms=Radiograph(size=32), num_workers=0)
    seed_everything(0)
    module = FineTuneModule(TASK, backbone=ResNet50(weights="none"))
    evaluation = Evaluation(prevalence={"pneumonia": 0.1})
    evaluation.check(TASK, list(data.manifest.table))
    module.protocol = evaluation.protocol
    trainer = Trainer(
        accelerator="cpu", limit_train_batches=1, max_epochs=1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
    )  # fmt: skip
    trainer.fit(module, data)
    with torch.no_grad():  # a head that is unsure, so that val asks for a temperature
        module.head.linear.weight.normal_(0.0, 0.5, generator=torch.Generator().manual_seed(1))
    judge = evaluation_trainer("cpu")
    metrics = judged(module, data, judge, folder, evaluation)
    (folder / "checkpoints").mkdir()
    judge.save_checkpoint(folder / "checkpoints" / "best.ckpt")
    return Judged(folder, table, data, module, metrics)


def file_of(run: Judged, split: str) -> pd.DataFrame:
    return pd.read_csv(run.folder / "predictions" / f"{split}.csv", dtype={"patient": str})


def test_figures_threshold_and_calls_are_of_patients(run: Judged) -> None:
    assert run.module.unit == Unit("patient")
    assert run.metrics["protocol"]["unit"] == "patient"
    for split in ("val", "test"):
        rows = file_of(run, split)
        by_patient = rows.groupby("patient").agg({"prob_pneumonia": "mean", "target": "first"})
        truth = (by_patient["target"] == "pneumonia").to_numpy()
        said = by_patient["prob_pneumonia"].to_numpy()
        figures = run.metrics[split]
        assert len(rows) == 2 * len(by_patient) == 2 * figures["auroc"]["n"]
        assert figures["auroc"]["value"] == pytest.approx(auroc(said, truth), abs=1e-12)
        called = said >= run.metrics["operating_point"]["threshold"]
        assert figures["sensitivity"]["value"] == pytest.approx(called[truth].mean())
        assert (rows.groupby("patient")["call"].nunique() == 1).all()
        calls = rows.groupby("patient")["call"].first() == "pneumonia"
        assert calls.tolist() == called.tolist()


def test_probabilities_are_after_the_temperature_that_vals_logits_ask_for(run: Judged) -> None:
    rows = file_of(run, "val")
    wanted = sigmoid_temperature(rows["logit_pneumonia"], (rows["target"] == "pneumonia").astype(int))
    assert run.metrics["temperature"] == pytest.approx(wanted, rel=1e-6)
    assert wanted != 1.0
    for split in ("val", "test"):
        rows = file_of(run, split)
        scaled = 1 / (1 + np.exp(-rows["logit_pneumonia"] / run.metrics["temperature"]))
        assert rows["prob_pneumonia"].to_numpy() == pytest.approx(scaled.to_numpy(), rel=1e-7)
    assert set(run.metrics["uncalibrated"]) == {"val", "test"}
    assert set(run.metrics["uncalibrated"]["val"]) >= {"brier", "log_loss", "ece"}


def test_predictive_values_are_given_for_the_stated_prevalence(run: Judged) -> None:
    figures = run.metrics["test"]
    found, spared = (figures[key]["value"] for key in ("sensitivity", "specificity"))
    wanted = 0.1 * found / (0.1 * found + 0.9 * (1 - spared))
    assert figures["ppv_at_prevalence"]["value"] == pytest.approx(wanted)
    assert run.metrics["protocol"]["prevalence"] == {"pneumonia": 0.1}


def test_a_checkpoint_keeps_unit_temperature_and_protocol(run: Judged) -> None:
    module = FineTuneModule.load_from_checkpoint(run.folder / "checkpoints" / "best.ckpt")
    assert module.unit == run.module.unit
    assert module.temperature == run.module.temperature
    assert module.protocol == run.module.protocol
    assert module.operating_point == run.module.operating_point
    place, metrics = evaluate_again(module, run.data, "val", run.folder / "again", "cpu")
    assert metrics["temperature"] == run.metrics["temperature"]
    assert metrics["operating_point"] == run.metrics["operating_point"]
    # the same network in another process rounds otherwise
    again, before = pd.read_csv(place / "predictions" / "val.csv"), file_of(run, "val")
    assert again["prob_pneumonia"].to_numpy() == pytest.approx(before["prob_pneumonia"].to_numpy(), abs=1e-5)
    assert again["call"].tolist() == before["call"].tolist()
    assert metrics["val"]["auroc"]["value"] == pytest.approx(run.metrics["val"]["auroc"]["value"], abs=1e-5)


def test_predict_calls_the_images_of_a_patient_together_and_says_which_stand_alone(
    run: Judged, caplog: pytest.LogCaptureFixture
) -> None:
    frame = predict(run.folder, run.table)
    together = frame.groupby("patient")["prob_pneumonia"].transform("mean")
    threshold = run.metrics["operating_point"]["threshold"]
    assert (frame["call"] == np.where(together >= threshold, "pneumonia", "normal")).all()
    with caplog.at_level(logging.WARNING, "rn50med"):
        logging.getLogger("rn50med").addHandler(caplog.handler)
        alone = predict(run.folder, run.table.parent / "films")
        logging.getLogger("rn50med").removeHandler(caplog.handler)
    assert "96 of 96 images have no patient and are called alone" in caplog.text
    own = np.where(alone["prob_pneumonia"] >= threshold, "pneumonia", "normal")
    assert (alone["call"] == own).all()


def test_explain_says_that_its_calls_are_of_single_images(caplog: pytest.LogCaptureFixture) -> None:
    module = FineTuneModule(TASK, backbone=ResNet50(weights="none"))
    logging.getLogger("rn50med").addHandler(caplog.handler)
    tell_each_alone(module)
    assert not caplog.text
    module.unit = Unit("patient")
    tell_each_alone(module)
    logging.getLogger("rn50med").removeHandler(caplog.handler)
    assert "judged, and its threshold chosen, by patient; probability and call beside a map" in caplog.text


def loaded(film_table: FilmTable, **options: Any) -> ManifestDataModule:
    transforms = Radiograph(size=32)
    return ManifestDataModule(
        str(film_table.write()), task=TASK, transforms=transforms, num_workers=0, **options
    )


def test_a_patient_with_images_of_two_labels_makes_images_the_cases(film_table: FilmTable) -> None:
    film_table.put(2, "label", "pneumonia")
    manifest = loaded(film_table).manifest
    assert decided_unit(manifest, TASK, "auto") == "image"
    with pytest.raises(
        DataError, match=r"1 patient has images of different labels.*--evaluation\.unit image"
    ):
        decided_unit(manifest, TASK, "patient")


def test_labels_of_test_do_not_decide_what_a_case_is_and_a_test_that_does_not_fit_is_refused(
    film_table: FilmTable,
) -> None:
    number = film_table.cells["patient_id"].astype(int)
    film_table.cells["split"] = number.map(lambda n: ("train", "val", "test")[min(n // 8, 2)])
    assert decided_unit(loaded(film_table).manifest, TASK, "auto") == "patient"
    first = int((film_table.cells["split"] == "test").to_numpy().argmax())
    film_table.put(
        first + 2, "label", {"normal": "pneumonia", "pneumonia": "normal"}[film_table.cells["label"][first]]
    )
    with pytest.raises(
        DataError, match=r"1 patient has images of different labels.*--evaluation\.unit image in a new run"
    ):
        decided_unit(loaded(film_table).manifest, TASK, "auto")


def test_another_site_with_a_patient_of_two_labels_is_refused_by_its_rows_with_what_can_be_done_there(
    checkpoint: Path, film_table: FilmTable
) -> None:
    film_table.put(3, "label", "pneumonia")
    module, site = FineTuneModule.load_from_checkpoint(checkpoint), loaded(film_table, unsplit="test")
    assert module.unit.of == "patient"
    with pytest.raises(DataError, match="this run is judged by patient") as refusal:
        agree(module, site, learns=False)
    assert str(refusal.value) == (
        "labels.csv: 1 patient has images of different labels (rows 2, 3), so that a patient has none; this "
        "run is judged by patient: give each of them one label, leave them out, or train a run with "
        "--evaluation.unit image."
    )


def test_images_that_are_their_own_patients_are_cases_of_their_own(film_table: FilmTable) -> None:
    from rn50med.data.manifest import Columns

    manifest = loaded(film_table, columns=Columns(patient="image")).manifest
    assert decided_unit(manifest, TASK, "auto") == "image"


def test_studies_are_cases_where_they_are_known(film_table: FilmTable) -> None:
    with pytest.raises(DataError, match=r"--data\.columns\.study"):
        decided_unit(loaded(film_table).manifest, TASK, "study")
    film_table.cells["study_id"] = [f"{row // 2}" for row in range(len(film_table.cells))]
    assert decided_unit(loaded(film_table).manifest, TASK, "study") == "study"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prevalence": {"pneumonia": 1.0}}, "evaluation.prevalence: of pneumonia is 1.0"),
        ({"prevalence": {"pnuemonia": 0.1}}, "did you mean 'pneumonia'?"),
        ({"subgroups": ["sxe"]}, "evaluation.subgroups: no column named 'sxe'; did you mean 'sex'?"),
    ],
)
def test_names_that_nobody_knows_are_refused_before_training(options: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        Evaluation(**options).check(TASK, ["image", "patient", "sex"])
    assert message in str(caught.value)
