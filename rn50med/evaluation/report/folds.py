"""Draw the ``report.html`` of a cross-validation from the files of its folds."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from rn50med.evaluation.report import content, folds_charts, folds_content
from rn50med.evaluation.report.charts import Drawing
from rn50med.evaluation.report.folds_facts import Folds, read_folds
from rn50med.evaluation.report.page import replace_page

_PAGE, _RUN_PAGE = "folds.html.jinja", "template.html.jinja"
MOST_ROWS = 40
"""Rows of the table of figures beyond which those of single classes or labels are folded away."""


def write_folds_report(folder: Path) -> None:
    """Write ``report.html`` of a cross-validation, from nothing but the files in its folder.

    Equal files give equal bytes. The page holds no path, no image's name and no patient, and loads nothing
    from elsewhere.

    Args:
        folder: Of the cross-validation, all folds finished and put together.

    Raises:
        StorageError: If a file cannot be read or written.
    """
    replace_page(folder / "report.html", folds_page(read_folds(folder)))


def folds_page(folds: Folds) -> str:
    """Return the report of a cross-validation as one HTML page that stands alone.

    Args:
        folds: What its folder holds.
    """
    environment = Environment(
        loader=FunctionLoader(_text),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = Markup(environment.from_string(_style()).render())  # noqa: S704 - our own file
    return environment.get_template(_PAGE).render(_context(folds) | _charts(folds) | {"style": style})


def _context(folds: Folds) -> dict[str, object]:
    rows = folds_content.figure_rows(folds)
    short, watched = len(rows) <= MOST_ROWS, folds.first.watched
    headline = folds.mean.get(watched)
    return {
        "title": content.title(folds.first),
        "folds": folds,
        "first": folds.first,
        "number": len(folds.each),
        "unit": folds.unit.word(),
        "watched": folds.first.plain_name(watched),
        "headline": None if headline is None else folds_content.spread_cell(headline),
        "meaning": folds_content.meaning(folds),
        "closed": folds_content.closed(folds),
        "case": folds_content.a_case(folds),
        "rows": rows if short else rows[: sum(key.partition("/")[0] == watched for key in folds.mean)],
        "every": () if short else rows,
        "shown": [folds.first.label(key) for key in folds_content.headline_keys(folds)],
        "fold_rows": folds_content.fold_rows(folds),
        "data": folds_content.data_rows(folds),
        "findings": folds_content.findings(folds),
        "conduct": folds_content.conduct_rows(folds),
        "not_done": folds_content.not_done(folds),
        "not_drawn": folds_charts.not_drawn(folds),
    }


def _charts(folds: Folds) -> dict[str, object]:
    forest = folds_charts.aurocs(folds)
    return {
        "forest": None if forest is None else _inline(forest),
        "curves": [_inline(drawing) for drawing in folds_charts.rocs(folds)],
    }


def _inline(drawing: Drawing) -> tuple[Markup, str]:
    return Markup(drawing.svg), drawing.caption  # noqa: S704 - our own SVG, labels escaped


def _style() -> str:
    """Return the style of a run's report, which this one shares."""
    text = _text(_RUN_PAGE)
    return text[text.index("<style>") + len("<style>") : text.index("</style>")]


def _text(name: str) -> str:
    return files("rn50med.evaluation.report").joinpath(name).read_text(encoding="utf-8")
