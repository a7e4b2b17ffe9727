"""The report and the model card of a made-up run folder."""

from __future__ import annotations

import html
import json
import math
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from made_up_run import BINARY, CANARY, LABELS, MANY, NEVER, made_up_labels, made_up_run, pages_of

from rn50med.errors import StorageError
from rn50med.evaluation.figure import Figure
from rn50med.evaluation.report import write_report
from rn50med.evaluation.report.wording import interval


def _drawn(folder: Path) -> tuple[str, str]:
    write_report(folder)
    return (folder / "report.html").read_text(encoding="utf-8"), (folder / "model_card.md").read_text("utf-8")


class _Reader(HTMLParser):
    """Collects addresses, ids, tags and text of a page, and checks that tags close in order."""

    _VOID = ("meta", "br", "link", "img")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.images: list[str] = []
        self.pointers: list[str] = re.findall(r"url\(#([^)]*)\)", page)
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.addresses += [
            found[name] for name in ("src", "href", "xlink:href", "action", "data") if name in found
        ]
        self.pointers += [found["xlink:href"].removeprefix("#")] if "xlink:href" in found else []
        self.ids += [found["id"]] if "id" in found else []
        self.images += [found.get("aria-label", "")] if found.get("role") == "img" else []
        if tag not in self._VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self._VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.mark.parametrize("classes", [BINARY, MANY])
def test_the_page_stands_alone_and_its_charts_do_not_collide(
    tmp_path: Path, classes: tuple[str, ...]
) -> None:
    page, _ = pages_of(made_up_run(tmp_path / "run", classes))
    found = _Reader(page)
    assert found.open == []
    assert all(address.startswith("#") for address in found.addresses)
    assert "http" not in page
    assert "<script" not in page
    assert "@import" not in page
    assert len(found.ids) == len(set(found.ids))
    assert set(found.pointers) <= set(found.ids)
    # ROC, precision-recall, two learning curves, a flow diagram, and of each class four charts, or
    # six where there are several.
    assert len(found.images) == page.count("<svg") == (9 if classes is BINARY else 5 + 6 * len(classes))
    assert all(found.images)
    assert "prefers-color-scheme: dark" in page
    assert "@media print" in page


@pytest.mark.parametrize("classes", [BINARY, MANY])
def test_no_page_names_an_image_a_patient_or_a_path(tmp_path: Path, classes: tuple[str, ...]) -> None:
    for page in pages_of(made_up_run(tmp_path / "run", classes)):
        assert CANARY not in page
        assert "/data/" not in page
        assert str(tmp_path) not in page


@pytest.mark.parametrize("classes", [BINARY, MANY])
def test_equal_runs_give_equal_bytes(tmp_path: Path, classes: tuple[str, ...]) -> None:
    first = _drawn(made_up_run(tmp_path / "one", classes))
    again = _drawn(tmp_path / "one")
    assert first == again == _drawn(made_up_run(tmp_path / "another", classes))


def ends_of(figure: dict[str, float | None]) -> str:
    """Return the interval of a figure as the report writes it; one end may be missing."""
    ends = {end: math.nan if figure[end] is None else figure[end] for end in ("value", "low", "high")}
    return interval(Figure(**ends, n=0))


@pytest.mark.parametrize("classes", [BINARY, MANY])
def test_every_figure_stands_in_bothpages_of(tmp_path: Path, classes: tuple[str, ...]) -> None:
    folder = made_up_run(tmp_path / "run", classes)
    page, card = pages_of(folder)
    text = _Reader(page).text
    for split, figures in json.loads((folder / "metrics.json").read_text()).items():
        if split == "operating_point":
            continue
        for key, figure in figures.items():
            for written in (text, card):
                assert f"{figure['value']:.3f}" in written, (split, key)
                assert ends_of(figure) in written, (split, key)


def test_the_headline_is_the_auroc_of_test_with_its_interval(tmp_path: Path) -> None:
    folder = made_up_run(tmp_path / "run")
    page, card = pages_of(folder)
    figure = json.loads((folder / "metrics.json").read_text())["test"]["auroc"]
    text = _Reader(page).text
    start = text.index("AUROC on test")
    assert text[start:].startswith(f"AUROC on test {figure['value']:.3f} 95 % interval {figure['low']:.3f}")
    assert "accuracy" not in text[: text.index("Figures")].lower()
    assert "interval for this one model on patients like these" in text
    assert "a default, not a clinical choice" in text
    assert "a default, not a clinical choice" in card
    assert "60 images of 10 patients" in text


