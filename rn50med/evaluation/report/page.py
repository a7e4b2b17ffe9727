"""Draw a run's ``report.html`` and ``model_card.md`` from its files."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path

from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup

from rn50med.errors import StorageError
from rn50med.evaluation.report import charts, conduct, content, flow
from rn50med.evaluation.report.checklists import checklists
from rn50med.evaluation.report.checks import checks, findings
from rn50med.evaluation.report.details import Details, details
from rn50med.evaluation.report.facts import Facts, read_facts
from rn50med.evaluation.report.labels import labels
from rn50med.evaluation.report.methods import methods
from rn50med.evaluation.report.record import Record, read_record
from rn50med.evaluation.report.values import values_part
from rn50med.evaluation.report.wording import markdown

_PAGE, _CARD = "template.html.jinja", "model_card.md.jinja"
_PARTS = (  # of the page
    "details.html.jinja",
    "values.html.jinja",
    "checks.html.jinja",
    "flow.html.jinja",
    "study.html.jinja",
    "methods.html.jinja",
    "checklists.html.jinja",
)


Pictures = Callable[[Sequence[int]], Mapping[int, bytes]]
"""Small PNG files of images, by their lines of ``manifest.csv``."""


def write_report(folder: Path, pictures: Pictures | None = None) -> None:
    """Write ``report.html`` and ``model_card.md`` of a run, from nothing but the files in its folder.

    Equal files give equal bytes. Neither page holds a path, an image's name or a patient, and neither
    loads anything from elsewhere. Without `pictures` neither shows an image.

    Args:
        folder: The run folder. What is missing in it is named in the report.
        pictures: Of the images that were called wrongly with the most confidence.

    Raises:
        StorageError: If the folder is not there, or a file cannot be read or written.
    """
    facts, record = read_facts(Path(folder)), read_record(Path(folder))
    pages = {"report.html": page(facts, record, pictures), "model_card.md": model_card(facts, record)}
    for name, text in pages.items():
        replace_page(Path(folder) / name, text)


def replace_page(path: Path, text: str) -> None:
    """Write a file whole or not at all.

    Args:
        path: The file.
        text: What it holds.

    Raises:
        StorageError: If it cannot be written.
    """
    partial = path.with_name(f".{path.name}.tmp")
    try:
        partial.write_text(text, encoding="utf-8", newline="\n")
        partial.replace(path)
    except OSError as error:
        raise StorageError(
            f"{path.name}: cannot be written ({error.strerror}); free or open the folder."
        ) from error


def _context(facts: Facts, record: Record) -> dict[str, object]:
    splits, rows = content.figure_rows(facts)
    return {
        "title": content.title(facts),
        "facts": facts,
        "headline": content.headline(facts),
        "point": content.point(facts),
        "splits": splits,
        "rows": rows,
        "data": content.data_rows(facts),
        "findings": (*content.findings(facts), *findings(record.checks)),
        "labels": labels(facts),
        "values": values_part(facts),
        "confusion": content.confusion(facts),
        "training": conduct.training_rows(facts),
        "not_done": conduct.not_done(facts, record),
        "study": record.study.given(),
        "held_out": record.held_out,
        "overfitting": conduct.overfitting_rows(facts),
    }


def page(facts: Facts, record: Record, pictures: Pictures | None = None) -> str:
    """Return the report as one HTML page that stands alone.

    Args:
        facts: Of the run.
        record: How it was set up.
        pictures: As for `write_report`.
    """
    curves = [
        drawing for drawing in (charts.roc(facts), charts.precision_recall(facts)) if drawing is not None
    ]
    drawn = {
        name: [(Markup(drawing.svg), drawing.caption) for drawing in drawings]  # noqa: S704 - our own SVG, labels escaped
        for name, drawings in (("curves", curves), ("learning", charts.learning(facts)))
    }
    environment = Environment(
        loader=_templates(), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    shown = details(facts)
    written = {
        "details": shown,
        "pictures": _embedded(shown, pictures),
        "checks": checks(record.checks, facts),
        "flow": flow.drawing(facts),
        "methods": methods(facts, record),
        "checklists": checklists(facts, record),
    }
    return environment.get_template(_PAGE).render(_context(facts, record) | drawn | written)


def _embedded(shown: Details | None, pictures: Pictures | None) -> dict[str, str]:
    """Return pictures of the hardest errors as addresses that hold them, by line as text."""
    if shown is None or pictures is None:
        return {}
    found = [each.hardest for each in shown.each if each.hardest is not None]
    lines = sorted({line for wrong in found for line in wrong.lines})
    return {
        str(line): f"data:image/png;base64,{b64encode(content).decode()}"
        for line, content in pictures(lines).items()
    }


def model_card(facts: Facts, record: Record) -> str:
    """Return the model card, in Markdown, from the same facts.

    Args:
        facts: Of the run.
        record: How it was set up.
    """
    environment = Environment(
        loader=_templates(),
        autoescape=False,  # noqa: S701 - Markdown: every value goes through `markdown` instead
        finalize=markdown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(_CARD).render(_context(facts, record))


def _templates() -> DictLoader:
    here = files("rn50med.evaluation.report")
    return DictLoader(
        {name: here.joinpath(name).read_text(encoding="utf-8") for name in (_PAGE, _CARD, *_PARTS)}
    )
