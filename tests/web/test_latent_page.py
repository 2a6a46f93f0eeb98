"""The page of a latent and its card in a real browser."""

import re
from collections.abc import Iterator

import pytest

from monoseme.web._app import app_over

from .browser import IN_A_BROWSER, PHONE, Chromium, Site, serving
from .fake_run import DEAD, HOSTILE
from .rich_latent import RichRun

pytestmark = IN_A_BROWSER

LATENT = "/runs/demo/saes/topk/latents/42"


@pytest.fixture(scope="module")
def home() -> Iterator[str]:
    """Address of an app over a run whose latents have everything."""
    with serving(app_over([RichRun("demo")])) as address:
        yield address


@pytest.fixture
def site(chromium: Chromium, home: str) -> Iterator[Site]:
    """A page on it."""
    with chromium.site(home) as site:
        yield site


def test_a_walk_over_the_page_of_a_latent(site: Site) -> None:
    page = site.page
    site.open(LATENT)
    side = page.get_by_label("Numbers")
    for title in ("Layers and parts", "Activations when it fires", "Fires on", "Direct effect on logits", "Density by role"):
        assert side.get_by_role("heading", name=re.compile(title)).count() == 1, title
    assert side.locator(".layers tr[aria-current=true]").inner_text().startswith("resid_post.1")
    assert "+0.020" in side.inner_text()
    assert "A rule" not in page.locator(".explained").first.inner_text()  # it was said by a language model
    assert side.get_by_role("img", name=re.compile("Histogram of .* activations")).count() == 1
    site.is_accessible()

    page.get_by_role("button", name="More of llm detection").click()
    assert re.search(r"judged=judged", page.url)
    page.get_by_text("3 judgements · 1 right · 1 without an answer").wait_for()
    assert page.locator(".judged .tok[data-marked]").inner_text().strip().startswith("dog")
    page.get_by_role("button", name="Another latent's", exact=True).click()
    assert page.locator(".judged__row").count() == 1
    assert "The first 4 of 900 judgements" in page.locator(".judged").inner_text()
    page.reload()
    site.settle()
    page.wait_for_selector(".judged__row")
    assert page.get_by_role("button", name="Another latent's", exact=True).get_attribute("aria-pressed") == "true"

    page.get_by_label("A text to shade by this latent").fill("the dog <b>ran</b>")
    page.keyboard.press("Enter")
    page.wait_for_selector(".trial__answer .tok[data-peak]")
    assert "Fires on 1 of 4 tokens, at most 9.00" in page.locator(".trial__answer").inner_text()
    assert "try=the+dog" in page.url
    page.get_by_role("button", name="Next ›").click()
    site.at(r"/latents/43\?try=")
    assert "judged" not in page.url
    page.wait_for_selector(".trial__answer .tok[data-peak]")
    page.get_by_role("link", name="Steer with it").click()
    page.wait_for_url(re.compile(r"/runs/demo/steer\?l=topk%3A43%3A1max"))


def test_a_text_that_cannot_be_read_is_told_and_the_page_stays(site: Site) -> None:
    site.open(f"{LATENT}?try=gone")
    site.page.get_by_role("alert").wait_for()
    assert "models/gone" in site.page.get_by_role("alert").inner_text()
    assert site.page.locator(".example").count() > 5


def test_examples_are_shown_as_the_address_says_and_keys_change_it(site: Site) -> None:
    page = site.page
    site.open(LATENT)
    first = page.locator(".example").first
    lines = page.locator(".example .line__right")
    starts = {round(box["x"]) for box in (line.bounding_box() for line in lines.all()[:5]) if box}
    assert len(starts) == 1  # the firing tokens stand in one column
    site.keys("c")
    assert first.locator(".tok").count() == 9
    site.keys("c")
    assert first.locator(".tok").count() == 17
    site.keys("c")
    assert first.locator(".tok").count() == 33
    site.keys("b")
    assert "\n" in first.locator(".tok").first.text_content().replace("\n ", "")
    site.keys("v")
    shown = page.evaluate("getComputedStyle(document.querySelector('.example .tok[data-peak]'), '::after').content")
    assert re.match(r'"\d+\.\d\d"', shown)
    n_hidden = page.locator("section .examples").first.locator(".example").count()
    site.keys("d")
    assert page.locator("section .examples").first.locator(".example").count() == n_hidden + 1
    for wanted in ("context=full", "breaks=1", "values=1", "repeats=1"):
        assert wanted in page.url
    page.reload()
    site.settle()
    assert page.locator(".example").first.locator(".tok").count() == 33
    assert page.get_by_role("button", name="Values").get_attribute("aria-pressed") == "true"


