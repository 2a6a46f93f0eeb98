"""How fast the pages are, as the browser itself tells: paints, page turns, long tasks. Times are in milliseconds."""

import gzip
import time
from collections.abc import Sequence
from typing import NamedTuple

import httpx

from monoseme.web._modules import in_order
from monoseme.web._static import STATIC

from .browser import Chromium, Site

# When the page at hand first stood, painted: two frames after it stopped being busy.
_STANDS = """new MutationObserver((_, watch) => {
  if (window.stood || !document.querySelector('#main[aria-busy=false] > *')) return;
  window.stood = -1;
  watch.disconnect();
  requestAnimationFrame(() => requestAnimationFrame(() => { window.stood = performance.now(); }));
}).observe(document, { subtree: true, childList: true, attributes: true });"""
_FIRST_PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null"
_TURN = """async (key) => {
  const main = document.getElementById('main');
  const start = performance.now();
  document.body.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true }));
  await new Promise((done) => {
    const watch = new MutationObserver(() => main.getAttribute('aria-busy') === 'false' && (watch.disconnect(), done()));
    watch.observe(main, { attributes: true });
  });
  await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  return performance.now() - start;
}"""
# The browser reports tasks of 50 ms and more.
_LONG_TASKS = """window.tasks = [];
new PerformanceObserver((list) => window.tasks.push(...list.getEntries().map((entry) => entry.duration)))
  .observe({ type: 'longtask' });"""
_WHEEL_PX = 700


class Opened(NamedTuple):
    """A page loaded by a browser that has never been here."""

    first_paint: float
    """First contentful paint."""
    stands: float
    """All of the page, painted; without charts, which come when they are seen."""


def opened(chromium: Chromium, home: str, path: str) -> Opened:
    """Loads a page in a fresh browser profile."""
    with chromium.site(home, is_new=True) as site:
        site.page.add_init_script(_STANDS)
        site.open(path)
        site.page.wait_for_function("window.stood > 0")
        return Opened(site.page.evaluate(_FIRST_PAINT), site.page.evaluate("window.stood"))


def turned(site: Site, key: str, n: int) -> list[float]:
    """From pressing a key that opens another page to that page painted, `n` times."""
    return [site.page.evaluate(_TURN, key) for _ in range(n)]


def long_tasks(site: Site, box: str, *, seconds: float) -> list[float]:
    """Tasks of the main thread of 50 ms and more while the box of this selector is scrolled by wheel and by leaps."""
    page = site.page
    page.evaluate(_LONG_TASKS)
    page.locator(box).hover()
    until = time.monotonic() + seconds
    n = 0
    while time.monotonic() < until:
        page.mouse.wheel(0, _WHEEL_PX if n % 40 else 400_000)
        page.wait_for_timeout(16)
        n += 1
    page.wait_for_timeout(300)
    return page.evaluate("window.tasks")


def answers(home: str, paths: Sequence[str]) -> list[float]:
    """Each address of the API, from asking to the whole answer, one after another."""
    with httpx.Client(base_url=home, timeout=60) as client:
        return [_timed(client, path) for path in paths]


def _timed(client: httpx.Client, path: str) -> float:
    start = time.perf_counter()
    client.get(path).raise_for_status()
    return 1000 * (time.perf_counter() - start)


class Size(NamedTuple):
    """Bytes of the front end without the chart library."""

    largest_page: int
    """What the heaviest page brings along, styles of all pages included, uncompressed."""
    gzipped: int
    """All pages together, as they travel."""
    raw: int
    """All pages together, as they lie."""


def front_end_size() -> Size:
    """What the files weigh."""
    texts = {path.relative_to(STATIC).as_posix(): path.read_bytes() for path in sorted(STATIC.rglob("*.*"))}
    shared = {name for name in texts if not name.endswith(".js")} | set(_modules("js/app.js"))
    pages = [shared | set(_modules(name)) for name in texts if name.startswith("js/pages/")]
    return Size(
        largest_page=max(sum(len(texts[name]) for name in page) for page in pages),
        gzipped=sum(len(gzip.compress(text, 4)) for text in texts.values()),
        raw=sum(map(len, texts.values())),
    )


def _modules(entry: str) -> list[str]:
    return list(in_order(entry, lambda path: (STATIC / path).read_text(encoding="utf-8")))
