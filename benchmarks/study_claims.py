"""The papers' claims beside what was measured at this size: the index page of `docs/results/studies`.

Used by `benchmarks/studies.py`; every sentence about a number comes from a study's own findings.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_HEAD = """\
# Studies: claims of the papers, and what was measured

Made by one command, which trains the SAEs, runs every study and writes this page:

```sh
python benchmarks/studies.py --shared ../shared --out docs/results/studies
```

The size is small on purpose, so that anyone can make it again in an hour or two on two cores: the bundled model (6 layers of
width 192), SAEs of 2,048 latents with 20 active, one million tokens of classic books. Such SAEs are young: latents that seeds
or widths share are far fewer than in finished ones. A claim that does not show here may well hold at the paper's size, and one
that does is no proof of it there; what is compared, and on how much text, stands on each study's page. Intervals are 95 %: over
documents or sources by a bootstrap that is paired between SAEs, or over seeds. "Does not hold" means that the interval does not
lie on the claim's side: where it contains zero, nothing is decided.
"""
_ORDER = ("probing", "probing_medical", "layers", "residual", "predictability", "temporal")
"""Studies whose claims are asked for most stand first."""


def index_page(reports: Mapping[str, Path]) -> str:
    """The page; `reports` maps the folder of each study's page to its report."""
    order = [name for name in _ORDER if name in reports] + [name for name in reports if name not in _ORDER]
    found = {name: json.loads((reports[name] / "report.json").read_text(encoding="utf-8")) for name in order}
    parts = [_HEAD, "## At a glance\n\n" + _overview(found), "## What does not reproduce here\n\n" + _against(found)]
    parts += [_section(name, report) for name, report in found.items()]
    return "\n".join(part.rstrip() + "\n" for part in parts)


def _overview(found: Mapping[str, Any]) -> str:
    lines = ["| claim | here | study |", "| --- | --- | --- |"]
    for name, report in found.items():
        for finding in report["findings"]:
            lines.append(
                f"| {_cell(finding['claim'])} | **{finding['verdict']}** | [{name.replace('_', ' ')}]({name}/index.md) |"
            )
    return "\n".join(lines) + "\n"


def _against(found: Mapping[str, Any]) -> str:
    """Each comparison that speaks against its claim, and what could not be measured."""
    lines: list[str] = []
    for report in found.values():
        for finding in report["findings"]:
            against = [c["numbers"] for c in finding["comparisons"] if not c["held"]]
            if against:
                lines.append(f"- {_line(finding['claim'])} **{finding['verdict'].capitalize()}.**")
                lines += [f"    - {_line(numbers)}" for numbers in against]
            elif not finding["comparisons"]:
                lines.append(f"- {_line(finding['claim'])} **Not measured.** {_line(finding['why_missing'])}")
    return "\n".join(lines) + "\n" if lines else "Every claim that was compared holds at this size.\n"


def _section(name: str, report: Mapping[str, Any]) -> str:
    lines = [f"## {name.replace('_', ' ').capitalize()}", "", f"[{_line(report['title'])}]({name}/index.md)", ""]
    for finding in report["findings"]:
        lines.append(
            f"- {_line(finding['claim'])} **{finding['verdict'].capitalize()}.** {_line(finding['why_missing'])}".rstrip()
        )
        lines += [f"    - {_line(c['numbers'])}{'' if c['held'] else ' (does not hold)'}" for c in finding["comparisons"]]
    if not report["findings"]:
        lines.append("No claim is tested; the page has the tables and figures.")
    return "\n".join(lines)


def _line(text: str) -> str:
    return " ".join(text.splitlines()).replace("<", "&lt;").replace("](", "]\\(")


def _cell(text: str) -> str:
    return _line(text).replace("|", "\\|")
