"""How well `monoseme plan` predicts: three runs, each planned, taken three times, and compared.

    python benchmarks/plan_accuracy.py --model ../shared/models/stories260K-llama --corpus ../shared/corpora/classic_books
    python benchmarks/plan_accuracy.py --only train --repeats 1 --json

The runs: a capture of the bundled model in bfloat16; TopK trained on a small model as it runs; two SAEs trained from a store.
Disk is compared to the byte (a capture's store, a training run's tensor files), memory as the largest RssAnon of the process
seen while it ran, time as the median of the repeats from the start of the process to its end. Writes
docs/results/plan_accuracy.json and the table of docs/planning.md (only the file of `--out`, where that is given). Takes some ten
minutes; on a machine that does something else as well, times mean little.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from monoseme.core.memory import memory_bytes_of

PAGE = Path(__file__).resolve().parents[1] / "docs" / "planning.md"
BEGIN, END = "<!-- plan_accuracy: begin -->", "<!-- plan_accuracy: end -->"
RESULT = Path(__file__).resolve().parents[1] / "docs" / "results" / "plan_accuracy.json"


class Taken(NamedTuple):
    """One real run."""

    seconds: float
    peak_bytes: int


def main() -> None:
    """Plans, runs, compares."""
    parser = argparse.ArgumentParser(description="How well plans predict disk, memory and time.")
    parser.add_argument("--model", default="bundled", help="model of the live training run")
    parser.add_argument("--corpus", default="bundled")
    parser.add_argument("--tokens", type=int, default=600_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", choices=("capture", "train", "stored"))
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as spare:
        commands = runs(args, Path(spare))
        if args.only in (None, "stored"):
            _take(["capture", *commands["capture"], "--out", str(Path(spare) / "books")])  # what "stored" reads
        found = {
            name: compare(words, Path(spare), repeats=args.repeats)
            for name, words in commands.items()
            if args.only in (None, name)
        }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    known = json.loads(args.out.read_text()) if args.only and args.out.is_file() else {}
    args.out.write_text(json.dumps(known | found, indent=2) + "\n")
    if args.out == RESULT:
        write_table(known | found)
    print(json.dumps(found) if args.json else table(found))


def runs(args: argparse.Namespace, folder: Path) -> dict[str, list[str]]:
    """The words of each run after its verb, without --out."""
    text = ["--corpus", args.corpus]
    tokens = str(args.tokens)
    small = ["--sae", "topk", "--sae.n_latents", "4096", "--stream.max_tokens", tokens, "--train.n_tokens", tokens]
    stored = ["--activations", str(folder / "books"), "--sae", "topk,batchtopk", "--sae.n_latents", "4096"]
    return {
        "capture": ["--model", "bundled", "--model.dtype", "bfloat16", *text, "--max_tokens", tokens],
        "train": ["--model", args.model, *text, *small],
        "stored": [*stored, "--train.n_tokens", tokens],
    }


def compare(words: list[str], folder: Path, *, repeats: int) -> dict[str, Any]:
    """What was planned beside what came."""
    verb = "capture" if "--max_tokens" in words else "train"
    out = folder / "run"
    plan = _planned([verb, *words, "--out", str(out)])
    taken: list[Taken] = []
    for i in range(repeats):
        out = folder / f"run{len(list(folder.iterdir()))}_{i}"
        taken.append(_take([verb, *words, "--out", str(out)]))
    disk = _planned_disk(plan, verb)
    numbers = {
        "disk_bytes": (disk, _written(out, verb)),
        "memory_bytes": (_figure(plan, "memory", "peak memory"), median(t.peak_bytes for t in taken)),
        "seconds": (_figure(plan, "time", "time"), median(t.seconds for t in taken)),
    }
    return {
        "command": " ".join(["monoseme", verb, *words]).replace(f"{folder}/", ""),
        **{name: {"planned": p, "taken": t, "ratio": p / t} for name, (p, t) in numbers.items()},
        "all_seconds": [t.seconds for t in taken],
    }


def _planned(words: list[str]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "monoseme", "plan", *words, "--json"], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def _take(words: list[str]) -> Taken:
    began, peak = time.perf_counter(), 0
    child = subprocess.Popen([sys.executable, "-m", "monoseme", *words, "--quiet"])
    while child.poll() is None:
        peak = max(peak, memory_bytes_of(child.pid) or 0)
        time.sleep(0.005)
    if child.returncode:
        raise SystemExit(f"monoseme {' '.join(words)} ended with {child.returncode}")
    return Taken(time.perf_counter() - began, peak)


def _figure(plan: dict[str, Any], group: str, name: str) -> float:
    return next(figure["value"] for figure in plan["figures"][group] if figure["name"] == name)


def _planned_disk(plan: dict[str, Any], verb: str) -> float:
    """The store, or the finished SAEs and one checkpoint."""
    if verb == "capture":
        return _figure(plan, "disk", "store")
    return _figure(plan, "disk", "SAEs") + _figure(plan, "disk", "one checkpoint")


def _written(out: Path, verb: str) -> int:
    if verb == "capture":
        return sum(file["bytes"] for file in json.loads((out / "manifest.json").read_text())["files"].values())
    last = max((out / "training" / "checkpoints").glob("step_*"))
    files = [*last.glob("*.safetensors"), *out.glob("saes/*/sae.safetensors")]
    return sum(file.stat().st_size for file in files)


def write_table(found: dict[str, dict[str, Any]]) -> None:
    """Puts the table between its marks on the page."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n{table(found)}\n{END}{after}")


def table(found: dict[str, dict[str, Any]]) -> str:
    """Markdown: planned and taken, and their ratio."""
    lines = ["| run | disk, planned / taken | memory | time |", "|---|---|---|---|"]
    for name, one in found.items():
        disk, memory, seconds = one["disk_bytes"], one["memory_bytes"], one["seconds"]
        lines.append(
            f"| {name} | {disk['planned']:,.0f} / {disk['taken']:,.0f} B | "
            f"{memory['planned'] / 1e6:,.0f} / {memory['taken'] / 1e6:,.0f} MB ({memory['ratio']:.2f}) | "
            f"{seconds['planned']:,.0f} / {seconds['taken']:,.0f} s ({seconds['ratio']:.2f}) |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