def test_the_confusion_matrix_counts_the_calls_of_test(tmp_path: Path) -> None:
    folder = made_up_run(tmp_path / "run")
    page, _ = pages_of(folder)
    table = pd.read_csv(folder / "predictions" / "test.csv")
    counts = pd.crosstab(table["target"], table["call"]).loc[list(BINARY), list(BINARY)].to_numpy()
    cells = re.findall(r'class="share"[^>]*><b>(\d+)</b><small>([\d.]+) %</small>', page)
    assert [int(count) for count, _ in cells] == counts.ravel().tolist()
    shares = 100 * counts / counts.sum(axis=1, keepdims=True)
    assert [float(share) for _, share in cells] == pytest.approx(shares.ravel().tolist(), abs=0.05)


def test_a_synthetic_run_says_so_before_anything_else(tmp_path: Path) -> None:
    page, card = pages_of(made_up_run(tmp_path / "phantom"))
    text = _Reader(page).text
    body = text[text.index("The images are synthetic.") :]
    assert text.index("The images are synthetic.") < text.index("Research use only.") < text.index("AUROC")
    assert "Nothing on this page says how well a model does on patients" in body
    assert card.index("The images are synthetic.") < card.index("Research use only.")
    page, card = pages_of(made_up_run(tmp_path / "real", synthetic=False))
    assert "synthetic" not in page
    assert "synthetic" not in card
    assert "Research use only." in page


def test_class_names_are_shown_as_they_are(tmp_path: Path) -> None:
    page, card = pages_of(made_up_run(tmp_path / "run", MANY))
    assert "<b>severe</b>" not in page
    assert "<b>severe</b>" not in card
    text = _Reader(page).text
    for name in MANY:
        assert f"AUROC, {name} against the rest" in text
    table = [line for line in card.splitlines() if line.startswith("| ")]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table if "against the rest" in line}) == 1
    # Every class is in the legend, which Matplotlib denies to names with a leading underscore.
    legend = page[page.index('aria-label="ROC') :]
    assert "_proliferative" in legend[: legend.index("</svg>")]


@pytest.mark.parametrize(("classes", "name"), [(BINARY, "pneumonia"), (MANY, "_proliferative")])
def test_an_undefined_figure_is_said_with_its_reason(
    tmp_path: Path, classes: tuple[str, ...], name: str
) -> None:
    page, card = pages_of(made_up_run(tmp_path / "run", classes, test_classes=len(classes) - 1))
    text = _Reader(page).text
    assert f"undefined no case of class {name!r}" in text
    assert "undefined" in card
    assert "nan" not in re.sub(r"[a-z]nan|nan[a-z]", "", text)
    if classes is BINARY:
        assert text[text.index("AUROC on test") :].startswith(
            "AUROC on test undefined It is undefined: no case"
        )
    else:
        assert f"The mean of 3 of 4 classes: no case of class {name!r}." in text


FILES = [
    "metrics.json",
    "audit.json",
    "environment.json",
    "metrics.csv",
    "predictions/val.csv",
    "predictions/test.csv",
]


@pytest.mark.parametrize("missing", FILES)
@pytest.mark.parametrize("classes", [BINARY, MANY])
def test_a_missing_file_is_named_and_fails_nothing(
    tmp_path: Path, missing: str, classes: tuple[str, ...]
) -> None:
    folder = made_up_run(tmp_path / "run", classes)
    (folder / missing).unlink()
    for page in pages_of(folder):
        said = page.replace("\\_", "_")
        named = {"predictions/val.csv": "No curves of val", "predictions/test.csv": "No curves of test"}
        assert (
            named.get(missing, missing) in said[said.rindex("What was not done") if "<html" in said else 0 :]
        )


def test_an_empty_folder_still_gives_a_report(tmp_path: Path) -> None:
    page, card = pages_of(tmp_path)
    assert "No figures" in _Reader(page).text
    assert "no final figures" in card


def test_without_test_the_headline_is_of_val_and_said_to_flatter(tmp_path: Path) -> None:
    folder = made_up_run(tmp_path / "run")
    metrics = json.loads((folder / "metrics.json").read_text())
    (folder / "metrics.json").write_text(
        json.dumps({key: metrics[key] for key in ("operating_point", "val")})
    )
    (folder / "predictions" / "test.csv").unlink()
    page, card = pages_of(folder)
    text = _Reader(page).text
    assert "AUROC on val" in text
    assert "The test set was not opened" in text
    assert "The test set was not opened" in card
    assert "test steered nothing" not in text


