"""The numbers of `monoseme bench store` as tables for a terminal."""

from collections.abc import Mapping
from typing import Any

from monoseme.benchmarks._tables import machine_line
from monoseme.reports.plain_tables import aligned_table


def store_table(found: Mapping[str, Any]) -> str:
    """A table for each part that was timed."""
    parts = [_capture(entry) for entry in found.get("capture", [])]
    if "reader" in found:
        parts.append(_reader(found["reader"]))
    parts += [_live(entry) for entry in found.get("live", [])]
    return "\n".join([*parts, machine_line(found)])


def _capture(entry: Mapping[str, Any]) -> str:
    title = f"capture of {entry['sites']} sites of {entry['width']} in bfloat16, {entry['model']}, {entry['tokens']:,} tokens"
    verdict = (
        f"capture / bare forwards ({entry['bare_variant']}): {entry['capture_over_bare']:.2f}, "
        f"by medians {entry['capture_over_bare_median']:.2f}"
    )
    return f"{title}\n{aligned_table([_row(row, 'tokens_per_s') for row in entry['contestants']])}\n{verdict}\n"


def _reader(entry: Mapping[str, Any]) -> str:
    title = f"shuffled float32 rows of {entry['width']} from stores of {entry['rows']:,}, batches of {entry['batch']:,}"
    return f"{title}\n{aligned_table([_row(row, 'gb_per_s') for row in entry['contestants']])}\n"


def _live(entry: Mapping[str, Any]) -> str:
    title = f"shuffled stream of {entry['site']} ({entry['width']}), {entry['model']}"
    verdict = f"the store is {entry['store_is_faster']:.1f} times as fast, by medians {entry['store_is_faster_median']:.1f}"
    return f"{title}\n{aligned_table([_row(row, 'tokens_per_s') for row in entry['contestants']])}\n{verdict}\n"


def _row(row: Mapping[str, Any], rate: str) -> dict[str, Any]:
    told = {"": row["name"], "best s": row["best_ms"] / 1e3, "median s": row["median_ms"] / 1e3, "spread": f"{row['spread']:.0%}"}
    return told | {rate.replace("_per_", "/").replace("_", " ").replace("gb", "GB"): row[rate]}
