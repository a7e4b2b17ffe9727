"""The charts and tables of single findings in a report: what they show equals what the functions give."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_up_run import BINARY, CANARY, LABELS, MANY, made_up_labels, made_up_run, pages_of, with_manifest
from sklearn.metrics import precision_recall_curve, roc_curve

from rn50med.errors import StorageError
from rn50med.evaluation.arrays import Bools, Floats
from rn50med.evaluation.calibration import calibration_error, reliability
from rn50med.evaluation.decision import decision_curve, predictive_values
from rn50med.evaluation.report import write_report
from rn50med.evaluation.report.beside import usual
from rn50med.evaluation.report.pointwise import GRID, precision_recall_band, roc_band
from rn50med.evaluation.subgroups import subgroups

KINDS = ("Calibration of", "Histogram of the probability of", "Decision curve of", "Predictive values of")


def _page(folder: Path) -> str:
    return pages_of(folder)[0]


def _text(page: str) -> str:
    body = page[page.index("<body>") :]
    return " ".join(html.unescape(re.sub(r"<svg.*?</svg>|<[^>]+>", " ", body, flags=re.DOTALL)).split())


def _alternatives(page: str) -> list[str]:
    return [html.unescape(each) for each in re.findall(r'<svg role="img" aria-label="([^"]*)"', page)]


def _test(folder: Path) -> tuple[pd.DataFrame, Floats, Bools]:
    table = pd.read_csv(folder / "predictions" / "test.csv", dtype=str, keep_default_na=False)
    positive = (table["target"] == BINARY[1]).to_numpy()
    return table, table[f"prob_{BINARY[1]}"].astype(float).to_numpy(), positive


def _make(kind: str, folder: Path) -> tuple[Path, tuple[str, ...]]:
    if kind == "labels":
        return with_manifest(made_up_labels(folder)), LABELS[:4]
    classes = BINARY if kind == "binary" else MANY
    return with_manifest(made_up_run(folder, classes)), BINARY[1:] if kind == "binary" else MANY


@pytest.mark.parametrize("kind", ["binary", "many", "labels"])
def test_each_finding_has_its_charts_with_alternative_text_and_nobody_is_named(
    tmp_path: Path, kind: str
) -> None:
    folder, names = _make(kind, tmp_path / "run")
    page = _page(folder)
    found = _alternatives(page)
    for name in names:
        for each in (*KINDS, "AUROC of"):
            assert sum(text.startswith(f"{each} {name}") for text in found) == 1, (each, name)
    assert CANARY not in page
    assert "example" not in page
    assert "Hardest errors, test" in page
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'url\(#([^)]*)\)|href="#([^"]*)"', page)) <= {
        pair for each in ids for pair in ((each, ""), ("", each))
    }
    assert page == _page(folder)


def test_calibration_and_decisions_are_what_the_functions_give(tmp_path: Path) -> None:
    folder = made_up_run(tmp_path / "run")
    page = _page(folder)
    text, (table, said, positive) = _text(page), _test(folder)
    curve = reliability(said, positive, table["patient"])
    figures = json.loads((folder / "metrics.json").read_text())["test"]
    slope, intercept = (figures[f"calibration_{key}"]["value"] for key in ("slope", "intercept"))
    assert f"in {len(curve)} bins of {curve[0].share.n} images" in text
    summed = f"ECE {calibration_error(said, positive):.3f}, slope {slope:.3f}, intercept {intercept:.3f}"
    assert summed in text
    assert any(summed in each for each in _alternatives(page))
    middle = decision_curve(said, positive, [0.5]).model[0]
    assert any(f"{middle:.3f} at 0.5" in each for each in _alternatives(page))
    assert "thresholds 0.01 to 0.99" in text
    assert f"{(~positive).sum()} negative and {positive.sum()} positive images" in str(_alternatives(page))


def test_predictive_values_follow_from_the_frozen_point(tmp_path: Path) -> None:
    folder = made_up_run(tmp_path / "run")
    text, metrics = _text(_page(folder)), json.loads((folder / "metrics.json").read_text())
    found, spared = (metrics["test"][key]["value"] for key in ("sensitivity", "specificity"))
    positive, negative = predictive_values(found, spared, [0.5, 0.01])
    assert f"at the threshold {metrics['operating_point']['threshold']:.4g}" in text
    assert f"At its prevalence of 0.500, PPV {positive[0]:.3f} and NPV {negative[0]:.3f}" in text
    assert f"at 1 %, PPV {positive[1]:.3f} and NPV {negative[1]:.3f}" in text
    assert f"PPV {metrics['test']['ppv']['value']:.3f}" in text


def test_subgroups_are_those_of_the_manifest_by_image_and_small_ones_are_not_shown(tmp_path: Path) -> None:
    folder = with_manifest(made_up_run(tmp_path / "run"))
    text, (table, said, positive) = _text(_page(folder)), _test(folder)
    manifest = pd.read_csv(folder / "manifest.csv").set_index("image").loc[table["image"]]
    threshold = json.loads((folder / "metrics.json").read_text())["operating_point"]["threshold"]
    rows = subgroups(
        manifest["PatientSex"].tolist(), said, positive, table["patient"], threshold, "PatientSex"
    )
    for row in rows:
        auroc, apart = row.figures["auroc"], row.differences["auroc"]
        assert (
            f"{row.value} {row.images} images, {row.patients} patients {auroc.value:.3f} "
            f"{auroc.low:.3f} to {auroc.high:.3f} {apart.value:+.3f}"
        ) in text
    assert "north 30 images, 10 patients" in text
    for name in ("south", "west"):
        assert f"{name} not shown" in text
    assert "Column scanner has more than 12 values and is not shown." in text
    assert "Column view holds more than words of a category and is not shown." in text
    assert "No subgroups" not in text
    assert usual("patient_age")
    assert not any(usual(name) for name in ("PatientName", "patient", "image", "study", "PatientID"))


def test_the_hardest_errors_are_the_most_confident_and_named_by_their_line(tmp_path: Path) -> None:
    folder = with_manifest(made_up_run(tmp_path / "run"))
    table, said, positive = _test(folder)
    table["call"] = np.where(np.arange(60) % 4 < 2, table["call"], np.array(BINARY)[1 - positive])
    table.to_csv(folder / "predictions" / "test.csv", index=False)
    page = _page(folder)
    lines = (folder / "manifest.csv").read_text().splitlines()
    called = (table["call"] == BINARY[1]).to_numpy()
    part = page[page.index("<h2>Hardest errors") : page.index("<h2>Data")]
    for kind, wrong, sign in (
        ("positives", called & ~positive, -1),
        ("negatives", ~called & positive, 1),
    ):
        start = part.index(f"<strong>False {kind}</strong>, {min(10, wrong.sum())} of {wrong.sum()}")
        cells = re.findall(r"<td>(\d+)</td><td>([\d.]+)</td>", part[start : part.index("</div>", start)])
        order = np.flatnonzero(wrong)[np.argsort(sign * said[wrong])][:10]
        assert wrong.any()
        assert [float(each) for _, each in cells] == pytest.approx(said[order], abs=5e-5)
        for (line, _), row in zip(cells, order, strict=True):
            assert table["image"][row] in lines[int(line) - 1]


def test_without_a_manifest_there_are_neither_subgroups_nor_lines(tmp_path: Path) -> None:
    text = _text(_page(made_up_run(tmp_path / "run")))
    assert "Subgroups, test" not in text
    assert "Hardest errors" not in text
    assert "No subgroups" in text
    assert "No list of the hardest errors" in text


def test_a_manifest_that_cannot_be_read_is_a_storage_error(tmp_path: Path) -> None:
    folder = made_up_run(tmp_path / "run")
    (folder / "manifest.csv").write_text("")
    with pytest.raises(StorageError, match=r"manifest\.csv: cannot be read"):
        write_report(folder)


def test_a_manifest_of_other_images_tells_nothing(tmp_path: Path) -> None:
    folder = with_manifest(made_up_run(tmp_path / "run"))
    rows = (folder / "manifest.csv").read_text().splitlines()
    (folder / "manifest.csv").write_text("\n".join(rows[:-1]) + "\n")
    assert "Subgroups, val" not in _page(folder)  # the last row is of val
    (folder / "manifest.csv").write_text("\n".join([rows[0], *rows[2:]]) + "\n")
    assert "Subgroups, test" not in _page(folder)


def test_what_cannot_be_drawn_is_said(tmp_path: Path) -> None:
    folder = made_up_run(tmp_path / "many", MANY, test_classes=3)
    text = _text(_page(folder))
    assert "No charts: test has no positive image." in text
    labels = _text(_page(made_up_labels(tmp_path / "labels")))
    assert "Of 14 labels the first 6 have charts of their own." in labels
    assert labels.count("No charts: test has no positive image.") == 1
    folder = made_up_run(tmp_path / "pointless")
    metrics = json.loads((folder / "metrics.json").read_text())
    undefined = {"value": None, "low": None, "high": None, "n": 60, "reason": "no operating point"}
    metrics["test"] |= dict.fromkeys(("sensitivity", "specificity"), undefined)
    (folder / "metrics.json").write_text(json.dumps(metrics | {"operating_point": None}))
    text = _text(_page(folder))
    assert "No predictive values by prevalence: sensitivity and specificity are not known." in text


def test_bands_hold_their_curves_and_do_not_narrow_when_rows_are_repeated() -> None:
    random = np.random.default_rng(3)
    positive = random.random(300) < 0.3
    said = np.round(random.normal(size=300) + 1.5 * positive, 6)
    patients = np.arange(300) // 3
    low, high = roc_band(said, positive, patients)
    alarms, found, _ = roc_curve(positive, said, drop_intermediate=False)
    curve = found[np.searchsorted(alarms, GRID + 1e-9, side="right") - 1]
    assert (low <= curve).all()
    assert (curve <= high).all()
    precision, found, _ = precision_recall_curve(positive, said)
    lowest, highest = precision_recall_band(said, positive, patients)
    inner = slice(5, 101)  # the first points are of a few images, whose band is skewed
    reached = np.array([precision[found >= each - 1e-9][-1] for each in GRID])[inner]
    assert (lowest[inner] <= reached).all()
    assert (reached <= highest[inner]).all()
    again = roc_band(np.tile(said, 4), np.tile(positive, 4), np.tile(patients, 4))
    assert np.allclose(again, (low, high))


def test_curves_have_bands_of_one_finding_each_and_say_what_they_are(tmp_path: Path) -> None:
    assert _page(made_up_run(tmp_path / "run")).count("Band: 95 %") == 2
    # several classes are drawn together without bands, and each with its own
    assert _page(made_up_run(tmp_path / "many", MANY)).count("Band: 95") == 2 * len(MANY)
