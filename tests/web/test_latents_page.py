"""The table of latents in a browser: every state in its address, rows in sight only, keys, brushes, phone, axe."""

import re

from .browser import IN_A_BROWSER, Site
from .fake_run import DEAD, N_LATENTS

pytestmark = IN_A_BROWSER

LATENTS = "/runs/demo/saes/topk/latents"
_ALIVE = N_LATENTS - 1
_SHOWN = """() => [...document.querySelectorAll('.latents tbody tr')].map((row) => Number(row.dataset.row))"""


def _numbers(site: Site, column: str) -> list[float]:
    texts = site.page.locator(f"td.latents__{column}").all_inner_texts()
    return [float(text.replace("%", "").replace(" ", "").replace("<", "")) for text in texts]


def test_the_table_is_sorted_searched_and_filtered_by_address(fake_site: Site) -> None:
    page = fake_site.page
    fake_site.open(LATENTS)
    tips = page.locator("td.latents__score [data-tip]").evaluate_all("(all) => all.map((one) => one.dataset.tip)")
    lowest = [float(tip.split("from ")[1].split("\n")[0]) for tip in tips]
    assert lowest == sorted(lowest, reverse=True)
    assert tips[0].endswith("n = 60")
    assert page.locator("th[aria-sort=descending]").inner_text().split() == ["Score,", "lower", "end", "↓"]
    fake_site.open(f"{LATENTS}?sort=score")
    scores = _numbers(fake_site, "score")
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > 0.99
    assert page.locator("th[aria-sort=descending]").inner_text().split() == ["Score", "↓"]
    page.get_by_role("columnheader", name="Density").get_by_role("button").click()
    fake_site.at(r"sort=density&order=descending")
    page.get_by_label("Search explanations and top").fill("lily")
    fake_site.at(r"q=lily")
    page.get_by_label("Density from").fill("1")
    page.keyboard.press("Tab")
    fake_site.at(r"density_min=0.01")
    page.get_by_label("Statement").fill("max > 5")
    page.keyboard.press("Enter")
    fake_site.at(r"where=max")
    page.wait_for_function("document.querySelectorAll('.latents tbody tr').length < 40")
    shown = (_numbers(fake_site, "density"), _numbers(fake_site, "max"))
    assert shown[0] == sorted(shown[0], reverse=True)
    assert min(shown[0]) >= 1
    assert min(shown[1]) >= 5
    page.reload()
    fake_site.settle()
    assert (_numbers(fake_site, "density"), _numbers(fake_site, "max")) == shown
    assert page.get_by_label("Search explanations and top").input_value() == "lily"
    assert page.get_by_label("Density from").input_value() == "1"

    page.get_by_label("Statement").fill("mox > 5")
    page.keyboard.press("Enter")
    page.get_by_text('Did you mean "max"?').wait_for()
    page.get_by_role("button", name="Clear filters").click()
    fake_site.at(r"state=all")
    page.get_by_text(f"{N_LATENTS} latents of {N_LATENTS}").wait_for()
    page.get_by_role("button", name="Dead").click()
    fake_site.at(r"state=dead")
    page.get_by_text(f"1 latent of {N_LATENTS} in topk · 1 dead in 1,000,000 scanned tokens").wait_for()
    assert page.locator("td.latents__index").inner_text() == str(DEAD)
    assert page.locator(".latents__words").inner_text() == "never fired"


