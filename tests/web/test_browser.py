"""The pages in a real browser: a walk through all of them, with any error of script, console or content policy failing it."""

import asyncio
import re

import pytest

from .browser import IN_A_BROWSER, WIDE, Chromium, Site
from .fake_run import DEAD, HOSTILE, HOSTILE_LATENT, N_LATENTS, UNEXPLAINED

pytestmark = IN_A_BROWSER


def test_a_walk_from_the_overview_over_a_latent_to_a_prompt(real_site: Site) -> None:
    page = real_site.page
    real_site.open("/")
    real_site.at(r"/runs/tiny$")
    page.wait_for_selector(".chart__draw[aria-busy=false] svg")
    assert page.locator("table.metrics").first.locator("tr").count() > 20

    page.get_by_role("link", name="Browse latents").first.click()
    real_site.at(r"/saes/\w+/latents$")
    page.get_by_role("button", name="Max").click()
    real_site.at(r"sort=max&order=descending")
    page.locator("tbody tr a").first.click()
    real_site.at(r"/latents/\d+$")
    assert page.locator(".examples .tok[data-peak]").count() > 5
    page.wait_for_selector(".histogram svg")

    page.get_by_role("link", name="Prompt", exact=True).click()
    real_site.at(r"/prompt$")
    page.get_by_label("Text to read").fill("<b>The dog</b> said: \"hello\" & ran 'home'.")
    page.keyboard.press("Control+Enter")
    real_site.at(r"/prompt\?text=")
    page.locator(".tok--pick:not([disabled])").nth(2).click()
    page.locator("main a[href*='/latents/']").first.click()
    real_site.at(r"/latents/\d+$")
    page.go_back()
    real_site.at(r"/prompt\?text=")


def test_markup_in_runs_explanations_tokens_and_prompts_stays_text(fake_site: Site) -> None:
    fake_site.open("/runs/demo")
    assert HOSTILE in fake_site.heading()
    fake_site.open(f"/runs/demo/saes/topk/latents/{HOSTILE_LATENT}?context=full")
    assert fake_site.page.locator(".latent__words").inner_text() == HOSTILE
    assert HOSTILE in fake_site.page.locator(".example .strip").first.inner_text()
    fake_site.open("/runs/demo/saes/topk/latents?q=window.hacked")
    assert fake_site.page.locator(".latents__words").inner_text() == HOSTILE
    fake_site.page.locator("tbody a").hover()
    fake_site.page.wait_for_selector(".float:not([hidden])")
    assert fake_site.page.locator(".float__title").inner_text() == HOSTILE
    fake_site.page.goto(
        fake_site.home + "/runs/demo/saes/topk/prompt?text=" + "%3Cimg%20src%3Dx%20onerror%3D%22window.hacked%3D1%22%3E"
    )
    fake_site.settle()
    assert fake_site.page.get_by_label("Text to read").input_value().startswith("<img")


def test_keys_go_through_latents_and_back_returns(fake_site: Site) -> None:
    fake_site.open("/runs/demo/saes/topk/latents/20")
    fake_site.page.get_by_text("the strongest need not follow it").wait_for()
    fake_site.page.keyboard.press("j")
    fake_site.at(r"/latents/21$")
    fake_site.page.keyboard.press("ArrowRight")
    fake_site.at(r"/latents/22$")
    fake_site.page.keyboard.press("k")
    fake_site.at(r"/latents/21$")
    fake_site.page.go_back()
    fake_site.at(r"/latents/22$")
    fake_site.page.keyboard.press("/")
    fake_site.page.keyboard.type("404")
    fake_site.page.keyboard.press("Enter")
    fake_site.at(r"/latents/404$")
    fake_site.page.keyboard.press("?")
    assert fake_site.page.get_by_role("dialog").is_visible()
    fake_site.page.keyboard.press("Escape")
    fake_site.page.keyboard.press("r")
    fake_site.page.wait_for_url(lambda url: not url.endswith("/404"))


def test_what_is_not_there_is_said_on_its_page(fake_site: Site) -> None:
    page = fake_site.page
    fake_site.open(f"/runs/demo/saes/topk/latents/{DEAD}")
    assert "is dead here" in page.locator("main").inner_text()
    fake_site.open(f"/runs/demo/saes/topk/latents/{UNEXPLAINED}")
    assert "monoseme explain" in page.locator("main").inner_text()
    fake_site.open(f"/runs/demo/saes/topk/latents/{N_LATENTS}")
    assert f"0 to {N_LATENTS - 1}" in page.get_by_role("alert").inner_text()
    fake_site.open("/nowhere/at/all")
    assert "no page at this address" in page.get_by_role("alert").inner_text()
    fake_site.open("/runs/gone/saes/topk/prompt?text=hello")
    assert "models/gone" in page.get_by_role("alert").inner_text()


def test_dark_is_the_systems_choice_until_the_reader_makes_one(chromium: Chromium, fake_home: str) -> None:
    with chromium.site(fake_home, color_scheme="dark") as site:
        site.open("/runs/demo")
        background = "getComputedStyle(document.body).backgroundColor"
        dark = site.page.evaluate(background)
        site.keys("t")
        light = site.page.evaluate(background)
        assert dark != light
        site.page.reload()
        site.settle()
        assert site.page.evaluate(background) == light


PAGES = (
    "",
    "/saes/topk/latents",
    "/saes/topk/latents/42",
    "/saes/topk/latents/42?context=full",
    "/saes/topk/prompt?text=the%20dog%20ran&token=2",
)


_NAMELESS = """() => [...document.querySelectorAll('button, a[href], input, select, textarea, [role=img]')]
  .filter((e) => !(e.textContent.trim() || e.getAttribute('aria-label') || e.labels?.length || e.querySelector?.('[aria-label]')))
  .map((e) => e.outerHTML.slice(0, 120))"""


def test_on_every_page_controls_have_names_values_of_tokens_are_text_and_a_phone_is_wide_enough(fake_site: Site) -> None:
    for path in PAGES:
        fake_site.page.set_viewport_size(WIDE)
        fake_site.open(f"/runs/demo{path}")
        assert fake_site.page.evaluate(_NAMELESS) == []
        for element in fake_site.page.locator(".examples .tok[data-peak] .sr-only").all()[:3]:
            assert re.fullmatch(r"\s*\(\d+\.\d\d\)\s*", element.text_content() or "")
        fake_site.fits_a_phone()


# The other pages have tests of their own that ask the same, in the light.
@pytest.mark.parametrize("paths", [PAGES[:1], pytest.param(PAGES[1:], marks=pytest.mark.slow)], ids=["overview", "others"])
def test_axe_finds_no_serious_fault_in_either_theme(fake_site: Site, paths: tuple[str, ...]) -> None:
    for path in paths:
        fake_site.open(f"/runs/demo{path}")
        fake_site.is_accessible()
        fake_site.keys("t")
        fake_site.is_accessible("color-contrast")


def test_an_open_page_leaves_no_event_loop_behind(chromium: Chromium, fake_home: str) -> None:
    with chromium.site(fake_home) as site:
        site.open("/runs/demo")
    assert asyncio.run(asyncio.sleep(0, result=7)) == 7
