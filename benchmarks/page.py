"""Writes docs/benchmarks.md and its figures from what `monoseme bench ... --out docs/results/benchmarks/NAME.json` measured.

python benchmarks/page.py
"""

from pathlib import Path

from monoseme.benchmarks import write_page

_DOCS = Path(__file__).resolve().parents[1] / "docs"


def main() -> None:
    """Writes the page."""
    write_page(_DOCS / "results" / "benchmarks", _DOCS / "benchmarks.md")


if __name__ == "__main__":
    main()
