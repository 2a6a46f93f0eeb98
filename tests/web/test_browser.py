"""The pages in a real browser: a walk through all of them, with any error of script, console or content policy failing it."""

import re
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI

from monoseme.web import create_app
from monoseme.web._app import app_over

from .fake_run import DEAD, HOSTILE, HOSTILE_LATENT, N_LATENTS, UNEXPLAINED, FakeRun

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine (apt install chromium)"),
]

# Policy violations are events, not always lines in the console.
_WATCH = """document.addEventListener('securitypolicyviolation',
  (event) => console.error('CSP ' + event.violatedDirective + ' ' + event.blockedURI))"""


class Site:
    """A browser page on a served app that remembers everything that went wrong in it."""

    def __init__(self, page, home: str) -> None:
        self.page, self.home, self.problems = page, home, []
        page.add_init_script(_WATCH)
        page.on("pageerror", lambda error: self.problems.append(f"script: {error}"))
        page.on("console", lambda line: self._note(line))

    def _note(self, line) -> None:
        # The browser itself logs each answer of 400 and above, which some tests provoke.
        if line.type in ("error", "warning") and "Failed to load resource" not in line.text:
            self.problems.append(f"{line.type}: {line.text}")

    def open(self, path: str) -> None:
        self.page.goto(self.home + path)
        self.settle()

    def settle(self) -> None:
        self.page.wait_for_selector("#main[aria-busy=false] > *")

    def heading(self) -> str:
        return self.page.locator("h1").inner_text()

    def at(self, pattern: str) -> None:
        self.page.wait_for_url(re.compile(pattern))
        self.settle()

    def check(self) -> None:
        assert self.problems == []
        assert self.page.evaluate("window.hacked") is None
        assert self.page.locator("main script, main img").count() == 0


@pytest.fixture(scope="module")
def browser() -> Iterator:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def _serve(app: FastAPI) -> Iterator[str]:
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def fake_home() -> Iterator[str]:
    yield from _serve(app_over([FakeRun("demo"), FakeRun("gone", with_model=False, saes=("topk",))]))


@pytest.fixture(scope="module")
def real_home(run_folder: Path) -> Iterator[str]:
    yield from _serve(create_app([run_folder]))


@pytest.fixture
def fake(browser, fake_home: str) -> Iterator[Site]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    yield Site(context.new_page(), fake_home)
    context.close()


@pytest.fixture
def real(browser, real_home: str) -> Iterator[Site]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    yield Site(context.new_page(), real_home)
    context.close()


def test_a_walk_from_the_overview_over_a_latent_to_a_prompt(real: Site) -> None:
    page = real.page
    real.open("/")
    real.at(r"/runs/tiny$")
    page.wait_for_selector(".chart__draw[aria-busy=false] svg")
    assert page.locator("table.metrics").first.locator("tr").count() > 20

    page.get_by_role("link", name="Browse latents").first.click()
    real.at(r"/saes/\w+/latents$")
    page.get_by_role("button", name="Max").click()
    real.at(r"sort=max&order=descending")
    page.locator("tbody tr a").first.click()
    real.at(r"/latents/\d+$")
    assert page.locator(".examples .tok[data-peak]").count() > 5
    page.wait_for_selector(".chart__draw[aria-busy=false] svg")

    page.get_by_role("link", name="Prompt", exact=True).click()
    real.at(r"/prompt$")
    page.get_by_label("Text to read").fill("<b>The dog</b> said: \"hello\" & ran 'home'.")
    page.keyboard.press("Control+Enter")
    real.at(r"/prompt\?text=")
    page.locator(".tok--pick:not([disabled])").nth(2).click()
    real.at(r"token=3")
    page.locator("[data-chosen] .fired__paint").first.click()
    real.at(r"latent=\d+")
    assert page.locator(".strip--large").inner_text().startswith("<")
    page.locator("[data-chosen] .fired__words a").first.click()
    real.at(r"/latents/\d+$")
    page.go_back()
    real.at(r"/prompt\?text=.*latent=\d+")
    assert page.locator(".tok--pick[aria-pressed=true]").count() == 1
    real.check()


def test_markup_in_runs_explanations_tokens_and_prompts_stays_text(fake: Site) -> None:
    fake.open("/runs/demo")
    assert HOSTILE in fake.heading()
    fake.open(f"/runs/demo/saes/topk/latents/{HOSTILE_LATENT}?context=full")
    assert fake.page.locator(".latent__words").inner_text() == HOSTILE
    assert HOSTILE in fake.page.locator(".example .strip").first.inner_text()
    fake.open("/runs/demo/saes/topk/latents?q=window.hacked")
    assert fake.page.locator(".latents__words").inner_text() == HOSTILE
    fake.page.locator("tbody a").hover()
    fake.page.wait_for_selector(".float:not([hidden])")
    assert fake.page.locator(".float__title").inner_text() == HOSTILE
    fake.page.goto(fake.home + "/runs/demo/saes/topk/prompt?text=" + "%3Cimg%20src%3Dx%20onerror%3D%22window.hacked%3D1%22%3E")
    fake.settle()
    assert fake.page.get_by_label("Text to read").input_value().startswith("<img")
    fake.check()


