"""The page: whole in one file, everything from data is text, and it draws in a real browser without a network."""

import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from monoseme.reports import RunReport, render_html
from monoseme.reports._inline import json_for_html, visible_token


class _Elements(HTMLParser):
    """Every tag with its attributes, and the text outside scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_nothing_from_data_becomes_an_element_or_a_script(report: RunReport):
    elements = _Elements(render_html(report)).found
    assert not [tag for tag, _ in elements if tag in ("img", "iframe", "object", "link", "base", "form")]
    assert not [name for _, attrs in elements for name in attrs if name.startswith("on")]
    scripts = [attrs for tag, attrs in elements if tag == "script"]
    assert scripts == [{"type": "application/json", "id": "report-data"}, {}, {}]


def test_the_page_refers_to_nothing_outside_itself(report: RunReport):
    elements = _Elements(render_html(report)).found
    links = [attrs[name] for _, attrs in elements for name in ("href", "src", "srcset", "data") if name in attrs]
    assert links
    assert all(link is not None and link.startswith("#") for link in links)
    assert "@import" not in render_html(report)


def test_json_in_a_script_element_cannot_end_it():
    text = json_for_html({"a": "</script><!--", "b": "\u2028"})
    assert "<" not in text
    assert json.loads(text) == {"a": "</script><!--", "b": "\u2028"}


def test_the_policy_admits_exactly_the_scripts_of_the_page(report: RunReport):
    page = render_html(report)
    policy = next(attrs["content"] for tag, attrs in _Elements(page).found if attrs.get("http-equiv"))
    assert policy is not None
    assert "default-src 'none'" in policy
    assert len(re.findall("'sha256-", policy)) == 2
    assert "unsafe-inline" not in policy.split("script-src")[1].split(";")[0]
    assert "unsafe-eval" not in policy


def test_every_metric_of_every_sae_is_on_the_page_once(report: RunReport):
    page = render_html(report)
    for metric in report.saes[0].metrics():
        assert len(re.findall(rf"<summary [^>]*>{metric.name} ", page)) == 1, metric.name


def test_a_report_without_charts_has_no_scripts(report: RunReport):
    page = render_html(replace(report, training=(), saes=tuple(replace(sae, results=(), samples=()) for sae in report.saes)))
    assert "<script>" not in page
    assert "script-src &#39;none&#39;" in page


def test_tokens_show_what_cannot_be_seen():
    assert visible_token(" a\n\t") == "·a↵⇥"
    assert visible_token("a\0\x1b\u202eb\u2066\x7f\ud800") == "a␀␛\ufffdb\ufffd\ufffd\ufffd"
    assert visible_token("👩\u200d🔬") == "👩\u200d🔬"  # joined, as it is written


@pytest.mark.browser
def test_the_page_draws_in_a_browser_without_network_or_errors(report: RunReport, evil: str, tmp_path: Path):
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium in PATH")
    playwright = pytest.importorskip("playwright.sync_api")
    (tmp_path / "index.html").write_text(render_html(report), encoding="utf-8")
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
        assert page.locator("figure svg").count() == page.locator("figure").count() > 4
        assert page.locator("h1").inner_text() == evil
        assert page.title().startswith(evil)
        assert page.locator(".explained").first.inner_text() == evil
        page.emulate_media(color_scheme="dark")
        page.wait_for_function("getComputedStyle(document.body).backgroundColor === 'rgb(21, 20, 18)'")
        browser.close()
    assert problems == []
    assert [url for url in requests if not url.startswith("file://")] == []
