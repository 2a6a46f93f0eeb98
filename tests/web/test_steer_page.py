"""The steer page in a browser: latents and settings, texts and chats while they come, and an address that holds all of it."""

import re
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import parse_qsl

import pytest
from playwright.sync_api import Route

from monoseme.web.steer.asked import LatentAsked, StrengthAsked

from .browser import IN_A_BROWSER, Chromium, Site, serving
from .fake_run import HOSTILE, FakeRun
from .fake_steer import BROKEN_PROMPT, BUSY_PROMPT, SLOW_PROMPT, FakeSteer

pytestmark = IN_A_BROWSER

_ALL_ENDED = "n => document.querySelectorAll('.pane:not([data-open])').length === n"


class Steering(NamedTuple):
    """A page, and the server that it asks."""

    site: Site
    server: FakeSteer

    def open(self, query: str = "", *, run: str = "demo") -> None:
        self.server.asked.clear()
        self.site.open(f"/runs/{run}/steer?{query}")
        self.site.page.wait_for_selector(".steer__grid")

    def wait_for(self, n_panes: int) -> None:
        """Until so many texts have ended."""
        self.site.page.wait_for_function(_ALL_ENDED, arg=n_panes)

    def texts(self, arm: str) -> list[str]:
        return [strip.text_content() for strip in self.site.page.locator(f".pane--{arm} .steer__strip").all()]


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[str, FakeSteer]]:
    server = FakeSteer()
    with serving(server.app(FakeRun("demo"), FakeRun("gone", with_model=False))) as home:
        yield home, server


@pytest.fixture
def steering(chromium: Chromium, served: tuple[str, FakeSteer]) -> Iterator[Steering]:
    home, server = served
    with chromium.site(home) as site:
        yield Steering(site, server)


def test_what_is_set_on_the_page_is_asked_for_and_written_beside_the_default(steering: Steering) -> None:
    site, page = steering.site, steering.site.page
    steering.open("l=topk:17:1max&n=12")
    slider = page.get_by_role("slider", name="Strength of topk:17")
    slider.focus()
    site.keys("ArrowRight", "ArrowRight")
    assert re.fullmatch(r"1\.1 times its maximum = \d+\.\d\d", slider.get_attribute("aria-valuetext") or "")
    page.get_by_label("Strength of topk:17 as a number").fill("2.5")
    assert slider.input_value() == "2.5"
    page.get_by_label("Add a latent").fill("301")
    page.wait_for_selector("[role=option]")
    site.keys("Enter")
    page.get_by_label("Unit of topk:301").select_option("norm")
    page.get_by_label("Add a latent").fill("404")
    page.wait_for_selector("[role=option]")
    site.keys("Enter")
    page.get_by_role("listitem", name="topk:404").get_by_role("button", name="only watch").click()
    page.get_by_role("combobox", name="Method").select_option("clamp")
    page.get_by_label("error term").uncheck()
    page.get_by_role("button", name="New text").click()
    page.get_by_label("From token").fill("4")
    page.get_by_label("While latent fires").fill("40")
    page.get_by_label("Top-p").fill("0.9")
    page.get_by_label("Temperature").fill("0")
    page.get_by_label("Prompts, one a line").fill("The dog\n\nA cat sat")
    site.keys("Control+Enter")
    steering.wait_for(4)
    (asked,) = steering.server.asked
    assert asked.prompts == ["The dog", "A cat sat"]
    assert asked.latents == [
        StrengthAsked(sae="topk", latent=17, strength=2.5, unit="max"),
        StrengthAsked(sae="topk", latent=301, strength=0.5, unit="norm"),
    ]
    assert [item.latent for item in asked.watch] == [17, 301, 404]
    assert (asked.method, asked.options, asked.arms) == ("clamp", {"error_term": False}, ["default", "steered"])
    assert asked.conditions.model_dump() == {
        "only": "generated",
        "from_position": 4,
        "while_fires": LatentAsked(sae="topk", latent=40).model_dump(),
    }
    assert asked.sampling.model_dump() == {"max_new_tokens": 12, "temperature": 0, "top_p": 0.9, "seed": None}
    assert all(HOSTILE in text for text in steering.texts("steered"))
    assert not any(HOSTILE in text for text in steering.texts("default"))
    assert "The first 3 tokens as without steering." in page.locator(".pane--steered .pane__facts").first.inner_text()
    assert "seed 4711" in page.get_by_role("status").first.inner_text()
    site.is_accessible()
    site.fits_a_phone()


