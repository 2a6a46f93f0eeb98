"""What `monoseme show` prints of a study's report."""

import textwrap
from collections.abc import Mapping
from typing import Any

_WIDTH = 100


def study_text(content: Mapping[str, Any], *, where: str) -> str:
    """Title, findings with their numbers, and where to look; `content` is the report's `report.json`, `where` its folder."""
    parts = [f"{content['title']}\n  study {content['study']}, made by:  {content['command']}"]
    findings = content.get("findings", [])
    parts += [_finding(finding) for finding in findings]
    if not findings:
        parts.append("No claim is tested in it; the page has the figures and tables.")
    not_drawn = content.get("figures_not_drawn", {})
    parts += [f'the figure "{name}" could not be drawn: {why}' for name, why in not_drawn.items()]
    tables = ", ".join(content["tables"]) or "none"
    parts.append(f"figures: {len(content['figures'])}, tables: {tables}\nopen:  {where}/index.html")
    return "\n\n".join(parts)


def _finding(finding: Mapping[str, Any]) -> str:
    head = f"[{finding['verdict']}] {finding['claim']} {finding['why_missing']}".rstrip()
    lines = [textwrap.fill(" ".join(head.split()), _WIDTH, subsequent_indent="  ")]
    for comparison in finding["comparisons"]:
        mark = "+" if comparison["held"] else "-"
        lines.append(
            textwrap.fill(" ".join(comparison["numbers"].split()), _WIDTH, initial_indent=f"  {mark} ", subsequent_indent="    ")
        )
    return "\n".join(lines)
