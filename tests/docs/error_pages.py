"""The pages of errors, taken apart."""

import re
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "errors"
PAGES = sorted(FOLDER.glob("*.md"))
_BLOCK = re.compile(r"^## (Symptom|Wrong|Right)\n.*?^```\w+\n(.*?)^```", re.MULTILINE | re.DOTALL)


class Blocks(NamedTuple):
    """What a page shows."""

    symptom: str
    wrong: str
    right: str


def blocks(page: str) -> Blocks:
    """The blocks of a page. Fails for a page that lacks one."""
    found = dict(_BLOCK.findall(page))
    return Blocks(found["Symptom"].strip(), found["Wrong"], found["Right"])


def shown(error: BaseException) -> str:
    """An error as the page shows it; a port that happened to be free is written 8322."""
    return re.sub(r"--port \d+", "--port 8322", f"{type(error).__name__}: {error}").strip()
