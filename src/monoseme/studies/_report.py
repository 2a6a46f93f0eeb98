"""The report of a study: numbers for programs, a page in Markdown for people, figures as specifications and pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from monoseme.core.artifact import new_artifact
from monoseme.core.files import guard_disk, write_atomic, write_json
from monoseme.core.schema import SCHEMAS
from monoseme.reports.plain_tables import markdown_table
from monoseme.studies._base import Finding, StudyResult


def write_study_report(result: StudyResult, path: Path, *, study: str, config: Mapping[str, Any], command: str) -> None:
    """Writes the artifact at `path`, in place of an earlier one. Raises DiskFullError."""
    plain = {"study": study, **config}
    with new_artifact(path, kind="report", config=plain, inputs=result.inputs, seeds=result.seeds, overwrite=True) as draft:
        for name, rows in result.tables.items():
            _write_table(draft.folder / "tables" / name, rows)
        for figure in result.figures:
            for kind in ("json", "png"):
                figure.save(draft.folder / "figures" / f"{figure.name}.{kind}")
        content = {
            "schema": SCHEMAS["report"],
            "study": study,
            "title": result.title,
            "command": command,
            "findings": [_plain(finding) for finding in result.findings],
            "tables": {name: f"tables/{name}.parquet" for name in result.tables},
            "figures": [figure.name for figure in result.figures],
        }
        write_json(draft.folder / "report.json", content)
        write_atomic(draft.folder / "index.md", page(result, command=command))


def page(result: StudyResult, *, command: str) -> str:
    """The report in Markdown."""
    parts = [f"# {result.title}", result.text.strip(), f"Made by:\n\n```sh\n{command}\n```"]
    if result.findings:
        parts += ["## Findings", "\n".join(_finding(finding) for finding in result.findings)]
    parts += [f"## {f.title}\n\n![{f.title}](figures/{f.name}.png)\n\n{f.caption}" for f in result.figures]
    parts += [_table(name, rows, result.shown.get(name)) for name, rows in result.tables.items() if rows]
    return "\n\n".join(parts) + "\n"


def _plain(finding: Finding) -> dict[str, Any]:
    comparisons = [comparison._asdict() for comparison in finding.comparisons]
    return finding._asdict() | {"verdict": finding.verdict, "comparisons": comparisons}


def _finding(finding: Finding) -> str:
    lines = [f"- {finding.claim}\n  **{finding.verdict.capitalize()}.** {finding.why_missing}".rstrip()]
    return "\n".join(lines + [f"    - {c.numbers}{'' if c.held else ' (does not hold)'}" for c in finding.comparisons])


def _table(name: str, rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None) -> str:
    return f"## Table: {name.replace('_', ' ')}\n\n{markdown_table(rows, columns)}\nAll columns: [CSV](tables/{name}.csv)."


def _write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.parent.mkdir(exist_ok=True)
    columns = list(dict.fromkeys(name for row in rows for name in row))  # pyarrow would take those of the first row only
    table = pa.Table.from_pylist([{name: row.get(name) for name in columns} for row in rows])
    with guard_disk(path):
        pyarrow.parquet.write_table(table, path.with_suffix(".parquet"))
        pyarrow.csv.write_csv(table, path.with_suffix(".csv"))
