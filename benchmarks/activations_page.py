"""Writes docs/results/activations.md from the numbers beside it.

    python benchmarks/activations_page.py

Reads docs/results/activations/{store,kill_and_resume,constant_memory,storage_dtypes}.json, which the commands on the page write.
What was not measured is said to be missing.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from monoseme.reports.plain_tables import markdown_table

RESULTS = Path(__file__).resolve().parents[1] / "docs" / "results"
FOLDER = RESULTS / "activations"
_HEAD = """# Stored activations, measured

Written by `python benchmarks/activations_page.py` from the files in `docs/results/activations`. Contestants take turns, and
ratios hold within one run only; "best" is the fastest visit.
"""
_AGAIN = """## Again

On a quiet machine, each a command by itself; the last one writes this page. `$BOOKS` is a corpus of books, `$SMALL` the folder of
a second, smaller model.

```sh
monoseme bench store --threads 2 --models bundled "$SMALL" --corpus "$BOOKS" --out docs/results/activations/store.json
python benchmarks/kill_and_resume.py --out docs/results/activations/kill_and_resume.json
python benchmarks/constant_memory.py --out docs/results/activations/constant_memory.json
python benchmarks/storage_dtypes.py --out docs/results
python benchmarks/activations_page.py
```
"""


def main() -> None:
    """Reads, writes."""
    parts = [
        _HEAD,
        _section("Capturing", "store", captured),
        _section("Reading", "store", read_back),
        _section("Killed and resumed", "kill_and_resume", killed),
        _section("Memory", "constant_memory", memory),
        _section("The stored type", "storage_dtypes", types),
        _AGAIN,
    ]
    (RESULTS / "activations.md").write_text("\n".join(parts))


def _section(title: str, name: str, text: Callable[[dict[str, Any]], str]) -> str:
    file = FOLDER / f"{name}.json"
    told = text(json.loads(file.read_text())) if file.is_file() else "Not measured yet.\n"
    return f"## {title}\n\n{told}"


def captured(found: dict[str, Any]) -> str:
    """Capture beside bare forwards."""
    rows = [
        {
            "model": entry["model"],
            "sites": f"{entry['sites']} of {entry['width']}",
            "tokens": entry["tokens"],
            "stored, MB": round(entry["stored_bytes"] / 1e6),
            "bare tokens/s": _rate(entry, "bare", "tokens_per_s"),
            "capture tokens/s": _rate(entry, "capture", "tokens_per_s"),
            "capture / bare": entry["capture_over_bare"],
            "by medians": entry["capture_over_bare_median"],
        }
        for entry in found.get("capture", [])
    ]
    return (
        "All layers of a model over a text into a store of bfloat16, every file flushed to the disk, statistics and checksums "
        "included, against plain transformers forwards of the same batches (the fastest of eager and fused attention and of two "
        f"libraries of products).\n\n{markdown_table(rows)}"
    )


def read_back(found: dict[str, Any]) -> str:
    """Rows from stores, and beside the model."""
    reader = found["reader"]
    rows = [
        {"stored in": row["name"], "GB/s of float32": row["gb_per_s"], "by medians": row["gb_per_s_median"]}
        for row in reader["contestants"]
    ]
    live = [
        {
            "model": entry["model"],
            "site": f"{entry['site']} ({entry['width']})",
            "store tokens/s": _rate(entry, "store", "tokens_per_s"),
            "live tokens/s": _rate(entry, "live", "tokens_per_s"),
            "times as fast": entry["store_is_faster"],
        }
        for entry in found.get("live", [])
    ]
    return (
        f"Shuffled batches of {reader['batch']:,} float32 rows of {reader['width']} numbers, from stores of {reader['rows']:,} "
        f"rows in the page cache.\n\n{markdown_table(rows)}\n"
        f"The same stream of one site from a store and from the model.\n\n{markdown_table(live)}"
    )


def killed(found: dict[str, Any]) -> str:
    """Kills that made no difference."""
    rows = [
        {
            "task": task["task"],
            "trials": len(task["kills"]),
            "kills": sum(len(kill["killed_at_s"]) for kill in task["kills"]),
            "files compared": task["n_files"],
            "equal": task["n_equal"],
        }
        for task in found["tasks"]
    ]
    return (
        "SIGKILL at moments drawn between the first file and the end, then a resume; every third trial is killed twice. Compared "
        "by SHA-256 with what was not interrupted: all files of the store; of training from it, artifacts, last checkpoint and "
        f"metrics, but for dates, seconds and memory.\n\n{markdown_table(rows)}"
    )


def memory(found: dict[str, Any]) -> str:
    """RssAnon by the size of the store."""
    rows = [
        {"store, GB": row["store_gb"], "steps": row["steps"], "RssAnon, MB": row["most_mb"], "mapped files, MB": row["file_mb"]}
        for row in found["rows"]
    ]
    return (
        "The largest RssAnon in the second half of training one SAE from stores of random rows: "
        f"{found['growth']:.3f} times from the smallest store to the largest.\n\n{markdown_table(rows)}"
    )


def types(found: dict[str, Any]) -> str:
    """What rounding does to SAEs."""
    rows = [
        {
            "stored in": row["dtype"],
            "variance lost": row["lost_by_storing"],
            "FVU": row["mean_fvu"],
            "spread of seeds": row["spread_of_seeds"],
            "change of the mean": row["change"],
            "largest of a seed": row["largest_change_of_a_seed"],
            "beyond the spread": row["beyond_the_spread"],
        }
        for row in found["rows"]
    ]
    own = found["settings"]
    return (
        f"TopK of {own['n_latents']:,} latents, k {own['k']}, {own['steps']:,} steps of {own['batch']:,} tokens at resid_post.3 "
        f"of the bundled model, {own['seeds']} seeds, from stores of one text; FVU on held-out rows of the float32 store. The "
        f"spread is a standard deviation.\n\n{markdown_table(rows)}\n![Held-out FVU by stored type](figures/storage_dtypes.png)\n"
    )


def _rate(entry: dict[str, Any], name: str, key: str) -> float:
    return next(row[key] for row in entry["contestants"] if row["name"] == name)


if __name__ == "__main__":
    main()
