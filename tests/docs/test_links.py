"""Every file that a page links to is kept with it: the site is built without a warning on a clone too."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
_CODE = re.compile(r"```.*?```|~~~.*?~~~|`[^`\n]*`", re.DOTALL)
_TARGET = re.compile(r"\]\((?![a-z]+:|#)([^)\s#]+)[^)]*\)|<(?:img|a)[^>]* (?:src|href)=\"(?![a-z]+:|#)([^\"#]+)")


def lost(page: Path) -> list[str]:
    """Targets that are not there."""
    found = (a or b for a, b in _TARGET.findall(_CODE.sub("", page.read_text(encoding="utf-8"))))
    return [target for target in found if not (page.parent / target).exists()]


def test_what_pages_link_to_is_there() -> None:
    assert {str(page.relative_to(ROOT)): gone for page in PAGES if (gone := lost(page))} == {}


def test_a_lost_file_is_seen(tmp_path: Path) -> None:
    (tmp_path / "here.md").write_text('[a](here.md#x) ![b](gone.png) `[c](d)` [e](https://f) <img src="off.svg">')
    assert lost(tmp_path / "here.md") == ["gone.png", "off.svg"]
