"""The prompt page in a browser: tokens, the latents on them, layers, time, and what the model expects next."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from playwright.sync_api import Route

from monoseme.web._app import app_over

from .browser import IN_A_BROWSER, Chromium, Site, serving
from .fake_run import HOSTILE
from .prompt_run import SITES, TEXT, PromptRun

if TYPE_CHECKING:
    from playwright.sync_api import Route

pytestmark = IN_A_BROWSER

ROWS = "section[aria-label='Latents on this text'] [data-latent]"
READY = "main [aria-busy=true]"


class Reading(NamedTuple):
    """A page on SAEs that learned nothing, and what the API says of the same text."""

    site: Site
    run: PromptRun

    def open(self, sae: str, **state: Any) -> None:
        self.site.open(f"/runs/tiny/saes/{sae}/prompt?{urlencode({'text': TEXT, **state})}")
        self.wait()

    def wait(self) -> None:
        """Until every view has its answer."""
        self.site.page.wait_for_selector(READY, state="detached")

    def state(self) -> dict[str, str]:
        """The address's parameters but the text."""
        found = parse_qs(urlsplit(self.site.page.url).query)
        return {key: value for key, [value] in found.items() if key != "text"}

    def shaded(self) -> list[int]:
        """Positions of the tokens that have a shade."""
        shades = self.site.page.locator("[data-at]").evaluate_all(
            "all => all.map((e) => Number(e.style.getPropertyValue('--v')))"
        )
        return [at for at, shade in enumerate(shades) if shade]


@pytest.fixture(scope="module")
def served(prompt_run: PromptRun) -> Iterator[tuple[str, PromptRun]]:
    with serving(app_over([prompt_run.files])) as home:
        yield home, prompt_run


@pytest.fixture
def reading(chromium: Chromium, served: tuple[str, PromptRun]) -> Iterator[Reading]:
    home, run = served
    with chromium.site(home) as site:
        yield Reading(site, run)


def test_tokens_are_chosen_one_by_one_and_together_without_a_mouse(fake_site: Site) -> None:
    page = fake_site.page
    fake_site.open("/runs/demo/saes/topk/prompt")
    page.keyboard.type("the dog ran to a house")
    fake_site.keys("Control+Enter")
    fake_site.at(r"text=the\+dog")
    fake_site.keys("Escape", "j", "j")
    fake_site.at(r"token=2$")
    page.locator("[data-at='2']").focus()
    fake_site.keys("ArrowRight")
    fake_site.at(r"token=3$")
    assert page.evaluate("document.activeElement.dataset.at") == "3"
    page.locator("[data-at='5']").focus()
    fake_site.keys("Shift+Enter")
    fake_site.at(r"token=3%2C5$")
    assert page.locator("[data-at][aria-pressed=true]").count() == 2
    assert page.locator("section[aria-label='Latents on the chosen tokens'] [data-latent]").count() > 6
    page.reload()
    fake_site.settle()
    assert page.locator("[data-at][aria-pressed=true]").count() == 2
    assert page.locator("[data-at][tabindex='0']").count() == 1


def test_the_list_is_sorted_and_filtered_by_choice_and_its_address_holds_both(fake_site: Site) -> None:
    page = fake_site.page
    fake_site.open("/runs/demo/saes/topk/prompt?text=the+dog+ran+to+a+big+red+house&sort=value")

    def values() -> list[float]:
        return [float(text) for text in page.locator(f"{ROWS} .fired__paint").all_inner_texts()]

    assert values() == sorted(values(), reverse=True)
    n_rare = len(values())
    page.get_by_label("Densest latents listed").select_option("1")
    fake_site.at(r"density=1\b")
    assert len(values()) > n_rare
    page.get_by_label("Order of latents").select_option("density")
    fake_site.at(r"sort=density")
    densities = [text for text in page.locator(f"{ROWS} .fired__facts").all_inner_texts() if "<" not in text]
    numbers = [float(text.removesuffix(" %")) for text in densities]
    assert numbers == sorted(numbers)
    page.get_by_label("ignore the first token").check()
    fake_site.at(r"first=0")
    assert page.get_by_label("ignore the first token").evaluate("e => e === document.activeElement")
    assert len(values()) < 48


