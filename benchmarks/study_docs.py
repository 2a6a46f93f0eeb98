"""A study's report as a page of the documentation: small figures for both themes, small tables, no paths of a machine.

Used by `benchmarks/studies.py`.
"""

import csv
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import vl_convert

_SVG_BYTES = 40_000
"""Up to which a figure stays a text."""
_CSV_BYTES = 100_000
_LONG_TEXT = 60
"""Characters from which a cell is taken for a text of the corpus."""
_FIGURE = re.compile(r"!\[(?P<title>.*?)\]\(figures/(?P<name>[\w-]+)\.png\)")
_SPOKEN = re.compile(r' (?:aria-[a-z]+|role)="[^"]*"')
_DIGITS = re.compile(r"(-?\d+\.\d{2})\d+")


class Rules(NamedTuple):
    """What may go into the documentation."""

    keeps_texts: bool
    """Whether tables with sentences of the corpus may; its licence says."""
    paths: Mapping[str, str]
    """Path of this machine -> what stands for it."""
    figure_bytes: int = 230_000
    """What the figures of one study may weigh; those that come later are left to the report that the command makes."""


def copy_report(report: Path, out: Path, rules: Rules) -> None:
    """Writes OUT/index.md with its figures and tables; an earlier one is replaced."""
    for old in [*out.glob("figures/*"), *out.glob("tables/*")]:
        old.unlink()
    text = (report / "index.md").read_text(encoding="utf-8")
    text = _with_tables(text, report, out, rules)
    text = _with_figures(text, report, out, rules.figure_bytes)
    for path, word in rules.paths.items():
        text = text.replace(path, word)
    out.mkdir(parents=True, exist_ok=True)
    (out / "index.md").write_text(text, encoding="utf-8")


def _with_figures(text: str, report: Path, out: Path, left: int) -> str:
    """Each figure twice, for the light and the dark theme of the site, as long as there is room."""

    def placed(found: re.Match[str]) -> str:
        nonlocal left
        pair = [_smallest(report / "figures", found["name"], dark) for dark in ("", ".dark")]
        if sum(len(content) for _, content in pair) > left:
            return "*Interactive, in the report that the command makes.*"
        left -= sum(len(content) for _, content in pair)
        (out / "figures").mkdir(parents=True, exist_ok=True)
        for ending, content in pair:
            (out / "figures" / f"{found['name']}{ending}").write_bytes(content)
        shown = ((ending, only) for (ending, _), only in zip(pair, ("light", "dark"), strict=True))
        return "\n".join(f"![{found['title']}](figures/{found['name']}{ending}#only-{only})" for ending, only in shown)

    return _FIGURE.sub(placed, text)


def _smallest(folder: Path, name: str, dark: str) -> tuple[str, bytes]:
    """The figure as SVG without what only screen readers of a live chart hear, or as PNG if that is much smaller."""
    svg = _DIGITS.sub(r"\1", _SPOKEN.sub("", (folder / f"{name}{dark}.svg").read_text(encoding="utf-8")))
    if len(svg) <= _SVG_BYTES:
        return f"{dark}.svg", svg.encode()
    png = vl_convert.svg_to_png(svg, scale=1.0)
    return (f"{dark}.svg", svg.encode()) if len(svg) <= 2 * len(png) else (f"{dark}.png", png)


def _with_tables(text: str, report: Path, out: Path, rules: Rules) -> str:
    """Sections of tables: those with sentences of a corpus that may not be spread are left out, large files are not linked."""
    tables: dict[str, str] = json.loads((report / "report.json").read_text())["tables"]
    head, *sections = re.split(r"(?m)^(?=## )", text)
    kept = [head]
    for section in sections:
        linked = re.search(r"\(tables/([\w-]+)\.csv\)", section)
        file = report / "tables" / f"{linked[1]}.csv" if linked else None
        if file is None or f"tables/{file.stem}.parquet" not in tables.values():
            kept.append(section)
        elif rules.keeps_texts or not _has_texts(file):
            kept.append(_with_file(section, file, out, rules))
    return "".join(kept)


def _with_file(section: str, file: Path, out: Path, rules: Rules) -> str:
    if file.stat().st_size > _CSV_BYTES:
        return section.replace(f"[CSV](tables/{file.name})", "in the report that the command makes")
    content = file.read_text(encoding="utf-8")
    for path, word in rules.paths.items():
        content = content.replace(path, word)
    (out / "tables").mkdir(parents=True, exist_ok=True)
    (out / "tables" / file.name).write_text(content, encoding="utf-8")
    return section


def _has_texts(file: Path) -> bool:
    with file.open(encoding="utf-8", newline="") as stream:
        return any(len(cell) > _LONG_TEXT for row in csv.reader(stream) for cell in row)
