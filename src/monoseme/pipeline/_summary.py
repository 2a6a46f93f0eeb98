"""One table of what a training run came to: a line for each SAE, from its last validation."""

from collections.abc import Mapping, Sequence
from typing import Any

from monoseme.reports.plain_tables import aligned_table

_COLUMNS = {"fvu": "FVU", "l0": "L0", "ce_recovered": "CE recovered", "silent_fraction": "silent"}


def training_table(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> str:
    """The table, SAEs in the order of `names`; empty when nothing was validated.

    `rows` are those of metrics.jsonl. A column that no SAE has is left out; a number that one lacks is a dash.
    """
    last = {row["sae"]: row for row in rows if row.get("event") == "validation"}
    shown = {key: title for key, title in _COLUMNS.items() if any(row.get(key) is not None for row in last.values())}
    if not shown:
        return ""
    return aligned_table([{"SAE": name} | {title: last.get(name, {}).get(key) for key, title in shown.items()} for name in names])
