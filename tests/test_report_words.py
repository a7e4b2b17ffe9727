"""The words of a report: flow diagram, methods, reporting guidelines, what was not done."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from made_up_run import BINARY, CANARY, LABELS, MANY, made_up_labels, made_up_run, with_manifest

from rn50med.errors import StorageError
from rn50med.evaluation.report import flow, write_report
from rn50med.evaluation.report.checklist_items import CLAIM, TRIPOD_AI
from rn50med.evaluation.report.checklists import Row, checklists
from rn50med.evaluation.report.conduct import not_done, training_rows
from rn50med.evaluation.report.facts import Facts, read_facts
from rn50med.evaluation.report.methods import methods
from rn50med.evaluation.report.record import Record, read_record
from rn50med.recipe import dump_yaml

STEPS = (
    {"what": "files that are no images", "images": 12},
    {"what": "left out by data.where: a condition on sex, view and age", "images": 130},
    {"what": "cannot be read; left out, as asked", "images": 3},
)
RECIPE: dict[str, Any] = {
    "task": {"class_path": "rn50med.Binary", "init_args": {"negative": "normal", "positive": "pneumonia"}},
    "data": {
        "source": f"/data/{CANARY}/labels.csv",
        "transforms": {
            "class_path": "rn50med.Radiograph",
            "init_args": {"size": 224, "strength": 1.0, "atlas": f"/data/{CANARY}/atlas.png"},
        },
        "batch_size": 16,
    },
    "model": {
        "backbone": {"class_path": "rn50med.ResNet50", "init_args": {"weights": f"/data/{CANARY}/w.pth"}},
        "head": {"class_path": "rn50med.LinearHead", "init_args": {"dropout": 0.2}},
        "optimizer": {"class_path": "torch.optim.AdamW", "init_args": {"lr": 0.001, "weight_decay": 0.05}},
        "schedule": {
            "class_path": "rn50med.training.schedule.WarmupCosine",
            "init_args": {"warmup": 0.1, "floor": 0.01},
        },
        "pretrained_lr_factor": 0.1,
    },
    "trainer": {"gradient_clip_val": 1.0},
}


def change(folder: Path, file: str, **parts: Any) -> None:
    path = folder / f"{file}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | parts), encoding="utf-8")


def with_recipe(folder: Path, **more: Any) -> Path:
    (folder / "recipe.yaml").write_text(dump_yaml(RECIPE | more), encoding="utf-8")
    return folder


def read(folder: Path) -> tuple[Facts, Record]:
    return read_facts(folder), read_record(folder)


def rows(folder: Path) -> dict[str, Mapping[str, Row]]:
    return {each.name: {row.number: row for row in each.rows} for each in checklists(*read(folder))}


# ---------------------------------------------------------------- the flow diagram


def test_the_flow_diagram_adds_up_and_tells_every_step_and_split(tmp_path: Path) -> None:
    folder = made_up_run(tmp_path / "run")
    change(folder, "audit", flow=STEPS)
    found = flow.flow_of(read_facts(folder))
    assert found is not None
    assert (found.found, found.used, found.patients) == (180 + 12 + 130 + 3, 180, 30)
    drawn = flow.drawing(read_facts(folder))
    assert drawn is not None
    words = " ".join(html.unescape(" ".join(re.findall(r"<text[^>]*>([^<]*)<", drawn.svg))).split())
    for text in ("325 files or images", *(f"n = {step['images']}: {step['what']}" for step in STEPS)):
        assert text in words
    for split in ("train", "val", "test"):
        assert f"{split} 60 images 10 patients pneumonia: 30 images" in words
    alternative = html.unescape(re.findall(r'aria-label="([^"]*)"', drawn.svg)[0])
    assert alternative == f"Flow diagram: {found.words}"
    assert "3 not used: cannot be read; left out, as asked" in alternative
    assert "#0a0b" not in drawn.svg  # colours are the page's
    assert drawn.svg == flow.drawing(read_facts(folder)).svg


@pytest.mark.parametrize("names", [MANY, ("a", "b")])
def test_no_text_of_the_flow_diagram_leaves_its_box(tmp_path: Path, names: tuple[str, ...]) -> None:
    long = ("negative", "a finding with a name that is far longer than its box is wide")
    folder = made_up_run(tmp_path / "run", long if names == ("a", "b") else names)
    change(folder, "audit", flow=[*STEPS, {"what": "x" * 200, "images": 1}])
    drawn = flow.drawing(read_facts(folder))
    assert drawn is not None
    boxes = re.findall(r'd="M ([\d.]+) [\d.]+ \nL ([\d.]+) ', drawn.svg)
    assert boxes
    # A letter of this size is less than 6 points wide on average in any usual font.
    widest = max(float(right) - float(left) for left, right in boxes)
    assert all(
        len(html.unescape(text)) * 5.3 <= widest for text in re.findall(r"<text[^>]*>([^<]*)<", drawn.svg)
    )


def test_without_anything_left_out_the_diagram_begins_with_what_was_used(tmp_path: Path) -> None:
    drawn = flow.drawing(read_facts(made_up_run(tmp_path / "run")))
    assert drawn is not None
    assert "All images that were found were used." in drawn.caption
    assert "files or images" not in drawn.svg


def test_patients_who_stand_in_two_splits_are_not_added_up(tmp_path: Path) -> None:
    folder = made_up_run(tmp_path / "run")
    leak = {"code": "patient-leak", "severity": "error", "message": "3 patients stand in two splits."}
    change(folder, "audit", findings=[leak])
    drawn = flow.drawing(read_facts(folder))
    assert drawn is not None
    assert "30 patients" not in drawn.svg
    assert "Patients are not added up" in drawn.caption
    row = rows(folder)["CLAIM 2024"]["20"]
    assert (row.state, row.told) == ("not done", "They are not: 3 patients stand in two splits.")


def test_images_that_were_taken_for_patients_are_not_called_patients(tmp_path: Path) -> None:
    folder = made_up_run(tmp_path / "run")
    change(folder, "audit", patients_are_images=True)
    found = flow.flow_of(read_facts(folder))
    assert found is not None
    assert "patient" not in found.words
    assert "Each image was taken for its own patient." in " ".join(methods(*read(folder)))
    assert rows(folder)["CLAIM 2024"]["20"].told.startswith("By image")


def test_a_run_that_does_not_tell_of_its_images_has_no_flow_diagram(tmp_path: Path) -> None:
    folder = made_up_run(tmp_path / "run")
    (folder / "audit.json").unlink()
    assert flow.drawing(read_facts(folder)) is None


# ---------------------------------------------------------------- methods


def test_the_methods_say_what_the_files_say(tmp_path: Path) -> None:
    folder = with_recipe(made_up_run(tmp_path / "run", synthetic=False))
    change(folder, "audit", flow=STEPS[:1])
    change(
        folder,
        "environment",
        weights={"used": "imagenet", "statement": "Starts from ImageNet weights (timm/resnet50)."},
        test_openings=1,
    )
    change(
        folder, "metrics", temperature=1.25, protocol={"unit": "patient", "images": "mean", "rule": "youden"}
    )
    point = json.loads((folder / "metrics.json").read_text())["operating_point"]["threshold"]
    data, training, judging = methods(*read(folder))
    assert data == (
        "A ResNet-50 was fine-tuned to tell pneumonia from normal. Of 192 files or images, these were "
        "left out: 12 (files that are no images). 180 images of 30 patients were used. Train held 60 "
        "images of 10 patients (pneumonia: 30 images), val held 60 images of 10 patients (pneumonia: 30 "
        "images) and test held 60 images of 10 patients (pneumonia: 30 images). Five patient-wise folds were "
        "made. Images were "
        "resized to 224 by 224 pixels and prepared by the transforms Radiograph (size 224, strength 1). "
        "In training, the same transforms changed them at random."
    )
    assert training == (
        "Training started from ImageNet weights (timm/resnet50). The head was LinearHead (dropout 0.2). "
        "The loss was the binary cross-entropy. Parameters were fitted by AdamW at a highest learning "
        "rate of 0.001 times 0.1, as the weights were pretrained, with a weight decay of 0.05 but none of"
        " norms and biases, in batches of 16 images, gradients clipped at 1. The rate rose over the first"
        " 10 % of the steps and then fell along half a cosine to 1 % of its highest value. Training took "
        "4 epochs of 8 planned; epoch 2, counted from 0, was kept for its AUROC on val."
    )
    for sentence in (
        "The unit of analysis was the patient, the probabilities of whose images were averaged.",
        "Logits were divided by a temperature of 1.25, fitted on the images of val.",
        f"A case was called positive from a probability of {point:.4g}, chosen on val by Youden's index",
        "after all choices of this run had been made; they were opened for the first time.",
        "that of the AUROC by DeLong's variance clustered by patient, on the logit scale",
        "Precision was bf16-mixed in training and 32-true for all figures.",
        "Software: rn50med 1.2.3, Python 3.12.1, torch 2.15.0. The seed was 17.",
    ):
        assert sentence in judging


def test_the_methods_of_labels_and_of_several_classes_are_theirs(tmp_path: Path) -> None:
    folder = made_up_labels(tmp_path / "labels")
    with_recipe(folder, task={"class_path": "rn50med.MultiLabel"})
    temperatures = {name: 0.9 + 0.1 * place for place, name in enumerate(LABELS)}
    change(folder, "metrics", temperature=temperatures, protocol={"unit": "image", "images": "mean"})
    text = " ".join(methods(*read(folder)))
    assert f"to find, each present or absent, {', '.join(LABELS[:-1])} and {LABELS[-1]}." in text
    assert "binary cross-entropy over the labels that were known" in text
    assert "a temperature fitted on the images of val (0.9 to 2.2; 1 where val has none that is best)" in text
    assert "The unit of analysis was the image." in text
    assert "Each label had a threshold of its own, chosen on val by Youden's index." in text
    text = " ".join(
        methods(*read(with_recipe(made_up_run(tmp_path / "many", MANY), task={"class_path": "x.Own"})))
    )
    assert "The most probable class was called." in text
    assert "The loss" not in text  # of a task that says nothing of it
    assert "Probabilities were not recalibrated." in text


def test_a_loss_and_a_sampler_that_were_asked_for_are_told_instead_of_the_usual_ones(tmp_path: Path) -> None:
    own = {"class_path": "rn50med.losses.Focal", "init_args": {"gamma": 2.0}}
    folder = with_recipe(made_up_run(tmp_path / "run"), model=RECIPE["model"] | {"loss": own})
    assert "The loss was Focal (gamma 2)." in methods(*read(folder))[1]
    assert rows(folder)["TRIPOD+AI"]["13"].told == "The loss was Focal (gamma 2)."
    own = {"class_path": "rn50med.losses.CrossEntropy", "init_args": {"weights": "class_balanced"}}
    with_recipe(folder, model=RECIPE["model"] | {"loss": own})
    assert rows(folder)["TRIPOD+AI"]["13"].told == (
        "The loss was CrossEntropy, classes weighted by the effective number of their images."
    )
    with_recipe(folder, data=RECIPE["data"] | {"sampler": "balanced"})
    assert rows(folder)["TRIPOD+AI"]["13"].told == (
        "The loss was the binary cross-entropy. Each class was drawn as often in training."
    )
    assert "neither weighted nor resampled" in rows(with_recipe(folder))["TRIPOD+AI"]["13"].told


def test_a_temperature_that_val_does_not_ask_for_was_not_fitted(tmp_path: Path) -> None:
    folder = made_up_run(tmp_path / "run")
    change(folder, "metrics", temperature=1.0)
    assert "Logits were left as they are, since val has no temperature" in " ".join(methods(*read(folder)))


def test_a_fold_does_not_say_that_test_was_opened(tmp_path: Path) -> None:
    splits = {"crossval": 5, "held_out": 1}
    folder = with_recipe(made_up_run(tmp_path / "run"), data=RECIPE["data"] | {"splits": splits})
    told = methods(*read(folder))[2]
    assert "The fold that was held out was evaluated after" in told
    assert "test images" not in told


def test_an_epoch_that_no_figure_chose_is_the_last(tmp_path: Path) -> None:
    folder = with_recipe(made_up_run(tmp_path / "run"))
    epochs = pd.read_csv(folder / "metrics.csv").assign(**{"val/auroc": ""})
    epochs.to_csv(folder / "metrics.csv", index=False)
    assert "the last was kept, since the AUROC on val was never defined." in methods(*read(folder))[1]
    told = dict(training_rows(read_facts(folder)))["Epochs"]
    assert told.endswith("was kept, the last, since val/auroc was never defined")


@pytest.mark.parametrize(
    ("temperature", "classes", "chosen"),
    [
        (1.5, BINARY, "epoch, temperature and threshold"),
        (None, BINARY, "epoch and threshold"),
        (1.5, MANY, "epoch and temperature"),
        (None, MANY, "epoch"),
    ],
)
def test_what_val_chose_is_told_and_nothing_else(
    tmp_path: Path, temperature: float | None, classes: tuple[str, ...], chosen: str
) -> None:
    folder = made_up_run(tmp_path / "run", classes)
    metrics = json.loads((folder / "metrics.json").read_text()) | {"temperature": temperature}
    metrics.pop("test")
    (folder / "metrics.json").write_text(json.dumps(metrics))
    facts, record = read(folder)
    assert facts.chosen == chosen
    assert f"the figures are of val, which chose the {chosen}, and" in " ".join(not_done(facts, record))


FILES = (
    "metrics.json",
    "audit.json",
    "environment.json",
    "recipe.yaml",
    "predictions/val.csv",
    "predictions/test.csv",
)


@pytest.mark.parametrize("missing", [*((name,) for name in FILES), FILES])
def test_what_no_file_says_is_left_out_of_methods_and_guidelines(
    tmp_path: Path, missing: tuple[str, ...]
) -> None:
    folder = with_recipe(made_up_run(tmp_path / "run"))
    for name in missing:
        (folder / name).unlink()
    told = [*methods(*read(folder)), *(row.told for each in rows(folder).values() for row in each.values())]
    for text in filter(None, told):
        assert not re.search(r"\bNone\b|nan\b|\{|\}|  |\.\.| \.|\( ?\)|:\s*$|^[^A-Z\dr]", text), text
        assert text.endswith(".")
    text = " ".join(told)
    gone = {
        "metrics.json": ("95 % intervals", "called positive"),
        "audit.json": ("held", "Five patient-wise folds", "There is a flow diagram"),
        "environment.json": ("Training took", "Software", "The seed", "The loss"),
        "recipe.yaml": ("Radiograph", "AdamW"),
    }
    absent = [word for name in missing for word in gone.get(name, ())]
    assert [word for word in absent if word in text] == []
    if missing == FILES:
        assert methods(*read(folder)) == ()
        assert {row.state for each in rows(folder).values() for row in each.values()} <= {"open", "not done"}


def test_the_methods_tell_what_trained_and_what_was_done_against_overfitting(tmp_path: Path) -> None:
    kit = {"ema_decay": 0.999, "mixup": 0.2, "cutmix": 0.0, "l2_sp": 0.0}
    probe = {"class_path": "rn50med.training.finetuning.LinearProbe", "init_args": {"memory": 2.0}}
    model = RECIPE["model"] | {"regularisation": kit, "finetuning": probe}
    data = RECIPE["data"] | {"sampler": "balanced"}
    folder = with_recipe(made_up_run(tmp_path / "run"), model=model, data=data)
    training = methods(*read(folder))[1]
    for sentence in (
        "Only the head was trained; the backbone stayed as its weights were.",
        "A moving average of the weights was validated, kept and judged; its decay rose with the steps, to "
        "at most 0.999.",
        "Pairs of images and their targets were blended by mixup, with alpha 0.2.",
        "In training each class was drawn as often as the others.",
    ):
        assert sentence in training
    assert "CutMix" not in training
    plain = methods(*read(with_recipe(made_up_run(tmp_path / "plain"))))[1]
    assert "moving average" not in plain
    assert "Only the head" not in plain


def test_the_methods_tell_only_what_acted(tmp_path: Path) -> None:
    backbone = {"class_path": "rn50med.ResNet50", "init_args": {"weights": "auto", "drop_path": 0.1}}
    model = RECIPE["model"] | {"regularisation": {"l2_sp": 0.01}, "backbone": backbone}
    folder = with_recipe(made_up_run(tmp_path / "run"), model=model, trainer={"limit_train_batches": 0.25})
    random = methods(*read(folder))[1]
    change(folder, "environment", weights={"used": "imagenet", "statement": "Starts from ImageNet weights."})
    learnt = methods(*read(folder))[1]
    probe = {"class_path": "rn50med.training.finetuning.LinearProbe", "init_args": {}}
    alone = methods(*read(with_recipe(folder, model=model | {"finetuning": probe})))[1]
    for text, acted in ((random, False), (learnt, True), (alone, False)):
        assert ("Pretrained weights were drawn back to their start (L2-SP), by 0.01." in text) is acted
        assert ("none of norms and biases, nor of the weights that L2-SP drew back" in text) is acted
        assert ("times 0.1, as the weights were pretrained" in text) is acted
    skipped = "residual blocks were skipped at random, the last with a probability of 0.1"
    assert [skipped in text for text in (random, learnt, alone)] == [True, True, False]
    assert ", each of 25 % of the batches of train" in random
    assert "each of" not in alone


def test_a_run_that_never_opened_test_says_so(tmp_path: Path) -> None:
    folder = made_up_run(tmp_path / "run")
    metrics = json.loads((folder / "metrics.json").read_text())
    (folder / "metrics.json").write_text(json.dumps({k: v for k, v in metrics.items() if k != "test"}))
    assert "The test set was not opened." in " ".join(methods(*read(folder)))
    claim = rows(folder)["CLAIM 2024"]
    assert (claim["32"].state, claim["6"].told) == ("not done", "A model was made, and judged on val alone.")


# ---------------------------------------------------------------- guidelines


def test_the_guidelines_have_all_their_items() -> None:
    assert [item.number for item in CLAIM.items] == [str(number) for number in range(1, 45)]
    numbers = [item.number for item in TRIPOD_AI.items]
    assert len(numbers) == len(set(numbers)) == 52
    assert list(dict.fromkeys(int(re.sub(r"\D", "", each)) for each in numbers)) == list(range(1, 28))


def test_the_counts_of_a_guideline_are_those_of_its_rows(tmp_path: Path) -> None:
    folder = with_recipe(
        made_up_run(tmp_path / "run"), study={"ethics": "Waived.", "data_access": "On request."}
    )
    for each in checklists(*read(folder)):
        states = [row.state for row in each.rows]
        counts = [int(number) for number in re.findall(r": (\d+)", each.summary)]
        assert counts == [states.count(name) for name in ("tool", "authors", "not done", "part", "open")]
        assert sum(counts) == len(each.rows)
        for row in each.rows:
            assert bool(row.told) or row.state in {"open", "authors", "part"}
            assert row.wanting == (row.state in {"open", "part"})


def test_the_words_of_the_authors_fill_what_the_tool_cannot_know(tmp_path: Path) -> None:
    folder = made_up_run(tmp_path / "run")
    before = rows(with_recipe(folder))
    assert before["TRIPOD+AI"]["17"].state == "open"
    assert before["CLAIM 2024"]["14"].state == "open"
    after = rows(with_recipe(folder, study={"ethics": "Waived.", "labelling": "Two radiologists."}))
    assert after["TRIPOD+AI"]["17"].authors == (("Ethics", "Waived."),)
    assert after["TRIPOD+AI"]["17"].state == "authors"
    assert after["CLAIM 2024"]["16"].state == "authors"
    assert after["CLAIM 2024"]["17"].state == "part"  # it asks for the blinding as well
    changed = {
        (name, number)
        for name, each in after.items()
        for number, row in each.items()
        if row.state != before[name][number].state
    }
    assert changed == {("TRIPOD+AI", "17"), ("TRIPOD+AI", "8b"), ("CLAIM 2024", "16"), ("CLAIM 2024", "17")}


def test_what_was_not_done_is_not_counted_as_filled_in(tmp_path: Path) -> None:
    folder = made_up_run(tmp_path / "run")
    claim = rows(folder)["CLAIM 2024"]
    assert {number for number, row in claim.items() if row.state == "not done"} >= {"30", "31", "33"}
    assert claim["33"].told == "The run was not evaluated on images other than its own."
    (folder / "checks.json").write_text('{"robustness": [{"noise": 0.1}], "baselines": [], "shortcuts": []}')
    for place in ("test/test", "test/test-2", "test/val"):  # its own images again
        (folder / place).mkdir(parents=True)
        (folder / place / "metrics.json").write_text("{}")
    claim = rows(folder)["CLAIM 2024"]
    assert (claim["30"].state, claim["33"].state) == ("tool", "not done")
    (folder / "test" / "elsewhere").mkdir()
    (folder / "test" / "elsewhere" / "metrics.json").write_text("{}")
    claim = rows(folder)["CLAIM 2024"]
    assert claim["33"].told.startswith("The run was evaluated once on images other than its own")
    assert "elsewhere" not in claim["33"].told


def test_subgroups_are_told_of_where_there_are_some(tmp_path: Path) -> None:
    folder = made_up_run(tmp_path / "run")
    assert rows(folder)["TRIPOD+AI"]["23b"].state == "not done"
    tripod = rows(with_manifest(folder))["TRIPOD+AI"]
    assert tripod["23b"].state == "tool"
    assert "site" in tripod["23b"].told
    assert "PatientSex" in tripod["23a"].told
    assert "PatientSex" not in tripod["23b"].told


# ---------------------------------------------------------------- what was not done


def test_what_was_not_done_goes_with_what_there_is(tmp_path: Path) -> None:
    folder = made_up_run(tmp_path / "run")
    said = " ".join(not_done(*read(folder)))
    usual = ("No calibration: the", "No robustness check", "No probe for shortcuts", "with a simpler model")
    for words in (*usual, "No external validation", "No description of the study"):
        assert words in said
    with_recipe(folder, study={"setting": "One hospital."})
    change(folder, "metrics", temperature=1.5)
    (folder / "checks.json").write_text('{"robustness": [1], "baselines": [1], "shortcuts": [1]}')
    said = " ".join(not_done(*read(folder)))
    assert not [words for words in (*usual, "No description of the study") if words in said]
    assert "No calibration but a temperature fitted on val" in said
    assert "No comparison with readers or with published results." in said
    assert "No external validation" in said


# ---------------------------------------------------------------- the pages


def test_the_words_of_the_authors_stand_escaped_and_as_theirs_in_both_pages(tmp_path: Path) -> None:
    words = "To help <b>readers</b> | of a *ward*"
    folder = with_recipe(made_up_run(tmp_path / "run"), study={"intended_use": words})
    write_report(folder)
    page, card = ((folder / name).read_text(encoding="utf-8") for name in ("report.html", "model_card.md"))
    assert "<b>readers" not in page + card
    assert page.count("To help &lt;b&gt;readers&lt;/b&gt; | of a *ward*") > 1
    assert "In the words of its authors" in page[: page.index("To help")]
    assert "- Intended use: To help &lt;b&gt;readers&lt;/b&gt; \\| of a \\*ward\\*" in card
    assert card.index("In the words of the authors") < card.index("- Intended use")
    assert page.count('<details class="checklist">') == 2
    printed = page[page.rindex("@media print") : page.index("</style>")]
    assert (
        "details::details-content { content-visibility: visible" in printed
    )  # folded tables are printed open
    for text in (page, card):
        assert CANARY not in text
        assert "/data/" not in text


@pytest.mark.parametrize("name", ["recipe.yaml", "checks.json"])
def test_a_damaged_file_is_a_storage_error_without_its_place(tmp_path: Path, name: str) -> None:
    folder = made_up_run(tmp_path / "run")
    (folder / name).write_text("{", encoding="utf-8")
    with pytest.raises(StorageError, match=f"^{re.escape(name)}: cannot be read") as caught:
        read_record(folder)
    assert str(tmp_path) not in str(caught.value)