def test_an_address_writes_the_same_texts_again(steering: Steering) -> None:
    site, page = steering.site, steering.site.page
    steering.open("l=topk:17:2max&w=bare:40&n=6&m=clamp&o=error_term:false&p=The+dog&p=A+cat&seed=5&c=bare:40")
    assert steering.server.asked == []
    page.get_by_role("button", name="Write", exact=True).click()
    steering.wait_for(4)
    site.at("go=1")
    before, texts = steering.server.asked[0], steering.texts("steered")
    page.reload()
    steering.wait_for(4)
    assert steering.server.asked[1] == before
    assert steering.texts("steered") == texts
    page.get_by_role("button", name="Copy link").click()
    page.wait_for_selector("text=Copied")
    assert page.evaluate("navigator.clipboard.readText()") == page.url
    page.get_by_label("Seed").fill("6")
    page.wait_for_url(re.compile("seed=6"))
    assert "go=1" not in page.url


def test_each_token_tells_its_values_to_the_eye_the_keyboard_and_the_ear(steering: Steering) -> None:
    site, page = steering.site, steering.site.page
    steering.open("l=topk:17:2max&w=bare:40&n=9&p=The+dog&go=1")
    steering.wait_for(2)
    tokens = page.locator(".pane--steered .tok")
    assert tokens.count() == 12
    told = [
        (float(token.evaluate("e => e.style.getPropertyValue('--v')")), token.locator(".sr-only").text_content())
        for token in tokens.all()
    ]
    assert any(shade > 0 for shade, _ in told)
    assert all((shade > 0) == bool(re.fullmatch(r" \(\d+\.\d\d\) ", text or "")) for shade, text in told)
    page.locator(".pane--steered .tok[tabindex='0']").focus()
    site.keys("End")
    page.wait_for_selector(".tip:not([hidden])")
    lines = page.locator(".tip div").all_inner_texts()
    assert [line.split()[0] for line in lines[1:]] == ["topk:17", "bare:40"]
    assert page.locator(".pane--steered .tok[tabindex='0']").count() == 1
    page.locator("body").press("c")
    assert page.locator(".steer-legend__pick[aria-pressed=true]").inner_text() == "bare:40"
    assert "the largest here" in page.locator(".steer-legend").inner_text()


def test_stopping_and_leaving_close_the_stream(steering: Steering) -> None:
    site, page, server = *steering, steering.server
    page = site.page
    before = server.n_closed
    held: list[Route] = []
    page.route("**/api/runs/demo/steer", lambda route: route.continue_() if held else held.append(route))
    site.open(f"/runs/demo/steer?l=topk:17:2max&n=200&p={SLOW_PROMPT}")
    site.keys("w")  # before the model is loaded: remembered
    page.get_by_text("It writes as soon as it can.").wait_for()
    held[0].continue_()
    page.wait_for_selector(".pane--steered .tok:nth-child(8)")
    page.get_by_role("button", name="Stop").click()
    steering.wait_for(2)
    assert ", stopped" in page.locator(".pane--steered .pane__head").inner_text()
    assert page.get_by_role("button", name="Write", exact=True).is_visible()
    site.keys("w")
    page.wait_for_selector(".pane[data-open] .tok:nth-child(8)")
    page.get_by_role("link", name="Latents").click()
    site.at(r"/latents$")
    for _ in range(100):
        if server.n_closed == before + 2:
            break
        page.wait_for_timeout(20)
    assert server.n_closed == before + 2
    assert page.url.endswith("/latents")


def test_a_chat_keeps_a_history_for_each_arm(steering: Steering) -> None:
    site, page = steering.site, steering.site.page
    steering.open("chat=1&l=topk:17:2max&n=4&system=You+are+a+guide.")
    page.get_by_label("Your turn").fill("Hello there")
    page.get_by_role("button", name="Say it").click()
    steering.wait_for(2)
    page.get_by_label("Your turn").fill("More")
    site.keys("Control+Enter")
    steering.wait_for(4)
    first, second = (asked.chat for asked in steering.server.asked)
    assert first is not None
    assert second is not None
    assert first.system == "You are a guide."
    assert [turn.content for turn in first.turns] == ["Hello there"]
    default, steered = steering.texts("default")[0], steering.texts("steered")[0]
    assert [turn.role for turn in second.turns] == ["user", "assistant", "user"]
    answers = second.turns[1].content, (second.steered_turns or second.turns)[1].content
    assert answers[0] != answers[1]
    assert all(answer.split()[0] in text for answer, text in zip(answers, (default, steered), strict=True))
    assert steering.server.asked[1].sampling.seed == 4711
    site.at(r"say=Hello\+there&say=More&go=1")
    site.is_accessible()
    page.get_by_role("button", name="take the last turn back").click()
    assert page.get_by_label("Your turn").input_value() == "More"
    page.wait_for_url(re.compile(r"say=Hello\+there&go=1"))
    page.reload()
    steering.wait_for(2)
    assert steering.texts("steered") == [steered]
    site.fits_a_phone()


