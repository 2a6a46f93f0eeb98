"""The numbers of a benchmark as tables for a terminal."""

from collections.abc import Mapping
from typing import Any

from monoseme.reports.plain_tables import aligned_table


def train_table(found: Mapping[str, Any]) -> str:
    """A table for each size and architecture, with the floor and the machine."""
    parts = [
        f"{_title(entry)}\n{aligned_table([_row(row, entry) for row in entry['contestants']])}\n" for entry in found["configs"]
    ]
    if "sweep" in found:
        sweep = found["sweep"]
        parts.append(
            f"{sweep['n_saes']} SAEs of {sweep['d_model']} -> {sweep['n_latents']:,} latents: {sweep['best_ms_together']:.1f} ms "
            f"together, {sweep['best_ms_alone']:.1f} ms alone: {sweep['share_of_separate_steps']:.2f} of separate steps\n"
        )
    return "\n".join([*parts, machine_line(found)])


def capture_table(found: Mapping[str, Any]) -> str:
    """A table for each type of weights."""
    parts: list[str] = []
    for entry in found["configs"]:
        title = f"{entry['config']}, {entry['dtype']}, {entry['relative_error']:.1e} from the plain float32 forward"
        rows = [
            {
                "": row["name"],
                "best ms": round(row["best_ms"], 1),
                "median ms": round(row["median_ms"], 1),
                "spread": f"{row['spread']:.0%}",
                "tokens/s": row["tokens_per_s"],
            }
            for row in entry["contestants"]
        ]
        parts.append(f"{title}\n{aligned_table(rows)}\nbest bare loop / ours: {entry['ratio_to_best_bare']:.2f}\n")
    return "\n".join([*parts, machine_line(found)])


def e2e_table(found: Mapping[str, Any]) -> str:
    """A table of the runs, and what became of the sweep."""
    parts: list[str] = []
    for entry in found["configs"]:
        rows = [_run_row(row) for row in entry["contestants"]]
        parts.append(f"{entry['config']}, k {entry['k']}, {entry['tokens']:,} tokens\n{aligned_table(rows)}\n")
        if "sweep" in entry:
            parts.append(_sweep_line(entry["sweep"]))
    return "\n".join([*parts, machine_line(found)])


def _run_row(row: Mapping[str, Any]) -> dict[str, Any]:
    parts = row["parts"] or {}
    told = {"": row["name"], "seconds": row["seconds"], "tokens/s": row["tokens_per_s"], "ours is faster": row["ours_is_faster"]}
    error = {} if row["relative_error"] is None else {"error": f"{row['relative_error']:.1e}"}
    return told | {f"{name} s": round(seconds, 1) for name, seconds in parts.items() if name != "total"} | error


def _sweep_line(sweep: Mapping[str, Any]) -> str:
    return (
        f"{sweep['n_saes']} SAEs of {sweep['n_latents']:,} latents: {sweep['seconds_together']:.1f} s together, "
        f"{sweep['seconds_one']:.1f} s for one: {sweep['share_of_separate_runs']:.2f} of separate runs\n"
    )


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
    l0 = {"L0": f"{row['l0_start']:.0f} to {row['l0_end']:.0f}"} if "l0_end" in row else {}
    return told | l0 | ({} if row["peak_rss_mb"] is None else {"MB": round(row["peak_rss_mb"])})
