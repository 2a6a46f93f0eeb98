"""The numbers of a benchmark as tables for a terminal."""

from collections.abc import Mapping
from typing import Any

from monoseme.reports.plain_tables import aligned_table


def train_table(found: Mapping[str, Any]) -> str:
    """A table for each size and architecture, with the floor and the machine."""
    parts = [
        f"{_title(entry)}\n{aligned_table([_row(row, entry) for row in entry['contestants']])}" for entry in found["configs"]
    ]
    return "\n".join([*parts, machine_line(found)])


def machine_line(found: Mapping[str, Any]) -> str:
    """What it ran on."""
    facts = found["machine"]
    numba = f", numba {facts['numba']}" if facts["numba"] else ""
    return f"{facts['processor']}, {facts['cores']} cores, {facts['threads']} threads, torch {facts['torch']}{numba}"


def _title(entry: Mapping[str, Any]) -> str:
    floor = entry["floor"]
    sizes = f"{entry['d_model']} -> {entry['n_latents']:,}, k {entry['k']}, batch {entry['batch']:,}"
    return (
        f"{entry['config']} {entry['architecture']} ({sizes}); floor {floor['ms']:.1f} ms: "
        f"product {floor['product_ms']:.1f} at {floor['product_gflops']:,.0f} GFLOP/s, "
        f"Adam {floor['adam_ms']:.1f} at {floor['adam_gb_per_s']:.0f} GB/s"
    )


def _row(row: Mapping[str, Any], entry: Mapping[str, Any]) -> dict[str, Any]:
    told = {
        "": row["name"],
        "best ms": round(row["best_ms"], 1),
        "median ms": round(row["median_ms"], 1),
        "spread": f"{row['spread']:.0%}",
        "act/s": round(1e3 * entry["batch"] / row["best_ms"]),
        "x dense": row["ratio_to_dense"],
        "by medians": row["ratio_to_dense_median"],
        "of floor": f"{row['share_of_floor']:.0%}",
    }
    return told | ({} if row["peak_rss_mb"] is None else {"MB": round(row["peak_rss_mb"])})
