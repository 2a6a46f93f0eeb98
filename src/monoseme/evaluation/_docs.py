"""The tables of `docs/metrics.md`, made from the definitions in the code so that the two cannot drift apart.

`python -m monoseme.evaluation._docs docs/metrics.md` rewrites the part between the two marks; a test compares them.
"""

import sys
from pathlib import Path

from monoseme.core.files import write_atomic
from monoseme.core.made_part import with_made_part
from monoseme.core.markdown import cell
from monoseme.evaluation import EVALUATIONS
from monoseme.evaluation._metric import Definition

START = "<!-- definitions: made from the code by `python -m monoseme.evaluation._docs docs/metrics.md` -->"
END = "<!-- end of definitions -->"
_ARROWS = {"higher": "↑", "lower": "↓", "neither": ""}


def definitions_as_markdown() -> str:
    """A section with a table for each evaluation."""
    sections = (f"## `{name}`\n\n{_table(EVALUATIONS.get(name).definitions())}" for name in EVALUATIONS.names())
    return "\n\n".join(sections)


def _table(definitions: tuple[Definition, ...]) -> str:
    rows = [f"| `{d.name}` {_ARROWS[d.better]} | {d.unit} | {cell(d.definition)} |".replace("  |", " |") for d in definitions]
    return "\n".join(["| metric | unit | definition |", "|---|---|---|", *rows])


def with_definitions(page: str) -> str:
    """The page with the part between the marks made anew. Raises ConfigError where the marks are not there."""
    return with_made_part(page, start=START, end=END, made=definitions_as_markdown())


if __name__ == "__main__":
    page_path = Path(sys.argv[1])
    write_atomic(page_path, with_definitions(page_path.read_text(encoding="utf-8")))
