"""One table of what a training run came to: a line for each SAE, from its last validation."""

from collections.abc import Mapping, Sequence
from typing import Any

_COLUMNS = (("fvu", "FVU"), ("l0", "L0"), ("ce_recovered", "CE recovered"), ("silent_fraction", "silent"))


def training_table(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[str]:
    """The lines of the table, SAEs in the order of `names`; none when nothing was validated.

    `rows` are those of metrics.jsonl. A column that no SAE has is left out; a number that one lacks is a dash.
    """
    last = {row["sae"]: row for row in rows if row.get("event") == "validation"}
    columns = [(key, title) for key, title in _COLUMNS if any(row.get(key) is not None for row in last.values())]
    if not columns:
        return []
    cells = [["SAE", *(title for _, title in columns)]]
    cells += [[name, *(_number(last.get(name, {}).get(key)) for key, _ in columns)] for name in names]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns) + 1)]
    return [
        "  ".join([line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))])
        for line in cells
    ]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
