"""Makes the pictures of the documentation: `python -m tests.web.screenshots RUN STUDY LATENT docs/images`.

The run and the study are finished ones; the latent is one of the run's SAE `topk`.
"""

import shutil
import sys
import threading
import time
from pathlib import Path

import uvicorn
from playwright.sync_api import sync_playwright

from monoseme.web import create_app

_PROMPT = "Once upon a time, a little girl named Lily found 3 strings. The function returns 12 if the list is empty."


def main(run: Path, study: Path, latent: int, folder: Path) -> None:
    """One PNG per page, 1280 by 900, light."""
    server = uvicorn.Server(uvicorn.Config(create_app([run], studies=[study]), port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    home = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/runs/{run.resolve().name}"
    pages = {
        "overview": "",
        "latents": "/saes/topk/latents?q=in the word",
        "latent": f"/saes/topk/latents/{latent}",
        "prompt": f"/saes/topk/prompt?text={_PROMPT}&latent={latent}&token=12",
        "steer": f"/steer?l=topk:{latent}:1max&p=Once upon a time&p=There were&p=She counted&n=60&seed=1&go=1",
        "studies": f"/studies/{study.resolve().name}",
    }
    try:
        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.set_default_timeout(120_000)
            for name, path in pages.items():
                page.goto(home + path)
                page.wait_for_selector("#main[aria-busy=false] > *")
                if page.locator(".chart").count():
                    page.wait_for_selector(".chart__draw[aria-busy=false] svg")
                if name == "steer":
                    page.wait_for_selector(".steer__command")
                    page.get_by_role("button", name="Write", exact=True).wait_for()
                if name == "studies":
                    page.get_by_role("heading", name="Findings").evaluate("heading => scrollTo(0, heading.offsetTop - 80)")
                page.wait_for_timeout(2500)
                page.screenshot(path=folder / f"{name}.png")
    finally:
        server.should_exit = True
        thread.join()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