def test_text_that_would_hide_or_turn_itself_is_told_by_signs(site: Site) -> None:
    page = site.page
    site.open(f"{LATENT}?context=full")
    assert page.locator(".latent__words").inner_text() == "speaks of dogs left\\x202eright\\x2066\\x200f"
    assert page.locator(".related__words").first.inner_text() == HOSTILE
    tokens = page.locator(".example").first.locator(".tok").all_inner_texts()
    assert tokens[:6] == [" a↵b", "\\x00", "\\x202e", "\\x2066evil", "∅", " ⇥"]
    assert tokens[6] == "\U0001f469\u200d\U0001f680"
    assert page.evaluate("getComputedStyle(document.querySelector('.tok')).unicodeBidi") == "isolate"


def test_the_card_comes_by_pointer_and_by_key_and_goes_by_escape(site: Site) -> None:
    page = site.page
    site.open(LATENT)
    link, card = page.locator(".related__list a").first, page.locator("#card")
    link.scroll_into_view_if_needed()
    page.wait_for_timeout(100)  # scrolling hides cards
    link.hover()
    card.wait_for(state="visible")
    assert card.inner_text().startswith("topk · latent 43")
    assert link.get_attribute("aria-describedby") == "card"
    card.hover()
    page.wait_for_timeout(400)  # longer than the time to reach it
    assert card.is_visible()
    site.keys("Escape")
    assert card.is_hidden()
    assert link.get_attribute("aria-describedby") is None
    page.mouse.move(5, 5)
    page.locator(".related .term").first.focus()
    site.keys("Tab")
    card.wait_for(state="visible")
    site.keys("Tab")
    page.locator("#card", has_text="latent 44").wait_for()


def test_a_finger_sees_the_card_first_and_the_page_next(chromium: Chromium, home: str) -> None:
    with chromium.site(home, viewport=PHONE, has_touch=True) as site:
        site.open(LATENT)
        site.fits_a_phone()
        link = site.page.locator(".related__list a").first
        link.scroll_into_view_if_needed()
        site.page.wait_for_timeout(100)  # scrolling hides cards
        link.tap()
        site.page.get_by_text("Tap again to open").wait_for()
        assert site.page.url.endswith("/42")
        link.tap()
        site.at(r"/latents/43$")


def test_what_is_taken_is_what_the_server_says(site: Site) -> None:
    page = site.page
    site.open(LATENT)
    page.locator(".menu summary").click()
    page.get_by_role("button", name="Copy as JSON").click()
    page.get_by_text("Copied").wait_for()
    copied = page.evaluate("navigator.clipboard.readText().then((text) => JSON.parse(text))")
    assert copied == page.evaluate(f"fetch('/api{LATENT}').then((answer) => answer.json())")
    assert page.get_by_role("link", name="safetensors").get_attribute("href") == f"/api{LATENT}/vector?format=safetensors"
    site.keys("Escape")
    assert page.locator(".menu").get_attribute("open") is None


def test_a_dead_latent_says_so_and_still_takes_a_text(site: Site) -> None:
    site.open(f"/runs/demo/saes/topk/latents/{DEAD}?try=the dog")
    assert "is dead here" in site.page.locator("main").inner_text()
    site.page.wait_for_selector(".trial__answer .tok[data-peak]")
    site.is_accessible("link-in-text-block", "color-contrast")
