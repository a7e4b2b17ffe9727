"""The checks of a run: images made worse, simpler models and shortcuts, on films with planted ones."""

from __future__ import annotations

import csv
import json
import logging

import numpy as np
import pytest
import torch
from made_up_run import made_up_run
from monai.transforms import Compose
from PIL import Image

from rn50med import Binary, FineTuneModule, ManifestDataModule, MultiLabel, Radiograph, ResNet50
from rn50med.data.dataset import ImageDataset
from rn50med.data.images import Files
from rn50med.data.readers import Reader
from rn50med.evaluation.cases import Unit
from rn50med.evaluation.report import write_report
from rn50med.training.changes import CHANGES, blur, contrast, gamma, noise, resolution
from rn50med.training.checks import checks
from rn50med.training.judging import evaluation_trainer
from rn50med.training.robustness import changed_logits, most_cases

CANARY = "doe_john_mrn555"
KINDS = (noise, blur, contrast, resolution, gamma)
TASK = Binary("normal", "pneumonia")


@pytest.fixture
def images():
    """Four smooth images in [0, 1] with fine detail."""
    torch.manual_seed(0)
    coarse = torch.nn.functional.interpolate(torch.rand(4, 1, 8, 8), (64, 64), mode="bilinear")
    return (0.8 * coarse + 0.2 * torch.rand(4, 1, 64, 64)).clamp(0, 1)


@pytest.mark.parametrize("change", CHANGES, ids=lambda each: f"{each.kind}-{each.strength}")
def test_a_changed_image_stays_from_black_to_white_and_is_another(images, change):
    found = change(images, [0, 1, 2, 3], 0)
    assert found.shape == images.shape
    assert found.dtype == images.dtype
    assert 0.0 <= found.min() <= found.max() <= 1.0
    assert (found - images).abs().flatten(1).max(dim=1).values.min() > 0.01


@pytest.mark.parametrize("kind", sorted({change.kind for change in CHANGES}))
def test_the_stronger_change_is_the_farther_one(images, kind):
    mild, strong = [change for change in CHANGES if change.kind == kind]
    assert (mild.strength, strong.strength) == ("mild", "strong")
    near, far = (((each(images, range(4), 0) - images) ** 2).mean(dim=(1, 2, 3)) for each in (mild, strong))
    assert (far > 1.2 * near).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_change_of_an_image_depends_on_its_row_alone(images, kind):
    together = kind(images, 0.5, [7, 8, 9, 10], 3)
    alone = kind(images[2:3], 0.5, [9], 3)
    assert torch.allclose(together[2:3], alone, atol=1e-6)
    assert torch.equal(together, kind(images, 0.5, [7, 8, 9, 10], 3))


def test_noise_has_its_standard_deviation_and_differs_from_image_to_image():
    grey = torch.full((2, 1, 256, 256), 0.5)
    found = noise(grey, 0.05, [0, 1], 0) - grey
    assert found.std(dim=(1, 2, 3)).tolist() == pytest.approx([0.05, 0.05], rel=0.02)
    assert not torch.equal(found[0], found[1])
    assert not torch.equal(found, noise(grey, 0.05, [0, 1], 1) - grey)


def test_a_blurred_point_has_the_stated_width_in_proportion_to_the_side():
    point = torch.zeros(1, 1, 256, 256)
    point[0, 0, 128, 128] = 1.0
    found = blur(point, 2.0, [0], 0)[0, 0]
    offsets = torch.arange(256) - 128.0
    assert found.sum().item() == pytest.approx(1.0, abs=1e-5)
    for profile in (found.sum(0), found.sum(1)):
        # 2 pixels of 128 are 4 of 256; three standard deviations are kept
        assert (profile * offsets**2).sum().sqrt().item() == pytest.approx(4.0, rel=0.02)


def test_contrast_resolution_and_gamma_are_what_they_say(images):
    found = contrast(images, 0.4, range(4), 0)
    assert found.mean(dim=(1, 2, 3)).tolist() == pytest.approx(images.mean(dim=(1, 2, 3)).tolist(), abs=1e-5)
    assert (found.std() / images.std()).item() == pytest.approx(0.4, abs=0.05)
    assert torch.equal(gamma(images, 2.0, range(4), 0), images**2)
    flat = resolution(images, 1 / 64, range(4), 0)
    assert torch.allclose(flat, images.mean(dim=(2, 3), keepdim=True).expand_as(images), atol=1e-5)