def test_a_run_without_operating_point_says_so(tmp_path: Path) -> None:
    folder = made_up_run(tmp_path / "run")
    metrics = json.loads((folder / "metrics.json").read_text())
    (folder / "metrics.json").write_text(json.dumps(metrics | {"operating_point": None}))
    for split in ("val", "test"):
        path = folder / "predictions" / f"{split}.csv"
        pd.read_csv(path).assign(call="").to_csv(path, index=False)
    page, _ = pages_of(folder)
    assert "No operating point was chosen" in page
    assert "Calls against the truth" not in page


def test_the_report_names_how_it_was_trained_and_how_to_repeat_it(tmp_path: Path) -> None:
    for page in pages_of(made_up_run(tmp_path / "run")):
        text = " ".join(page.replace("\\_", "_").split())
        for fact in (
            "From random weights.",
            "bf16-mixed",
            "4 of 8 planned, stopped early",
            "epoch 2 (counted from 0)",
            "2 threads",
            "python -m rn50med fit --recipe RUN/recipe.yaml",
            "No external validation",
            "No calibration",
            "No subgroups",
            "Five patient-wise folds were made.",
        ):
            assert fact in text, fact
        assert "Class <normal>" not in page


def test_classes_called_like_missing_values_are_classes(tmp_path: Path) -> None:
    page, _ = pages_of(made_up_run(tmp_path / "run", ("NA", "None")))
    assert "called NA" in page
    assert "Curves" in page


def test_what_cannot_be_read_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no such run folder"):
        write_report(tmp_path / "nowhere")
    folder = made_up_run(tmp_path / "run")
    (folder / "audit.json").write_text("{")
    with pytest.raises(StorageError, match=r"audit\.json: cannot be read"):
        write_report(folder)
    shutil.rmtree(folder)
    folder = made_up_run(tmp_path / "run")
    (folder / "predictions" / "test.csv").write_text("image,target\na,normal\n")
    with pytest.raises(StorageError, match=r"predictions/test\.csv: no column patient, prob_pneumonia"):
        write_report(folder)


def test_a_leak_that_was_allowed_stands_above_the_headline(tmp_path: Path) -> None:
    folder = made_up_run(tmp_path / "run")
    audit = json.loads((folder / "audit.json").read_text())
    leak = {"code": "leakage", "severity": "error", "message": "3 patients stand in two splits."}
    (folder / "audit.json").write_text(json.dumps(audit | {"findings": [leak], "patients_are_images": True}))
    page, card = pages_of(folder)
    text = _Reader(page).text
    assert text.index("cannot be trusted as they stand. 3 patients") < text.index("AUROC on test")
    assert card.index("cannot be trusted as they stand.** 3 patients") < card.index("AUROC on test")
    assert "60 images, each taken for its own patient" in text


def _table(page: str, heading: str) -> list[list[str]]:
    """Return the cells of the table below a heading, a list of texts for each row of its body."""
    start = page.index(f"<h2>{heading}")
    body = page[page.index("<tbody>", start) : page.index("</tbody>", start)]
    rows = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL) for row in body.split("<tr>")[1:]]
    return [[" ".join(html.unescape(re.sub("<[^>]+>", " ", cell)).split()) for cell in row] for row in rows]


def test_a_run_of_labels_has_a_page_that_stands_alone_and_gives_equal_bytes(tmp_path: Path) -> None:
    folder = made_up_labels(tmp_path / "run")
    pages = pages_of(folder)
    found = _Reader(pages[0])
    assert found.open == []
    assert all(address.startswith("#") for address in found.addresses)
    assert len(found.ids) == len(set(found.ids))
    assert set(found.pointers) <= set(found.ids)
    # Four of all, and four of each of the first six labels but the one that is never there.
    assert len(found.images) == pages[0].count("<svg") == 5 + 6 * 5
    for page in pages:
        assert CANARY not in page
        assert "<seen>" not in page
    assert pages == _drawn(made_up_labels(tmp_path / "another"))


def test_every_figure_of_every_label_stands_on_the_page(tmp_path: Path) -> None:
    folder = made_up_labels(tmp_path / "run")
    page, card = pages_of(folder)
    text = _Reader(page).text
    metrics = json.loads((folder / "metrics.json").read_text())
    for split in ("val", "test"):
        for key, figure in metrics[split].items():
            if figure["value"] is None:
                assert figure["reason"] in text, key
                continue
            written = f"{figure['value']:.3f} {ends_of(figure)}".strip()
            kind, _, label = key.partition("/")
            if key == "auroc" or (label and kind in {"auroc", "auprc", "sensitivity", "specificity"}):
                assert split == "val" or written.partition(" ")[2] in card, key
            assert written in text, (split, key)
    for name in LABELS:
        assert f"AUROC, {name}" in text
        assert "against the rest" not in text


