"""How fast the pages of the web app are with an SAE of 65,536 latents, and what the front end weighs.

    python -m tests.web.wide_run /tmp/wide
    python -m benchmarks.web_app /tmp/wide --out docs/results/web_app.json

Run from the project's folder, on a quiet machine. Times are the browser's own, in milliseconds, in Debian's Chromium on loopback,
server and browser on the same machine: first contentful paint and the whole page painted, each load in a profile that has never
been here; the turn from one latent to the next, from key to paint; tasks of the main thread of 50 ms and more while the table
scrolls by wheel and by leaps; answers of the API from question to last byte.
"""

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

from tests.web import browser, timing
from tests.web.wide_run import N_LATENTS

from monoseme.benchmarks._machine import machine_facts
from monoseme.web import create_app

_LOADS = 9
_TURNS = 40


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder that tests.web.wide_run made")
    parser.add_argument("--out", type=Path, default=Path("docs/results/web_app.json"))
    parsed = parser.parse_args()
    with browser.serving(create_app([parsed.run])) as home, browser.chromium() as chromium:
        found = measured(chromium, home, f"/runs/{parsed.run.resolve().name}")
    parsed.out.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))


def measured(chromium: browser.Chromium, home: str, run: str) -> dict[str, Any]:
    """Everything, by name."""
    latents = f"{run}/saes/topk/latents"
    (first,) = timing.answers(home, [f"/api{latents}"])  # reads the table into memory
    pages = {"overview": run, "latents": latents, "latent": f"{latents}/4711"}
    indices = range(0, N_LATENTS, N_LATENTS // 100)
    size = timing.front_end_size()
    return {
        "n_latents": N_LATENTS,
        "loads_ms": {name: _loads(chromium, home, path) for name, path in pages.items()},
        "next_latent_ms": _spread(_turns(chromium, home, pages["latent"])),
        "latent_answer_ms": _spread(timing.answers(home, [f"/api{latents}/{index}" for index in indices])),
        "first_table_answer_ms": round(first, 1),
        "table_answer_ms": _spread(timing.answers(home, [f"/api{latents}?offset={index}" for index in indices])),
        "scrolling": _scrolling(chromium, home, latents),
        "front_end_bytes": size._asdict(),
        "machine": machine_facts(),
    }


def _loads(chromium: browser.Chromium, home: str, path: str) -> dict[str, Any]:
    found = [timing.opened(chromium, home, path) for _ in range(_LOADS)]
    return {"first_paint": _spread([load.first_paint for load in found]), "whole": _spread([load.stands for load in found])}


def _turns(chromium: browser.Chromium, home: str, path: str) -> list[float]:
    with chromium.site(home) as site:
        site.open(path)
        return timing.turned(site, "j", _TURNS)


def _scrolling(chromium: browser.Chromium, home: str, path: str) -> dict[str, Any]:
    with chromium.site(home) as site:
        site.open(path)
        tasks = timing.long_tasks(site, ".latents__box", seconds=20)
    return {"seconds": 20, "tasks_of_50_ms_and_more": sorted(tasks, reverse=True)}


def _spread(values: list[float]) -> dict[str, float]:
    return {"median": round(statistics.median(values), 1), "largest": round(max(values), 1), "n": len(values)}


if __name__ == "__main__":
    main()