def test_no_more_images_are_changed_than_take_little_time():
    gpu, cpu = torch.device("cuda"), torch.device("cpu")
    assert most_cases(22_433, 22_433, 224, gpu) == 500
    assert most_cases(50_000, 500, 224, gpu) == 10
    assert most_cases(300, 100, 128, cpu) == 26
    assert most_cases(40, 20, 128, cpu) == 40
    assert (
        most_cases(9000, 9000, 32, cpu) > most_cases(9000, 9000, 64, cpu) > most_cases(9000, 9000, 128, cpu)
    )


def test_a_file_says_its_size_and_one_that_is_not_there_says_nothing(tmp_path):
    (tmp_path / "a.png").write_bytes(b"12345")
    files = Files(tmp_path, Reader())
    assert files.size("a.png") == 5
    assert files.size("b.png") is None
    assert files.size("a\0.png") is None


def write_films(folder, border, films=1, site=""):
    """Write films of noise in three splits; the ill have a bright border where one is planted."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    rows = []
    for patient in range(48):
        ill = patient % 2
        for film in range(films):
            pixels = rng.integers(30, rng.integers(60, 200), (48, 48), dtype=np.uint8)  # files of all sizes
            if border and ill:
                pixels[:2] = 255
            name = f"{CANARY}-{patient}-{film}.png"
            Image.fromarray(pixels).save(folder / name)
            split = ("train", "train", "val", "test")[patient // 2 % 4]
            row = {"image": name, "patient_id": f"{CANARY}-{patient}", "label": TASK.classes[ill]}
            row |= {"split": split, "mass": patient // 2 % 2, "nodule": ill if patient % 5 else ""}
            row |= {"Site": f"hospital {ill if site == 'planted' else patient % 3}"} if site else {}
            rows.append(row)
    with (folder / "labels.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder / "labels.csv"


def judged(table, task=TASK, split="test", unit="image"):
    """Return a module with random weights that was evaluated, its data and who evaluated it."""
    torch.manual_seed(0)
    module = FineTuneModule(task, backbone=ResNet50(weights="none")).eval()
    module.unit = Unit(unit)
    data = ManifestDataModule(str(table), task=task, transforms=Radiograph(size=32), batch_size=32)
    judge = evaluation_trainer("cpu")
    (judge.validate if split == "val" else judge.test)(module, datamodule=data, verbose=False)
    return module, data, judge


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """A run on films whose border and site hold the label."""
    table = write_films(tmp_path_factory.mktemp("planted") / CANARY, border=True, films=2, site="planted")
    return judged(table, unit="patient")


@pytest.fixture(scope="module")
def checked(planted):
    return checks(*planted, "test")


def test_planted_shortcuts_are_findings_and_warnings(planted, checked, caplog):
    assert checked["shortcuts"]["border"]["auroc"]["value"] == 1.0
    assert checked["shortcuts"]["site"]["auroc"]["value"] == 1.0
    codes = [finding["code"] for finding in checked["findings"]]
    assert {"shortcut-border", "shortcut-site"} <= set(codes)
    assert "shortcut-resolution" not in codes
    assert checked["shortcuts"]["resolution"]["reason"]
    with caplog.at_level(logging.WARNING, logger="rn50med"):
        again = checks(*planted, "test")
    assert "shortcut-border" in caplog.text
    assert again == checked


def test_nothing_planted_is_no_finding_on_val_either(tmp_path):
    table = write_films(tmp_path / "films", border=False, films=2)
    found = checks(*judged(table, split="val"), "val")
    assert found["split"] == "val"
    assert found["findings"] == []
    assert "auroc" in found["shortcuts"]["file_size"]
    assert not any(each.get("finding") for each in found["shortcuts"].values())
    assert "not known" in found["shortcuts"]["site"]["reason"]


def test_checks_are_of_cases_and_name_nobody(planted, checked):
    module = planted[0]
    assert module.unit.of == checked["unit"] == "patient"
    assert checked["robustness"]["cases"] == checked["robustness"]["of_cases"] == 12
    assert checked["robustness"]["images"] == 24
    text = json.dumps(checked, allow_nan=False)
    assert CANARY not in text
    assert "hospital" not in text


def test_unchanged_images_have_the_headlines_figure(planted, checked):
    module = planted[0]
    expected = module.task.headline(module.cases["test"]).as_json()
    assert checked["robustness"]["unchanged"] == pytest.approx(expected, abs=1e-9)
    assert checked["baselines"]["network"]["auroc"] == pytest.approx(expected, abs=1e-9)
    for each in checked["robustness"]["changes"]:
        apart = each["auroc"]["value"] - expected["value"]
        assert each["difference"]["value"] == pytest.approx(apart, abs=1e-9)


def images_of(data, transforms):
    names, targets = data.manifest.column("image"), torch.zeros(len(data.manifest), dtype=torch.long)
    return ImageDataset(data.prepared.images, names, targets, transforms, train=False, seed=0)


def test_the_module_is_left_as_it_was(planted):
    module, data, _ = planted
    weights = {name: value.clone() for name, value in module.state_dict().items()}
    module.train()
    logits = changed_logits(
        module, images_of(data, data.transforms), data.rows_of("test")[:4], 4, torch.device("cpu")
    )
    assert len(logits) == 1 + len(CHANGES)
    assert module.training
    module.eval()
    assert all(torch.equal(value, weights[name]) for name, value in module.state_dict().items())


class Centred(Radiograph):
    """Transforms of somebody's own, whose images are not in [0, 1]."""

    @property
    def eval(self):
        return Compose([*super().eval.transforms, lambda image: 2 * image - 1])


