"""Two reporting guidelines, filled in as far as the run folder and the study block go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from rn50med.evaluation.report.answers import answers
from rn50med.evaluation.report.checklist_items import CLAIM, TRIPOD_AI, Answer, Guideline, Item
from rn50med.evaluation.report.facts import Facts
from rn50med.evaluation.report.record import Record
from rn50med.evaluation.study import Study, title_of

State = Literal["tool", "authors", "part", "not done", "open"]

AUTHOR = "author to complete"


@dataclass(frozen=True)
class Row:
    """An item and how far it is filled in.

    Args:
        number: As the guideline counts.
        asks: What is to be told.
        told: What the run folder tells, sentences.
        authors: What the study block tells, the name of the matter and the authors' words.
        state: `tool`: filled from the run folder; `authors`: the study block fills what was left; `part`: the
            run folder tells some of it; `not done`: what it asks for was not done; `open`: nothing is told.
    """

    number: str
    asks: str
    told: str
    authors: tuple[tuple[str, str], ...]
    state: State

    @property
    def wanting(self) -> bool:
        """Whether it is left to the authors."""
        return self.state in {"part", "open"}


@dataclass(frozen=True)
class Checklist:
    """A guideline, filled in.

    Args:
        name: Of the guideline.
        source: Where it was published.
        rows: One of each item.
    """

    name: str
    source: str
    rows: tuple[Row, ...]

    @property
    def summary(self) -> str:
        """How many items are filled in, and by whom."""
        counts = Counter(row.state for row in self.rows)
        return (
            f"filled by the tool: {counts['tool']} of {len(self.rows)}; with the authors' words: "
            f"{counts['authors']}; not done: {counts['not done']}; in part: {counts['part']}; "
            f"{AUTHOR}: {counts['open']}"
        )


def checklists(facts: Facts, record: Record) -> tuple[Checklist, ...]:
    """Return CLAIM 2024 and TRIPOD+AI, filled in.

    Args:
        facts: Of the run.
        record: How it was set up.

    Source:
        Tejani et al., Radiology: Artificial Intelligence 2024, doi 10.1148/ryai.240300; Collins et al., BMJ
        2024;385:e078378, doi 10.1136/bmj-2023-078378. The items are in our own words.
    """
    told = answers(facts, record)
    return tuple(_filled(each, told, record.study) for each in (CLAIM, TRIPOD_AI))


def _filled(guideline: Guideline, told: Mapping[str, Answer], study: Study) -> Checklist:
    rows = tuple(_row(item, told, study) for item in guideline.items)
    return Checklist(guideline.name, guideline.source, rows)


def _row(item: Item, told: Mapping[str, Answer], study: Study) -> Row:
    found = [told[topic] for topic in item.topics if told[topic].text]
    given = tuple((title_of(name), study.text(name)) for name in item.study if study.text(name))
    text = " ".join(dict.fromkeys(answer.text for answer in found))
    return Row(item.number, item.asks, text, given, _state(item, found, len(given)))


def _state(item: Item, found: list[Answer], given: int) -> State:
    told = given > 0 or any(answer.done for answer in found)
    if item.author:
        return "part" if told else "open"
    if item.study:
        return "authors" if given == len(item.study) else "part" if told else "open"
    done = {answer.done for answer in found}
    if len(found) < len(item.topics) or len(done) > 1:
        return "part" if told else "open"
    return "tool" if done == {True} else "not done"