def test_pointing_at_a_latent_shades_the_text_and_only_a_click_stays(reading: Reading) -> None:
    reading.open("topk")
    page = reading.site.page
    tokens = reading.run.ask("topk")["tokens"]
    row = page.locator(ROWS).first
    latent = int(row.get_attribute("data-latent") or "")
    fires = [at for at, token in enumerate(tokens) if any(firing["latent"] == latent for firing in token["firings"])]
    assert reading.shaded() == []  # no latent of this run is known to have a maximum
    row.hover()
    assert reading.shaded() == fires
    page.mouse.move(2, 2)
    assert reading.shaded() == []
    assert "latent" not in reading.state()
    row.locator(".fired__paint").click()
    page.mouse.move(2, 2)
    assert reading.shaded() == fires
    assert reading.state() == {"latent": str(latent)}
    assert page.get_by_role("link", name="Steer with it").get_attribute("href") == f"/runs/tiny/steer?l=topk%3A{latent}%3A1max"

    page.locator("[data-at='3']").click()
    paint = page.locator("section[aria-label='Latents on the chosen tokens'] [data-latent]").nth(1)
    chosen = paint.get_attribute("data-latent")
    paint.locator(".fired__paint").click()
    assert reading.state() == {"latent": chosen, "token": "3"}


def test_the_layers_of_a_position_are_the_servers_table_and_a_cell_chooses(reading: Reading) -> None:
    reading.open("mlsae", view="layers", token=3)
    page = reading.site.page
    table = reading.run.ask("mlsae", "/layers/table", position=3, threshold=0.05)
    assert [int(text) for text in page.locator(".by-layer tbody th").all_inner_texts()] == [
        row["latent"] for row in table["rows"]
    ]
    first = table["rows"][0]
    cells = page.locator(".by-layer tbody tr").first.locator("td[data-layer]")
    assert [text.strip() != "none" for text in cells.all_inner_texts()] == [value is not None for value in first["values"]]

    layer = next(i for i, value in enumerate(first["values"]) if value is not None)
    cells.nth(layer).click()
    reading.wait()
    assert reading.state() == {"view": "layers", "token": "3", "layer": str(layer), "latent": str(first["latent"])}
    codes = reading.run.ask("mlsae", "/layers")["codes"]
    columns = zip(codes["position"], codes["layer"], codes["latent"], strict=True)
    page.mouse.move(2, 2)
    assert reading.shaded() == sorted(at for at, *rest in columns if rest == [layer, first["latent"]])
    assert SITES[layer] in page.locator(".prompt__caption").inner_text()
    assert "monoseme scan" in page.get_by_label("Examples at the layer").inner_text()


def test_the_layers_are_walked_by_keys_and_each_has_its_histogram_and_metrics(reading: Reading) -> None:
    reading.open("mlsae", view="layers", token=3)
    page, site = reading.site.page, reading.site
    layers = reading.run.ask("mlsae", "/layers")["layers"]
    assert page.locator(".layer-histogram").count() == len(SITES)
    assert page.locator(".layer-histogram").first.locator("rect").count() == 64
    rows = page.locator(".of-layers tbody tr")
    assert rows.count() == len(SITES)
    assert len(rows.first.locator("td").all()) == len(layers[0]["metrics"]) + 1

    n_rows = page.locator(".by-layer tbody tr").count()
    page.get_by_role("slider").focus()
    site.keys("End")
    reading.wait()
    assert reading.state()["threshold"] == "0.95"
    assert page.locator(".by-layer tbody tr").count() < n_rows
    assert page.get_by_role("slider").evaluate("e => e === document.activeElement")
    page.locator(".by-layer td[tabindex='0']").focus()
    site.keys("End", "Enter")
    reading.wait()
    assert reading.state()["layer"] == str(len(SITES) - 1)
    assert page.evaluate("document.activeElement.dataset.layer") == str(len(SITES) - 1)


def _explained(route: "Route") -> None:
    """The answer of a run without explanations, with one for every latent."""
    answer = route.fetch()
    found = answer.json()
    for row in found["rows"]:
        row["explanation"] = f"what {row['latent']} is about"
    route.fulfill(response=answer, json=found)


