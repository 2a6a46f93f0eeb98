"""Memory of training from a small and from a large store: what a process holds for itself must not grow with the store.

    python benchmarks/constant_memory.py --gigabytes 1 20 --out docs/results/activations/constant_memory.json

Writes stores of random rows (bfloat16), trains the same SAE for the same steps from each in a process of its own, and prints the
largest RssAnon (`/proc/self/status`: memory that is not a mapped file) of the second half of training. Shuffling reaches across
the whole store, so that most of its pages are touched. The stores are written one after the other under `--folder` and deleted.
Exits with 1 where the largest store takes more than 5 % or 20 MB above the smallest. About 15 minutes; `--gigabytes 0.1 0.5
--steps 100` for a look. Linux only.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

WIDTH, CONTEXT_LEN, CONTEXTS_PER_BLOCK = 512, 128, 64
MOST_GROWTH, MOST_GROWTH_MB = 1.05, 20.0


def main() -> None:
    """Writes, trains, prints, judges."""
    parser = argparse.ArgumentParser(description="Memory of training from stores of different sizes.")
    parser.add_argument("--gigabytes", type=float, nargs="+", default=[1.0, 20.0])
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=2048)
    parser.add_argument("--folder", type=Path, default=None, help="where stores are written (default: temporary files)")
    parser.add_argument("--out", type=Path, default=None, help="file for the results (JSON)")
    parser.add_argument("--train-from", type=Path, default=None, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.train_from is not None:
        print(json.dumps(trained(args.train_from, steps=args.steps, batch=args.batch)))
        return
    rows = [one(size, args) for size in sorted(args.gigabytes)]
    print("| store | steps | RssAnon, start | RssAnon, most | of mapped files |\n|---|---|---|---|---|")
    for row in rows:
        sizes = " | ".join(f"{row[key]:,.0f} MB" for key in ("start_mb", "most_mb", "file_mb"))
        print(f"| {row['store_gb']:.2f} GB | {row['steps']:,} | {sizes} |")
    growth = rows[-1]["most_mb"] / rows[0]["most_mb"]
    is_constant = growth <= MOST_GROWTH or rows[-1]["most_mb"] - rows[0]["most_mb"] <= MOST_GROWTH_MB
    print(f"{growth:.3f} times the memory for {rows[-1]['store_gb'] / rows[0]['store_gb']:.1f} times the store")
    if args.out is not None:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps({"rows": rows, "growth": growth, "is_constant": is_constant}, indent=1) + "\n")
    sys.exit(0 if is_constant else 1)


def one(gigabytes: float, args: argparse.Namespace) -> dict[str, Any]:
    """A store of that size, and training from it in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="monoseme-memory-", dir=args.folder) as name:
        store = Path(name) / "store"
        n_bytes = write(store, gigabytes)
        words = ["--train-from", str(store), "--steps", str(args.steps), "--batch", str(args.batch)]
        done = subprocess.run([sys.executable, __file__, *words], check=True, stdout=subprocess.PIPE, text=True)
    return {"store_gb": n_bytes / 1e9, **json.loads(done.stdout.splitlines()[-1])}


def write(store: Path, gigabytes: float) -> int:
    """Random rows in bfloat16; bytes of the store."""
    from monoseme.activations.store.config import StorageConfig
    from monoseme.activations.store.writer import write_store
    from monoseme.core.folder import LocalFolder
    from monoseme.models import Site
    from monoseme.testing.store_input import RandomInput

    n_blocks = max(2, int(gigabytes * 1e9 / (CONTEXTS_PER_BLOCK * CONTEXT_LEN * WIDTH * 2)))
    sizes = {"n_blocks": n_blocks, "contexts_per_block": CONTEXTS_PER_BLOCK, "context_len": CONTEXT_LEN}
    supply = RandomInput({Site("resid_post", 0): WIDTH}, **sizes)
    print(f"writing {gigabytes:g} GB", file=sys.stderr, flush=True)
    return write_store(LocalFolder(store), supply, StorageConfig(), config={}, inputs={}).n_bytes


def trained(store: Path, *, steps: int, batch: int) -> dict[str, Any]:
    """Trains from the store; memory as the steps go by."""
    from monoseme.activations.store.reader import StoredActivations
    from monoseme.saes import build, config_from_dict
    from monoseme.training import Job, TrainConfig, train

    source = Watched(StoredActivations.open(store).source())
    sae = build(config_from_dict({"architecture": "topk", "d_in": WIDTH, "n_latents": 1024, "k": 16}))
    config = TrainConfig(n_steps=steps, batch_size=batch, log_every=50, checkpoint_at=())
    with tempfile.TemporaryDirectory() as folder:
        train(source, [Job("topk", sae, source.sites)], config, folder=Path(folder) / "training")
    half = source.anonymous_mb[len(source.anonymous_mb) // 2 :]
    return {
        "steps": steps,
        "blocks_read": len(source.anonymous_mb),
        "start_mb": source.anonymous_mb[0],
        "most_mb": max(half),
        "file_mb": memory_mb("RssFile"),
    }


class Watched:
    """A source that notes how much memory the process holds whenever a block is asked for."""

    def __init__(self, source: Any) -> None:
        self._source = source
        self.anonymous_mb: list[float] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def block(self, i: int) -> Any:
        """Block i."""
        self.anonymous_mb.append(memory_mb("RssAnon"))
        return self._source.block(i)


def memory_mb(kind: str) -> float:
    """RssAnon or RssFile of this process."""
    found = re.search(rf"^{kind}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    if found is None:
        sys.exit(f"this system does not tell {kind}: Linux is needed")
    return int(found[1]) * 1024 / 1e6


if __name__ == "__main__":
    main()
