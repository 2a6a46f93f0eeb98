"""The page of a study: whole in one file, everything from data is text, long things are cut with a link to the whole."""

import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monoseme.evaluation import Metric
from monoseme.reports.figures import Cell, Estimate, Figure, heat_map, interval_dots
from monoseme.reports.study_page import (
    MOST_TABLE_ROWS,
    PageFigure,
    PageFinding,
    PageTable,
    StudyPage,
    render_study,
)
from monoseme.studies._dictionaries.curves import seed_curves
from monoseme.studies._maps.figures import Panel, class_map

_PNG = b"\x89PNG"


class _Elements(HTMLParser):
    """Every tag with its attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def _metric(name: str, value: float | None) -> Metric:
    why = None if value is not None else "no text"
    shared: dict[str, Any] = {"unit": "fraction", "better": "higher", "n": 7, "n_documents": 3, "standard_error": 0.01}
    return Metric(name=name, value=value, why_missing=why, definition=f"What {name} is.", **shared)


def _page(evil: str, **more: Any) -> StudyPage:
    dots = interval_dots("dots", [Estimate(evil, 1.0, 0.5, 1.5, note=evil)], title=evil, caption=evil)
    heat = heat_map("heat", [Cell(evil, "x", 1.0, evil)], title="Heat", caption="Shade.")
    content: dict[str, Any] = {
        "study": "planted",
        "title": evil,
        "text": f"Asked of {evil}.",
        "command": f"monoseme study planted --sae '{evil}'",
        "findings": [PageFinding(evil, "reproduced", "", ((True, evil), (False, "not")))],
        "figures": [PageFigure(dots, {"PNG": "figures/dots.png"}), PageFigure(heat, {})],
        "tables": [PageTable("t_1", [{"name": evil, "x": i, "why": None} for i in range(5)], None, "tables/t_1.csv")],
        "metrics": {"topk": [_metric("a", 0.5), _metric("b", None)], evil: [_metric("a", 0.25)]},
        "metrics_file": "tables/metrics.csv",
    }
    return StudyPage(**(content | more))


def _figures_of_studies() -> list[Figure]:
    """A map none of whose points are of the rest, and curves told apart by colour and dashes: Vega warned of both."""
    points = np.random.default_rng(0).normal(size=(7, 2))
    classes = ["ab"[i % 2] for i in range(7)]
    facts = [{"row": i, "class": name} for i, name in enumerate(classes)]
    panels = [Panel(name, points, np.arange(7)) for name in ("one", "two")]
    mapped = class_map("mapped", panels, classes, facts, title="Map", caption="Points.")
    rows = [
        {"family": "topk", "criterion": "cosine", "matched_in": line, "threshold": t, "share": 0.3, "low": 0.2, "high": 0.4}
        for line in ("a", "by chance")
        for t in (0.2, 0.7)
    ]
    return [mapped, seed_curves(rows)]


def test_nothing_from_data_becomes_an_element_or_a_script(evil: str) -> None:
    elements = _Elements(render_study(_page(evil))).found
    assert not [tag for tag, _ in elements if tag in ("img", "iframe", "object", "link", "base", "form")]
    assert not [name for _, attrs in elements for name in attrs if name.startswith("on")]
    scripts = [attrs for tag, attrs in elements if tag == "script"]
    assert scripts == [{"type": "application/json", "id": "report-data"}, {}, {}, {}]


def test_links_lead_to_the_files_beside_the_page_and_to_its_own_places(evil: str) -> None:
    elements = _Elements(render_study(_page(evil))).found
    links = {str(attrs[name]) for _, attrs in elements for name in ("href", "src", "srcset") if name in attrs}
    assert {link for link in links if not link.startswith("#")} == {"figures/dots.png", "tables/t_1.csv", "tables/metrics.csv"}
    ids = {attrs["id"] for _, attrs in elements if "id" in attrs}
    assert {link[1:] for link in links if link.startswith("#")} <= ids


def test_the_policy_admits_exactly_the_scripts_that_the_page_needs(evil: str) -> None:
    assert len(re.findall("sha256-", render_study(_page(evil)))) == 3
    assert len(re.findall("sha256-", render_study(_page(evil, figures=[])))) == 1
    bare = render_study(_page(evil, figures=[], tables=[]))
    assert "script-src &#39;none&#39;" in bare
    assert len(bare) < 30_000


def test_each_metric_has_a_row_with_its_definition_and_a_missing_one_its_reason(evil: str) -> None:
    page = render_study(_page(evil))
    assert len(re.findall(r"<summary [^>]*>a ↑", page)) == 1
    assert "What a is." in page
    assert "missing: no text" in page
    assert "not measured" in page


def test_a_long_table_is_cut_and_says_so(evil: str) -> None:
    rows = [{"x": i} for i in range(MOST_TABLE_ROWS + 7)]
    page = render_study(_page(evil, tables=[PageTable("t", rows, None, "tables/t.csv")]))
    assert page.count('<td class="num"') == MOST_TABLE_ROWS
    assert f"The first {MOST_TABLE_ROWS} of {MOST_TABLE_ROWS + 7} rows." in page


def test_a_figure_given_as_a_picture_brings_no_data(evil: str) -> None:
    figure = interval_dots("dots", [Estimate("row_of_data", 1.0)], title="D", caption="C.")
    page = render_study(_page(evil, figures=[PageFigure(figure, {}, (_PNG, _PNG))], tables=[]))
    assert "row_of_data" not in page
    assert page.count("data:image/png;base64,") == 2
    assert "<script>" not in page


def test_what_could_not_be_drawn_is_said(evil: str) -> None:
    page = render_study(_page(evil, figures=[], not_drawn={"Heat": "ValueError: no"}))
    assert "Not drawn: Heat (ValueError: no)." in page


@pytest.mark.browser
def test_the_page_draws_sorts_and_stays_in_its_file(evil: str, tmp_path: Path) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium in PATH")
    playwright = pytest.importorskip("playwright.sync_api")
    few = _page(evil)
    full = replace(few, figures=[*few.figures, *(PageFigure(figure, {}) for figure in _figures_of_studies())])
    (tmp_path / "index.html").write_text(render_study(full), encoding="utf-8")
    problems: list[str] = []
    requests: list[str] = []
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda message: problems.append(message.text) if message.type in ("error", "warning") else None)
        page.on("request", lambda request: requests.append(request.url))
        page.goto((tmp_path / "index.html").as_uri())
        page.wait_for_selector("html[data-charts=drawn]", timeout=60_000)
        assert page.locator("figure svg").count() == page.locator("figure").count() == 4
        assert page.locator("h1").inner_text() == evil
        for first in ("0", "4"):
            page.get_by_role("button", name="x", exact=True).click()
            assert page.locator("table.sortable tbody tr td.num").first.inner_text() == first
        page.emulate_media(color_scheme="dark")
        page.wait_for_function("getComputedStyle(document.body).backgroundColor === 'rgb(21, 20, 18)'")
        browser.close()
    assert problems == []
    assert [url for url in requests if not url.startswith("file://")] == []
