"""A plan as people read it: a table on a terminal, plain columns elsewhere."""

from typing import Any

from monoseme.planning.plan import GROUPS, Plan
from monoseme.reports.plain_tables import aligned_table


def rows(plan: Plan) -> list[dict[str, str]]:
    """A row for each number."""
    found: list[dict[str, str]] = []
    for group in GROUPS:
        for i, figure in enumerate(plan.figures.get(group, [])):
            how = figure.found or "missing"
            found.append({
                "": group if i == 0 else "",
                "what": figure.name,
                "amount": figure.text,
                "how": how,
                "of": figure.note or figure.why_missing,
            })  # fmt: skip
    return found


def plain_text(plan: Plan) -> str:
    """Aligned columns, and the remarks."""
    return "\n".join([aligned_table(rows(plan)), *plan.remarks])


def rich_table(plan: Plan) -> Any:
    """For a terminal: a rule between the groups, totals in bold."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for name in ("", "what", "amount", "how", "of"):
        dim = "dim" if name in ("how", "of") else ""
        table.add_column(name, justify="right" if name == "amount" else "left", no_wrap=name == "amount", style=dim)
    for row in rows(plan):
        if row[""] and table.row_count:
            table.add_row()
        bold = "bold" if row["what"].startswith(_TOTALS) else ""
        table.add_row(*(Text(text, style=bold if key in ("what", "amount") else "") for key, text in row.items()))
    return table


_TOTALS = ("disk at most", "peak memory", "the run", "tokens per second", "time", "cost", "store")