def test_the_headline_of_labels_is_their_mean_and_names_what_it_leaves_out(tmp_path: Path) -> None:
    folder = made_up_labels(tmp_path / "run")
    page, card = pages_of(folder)
    figure = json.loads((folder / "metrics.json").read_text())["test"]["auroc"]
    text = _Reader(page).text
    assert f"AUROC on test {figure['value']:.3f} 95 % interval {figure['low']:.3f}" in text
    assert f"The mean of 13 of 14 labels: no positive case of {NEVER!r}." in text
    assert f"AUROC on test: **{figure['value']:.3f}**" in card
    assert f"No operating point for {NEVER}, of which val lacks an outcome" in text
    whole = made_up_labels(tmp_path / "whole", LABELS[:3])
    assert (
        "The mean over the labels, each on the images where it is known." in _Reader(pages_of(whole)[0]).text
    )


def test_each_label_has_its_counts_its_point_and_its_calls(tmp_path: Path) -> None:
    folder = made_up_labels(tmp_path / "run")
    page, _ = pages_of(folder)
    table = pd.read_csv(folder / "predictions" / "test.csv", dtype=str, keep_default_na=False)
    points = json.loads((folder / "metrics.json").read_text())["operating_point"]
    counted = {row[0]: row[1:4] for row in _table(page, "Labels, test")}
    chosen = {row[0]: row[1:] for row in _table(page, "Operating points")}
    called = {row[0]: row[1:] for row in _table(page, "Calls against the truth, test")}
    for name in LABELS:
        target, call = table[f"target_{name}"], table[f"call_{name}"]
        assert counted[name] == [str((target == value).sum()) for value in ("1", "0", "")]
        pairs = [(truth, said) for truth in "10" for said in "10"]
        assert called[name] == [str(((target == t) & (call == c)).sum()) for t, c in pairs]
        if points[name] is None:
            assert chosen[name][0] == chosen[name][-1] == "\N{EN DASH}"
        else:
            assert chosen[name][0] == f"{points[name]['threshold']:.4g}"
            reached = points[name]["sensitivity"], points[name]["specificity"]
            assert chosen[name][-1] == f"{reached[0]:.3f} and {reached[1]:.3f}"


def test_the_data_of_labels_are_counted_with_what_became_of_unknown_ones(tmp_path: Path) -> None:
    page, card = pages_of(made_up_labels(tmp_path / "run"))
    text = _Reader(page).text
    assert text.count("20 (37.7 %) 33 negative, 7 unknown") == 3 * len(LABELS)
    assert text.count("left out") >= len(LABELS) - 1
    assert text.count("taken as positive") == 1
    assert card.count("20 (37.7 %) | 33 negative, 7 unknown") == 3 * len(LABELS)
    rows = [line for line in card.splitlines() if "33 negative, 7 unknown" in line]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in rows} == {9}


@pytest.mark.slow
def test_fourteen_curves_can_be_told_apart_and_of_more_the_first_fifteen_are_drawn(tmp_path: Path) -> None:
    page, _ = pages_of(made_up_labels(tmp_path / "run"))
    charts = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    for chart in charts[:2]:
        drawn = re.findall(r"fill: none;([^\"]*stroke: var\(--c0[1-8]\)[^\"]*)", chart)
        looks = {style for style in drawn if "stroke-width: 1.8" in style}
        assert len(looks) == 13  # the label without a positive image has no curve
    many = pages_of(made_up_labels(tmp_path / "many", tuple(f"l{k}" for k in range(17))))[0]
    assert many.count("Of 17 labels the first 15 are drawn.") == 2


@pytest.mark.slow
@pytest.mark.parametrize("missing", FILES)
def test_a_run_of_labels_without_a_file_still_has_a_report(tmp_path: Path, missing: str) -> None:
    folder = made_up_labels(tmp_path / "run")
    (folder / missing).unlink()
    page, card = pages_of(folder)
    assert missing in page or "No curves of" in page
    assert "Calls against the truth" not in page or missing != "predictions/test.csv"
    assert "against the rest" not in page
    assert "# Model card" in card


def test_a_table_of_labels_without_a_column_is_a_storage_error(tmp_path: Path) -> None:
    folder = made_up_labels(tmp_path / "run", LABELS[:3])
    path = folder / "predictions" / "test.csv"
    pd.read_csv(path).drop(columns="prob_none").to_csv(path, index=False)
    with pytest.raises(StorageError, match=r"predictions/test\.csv: no column prob_none"):
        write_report(folder)
