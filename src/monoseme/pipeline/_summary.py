"""What a training run came to: a line for each SAE, from its last validation, where the time went, and the kernels."""

from collections.abc import Mapping, Sequence
from typing import Any

from monoseme.reports.plain_tables import aligned_table
from monoseme.training.seconds import Part, Seconds, rate

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


def speed_facts(seconds: Seconds, n_tokens: int) -> dict[str, Any]:
    """JSON-able: tokens learned from per second of the whole run, of the model alone and of the SAEs alone, and the parts.

    `seconds` of the parts add up to `total_seconds`. A rate of something that took no time is None.
    """
    return {
        "n_tokens": n_tokens,
        "total_seconds": seconds.total,
        "tokens_per_second": rate(n_tokens, seconds.total),
        "model_tokens_per_second": rate(n_tokens, seconds.model),
        "saes_tokens_per_second": rate(n_tokens, seconds.saes),
        "seconds": {part.name: part.seconds for part in seconds.parts(n_tokens)},
    }


def speed_table(seconds: Seconds, n_tokens: int) -> str:
    """The parts as a table, those that took no time left out: seconds, share, and how fast a run of that part alone would be."""
    rows = [
        {
            "part": part.name,
            "seconds": round(part.seconds, 1),
            "share": f"{part.share:.0%}",
            "tokens/s alone": None if part.tokens_per_second is None else round(part.tokens_per_second),
        }
        for part in [*seconds.parts(n_tokens), Part("all", seconds.total, 1.0, rate(n_tokens, seconds.total))]
        if part.seconds > 0
    ]
    return aligned_table(rows)


def kernels_line(kernels: Mapping[str, str]) -> str:
    """`numba`, or `numba (a, b), torch (c)` where SAEs differ, of the kernels by SAE."""
    saes: dict[str, list[str]] = {}
    for sae, name in kernels.items():
        saes.setdefault(name, []).append(sae)
    return ", ".join(saes) if len(saes) == 1 else ", ".join(f"{name} ({', '.join(own)})" for name, own in saes.items())


def speed_line(facts: Mapping[str, Any]) -> str:
    """`12,345 tokens/s (model 81 %, SAEs 12 %, shuffling 3 %)` of what `speed_facts` gave: the three largest parts."""
    parts = sorted(facts["seconds"].items(), key=lambda part: -part[1])[:3]
    shares = ", ".join(f"{name} {seconds / max(facts['total_seconds'], 1e-9):.0%}" for name, seconds in parts)
    return f"{facts['tokens_per_second'] or 0:,.0f} tokens/s ({shares})"