def test_a_map_over_time_tells_its_values_to_keyboard_and_pointer(reading: Reading) -> None:
    page, site = reading.site.page, reading.site
    page.route("**/time?*", _explained)
    reading.open("tfa", view="time")
    answer = reading.run.ask("tfa", "/time")
    parts = [part["name"] for part in answer["parts"]]
    assert page.locator(".time-map__part h3").all_inner_texts() == parts == ["predicted", "novel"]
    labels = [int(text) for text in page.locator(".time-map__label > b").all_inner_texts()]
    ordered = [row for name in parts for row in answer["rows"] if row["part"] == name]
    assert labels == [row["latent"] for row in ordered]
    assert page.locator(".energy rect").count() == 2 * len(answer["tokens"])

    page.locator(".time-map__scroll").focus()
    site.keys("ArrowDown", *["ArrowRight"] * ordered[1]["peak"])
    said = page.locator(".time-map__readout").inner_text()
    assert re.search(rf"latent {ordered[1]['latent']}, predicted: (−?[\d.]+)$", said)
    assert float(said.rsplit(" ", 1)[1].replace("−", "-")) == pytest.approx(ordered[1]["max"], abs=0.006)
    site.keys("Enter")
    expected = {"view": "time", "latent": str(labels[1]), "part": "predicted", "token": str(ordered[1]["peak"])}
    assert reading.state() == expected
    assert reading.shaded() == ordered[1]["positions"]

    label = page.locator(".time-map__label").first.bounding_box()
    token = page.locator(".time-map__token").nth(ordered[0]["peak"]).bounding_box()
    assert label is not None
    assert token is not None
    page.mouse.move(token["x"] + token["width"] / 2, label["y"] + label["height"] / 2)
    assert page.locator(".tip").inner_text().endswith(f"what {ordered[0]['latent']} is about")
    assert reading.shaded() == ordered[0]["positions"]


def test_the_next_tokens_of_three_models_stand_side_by_side(reading: Reading) -> None:
    reading.open("mlsae", view="logits", token=4, layer=0, latent=3)
    page, site = reading.site.page, reading.site
    plain = reading.run.ask("mlsae", "/logits", site=SITES[0], position=4)
    chips = page.get_by_label("Input", exact=True).locator(".coming__row .chip").all_inner_texts()
    likeliest = [item["token"] for item in plain["input"]["top"]]
    assert len(chips) == len(likeliest)
    assert [chip.replace("␣", " ") for chip in chips][:3] == likeliest[:3]
    assert page.get_by_label("Reconstruction").locator("h3").all_inner_texts() == ["Largest", "Largest gain", "Largest loss"]
    assert "other than 0" in page.get_by_label("Steered").inner_text()
    page.get_by_role("spinbutton", name="Factor").fill("2.5")
    site.keys("Enter")
    reading.wait()
    assert reading.state()["factor"] == "2.5"
    steered = reading.run.ask("mlsae", "/logits", site=SITES[0], position=4, latent=3, strength=2.5)["steered"]
    gains = page.get_by_label("Steered").get_by_role("list", name="Largest gain").locator(".coming__change").all_inner_texts()
    assert float(gains[0]) == pytest.approx(steered["gain"][0]["change"], abs=0.006)
    reading.open("mlsae", view="logits", latent=999, factor=1)
    assert "999" in page.get_by_role("alert").or_(page.get_by_label("Steered")).inner_text()


def test_white_space_has_signs_and_hostile_text_stays_text(reading: Reading) -> None:
    page = reading.site.page
    for view in ("latents", "time"):
        reading.open("topk", text=f"the dog\n\tran \u202e {HOSTILE}", view=view, latent=HOSTILE, token="x,1")
        strip = page.locator(".strip--large").inner_text().replace("\n", "")
        assert "␣dog↵⇥ran" in strip
        assert "<script>window.hacked" in strip
        assert "\u202e" not in strip
        reading.site.check()


@pytest.mark.parametrize(
    ("sae", "view"),
    [
        ("topk", "latents"),
        ("mlsae", "layers"),
        pytest.param("tfa", "time", marks=pytest.mark.slow),
        pytest.param("mlsae", "logits", marks=pytest.mark.slow),
    ],
)
def test_every_view_fits_a_phone_and_has_no_serious_fault(reading: Reading, sae: str, view: str) -> None:
    reading.open(sae, view=view, token=3, latent=5, factor=2)
    assert reading.site.page.locator(".prompt__views [aria-pressed=true]").count() == 1
    reading.site.is_accessible()
    reading.site.fits_a_phone()
