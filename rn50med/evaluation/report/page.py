"""Draw a run's ``report.html`` and ``model_card.md`` from its files."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup

from rn50med.errors import StorageError
from rn50med.evaluation.report import charts, conduct, content
from rn50med.evaluation.report.details import details
from rn50med.evaluation.report.facts import Facts, read_facts
from rn50med.evaluation.report.labels import labels
from rn50med.evaluation.report.values import values_part
from rn50med.evaluation.report.wording import markdown

_PAGE, _CARD = "template.html.jinja", "model_card.md.jinja"
_DETAILS, _VALUES = "details.html.jinja", "values.html.jinja"  # parts of the page


def write_report(folder: Path) -> None:
    """Write ``report.html`` and ``model_card.md`` of a run, from nothing but the files in its folder.

    Equal files give equal bytes. Neither page holds a path, an image's name or a patient, and neither
    loads anything from elsewhere.

    Args:
        folder: The run folder. What is missing in it is named in the report.

    Raises:
        StorageError: If the folder is not there, or a file cannot be read or written.
    """
    facts = read_facts(Path(folder))
    for name, text in (("report.html", page(facts)), ("model_card.md", model_card(facts))):
        _replace(Path(folder) / name, text)


def _replace(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    partial = path.with_name(f".{path.name}.tmp")
    try:
        partial.write_text(text, encoding="utf-8", newline="\n")
        partial.replace(path)
    except OSError as error:
        raise StorageError(
            f"{path.name}: cannot be written ({error.strerror}); free or open the folder."
        ) from error


def _context(facts: Facts) -> dict[str, object]:
    splits, rows = content.figure_rows(facts)
    return {
        "title": content.title(facts),
        "facts": facts,
        "headline": content.headline(facts),
        "point": content.point(facts),
        "splits": splits,
        "rows": rows,
        "data": content.data_rows(facts),
        "findings": content.findings(facts),
        "labels": labels(facts),
        "values": values_part(facts),
        "confusion": content.confusion(facts),
        "training": conduct.training_rows(facts),
        "not_done": conduct.not_done(facts),
    }


def page(facts: Facts) -> str:
    """Return the report as one HTML page that stands alone.

    Args:
        facts: Of the run.
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
    return environment.get_template(_PAGE).render(_context(facts) | drawn | {"details": details(facts)})


def model_card(facts: Facts) -> str:
    """Return the model card, in Markdown, from the same facts.

    Args:
        facts: Of the run.
    """
    environment = Environment(
        loader=_templates(),
        autoescape=False,  # noqa: S701 - Markdown: every value goes through `markdown` instead
        finalize=markdown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(_CARD).render(_context(facts))


def _templates() -> DictLoader:
    here = files("rn50med.evaluation.report")
    return DictLoader(
        {name: here.joinpath(name).read_text(encoding="utf-8") for name in (_PAGE, _DETAILS, _VALUES, _CARD)}
    )
