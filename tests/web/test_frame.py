"""The frame of every page: tabs and keys, the bar on a phone, what the browser keeps, and what a body may be."""

import re

import pytest
from starlette.testclient import TestClient

from .browser import IN_A_BROWSER, PHONE, Site

_ASSET = re.compile(r'"(/assets/at-\w+/[\w/.-]+)"')


@pytest.mark.browser
class TestInABrowser:
    pytestmark = IN_A_BROWSER

    def test_a_walk_by_keys_alone(self, fake_site: Site) -> None:
        page = fake_site.page
        fake_site.open("/runs/demo")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"
        fake_site.keys("g", "l")
        fake_site.at(r"/saes/topk/latents$")
        fake_site.keys("g", "p")
        fake_site.at(r"/saes/topk/prompt$")
        page.get_by_text("Esc leaves the box, then ? tells the keys").wait_for()
        fake_site.keys("Escape", "g", "x", "o")  # leaves the box of the prompt; no page of that letter, and no journey begun
        fake_site.at(r"/saes/topk/prompt$")
        fake_site.keys("?")
        told = page.get_by_role("dialog").inner_text()
        assert all(words in told for words in ("go to Overview", "go to Studies", "light or dark", "search"))
        fake_site.keys("Escape", "g", "o")
        fake_site.at(r"/runs/demo$")
        fake_site.keys("?")
        assert "two SAEs" in page.get_by_role("dialog").inner_text()

    def test_the_second_of_two_keys_is_not_waited_for_for_long(self, fake_site: Site) -> None:
        page = fake_site.page
        fake_site.open("/runs/demo")
        fake_site.keys("g")
        page.wait_for_timeout(1_600)  # longer than the time for it
        fake_site.keys("l", "g", "p")
        fake_site.at(r"/saes/topk/prompt$")
        page.go_back()
        fake_site.at(r"/runs/demo$")

    def test_to_skip_the_bar_is_not_to_open_the_page_again(self, fake_site: Site) -> None:
        page = fake_site.page
        fake_site.open("/runs/demo/saes/topk/latents")
        fake_site.open("/runs/demo")
        page.evaluate("document.querySelector('#main > *').dataset.seen = 'yes'")
        fake_site.keys("Tab", "Enter")
        page.wait_for_url(re.compile("#main$"))
        fake_site.settle()
        assert page.locator("#main > [data-seen=yes]").count() == 1
        page.locator(".skip").focus()
        fake_site.keys("Enter")  # to where the address is already
        fake_site.settle()
        assert page.locator("#main > [data-seen=yes]").count() == 1
        page.go_back()
        page.wait_for_url(re.compile("/runs/demo$"))
        fake_site.settle()
        assert page.locator("#main > [data-seen=yes]").count() == 1
        page.go_back()
        fake_site.at(r"/latents$")
        assert page.locator("#main > [data-seen=yes]").count() == 0

    def test_back_from_a_page_to_itself_is_a_visit(self, fake_site: Site) -> None:
        page = fake_site.page
        fake_site.open("/runs/demo")
        page.evaluate("scrollTo(0, 200)")
        fake_site.keys("g", "o")
        page.wait_for_function("() => scrollY === 0")
        fake_site.settle()
        page.go_back()
        page.wait_for_function("() => scrollY === 200")

    def test_the_search_box_unfolds_on_a_phone(self, fake_site: Site) -> None:
        page = fake_site.page
        page.set_viewport_size(PHONE)
        fake_site.open("/runs/demo/saes/topk/latents/42")
        button = page.get_by_role("button", name="Search latents")
        assert button.get_attribute("aria-expanded") == "false"
        button.click()
        assert button.get_attribute("aria-expanded") == "true"
        page.keyboard.type("77")
        page.keyboard.press("Enter")
        fake_site.at(r"/latents/77$")
        fake_site.fits_a_phone()

    def test_a_page_asks_for_its_own_code_only(self, fake_site: Site) -> None:
        asked: list[str] = []
        fake_site.page.on("request", lambda request: asked.append(request.url))
        fake_site.open("/runs/demo/saes/topk/latents/42")
        assert any(url.endswith("/pages/latent.js") for url in asked)
        assert not any(url.endswith(("/pages/prompt.js", "/pages/overview.js", "/pages/steer.js")) for url in asked)


def test_the_page_names_files_that_a_browser_may_keep_for_good(client: TestClient) -> None:
    page = client.get("/runs/demo")
    assert page.headers["cache-control"] == "no-cache"
    named = _ASSET.findall(page.text)
    assert any(name.endswith("/js/router.js") for name in named)
    for name in named:
        answer = client.get(name)
        assert answer.status_code == 200, name
        assert "immutable" in answer.headers["cache-control"]


def test_a_file_under_another_versions_name_is_not_kept(client: TestClient) -> None:
    assert client.get("/assets/at-0000/js/app.js").headers["cache-control"] == "no-cache"
    assert client.get("/assets/at-0000/%2e%2e/%2e%2e/_app.py").status_code == 404


def test_answers_of_the_api_are_not_kept(client: TestClient) -> None:
    assert client.get("/api/runs").headers["cache-control"] == "no-store"


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""])
def test_a_body_that_another_sites_form_could_send_is_refused(client: TestClient, kind: str) -> None:
    answer = client.post("/api/runs", content=b"{}", headers={"content-type": kind})
    assert answer.status_code == 415
    assert "application/json" in answer.json()["hint"]


def test_a_body_of_megabytes_or_of_no_length_is_refused_unread(client: TestClient) -> None:
    json = {"content-type": "application/json"}
    assert client.post("/api/runs", content=b" " * 1_000_001, headers=json).status_code == 413
    assert client.post("/api/runs", content=iter([b"{}"]), headers=json).status_code == 411
    assert client.post("/api/runs", content=b"{}", headers=json).status_code in (404, 405)


def test_a_page_on_a_neighbouring_port_is_another_site(client: TestClient) -> None:
    fetched = {"sec-fetch-site": "same-site", "sec-fetch-mode": "no-cors"}
    assert client.get("/api/runs", headers=fetched).status_code == 403
    assert client.get("/", headers={"sec-fetch-site": "same-site", "sec-fetch-mode": "navigate"}).status_code == 200
