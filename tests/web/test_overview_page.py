"""The overview and the studies in a browser: views, brush, keyboard, sorting, phone width, names of controls."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from monoseme.web import create_app
from monoseme.web.overview.compare_answers import DictionaryMap, WorkProgress

from .browser import IN_A_BROWSER, Chromium, Site, serving
from .test_studies_api import write_study

pytestmark = IN_A_BROWSER

# Making it takes longer than all of this, and is tested with the API.
_UMAP = re.compile(r"/map\?method=umap")
_WAITING = DictionaryMap(sae="topk", method="umap", progress=WorkProgress(state="waiting", stage="waiting for other work"))


@pytest.fixture(scope="module")
def home(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    studies = tmp_path_factory.mktemp("studies")
    write_study(studies / "planted", text="Asked *this* of <b>it</b>.\n\n- one `x`\n- two")
    with serving(create_app([run_folder], studies=[studies])) as home:
        yield home


@pytest.fixture
def site(chromium: Chromium, home: str) -> Iterator[Site]:
    with chromium.site(home) as site:
        yield site


def test_views_of_a_run_are_in_the_address_and_go_by_keys(site: Site) -> None:
    page = site.page
    page.route(_UMAP, lambda route: route.fulfill(json=_WAITING.model_dump()))
    site.open("/runs/tiny?error=interval")
    assert "to" in page.locator("table.metrics .error-bar").first.inner_text()
    site.keys("2")
    site.at(r"view=map")
    page.get_by_role("button", name="PCA").click()
    site.at(r"map=pca")
    page.wait_for_selector(".map__cursor")
    page.locator(".map__cursor").focus()
    first = page.locator(".map__cursor").get_attribute("aria-label")
    site.keys("ArrowRight")
    if page.locator(".map__cursor").get_attribute("aria-label") == first:  # the rightmost of all
        site.keys("ArrowLeft")
    assert page.locator(".map__cursor").get_attribute("aria-label") != first
    page.wait_for_selector("#card:not([hidden])")
    site.keys("Escape")
    page.get_by_label("x from").fill("-1")
    page.get_by_label("x from").press("Enter")
    site.at(r"box=")
    page.wait_for_selector(".map__list li a")
    site.is_accessible()
    page.get_by_role("link", name="Open in the table").click()
    site.at(r"/latents\?only=")
    page.go_back()
    site.at(r"view=map.*box=")
    site.keys("3")
    site.at(r"view=compare")
    page.wait_for_selector(".partners td a")
    page.get_by_role("button", name="Least alike").click()
    site.at(r"order=lowest")
    site.is_accessible()
    site.fits_a_phone()


def test_a_study_is_text_figures_and_tables_that_sort(site: Site) -> None:
    page = site.page
    site.open("/runs/tiny/studies")
    page.get_by_role("link", name="Planted").click()
    site.at(r"/studies/planted$")
    assert page.locator(".prose em").inner_text() == "this"
    assert "<b>it</b>" in page.locator(".prose").inner_text()
    page.wait_for_selector(".study__table")
    page.get_by_role("button", name="value").click()
    site.at(r"numbers\.sort=-value")
    page.wait_for_selector("th[aria-sort=descending]")
    assert page.locator(".study__table tbody tr").first.inner_text().split() == ["b", "2.000"]
    page.locator(".study__figure").scroll_into_view_if_needed()
    page.wait_for_selector(".chart__draw[aria-busy=false] svg")
    site.is_accessible()
    site.fits_a_phone()


def test_an_error_beside_a_headline_is_that_of_a_95_percent_interval(fake_site: Site) -> None:
    fake_site.open("/runs/demo")
    told = fake_site.page.locator(".tile .error-bar").first
    assert told.inner_text().startswith("± ")
    dead = [text.split("\n") for text in fake_site.page.locator(".tile").all_inner_texts() if text.startswith("Dead latents")]
    assert [(lines[0], lines[-1]) for lines in dead] == [("Dead latents", "in 65,536 tokens")] * 2
    tops = "all => all.slice(0, 4).map(one => one.getBoundingClientRect().top)"
    assert len(set(fake_site.page.locator(".sae").first.locator(".tile__value").evaluate_all(tops))) == 1, "one line of numbers"
    shown = fake_site.page.evaluate("async () => (await import('/assets/js/format.js')).measured(0.25, 0.01)")
    assert shown == {"value": "0.250", "error": "0.020"}
    fake_site.page.get_by_text("value ± 1.96 standard errors (95 % interval)").first.wait_for()
    how = fake_site.page.get_by_label("How errors are told")
    assert how.locator("option").all_inner_texts() == ["± half interval", "[low to high]"], "both are 95 % intervals"
