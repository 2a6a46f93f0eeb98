"""What the front end may weigh and how long its pages may take, with an atlas of 65,536 latents."""

import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

from monoseme.web import create_app

from .browser import IN_A_BROWSER, Chromium, serving
from .timing import answers, front_end_size, long_tasks, opened, turned
from .wide_run import N_LATENTS, make_wide_run

_PAGES = "/runs/wide/saes/topk/latents"


def test_the_front_end_is_light() -> None:
    size = front_end_size()
    assert size.largest_page < 300_000
    assert size.gzipped < 300_000


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an app over an SAE of 65,536 latents, its table in memory."""
    folder: Path = make_wide_run(tmp_path_factory.mktemp("runs") / "wide")
    with serving(create_app([folder])) as home:
        answers(home, [f"/api{_PAGES}"])  # reads the table into memory
        yield home


@pytest.mark.slow
class TestWithAWideAtlas:
    """Bounds are the ones promised; a busy machine may need a second run."""

    pytestmark = IN_A_BROWSER

    def test_the_first_paint_takes_less_than_half_a_second(self, chromium: Chromium, wide: str) -> None:
        found = [opened(chromium, wide, path).first_paint for path in ("/", _PAGES, f"{_PAGES}/4711") for _ in range(5)]
        assert statistics.median(found) < 500

    def test_a_latents_page_takes_less_than_a_tenth_of_a_second(self, chromium: Chromium, wide: str) -> None:
        with chromium.site(wide) as site:
            site.open(f"{_PAGES}/4711")
            assert statistics.median(turned(site, "j", 20)) < 100
        assert statistics.median(answers(wide, [f"/api{_PAGES}/{index}" for index in range(0, N_LATENTS, 3000)])) < 50

    def test_no_long_task_while_the_table_scrolls(self, chromium: Chromium, wide: str) -> None:
        with chromium.site(wide) as site:
            site.open(_PAGES)
            assert [task for task in long_tasks(site, ".latents__box", seconds=8) if task > 50] == []
