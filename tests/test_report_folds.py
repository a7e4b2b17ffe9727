"""The report of a cross-validation: what it says is what its folder holds, and no more."""

from __future__ import annotations

import html
import json
import re

import numpy as np
import pytest
from made_up_folds import made_up_folds
from made_up_run import CANARY, MANY

from rn50med.errors import StorageError
from rn50med.evaluation.cases import Unit
from rn50med.evaluation.report import write_report
from rn50med.evaluation.report.folds import write_folds_report
from rn50med.training.crossval import conclude

LABELS = tuple(f"finding {number}" for number in range(7))


@pytest.fixture(scope="module")
def binary(tmp_path_factory):
    folder = made_up_folds(tmp_path_factory.mktemp("binary") / "cv", unit=Unit("patient", "max"))
    conclude(folder)
    return folder


def page_of(folder):
    return (folder / "report.html").read_text(encoding="utf-8")


def plain(page):
    """The words of a page, on one line."""
    body = re.sub(r"<(style|svg).*?</\1>", " ", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", body)).split())


def mended(folder, **parts):
    """Change what ``metrics.json`` holds, and draw the report again."""
    path = folder / "metrics.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | parts))
    write_folds_report(folder)
    return plain(page_of(folder))


def test_the_headline_is_mean_standard_deviation_and_range_of_the_folds(binary):
    metrics, said = json.loads((binary / "metrics.json").read_text()), plain(page_of(binary))
    values = [each["auroc"]["value"] for each in metrics["by_fold"]]
    assert (
        f"AUROC, mean of 3 folds {np.mean(values):.3f} standard deviation {np.std(values, ddof=1):.3f}"
        in said
    )
    assert f"range {min(values):.3f} to {max(values):.3f}" in said
    assert "this is no interval for the mean" in said
    assert "how often a patient of class pneumonia is given a higher probability" in said


def test_each_fold_has_its_auroc_with_its_interval_in_table_and_chart(binary):
    metrics, page = json.loads((binary / "metrics.json").read_text()), page_of(binary)
    for fold, figures in enumerate(metrics["by_fold"]):
        figure = figures["auroc"]
        row = f"fold {fold} {figure['value']:.3f} {figure['low']:.3f} to {figure['high']:.3f}"
        assert row in plain(page).replace("\xa0", " ")
        assert (
            f"fold {fold} {figure['value']:.3f}" in re.search('aria-label="AUROC of each fold[^"]*"', page)[0]
        )
    assert 'aria-label="ROC curves of 3 folds, pneumonia against the rest' in page


def test_every_figure_of_the_folds_is_there_and_pooled_ones_are_marked_secondary(binary):
    metrics, said = json.loads((binary / "metrics.json").read_text()), plain(page_of(binary))
    found = metrics["mean"]["brier"]
    row = f"{found['value']:.3f} ± {found['sd']:.3f} ({found['lowest']:.3f} to {found['highest']:.3f})"
    pooled = metrics["pooled"]["figures"]["brier"]
    row += f" {pooled['value']:.3f} {pooled['low']:.3f} to {pooled['high']:.3f}"
    assert f"Brier score (lower is better) {row}" in said
    assert "all held out together (secondary)" in said
    assert metrics["pooled"]["note"] in said


def test_patients_are_named_where_they_are_judged(binary):
    said = plain(page_of(binary))
    assert "each figure of the patients that a fold held out" in said
    assert "The probability of a patient is the largest of those of its images." in said


def test_the_page_names_no_image_patient_or_path_and_loads_nothing(binary):
    page = page_of(binary)
    assert CANARY not in page
    assert "http" not in page
    assert not re.search(r"<(script|link|img|iframe)|src=|href=\"(?!#)", page)


def test_equal_files_give_equal_pages_by_the_command_too(binary, command_line):
    first = page_of(binary)
    (binary / "report.html").unlink()
    said = command_line("report", binary)
    assert said.code == 0, said.err
    assert said.out == f"{binary / 'report.html'}\n"
    assert page_of(binary) == first
    assert not (binary / "model_card.md").exists()


def test_the_page_has_the_style_of_the_report_of_a_run(binary):
    write_report(binary / "fold-0")
    pages = page_of(binary), page_of(binary / "fold-0")
    styles = [re.search(r"<style>(.*?)</style>", page, re.DOTALL)[1] for page in pages]
    assert styles[0].split() == styles[1].split()


def test_what_was_not_done_is_said(binary):
    said = plain(page_of(binary))
    for sentence in ("No figure is of the ensemble", "No interval of the mean", "No external validation"):
        assert sentence in said
    assert "No test images were put aside" in said
    assert "stayed closed" not in said


@pytest.fixture
def copied(tmp_path):
    folder = made_up_folds(tmp_path / "cv")
    conclude(folder)
    return folder


def test_closed_test_images_are_counted(copied):
    path = copied / "fold-0" / "audit.json"
    flow = [{"what": "test, which cross-validation leaves closed", "images": 17}]
    path.write_text(json.dumps(json.loads(path.read_text()) | {"flow": flow}))
    assert "The 17 test images stayed closed" in mended(copied)


def test_a_figure_without_any_fold_is_undefined_and_one_that_a_fold_lacks_says_so(copied):
    mean = json.loads((copied / "metrics.json").read_text())["mean"]
    none = {
        "value": None,
        "sd": None,
        "lowest": None,
        "highest": None,
        "n": 0,
        "reason": "undefined in 3 of 3",
    }
    lacking = mean["brier"] | {"reason": "undefined in 1 of 3"}
    said = mended(copied, mean=mean | {"auroc": none, "brier": lacking})
    assert "AUROC, mean of 3 folds undefined undefined in 3 of 3 folds" in said
    assert re.search(r"Brier score \(lower is better\) 0\.\d+ ± .{0,60}undefined in 1 of 3", said)


def test_a_fold_without_predictions_has_no_curve(copied):
    (copied / "fold-1" / "predictions" / "test.csv").unlink()
    assert "1 of 3 folds have no curve" in mended(copied)


def test_a_folder_whose_figures_cannot_be_read_is_refused(copied):
    (copied / "metrics.json").write_text("{")
    with pytest.raises(StorageError, match=r"metrics\.json: cannot be read"):
        write_folds_report(copied)


def test_classes_are_escaped_and_have_a_chart_each(tmp_path):
    folder = made_up_folds(tmp_path / "cv", classes=MANY)
    conclude(folder)
    page = page_of(folder)
    assert "<b>severe</b>" not in page
    assert "AUROC, mean over the classes" in page
    assert page.count('aria-label="ROC curves of') == len(MANY)


def test_of_many_labels_the_first_are_drawn_and_all_figures_are_there(tmp_path):
    folder = made_up_folds(tmp_path / "cv", classes=LABELS, labels=True)
    conclude(folder)
    page = page_of(folder)
    assert page.count('aria-label="ROC curves of') == 6
    assert "Of 7 labels the first 6 are drawn." in page
    metrics = json.loads((folder / "metrics.json").read_text())
    assert f"<summary>{len(metrics['mean'])} figures</summary>" in page
    assert "Brier score (lower is better), finding 6" in plain(page)