def test_what_goes_wrong_is_said_and_can_be_tried_again(steering: Steering) -> None:
    site, page = steering.site, steering.site.page
    steering.open(f"p={BUSY_PROMPT}")
    site.keys("w")
    alert = page.get_by_role("alert")
    alert.get_by_text("the queue is full").wait_for()
    assert "Try again" in alert.inner_text()
    page.get_by_label("Prompts").fill(BROKEN_PROMPT)
    site.keys("Control+Enter")
    alert.get_by_text("run out of memory").wait_for()
    page.get_by_label("Prompts").fill("\n".join("abcdefghi"))
    site.keys("Control+Enter")
    alert.get_by_text("8 at most").wait_for()
    page.get_by_label("Prompts").fill("good")
    site.keys("Control+Enter")
    steering.wait_for(1)
    assert alert.inner_text() == ""
    assert steering.server.asked[-1].arms == ["default"]
    steering.open("l=topk:17:2max&l=nope:3:1max&l=topk:99999:1max&go=1", run="gone")
    assert "models/gone" in page.locator(".notice").inner_text()
    assert page.get_by_role("button", name="Write", exact=True).is_disabled()
    assert "no SAE “nope”" in page.locator(".aims").inner_text()
    assert "topk has latents 0 to 600" in page.locator(".aims").inner_text()
    assert steering.server.asked == []


def test_the_real_server_streams_to_the_page_and_a_link_writes_the_same_tokens(real_site: Site) -> None:
    page = real_site.page
    real_site.open("/runs/tiny/steer?l=topk:3:2max&m=clamp&n=4&p=Once+upon+a+time&p=The+dog")
    page.wait_for_selector(".steer__grid")
    assert page.get_by_role("combobox", name="Method").locator("option").count() > 5
    real_site.keys("w")
    real_site.at("go=1")
    page.wait_for_function(_ALL_ENDED, arg=4)
    texts = page.locator(".steer__strip").all_text_contents()
    assert page.locator(".steer__command code").inner_text().startswith("monoseme generate ")
    page.reload()
    page.wait_for_function(_ALL_ENDED, arg=4)
    assert page.locator(".steer__strip").all_text_contents() == texts
    page.get_by_role("button", name="Chat").click()
    page.get_by_label("Your turn").fill("Hello")
    page.get_by_role("button", name="Say it").click()
    page.wait_for_function(_ALL_ENDED, arg=2)
    assert page.get_by_role("alert").first.inner_text() == ""


_ROUND_TRIP = """async (query) => {
  const { readState, writeState } = await import("/assets/js/steer/state.js");
  return writeState(readState(query)).query;
}"""


_ADDRESSES = (
    ("l=tfa.novel:3:-0.5norm&p=a%26b&p=c%0Ad", None),
    ("l=mlsae%40resid_post.3:7:3raw&l=a:b:1:2max&w=topk:9&n=5&t=0&top_p=0.5&seed=0&p=x", None),
    ("chat=1&m=prompt&o=instruction:say: it&only=prompt&from=3&while=topk:4&alone=1&system=s&say=a&say=b&go=1", None),
    ("l=topk:17&l=:3:1max&l=topk:x:1max&w=-1&n=-4&t=warm&seed=1.5&from=&while=no&p=x", "p=x"),
    ("p=" + "x" * 20_000, ""),
)


def test_an_address_says_the_state_and_nothing_else(steering: Steering) -> None:
    steering.site.page.goto(steering.site.home + "/assets/icon.svg")
    for given, kept in _ADDRESSES:
        read = steering.site.page.evaluate(_ROUND_TRIP, "?" + given)
        assert sorted(parse_qsl(read)) == sorted(parse_qsl(given if kept is None else kept))


_IN_PIECES = """async ([text, size]) => {
  const bytes = new TextEncoder().encode(text);
  const body = new ReadableStream({ start(to) {
    for (let at = 0; at < bytes.length; at += size) to.enqueue(bytes.slice(at, at + size));
    to.close();
  } });
  window.fetch = async () => new Response(body);
  const { events } = await import("/assets/js/stream.js");
  const heard = [];
  for await (const event of events("/x", {})) heard.push([event.name, event.data]);
  return heard;
}"""


_EVENTS = (
    ': wait\n\nevent: token\ndata: {"text": "ü\u202e🦉\\n\\n"}\n\n'
    ': x\r\n\r\nevent: done\r\ndata: {"a":\r\ndata: 1}\r\n\r\nevent: cut'
)


def test_events_are_the_same_however_their_bytes_arrive(steering: Steering) -> None:
    steering.site.page.goto(steering.site.home + "/assets/icon.svg")
    for size in (1, 3, 1000):
        heard = steering.site.page.evaluate(_IN_PIECES, [_EVENTS, size])
        assert heard == [["token", {"text": "ü\u202e🦉\n\n"}], ["done", {"a": 1}]]
