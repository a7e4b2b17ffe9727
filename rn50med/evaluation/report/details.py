"""What a report shows of single findings: charts of their probabilities, subgroups, hardest errors."""

from __future__ import annotations

from dataclasses import dataclass

from rn50med.evaluation.report.charts import Drawing
from rn50med.evaluation.report.facts import Facts
from rn50med.evaluation.report.groups import Groups, groups
from rn50med.evaluation.report.hardest import Hardest, hardest
from rn50med.evaluation.report.outcomes import calibration, decisions, predictive, spread
from rn50med.evaluation.report.ranked import ranked
from rn50med.evaluation.report.subjects import MOST_SUBJECTS, Subject, subjects


@dataclass(frozen=True)
class Detail:
    """One finding, a class told apart from the rest or a label.

    Args:
        name: Of the class or label.
        drawings: Charts of its probabilities.
        groups: Its subgroups; None where the manifest has no column of the usual ones.
        hardest: Its wrong calls; None without calls.
        sentences: On what could not be drawn.
    """

    name: str
    drawings: tuple[Drawing, ...]
    groups: Groups | None
    hardest: Hardest | None
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class Details:
    """The findings that have charts of their own.

    Args:
        split: Whose images.
        each: The findings.
        sentence: On those that have none; mostly nothing.
    """

    split: str
    each: tuple[Detail, ...]
    sentence: str


def details(facts: Facts) -> Details | None:
    """Return what is shown of single findings; None without predictions.

    Args:
        facts: Of the run.
    """
    found = subjects(facts)
    if not found:
        return None
    sentence, number = "", len(facts.classes)
    if facts.positive is None and number > MOST_SUBJECTS:
        kind = "labels" if facts.multilabel else "classes"
        sentence = f"Of {number} {kind} the first {MOST_SUBJECTS} have charts of their own."
    return Details(found[0].split, tuple(_detail(facts, each) for each in found), sentence)


def _detail(facts: Facts, subject: Subject) -> Detail:
    wrong = hardest(subject)
    if subject.lacks:
        return Detail(subject.name, (), None, wrong, (f"No charts: {subject.lacks}.",))
    # Of one finding, both curves have a section of their own.
    drawings = [] if facts.positive is not None else [*ranked(subject)]
    drawings += [calibration(subject), spread(subject), decisions(subject)]
    values, sentences = predictive(subject), []
    if values is None:
        sentences.append("No predictive values by prevalence: sensitivity and specificity are not known.")
    else:
        drawings.append(values)
    # Of several findings one forest plot each is enough to read.
    parts = groups(subject) if facts.positive is not None else groups(subject, ("auroc",))
    return Detail(subject.name, tuple(drawings), parts, wrong, tuple(sentences))