def test_keys_reach_every_row_and_only_rows_in_sight_are_drawn(fake_site: Site) -> None:
    page = fake_site.page
    fake_site.open(f"{LATENTS}?sort=index&order=ascending&state=all&plots=off")
    grid = page.get_by_role("grid")
    assert grid.get_attribute("aria-rowcount") == str(N_LATENTS + 1)
    focused = "Number(document.activeElement.closest('[data-row]').dataset.row)"
    for key, expected in (("j", 0), ("ArrowDown", 1), ("k", 0), ("End", N_LATENTS - 1), ("ArrowUp", N_LATENTS - 2), ("Home", 0)):
        page.keyboard.press(key)
        assert page.evaluate(focused) == expected
    page.keyboard.press("PageDown")
    assert 5 < page.evaluate(focused) < 40
    page.keyboard.press("End")
    last = page.locator(f"tr[data-row='{N_LATENTS - 1}']")
    last.get_by_role("link").wait_for()
    assert last.get_attribute("aria-rowindex") == str(N_LATENTS + 1)
    assert page.evaluate("document.activeElement.textContent") == str(N_LATENTS - 1)
    assert len(page.evaluate(_SHOWN)) < 60
    page.locator(".latents__box").evaluate("(box) => (box.scrollTop = 0)")
    page.locator("tr[data-row='0']").wait_for()
    assert page.evaluate(focused) == N_LATENTS - 1
    page.keyboard.press("End")
    fake_site.at(r"row=\d+")
    page.reload()
    fake_site.settle()
    assert N_LATENTS - 1 in page.evaluate(_SHOWN)
    assert page.locator(".latents a[tabindex='0']").count() == 1
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    fake_site.at(r"/latents/\d+$")
    page.go_back()
    fake_site.at(r"row=\d+")


def test_a_drag_over_a_plot_filters_and_the_points_of_the_others_pale(fake_site: Site) -> None:
    page = fake_site.page
    fake_site.open(LATENTS)
    plots = page.locator(".plot__area")
    page.locator(".plot__area[aria-label*='half of them between about']").first.wait_for()
    page.locator(".plot__area[aria-label$='pass the filters.']").wait_for()
    assert plots.count() == 3
    box = plots.first.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"], box["y"] + 60, steps=3)
    page.mouse.up()
    fake_site.at(r"density_min=[\d.]+.*density_max")
    least = float((re.search(r"density_min=([\d.]+)", page.url) or [""])[1])
    page.get_by_text(re.compile(rf"^(?!{_ALIVE} )\d+ latents of {N_LATENTS}")).wait_for()
    assert min(_numbers(fake_site, "density")) >= least * 100 * 0.99
    assert page.locator(".plot__chosen:visible").count() == 2
    page.locator(".plot__pick").select_option("score")
    fake_site.at(r"y=score")
    page.go_back()
    page.go_back()
    page.wait_for_url(re.compile(r"/latents$"))
    fake_site.settle()
    assert page.locator(".plot__chosen:visible").count() == 0


def test_further_columns_are_chosen_by_name(real_site: Site) -> None:
    page = real_site.page
    real_site.open("/runs/tiny/saes/topk/latents")
    page.get_by_text("Columns", exact=True).click()
    page.get_by_label("N fired").check()
    real_site.at(r"show=n_fired")
    page.keyboard.press("Escape")
    page.get_by_role("columnheader", name="N fired").get_by_role("button").click()
    real_site.at(r"sort=n_fired")
    page.locator("td.latents__further").first.wait_for()
    counts = [int(text.replace(",", "")) for text in page.locator("td.latents__further").all_inner_texts()]
    assert counts == sorted(counts, reverse=True)
    page.get_by_label("Search by").select_option("text")
    page.get_by_label("Search: fires on a text").fill("little dog")
    page.keyboard.press("Enter")
    real_site.at(r"q=little")
    page.get_by_role("columnheader", name="Fires there").wait_for()
    page.get_by_text("places of this text").wait_for()


def test_the_table_is_read_on_a_phone_and_by_axe(fake_site: Site) -> None:
    fake_site.open(f"{LATENTS}?density_min=0.001")
    fake_site.page.locator(".plot__canvas").wait_for()
    fake_site.is_accessible()
    fake_site.fits_a_phone()
    fake_site.page.get_by_label("Sort by").select_option("max")
    fake_site.at(r"sort=max")
    assert fake_site.page.locator(".latents thead").is_hidden()
