"""The report in a browser, without a network: on wide and narrow screens, dark and light, and on paper."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import PROGRAM, Browser
from made_up_folds import made_up_folds
from made_up_run import LABELS, MANY, made_up_labels, made_up_run, with_manifest

from rn50med.evaluation.report import write_report
from rn50med.training.crossval import conclude

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no Chromium is installed; `apt install chromium`")

KINDS = {
    "binary": lambda folder: write_report(with_manifest(made_up_run(folder))),
    "classes": lambda folder: write_report(with_manifest(made_up_run(folder, MANY[:3]))),
    "labels": lambda folder: write_report(with_manifest(made_up_labels(folder, LABELS[:9]))),
    "folds": lambda folder: conclude(made_up_folds(folder)),
}
LONG = tuple(f"{name}, with a name much longer than there is room for in a chart" for name in MANY[1:])
WIDE, NARROW = 1280, 400  # CSS pixels

# What a reader sees of each text: itself, its colour, what is behind it, its size, and where it is.
_TEXTS = """
(() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const paint = (layers) => {
    canvas.clearRect(0, 0, 1, 1);
    for (const layer of ['white', ...layers]) { canvas.fillStyle = layer; canvas.fillRect(0, 0, 1, 1); }
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const found = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const text = walk.currentNode.textContent.trim(), owner = walk.currentNode.parentElement;
    if (!text || !owner.checkVisibility({contentVisibilityAuto: true})) continue;
    const behind = [];
    for (let each = owner; each; each = each.parentElement)
      behind.unshift(getComputedStyle(each).backgroundColor);
    const style = getComputedStyle(owner), range = document.createRange();
    range.selectNodeContents(walk.currentNode);
    const box = range.getBoundingClientRect(), drawn = owner.closest('svg');
    const ink = drawn && style.fill !== 'none' ? style.fill : style.color;
    const frame = drawn ? drawn.getBoundingClientRect() : null;
    found.push({
      text, ink: paint([...behind, ink]), paper: paint(behind), height: box.height,
      chart: drawn ? drawn.getAttribute('aria-label') : '',
      box: [box.left, box.top, box.right, box.bottom],
      frame: frame ? [frame.left, frame.top, frame.right, frame.bottom] : null,
    });
  }
  return found;
})()
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[Browser]:
    """One browser for all pages."""
    with Browser(tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.fixture(scope="module", params=KINDS.values(), ids=KINDS)
def report(request, tmp_path_factory) -> Path:
    """The report of a made-up run of each task, and of a cross-validation."""
    folder = tmp_path_factory.mktemp("run") / "run"
    request.param(folder)
    return folder / "report.html"


def luminance(colour: list[int]) -> float:
    parts = [each / 255 for each in colour]
    linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: list[int], other: list[int]) -> float:
    """Return the contrast of two colours, from 1 to 21 (WCAG 2.2, relative luminance)."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_the_browser_would_tell(browser, tmp_path) -> None:
    page = tmp_path / "page.html"
    page.write_text(
        "<!doctype html><title>t</title><body style='width: 3000px'><img src='http://example.invalid/a.png'>"
        "<script>console.error('a fault'); nobody.knows()</script><p style='color: #777'>pale</p>"
    )
    browser.look(WIDE)
    browser.open(page)
    assert [each["type"] for each in browser.happened("Runtime.consoleAPICalled")] == ["error"]
    assert len(browser.happened("Runtime.exceptionThrown")) == 1
    assert [each["entry"]["level"] for each in browser.happened("Log.entryAdded")] == ["error"]
    assert len(browser.happened("Network.requestWillBeSent")) == 2
    assert browser.tell("document.documentElement.scrollWidth") > WIDE
    (text,) = browser.tell(_TEXTS)
    assert round(contrast(text["ink"], text["paper"]), 2) == 4.48


def test_a_chart_over_two_pages_would_be_seen(browser, tmp_path) -> None:
    page = tmp_path / "page.html"
    page.write_text(
        "<!doctype html><svg role='img' aria-label='tall' width='90' height='1500' viewBox='0 0 90 1500'>"
        "<rect width='90' height='1500'/></svg>"
    )
    browser.open(page)
    (figure,) = printed_figures(browser.printed())
    assert b"/MCR" in figure


def test_the_page_asks_for_nothing_but_itself_and_complains_of_nothing(browser, report) -> None:
    browser.look(WIDE)
    browser.open(report)
    asked = [each["request"]["url"] for each in browser.happened("Network.requestWillBeSent")]
    assert asked == [report.as_uri()]
    for complaint in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"):
        assert browser.happened(complaint) == []
    assert browser.tell("document.compatMode") == "CSS1Compat"


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_the_page_is_never_wider_than_the_window(browser, report, width) -> None:
    browser.look(width)
    browser.open(report)
    assert browser.tell("innerWidth") == width
    assert browser.tell("document.documentElement.scrollWidth") <= width
    # A table may scroll, but in a box of its own.
    outside = """[...document.querySelectorAll('main *')].filter(each => !each.closest('.scroll, svg')
        && each.getBoundingClientRect().right > innerWidth).map(each => each.outerHTML.slice(0, 80))"""
    assert browser.tell(outside) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read(browser, report, scheme) -> None:
    browser.look(WIDE, scheme)
    browser.open(report)
    texts = browser.tell(_TEXTS)
    assert len(texts) > 100
    # 4.5 is what WCAG 2.2 asks of text, 1.4.3.
    assert [each for each in texts if contrast(each["ink"], each["paper"]) < 4.5] == []
    bright = luminance(texts[0]["paper"]) > 0.5
    assert bright == (scheme == "light")


@pytest.fixture(scope="module")
def long_names(tmp_path_factory) -> Path:
    """The report of a run whose classes have long names."""
    folder = made_up_run(tmp_path_factory.mktemp("run") / "run", LONG)
    write_report(folder)
    return folder / "report.html"


def overlaps(one: list[float], other: list[float]) -> bool:
    """Return whether two boxes share more than a pixel in both directions."""
    return all(min(one[k + 2], other[k + 2]) - max(one[k], other[k]) > 1 for k in (0, 1))


def test_texts_of_a_chart_lie_within_it_and_apart_from_each_other(browser, report) -> None:
    check_charts(browser, report)


def test_long_names_find_room(browser, long_names) -> None:
    check_charts(browser, long_names)
    for width in (WIDE, NARROW):
        browser.look(width)
        assert browser.tell("document.documentElement.scrollWidth") <= width


def check_charts(browser: Browser, page: Path) -> None:
    """Check that the texts of each chart lie within it, and do not cross."""
    browser.look(WIDE)
    browser.open(page)
    drawn = [each for each in browser.tell(_TEXTS) if each["frame"]]
    assert drawn
    for each in drawn:
        box, frame = each["box"], each["frame"]
        inside = [box[0] - frame[0], box[1] - frame[1], frame[2] - box[2], frame[3] - box[3]]
        assert min(inside) > -1, each
    for chart in dict.fromkeys(each["chart"] for each in drawn):
        parts = [each for each in drawn if each["chart"] == chart]
        for place, one in enumerate(parts):
            crossed = [each["text"] for each in parts[:place] if overlaps(one["box"], each["box"])]
            assert crossed == [], (chart, one["text"])


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_no_text_is_tiny(browser, report, width) -> None:
    browser.look(width)
    browser.open(report)
    # The box of a line is about 1.15 times the size of its letters; 8 px is the size of a footnote in print.
    assert [each for each in browser.tell(_TEXTS) if each["height"] < 9] == []


def printed_figures(paper: bytes) -> list[bytes]:
    """Return, of each picture with an alternative text in a tagged PDF, what it is made of.

    A part on a further page is there as a reference of its own, an MCR.
    """
    return re.findall(rb"/S\s*/Figure\s*/Alt\s*(?:\(|<)(?:.|\n)*?/K\s*([^\n]*)", paper)


def test_every_chart_is_printed_whole_on_one_page(browser, report) -> None:
    browser.look(WIDE)
    browser.open(report)
    charts = browser.tell("document.querySelectorAll('svg').length")
    paper = browser.printed()
    assert paper.startswith(b"%PDF-")
    pages = len(re.findall(rb"/Type\s*/Page\b", paper))
    assert pages >= 3
    figures = printed_figures(paper)
    assert len(figures) == charts > 1
    assert [each for each in figures if b"/MCR" in each] == []


@pytest.mark.parametrize(("medium", "shown"), [("", False), ("print", True)])
def test_what_is_folded_on_the_screen_is_open_on_paper(browser, report, medium, shown) -> None:
    browser.look(WIDE, medium=medium)
    browser.open(report)
    browser.tell("document.querySelectorAll('details').forEach(each => { each.open = false; })")
    seen = browser.tell(
        "[...document.querySelectorAll('details')].map(each => each.lastElementChild.checkVisibility())"
    )
    assert seen == [shown] * len(seen)
