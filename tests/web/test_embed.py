"""Components without a server: modules joined into one script, pages that need nothing, frames in a notebook."""

import html
import re
from pathlib import Path

import pytest

from monoseme.core.errors import ConfigError
from monoseme.web._bundle import bundle
from monoseme.web._modules import in_order
from monoseme.web.embed import Embedded, latent_page, metric_table, token_strip
from monoseme.web.run_files import NotFoundError

from .browser import IN_A_BROWSER, Chromium
from .fake_run import HOSTILE


def joined(**modules: str) -> str:
    return bundle("main.js", {f"{name}.js": source for name, source in modules.items()}.__getitem__)


def test_a_module_stands_behind_those_it_imports_and_keeps_its_names_to_itself() -> None:
    main = 'import { one as two } from "./lib.js";\nconst hidden = 1;\nconsole.log(two + hidden);\n'
    script = joined(main=main, lib="const hidden = 2;\nexport const one = hidden;\nexport class Two {}\n")
    assert script.index("const hidden = 2") < script.index("const hidden = 1")
    assert "const { one: two } = module0;" in script
    assert "return { one, Two };" in script
    assert not re.search(r"^(import|export)", script, re.MULTILINE)


@pytest.mark.parametrize(
    "source",
    [
        "export default 1;\n",
        "export * from './lib.js';\n",
        "const one = 1;\nexport { one };\n",
        "export let one = 1;\n",
        "import './lib.js';\n",
        "const later = () => import('./lib.js');\n",
        "const here = import.meta.url;\n",
    ],
)
def test_another_form_of_import_or_export_is_refused(source: str) -> None:
    with pytest.raises(ValueError, match=r"main\.js .*cannot be joined"):
        joined(main=source, lib="")


def test_a_circle_of_imports_is_refused() -> None:
    sources = {"a.js": 'import { b } from "./b.js";\n', "b.js": 'import { a } from "./a.js";\n'}
    with pytest.raises(ValueError, match=r"a\.js > b\.js > a\.js"):
        in_order("a.js", sources.__getitem__)


def test_a_page_names_what_may_run_by_hash_and_nothing_else() -> None:
    page = token_strip(["a"], [1.0]).html
    policy = html.unescape(re.search(r'Content-Security-Policy" content="([^"]*)"', page).group(1))  # pyright: ignore[reportOptionalMemberAccess]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"].startswith("'sha256-")
    assert rules["style-src"].startswith("'sha256-")
    assert "unsafe" not in policy
    assert "://" not in page.replace("http://www.w3.org/2000/svg", "")


def test_data_cannot_end_its_element() -> None:
    page = token_strip(["</script><script>window.hacked = 1</script>", "<!--"], [1.0, None], title="<b>x</b>").html
    assert "</script><script>window" not in page
    assert "<!--" not in page
    assert "<title>&lt;b&gt;x&lt;/b&gt;</title>" in page


def test_a_strip_refuses_values_that_do_not_pair_or_are_no_numbers() -> None:
    with pytest.raises(ConfigError, match="2 tokens and 1 values"):
        token_strip(["a", "b"], [1.0])
    with pytest.raises(ConfigError, match="not finite"):
        token_strip(["a"], [float("nan")])


def test_a_latent_that_is_not_there_is_named(run_folder: Path) -> None:
    with pytest.raises(NotFoundError, match="67"):
        latent_page(run_folder, "topk", 67)


@pytest.mark.browser
class TestInABrowser:
    pytestmark = IN_A_BROWSER

    def test_files_draw_themselves_offline_without_a_fault(self, chromium: Chromium, run_folder: Path, tmp_path: Path) -> None:
        strip = token_strip(["The", f" {HOSTILE}", "\n", " end\u202e"], [0.5, 2.0, None, -1.0])
        pieces: dict[str, Embedded] = {
            "latent": latent_page(run_folder, "topk", _alive(run_folder)),
            "metrics": metric_table(run_folder),
            "tokens": strip,
        }
        seen = {"latent": ".examples .tok[data-peak]", "metrics": "table.metrics tbody tr", "tokens": ".tok[data-negative]"}
        with chromium.site("file://") as site:
            for name, piece in pieces.items():
                site.page.goto(piece.write(tmp_path / f"{name}.html").as_uri())
                assert site.page.locator(seen[name]).count() > 0, name
                assert site.page.locator("main a").count() == 0
                site.is_accessible()
                site.fits_a_phone()
            assert HOSTILE in site.page.locator(".strip").inner_text()
            site.page.locator(".tok").nth(1).hover()
            assert "2.00" in site.page.locator(".tip").inner_text()

    def test_a_frame_in_a_notebook_shows_the_component(self, chromium: Chromium, tmp_path: Path) -> None:
        notebook = tmp_path / "cell.html"
        notebook.write_text(
            f"<!doctype html><html lang=en><title>cell</title><body>{token_strip(['a', ' b'], [0, 1])._repr_html_()}"
        )
        with chromium.site("file://") as site:
            site.page.goto(notebook.as_uri())
            assert site.page.frame_locator("iframe").locator(".tok").count() == 2


def _alive(run_folder: Path) -> int:
    from monoseme.atlas import open_atlas

    densities = open_atlas(run_folder / "atlas").latents("topk").densities()
    return int(densities.argmax())
