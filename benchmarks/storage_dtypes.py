"""What storing activations in bfloat16 or int8 does to the SAEs trained on them, against the spread of seeds.

    python benchmarks/storage_dtypes.py --out docs/results

One text is captured from the bundled model three times, in float32, bfloat16 and int8. From each store the same TopK SAEs, one
for each seed, learn from the same batches in the same order; all are measured on the held-out rows of the float32 store. Prints a
table and writes it as JSON with a figure. Exits with 1 where a mean FVU is further from float32's than the spread of its seeds
(their standard deviation) and 0.002 for bfloat16 or 0.01 for int8 together. About ten minutes of two cores; `--steps 100 --tokens
60000 --seeds 2` for a look.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import altair as alt

from monoseme.activations import ActivationSource
from monoseme.activations.store.config import StorageConfig, StoredDtype
from monoseme.activations.store.reader import StoredActivations
from monoseme.pipeline import CaptureConfig, capture_run
from monoseme.reports.figures import Figure
from monoseme.saes import build
from monoseme.saes.topk import TopK
from monoseme.training import Job, TrainConfig, read_metrics, train

DTYPES: tuple[StoredDtype, ...] = ("float32", "bfloat16", "int8")
ALLOWED = {"bfloat16": 0.002, "int8": 0.01}
SITE = "resid_post.3"


def main() -> None:
    """Captures, trains, prints, writes, judges."""
    parser = argparse.ArgumentParser(description="What the type of stored activations does to trained SAEs.")
    for name, default in (("tokens", 500_000), ("seeds", 5), ("n-latents", 1024), ("k", 16), ("batch", 1024), ("steps", 1500)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--out", type=Path, default=None, help="folder for activations/storage_dtypes.json and its figure")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        fvu, lost = measured(Path(name), args)
    rows = [row_of(dtype, fvu, lost) for dtype in DTYPES]
    print(as_table(rows))
    if args.out is not None:
        settings = {name: value for name, value in vars(args).items() if name != "out"}
        (args.out / "activations").mkdir(parents=True, exist_ok=True)
        (args.out / "figures").mkdir(parents=True, exist_ok=True)
        text = json.dumps({"settings": settings, "rows": rows, "fvu": fvu}, indent=1)
        (args.out / "activations" / "storage_dtypes.json").write_text(text + "\n")
        figure(fvu).save(args.out / "figures" / "storage_dtypes.png")
    sys.exit(0 if all(row["is_within"] for row in rows) else 1)


def measured(place: Path, args: argparse.Namespace) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Held-out FVU of each type by seed, and the share of the variance that storing lost."""
    stores = {dtype: captured(place / dtype, dtype, n_tokens=args.tokens) for dtype in DTYPES}
    held_out = stores["float32"].source("heldout")
    fvu = {dtype: trained(place, dtype, store.source(), held_out, args) for dtype, store in stores.items()}
    lost = {dtype: store.statistics.storage_error(SITE).fvu or 0.0 for dtype, store in stores.items()}
    return fvu, lost


def captured(out: Path, dtype: StoredDtype, *, n_tokens: int) -> StoredActivations:
    """The same text and site, in a type."""
    print(f"capturing in {dtype}", file=sys.stderr, flush=True)
    capture_run(CaptureConfig(sites=(SITE,), max_tokens=n_tokens, storage=StorageConfig(dtype=dtype)), out)
    return StoredActivations.open(out)


def trained(
    place: Path, dtype: str, source: ActivationSource, held_out: ActivationSource, args: argparse.Namespace
) -> list[float]:
    """Held-out FVU by seed."""
    print(f"training from {dtype}", file=sys.stderr, flush=True)
    config = TrainConfig(
        n_steps=args.steps,
        batch_size=args.batch,
        log_every=50,
        checkpoint_at=(),
        validate_every=args.steps,
        validation_tokens=32768,
    )
    sizes: dict[str, Any] = {"d_in": source.widths[source.sites[0]], "n_latents": args.n_latents, "k": args.k}
    jobs = [Job(f"topk-{seed}", build(TopK.Config(**sizes, seed=seed)), source.sites) for seed in range(args.seeds)]
    train(source, jobs, config, folder=place / f"training-{dtype}", held_out=held_out)
    rows = read_metrics(place / f"training-{dtype}" / "metrics.jsonl")
    found = {row["sae"]: row["fvu"] for row in rows if row.get("event") == "validation"}
    return [found[job.name] for job in jobs]


def row_of(dtype: str, fvu: dict[str, list[float]], lost: dict[str, float]) -> dict[str, Any]:
    """A row of the table."""
    own, exact = fvu[dtype], fvu["float32"]
    spread = statistics.stdev(exact) if len(exact) > 1 else 0.0
    change = statistics.mean(own) - statistics.mean(exact)
    pairs = [abs(a - b) for a, b in zip(own, exact, strict=True)]
    beyond = max(0.0, abs(change) - spread)
    return {
        "dtype": dtype,
        "lost_by_storing": lost[dtype],
        "mean_fvu": statistics.mean(own),
        "spread_of_seeds": statistics.stdev(own) if len(own) > 1 else 0.0,
        "change": change,
        "largest_change_of_a_seed": max(pairs),
        "beyond_the_spread": beyond,
        "is_within": dtype not in ALLOWED or beyond < ALLOWED[dtype],
    }


def as_table(rows: list[dict[str, Any]]) -> str:
    """In Markdown."""
    head = (
        "| stored in | variance lost by storing | FVU, mean of seeds | spread of seeds | change of the mean | largest change "
        "of a seed | beyond the spread |\n|---|---|---|---|---|---|---|"
    )
    lines = [
        f"| {row['dtype']} | {row['lost_by_storing']:.2g} | {row['mean_fvu']:.5f} | {row['spread_of_seeds']:.5f} "
        f"| {row['change']:+.5f} | {row['largest_change_of_a_seed']:.5f} | {row['beyond_the_spread']:.5f} |"
        for row in rows
    ]
    return "\n".join([head, *lines])


def figure(fvu: dict[str, list[float]]) -> Figure:
    """A point for each SAE."""
    points = [{"dtype": dtype, "seed": seed, "fvu": value} for dtype, own in fvu.items() for seed, value in enumerate(own)]
    chart = (
        alt.Chart(alt.Data(values=points))
        .mark_line(point=True)
        .encode(
            x=alt.X("dtype:N", title="stored in", sort=list(DTYPES)).axis(labelAngle=0),
            y=alt.Y("fvu:Q", title="held-out FVU").scale(zero=False),
            color=alt.Color("seed:N", title="seed"),
        )
    )
    caption = "Each line is one seed; level lines mean that the type does not matter."
    return Figure(name="storage_dtypes", title="FVU of SAEs trained on stored activations", caption=caption, chart=chart)


if __name__ == "__main__":
    main()
