"""A task of somebody's own says itself what its loss and its figures are, in every report of its runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pytest
import torch
from made_up_tasks import made_up_of

from rn50med.evaluation.bootstrap import bootstrap_interval
from rn50med.evaluation.cases import Cases
from rn50med.evaluation.figure import Figure
from rn50med.evaluation.operating_point import Thresholds
from rn50med.evaluation.report import write_report
from rn50med.evaluation.report.facts import read_facts
from rn50med.evaluation.report.methods import methods
from rn50med.evaluation.report.record import read_record
from rn50med.tasks import Binary, MultiClass
from rn50med.testing import check_task


def share(right: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return weights @ right / weights.sum(axis=1)


@dataclass(frozen=True)
class Agreement(MultiClass):
    """Judged by how often it agrees, and taught by squared errors."""

    monitor: ClassVar[str] = "agreement"
    monitor_mode: ClassVar[Literal["max", "min"]] = "max"

    @property
    def loss_words(self) -> str:
        return "squared error of the probabilities"

    @property
    def headline_words(self) -> str:
        return "How often two readers would agree <with it>."

    @property
    def figure_words(self) -> dict[str, str]:
        return {"agreement": "Agreement (higher is better)"}

    @property
    def section(self) -> list[str]:
        return ["Readers & model are asked alike."]

    def loss(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return (logits.softmax(dim=-1) - self.soft(target)).square().sum(dim=-1).mean()

    def right(self, cases: Cases) -> np.ndarray:
        return (cases.probability.argmax(axis=1) == cases.target).astype(float)

    def watched(self, cases: Cases) -> dict[str, float]:
        return {"agreement": float(self.right(cases).mean())}

    def headline(self, cases: Cases) -> Figure:
        return bootstrap_interval(share, [self.right(cases)], cases.patients)

    def figures(
        self, cases: Cases, point: Thresholds, prevalence: Mapping[str, float] | None = None
    ) -> dict[str, Figure]:
        return {**super().figures(cases, point, prevalence), "agreement": self.headline(cases)}


class Wordless(Agreement):
    """Says nothing of its figure."""

    headline_words = ""
    figure_words: ClassVar[dict[str, str]] = {}
    section = ()


class Squared(Binary):
    """Has another loss than the task it derives from, and does not say so."""

    def loss(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return (logits.sigmoid()[:, 0] - target).square().mean()


NAMES = ("none", "mild", "severe")


def run_of(task: MultiClass, folder: Path) -> Path:
    rng = np.random.default_rng(0)
    target = np.arange(60) % 3
    return made_up_of(task, folder, rng.normal(size=(60, 3)) + np.eye(3)[target], target)


def pages(folder: Path) -> tuple[str, str]:
    write_report(folder)
    page, card = ((folder / name).read_text(encoding="utf-8") for name in ("report.html", "model_card.md"))
    return page, card


def test_a_task_of_ones_own_speaks_for_itself_in_report_card_and_methods(tmp_path: Path) -> None:
    check_task(Agreement(NAMES))
    folder = run_of(Agreement(NAMES), tmp_path / "run")
    page, card = pages(folder)
    assert '<h2 id="headline">Agreement on test</h2>' in page
    assert "<p>How often two readers would agree &lt;with it&gt;.</p>" in page
    assert '<th scope="row">Agreement (higher is better)</th>' in page
    assert "<h2>Agreement</h2>\n<p>Readers &amp; model are asked alike.</p>" in page
    assert "| Agreement (higher is better) |" in card
    facts, record = read_facts(folder), read_record(folder)
    told = " ".join(methods(facts, record))
    assert "squared error of the probabilities" in told
    assert "cross-entropy" not in told
    assert "was kept for its Agreement on val" in told


def test_a_figure_that_nobody_explained_is_not_explained_as_another(tmp_path: Path) -> None:
    """The report said of every figure of classes that it was the mean over the classes, an AUROC's words."""
    page, card = pages(run_of(Wordless(NAMES), tmp_path / "run"))
    assert '<h2 id="headline">agreement on test</h2>' in page
    for text in (page, card):
        assert "each told apart from all others" not in text
        assert "Readers" not in text


def test_a_loss_under_the_name_of_another_is_no_task() -> None:
    with pytest.raises(AssertionError, match=r"Squared: has a loss of its own, and the loss_words of Binary"):
        check_task(Squared("a", "b"))
