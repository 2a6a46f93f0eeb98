"""The app in Chromium, for tests: one browser a session, an emptied tab a test, and everything that goes wrong in it told.

Fixtures are in `conftest.py`: `fake_site` and `real_site` are pages on an app over the made-up runs and on one over the real
tiny run; `chromium` opens pages on any other server (`serving`). A page that closes has been checked.
"""

import asyncio
import re
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn
from fastapi import FastAPI

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page, Request

CHROMIUM = shutil.which("chromium")
IN_A_BROWSER = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine (apt install chromium)"),
]
"""Marks of a module of browser tests: `pytestmark = IN_A_BROWSER`."""

WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
_LOOPBACK = "127.0.0.1"
_PATIENCE_MS = 60_000
"""How long a page may take for what it is asked, on a busy machine."""

# Policy violations are events, not always lines in the console.
_WATCH = """document.addEventListener('securitypolicyviolation',
  (event) => console.error('CSP ' + event.violatedDirective + ' ' + event.blockedURI))"""
_TOO_WIDE = """() => {
  const room = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= room) return [];
  return [...document.querySelectorAll('body *')].filter((e) => e.getBoundingClientRect().right > room + 1)
    .map((e) => e.outerHTML.slice(0, 120)).slice(-3);
}"""


class Site:
    """A browser page on a served app that remembers everything that went wrong in it."""

    def __init__(self, page: "Page") -> None:
        self.page, self.home = page, ""
        self.problems: list[str] = []
        page.set_default_timeout(_PATIENCE_MS)
        page.add_init_script(_WATCH)
        page.on("pageerror", lambda error: self.problems.append(f"script: {error}"))
        page.on("console", self._note)
        page.on("request", self._note_request)

    def _note(self, line: "ConsoleMessage") -> None:
        # The browser itself logs each answer of 400 and above, which some tests provoke.
        if line.type in ("error", "warning") and "Failed to load resource" not in line.text:
            self.problems.append(f"{line.type}: {line.text}")

    def _note_request(self, request: "Request") -> None:
        if not request.url.startswith((self.home, "data:", "blob:")):
            self.problems.append(f"asked another server for {request.url}")

    def open(self, path: str) -> None:
        """Loads a page and waits until it stands."""
        self.page.goto(self.home + path)
        self.settle()

    def settle(self) -> None:
        """Waits until the page at hand stands."""
        self.page.wait_for_selector("#main[aria-busy=false] > *")

    def at(self, pattern: str) -> None:
        """Waits for an address that holds this pattern, and for its page."""
        self.page.wait_for_url(re.compile(pattern))
        self.settle()

    def heading(self) -> str:
        """What the page calls itself."""
        return self.page.locator("h1").first.inner_text()

    def keys(self, *keys: str) -> None:
        """Presses one key after another."""
        for key in keys:
            self.page.keyboard.press(key)

    def fits_a_phone(self) -> None:
        """Fails where the page is wider than a phone; leaves it at a phone's size."""
        self.page.set_viewport_size(PHONE)
        found = self.page.evaluate(_TOO_WIDE)
        assert found == [], f"{self.page.url} is wider than {PHONE['width']} px: {found}"

    def is_accessible(self, *rules: str) -> None:
        """Fails where axe-core finds a serious or critical fault; `rules` names the only ones to look at."""
        from axe_playwright_python.sync_playwright import Axe

        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(Axe().axe_script)
        options = {"resultTypes": ["violations"], **({"runOnly": list(rules)} if rules else {})}
        found: list[dict[str, Any]] = self.page.evaluate("(options) => axe.run(options)", options)["violations"]
        faults = [
            f"{fault['id']} ({fault['impact']}): {node['html'][:160]}  {node['failureSummary']}"
            for fault in found
            if fault["impact"] in ("serious", "critical")
            for node in fault["nodes"][:3]
        ]
        assert faults == [], f"{self.page.url}\n" + "\n".join(faults)

    def check(self) -> None:
        """Fails where a script, the console, the content policy or a foreign address told of a problem, or markup came alive."""
        assert self.problems == []
        if self.page.url.startswith(self.home):
            assert self.page.evaluate("window.hacked") is None
            assert self.page.locator("main script, main img").count() == 0

    def empty(self) -> None:
        """As a new tab, but for its history."""
        if self.page.url.startswith("http"):
            self.page.evaluate("() => { localStorage.clear(); sessionStorage.clear(); }")
        self.page.goto("about:blank")
        self.page.mouse.move(0, 0)
        self.page.set_viewport_size(WIDE)
        self.page.unroute_all()
        self.problems.clear()


class Chromium:
    """The browser of a session. It knows no host but this machine, so whatever works in it works offline."""

    def __init__(self, browser: "Browser", loop: asyncio.AbstractEventLoop) -> None:
        self._browser, self._loop = browser, loop
        self._shared: Site | None = None

    @contextmanager
    def site(self, home: str, *, is_new: bool = False, **options: Any) -> Iterator[Site]:
        """A page on the app at `home`, checked as it closes.

        A new tab costs the processor as much as all that a test does in it, so tests share one, emptied after each and given up
        when one fails. Those that ask for a new one, or by `options` for another Playwright context, have one of their own.
        """
        with self._driving():
            is_shared = not (is_new or options)
            site = (self._shared if is_shared else None) or self._opened(**options)
            site.home = home
            if is_shared:
                self._shared = None  # who asks for a page meanwhile has another
            try:
                yield site
                site.check()
                if is_shared and self._shared is None:
                    site.empty()
                    self._shared = site
            finally:
                if self._shared is not site:
                    site.page.context.close()

    def _opened(self, **options: Any) -> Site:
        clipboard = ["clipboard-read", "clipboard-write"]
        return Site(self._browser.new_context(**{"viewport": WIDE, "permissions": clipboard, **options}).new_page())

    @contextmanager
    def _driving(self) -> Iterator[None]:
        """Playwright leaves its event loop marked as this thread's running one, and then no other test could run a loop here."""
        asyncio._set_running_loop(self._loop)
        try:
            yield
        finally:
            asyncio._set_running_loop(None)


@contextmanager
def chromium() -> Iterator[Chromium]:
    """Starts the browser."""
    from playwright.sync_api import sync_playwright

    # Names other than this machine's are unknown, as without a network.
    offline = f"--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE {_LOOPBACK}"
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", offline])
        loop = asyncio.get_running_loop()
        asyncio._set_running_loop(None)
        try:
            yield Chromium(browser, loop)
        finally:
            asyncio._set_running_loop(loop)
            browser.close()


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """The app on a free port of this machine; gives its address."""
    server = uvicorn.Server(uvicorn.Config(app, host=_LOOPBACK, port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield f"http://{_LOOPBACK}:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