def test_keys_go_through_latents_and_back_returns(fake: Site) -> None:
    fake.open("/runs/demo/saes/topk/latents/20")
    fake.page.keyboard.press("j")
    fake.at(r"/latents/21$")
    fake.page.keyboard.press("ArrowRight")
    fake.at(r"/latents/22$")
    fake.page.keyboard.press("k")
    fake.at(r"/latents/21$")
    fake.page.go_back()
    fake.at(r"/latents/22$")
    fake.page.keyboard.press("/")
    fake.page.keyboard.type("404")
    fake.page.keyboard.press("Enter")
    fake.at(r"/latents/404$")
    fake.page.keyboard.press("?")
    assert fake.page.get_by_role("dialog").is_visible()
    fake.page.keyboard.press("Escape")
    fake.page.keyboard.press("r")
    fake.page.wait_for_url(lambda url: not url.endswith("/404"))
    fake.check()


def test_the_table_is_sorted_searched_and_turned_by_address(fake: Site) -> None:
    page = fake.page
    fake.open("/runs/demo/saes/topk/latents")
    scores = [float(text) for text in page.locator("td[data-label=score]").all_inner_texts()]
    assert scores == sorted(scores, reverse=True)
    page.get_by_role("button", name="Next").click()
    fake.at(r"offset=50")
    assert page.locator(".pager span").inner_text() == f"51–100 of {N_LATENTS - 1}"
    page.get_by_label("Search explanations and top").fill("lily")
    fake.at(r"q=lily")
    page.reload()
    fake.settle()
    assert page.get_by_label("Search explanations and top").input_value() == "lily"
    page.get_by_role("button", name="Dead").click()
    fake.at(r"state=dead")
    assert page.get_by_role("heading", name="No latent passes").is_visible()
    page.get_by_role("button", name="Show all").click()
    fake.at(r"state=all")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    fake.at(r"/latents/\d+$")
    fake.check()


def test_what_is_not_there_is_said_on_its_page(fake: Site) -> None:
    page = fake.page
    fake.open(f"/runs/demo/saes/topk/latents/{DEAD}")
    assert "is dead here" in page.locator("main").inner_text()
    fake.open(f"/runs/demo/saes/topk/latents/{UNEXPLAINED}")
    assert "monoseme explain" in page.locator("main").inner_text()
    fake.open(f"/runs/demo/saes/topk/latents/{N_LATENTS}")
    assert f"0 to {N_LATENTS - 1}" in page.get_by_role("alert").inner_text()
    fake.open("/nowhere/at/all")
    assert "no page at this address" in page.get_by_role("alert").inner_text()
    fake.open("/runs/gone/saes/topk/prompt?text=hello")
    assert "models/gone" in page.get_by_role("alert").inner_text()
    fake.check()


def test_dark_is_the_systems_choice_until_the_reader_makes_one(browser, fake_home: str) -> None:
    context = browser.new_context(color_scheme="dark")
    site = Site(context.new_page(), fake_home)
    site.open("/runs/demo")
    background = "getComputedStyle(document.body).backgroundColor"
    dark = site.page.evaluate(background)
    site.page.keyboard.press("t")
    light = site.page.evaluate(background)
    assert dark != light
    site.page.reload()
    site.settle()
    assert site.page.evaluate(background) == light
    site.check()
    context.close()


PAGES = (
    "",
    "/saes/topk/latents",
    "/saes/topk/latents/42",
    "/saes/topk/latents/42?context=full",
    "/saes/topk/prompt?text=the%20dog%20ran&token=2",
)


@pytest.mark.parametrize("path", PAGES)
def test_no_page_is_wider_than_a_phone(browser, fake_home: str, path: str) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844})
    site = Site(context.new_page(), fake_home)
    site.open(f"/runs/demo{path}")
    assert site.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
    site.check()
    context.close()


_NAMELESS = """() => [...document.querySelectorAll('button, a[href], input, select, textarea, [role=img]')]
  .filter((e) => !(e.textContent.trim() || e.getAttribute('aria-label') || e.labels?.length || e.querySelector?.('[aria-label]')))
  .map((e) => e.outerHTML.slice(0, 120))"""


@pytest.mark.parametrize("path", PAGES)
def test_every_control_has_a_name_and_values_of_tokens_are_text(fake: Site, path: str) -> None:
    fake.open(f"/runs/demo{path}")
    assert fake.page.evaluate(_NAMELESS) == []
    for element in fake.page.locator(".examples .tok[data-peak] .sr-only").all()[:3]:
        assert re.fullmatch(r"\s*\(\d+\.\d\d\)\s*", element.text_content())
    fake.check()