def test_images_outside_of_black_and_white_are_not_changed(planted):
    module, data, _ = planted
    images, rows = images_of(data, Centred(size=32)), data.rows_of("test")[:4]
    assert changed_logits(module, images, rows, 4, torch.device("cpu")) is None


def test_what_is_learnt_is_learnt_from_train_alone(tmp_path):
    """With the labels of test turned round, a perfect shortcut is perfectly wrong there."""
    table = write_films(tmp_path / "films", border=True)
    lines = table.read_text().splitlines()
    turned = {"normal": "pneumonia", "pneumonia": "normal"}
    cells = [line.split(",") for line in lines[1:]]
    cells = [[*row[:2], turned[row[2]], *row[3:]] if row[3] == "test" else row for row in cells]
    table.write_text("\n".join([lines[0], *(",".join(row) for row in cells)]) + "\n")
    found = checks(*judged(table), "test")
    assert found["shortcuts"]["border"]["auroc"]["value"] == 0.0
    assert not found["shortcuts"]["border"]["finding"]


def test_labels_that_may_occur_together_are_checked_each(tmp_path):
    table = write_films(tmp_path / "films", border=True)
    found = checks(*judged(table, MultiLabel(("mass", "nodule"))), "test")
    assert set(found["shortcuts"]["border"]["each"]) <= {"mass", "nodule"}
    assert "'nodule'" in found["shortcuts"]["border"]["message"]
    assert "'mass'" not in found["shortcuts"]["border"]["message"]
    assert len(found["robustness"]["changes"]) == len(CHANGES)
    json.dumps(found, allow_nan=False)


def test_the_report_shows_the_checks(tmp_path, checked):
    folder = made_up_run(tmp_path / "run")
    (folder / "checks.json").write_text(json.dumps(checked))
    write_report(folder)
    page = (folder / "report.html").read_text()
    for words in (
        "Robustness, test",
        "Simpler models, test",
        "Shortcuts, test",
        "Noise, mild",
        "Linear model on 16",
    ):
        assert words in page
    robust = checked["robustness"]
    assert f"{robust['unchanged']['value']:.3f}" in page
    assert f"{robust['changes'][3]['difference']['value']:+.3f}" in page
    assert page.count("The border of the image alone") >= 2  # below the table, and among the findings
    assert "the same for all images of train" in page
    assert "No robustness check" not in page


def test_a_report_without_checks_says_so(tmp_path):
    folder = made_up_run(tmp_path / "run")
    write_report(folder)
    page = (folder / "report.html").read_text()
    assert "Robustness, test" not in page
    assert "No robustness check" in page
