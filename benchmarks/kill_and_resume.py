"""Kills captures and training runs at random moments, and compares what they end in with uninterrupted ones, file by file.

    python benchmarks/kill_and_resume.py --kills 20 --out docs/results/activations/kill_and_resume.json

A capture writes all layers of the bundled model; a training run learns two SAEs from that store. Each is first done at a stretch.
Then, for each of the kills, it is begun anew, killed by SIGKILL at a moment drawn between its first file and its end, and
resumed to its end; every third one is killed once more on the way. Compared by SHA-256: every file of the store and, of the run,
every artifact, the last checkpoint and the metrics. Dates, seconds and memory in JSON files are left out: they are no part of the
content. Exits with 1 where anything differs. About half an hour of two cores; `--kills 3 --tokens 20000 --steps 60` for a look.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

_TIMED = ("seconds", "per_second", "rss_mb", "environment", "metrics_bytes")
"""Parts of the names of JSON values that say how it went, not what came out (the metrics are as long as their timings)."""


class Task(NamedTuple):
    """Something that can be killed."""

    name: str
    words: tuple[str, ...]
    """Of `monoseme`, without --out."""
    first_file: str
    """Pattern of what is there when the work begins."""
    compared: tuple[str, ...]
    """Patterns of what has to be the same."""


def main() -> None:
    """Kills, resumes, compares, prints, and writes the JSON."""
    parser = argparse.ArgumentParser(description="Whether what was killed and resumed equals what was not.")
    for name, default in (("kills", 20), ("seed", 0), ("tokens", 300_000), ("steps", 400)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--tasks", nargs="+", choices=("capture", "train"), default=["capture", "train"])
    parser.add_argument("--out", type=Path, default=None, help="file for the results (JSON)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        capture, train = tasks(Path(name), args)
        if "capture" not in args.tasks:
            run(capture, Path(name) / "capture").finish()  # the store to train from
        results = [killed(task, Path(name), args) for task in (capture, train) if task.name in args.tasks]
    found = {"kills": args.kills, "seed": args.seed, "tokens": args.tokens, "steps": args.steps, "tasks": results}
    if args.out is not None:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(found, indent=1) + "\n")
    sys.exit(0 if all(result["n_equal"] == args.kills for result in results) else 1)


def tasks(place: Path, args: argparse.Namespace) -> tuple[Task, Task]:
    """A capture, and training from the store that it makes."""
    store = place / "capture"
    capture = ("capture", "--site", "resid_post.*", "--max_tokens", str(args.tokens), "--shard_bytes", str(args.tokens * 64))
    sizes = ("--sae.n_latents", "1024", "--sae.k", "16", "--train.batch_size", "512", "--train.n_steps", str(args.steps))
    often = ("--train.checkpoint_every", str(max(1, args.steps // 12)))
    train = ("train", "--activations", str(store), "--site", "resid_post.3", "--sae", "topk,batchtopk", *sizes, *often)
    weights = ("saes/*/*", f"training/checkpoints/step_{args.steps:08d}/*", "training/metrics.jsonl")
    return Task("capture", capture, "capture.json", ("**/*",)), Task("train", train, "run.json", weights)


def killed(task: Task, place: Path, args: argparse.Namespace) -> dict[str, Any]:
    """All kills of one task."""
    whole = place / task.name
    began = run(task, whole).wait_for_first(whole)
    seconds = began.finish()
    expected = digests(whole, task)
    chance = random.Random(f"{args.seed} {task.name}")
    rows: list[dict[str, Any]] = []
    print(f"{task.name}: {len(expected)} files, {seconds:.1f} s of work at a stretch", flush=True)
    while len(rows) < args.kills:
        row = one(task, place / "again", seconds=seconds, chance=chance, n_kills=2 if len(rows) % 3 == 2 else 1)
        if not row["killed_at_s"]:
            continue  # it was done before its moment came: drawn again
        found = digests(place / "again", task)
        row["different"] = sorted(name for name in {*expected, *found} if expected.get(name) != found.get(name))
        rows.append(row)
        verdict = "equal" if not row["different"] else f"DIFFERENT: {row['different']}"
        print(f"  {len(rows):>2}. killed after {row['killed_at_s']} s with {row['n_files']} files: {verdict}", flush=True)
        shutil.rmtree(place / "again")
    n_equal = sum(not row["different"] for row in rows)
    print(f"{task.name}: {n_equal} of {args.kills} equal the uninterrupted one", flush=True)
    return {"task": task.name, "words": list(task.words), "n_files": len(expected), "n_equal": n_equal, "kills": rows}


def one(task: Task, out: Path, *, seconds: float, chance: random.Random, n_kills: int) -> dict[str, Any]:
    """Begins the task, kills it so many times, and lets it end."""
    shutil.rmtree(out, ignore_errors=True)
    row: dict[str, Any] = {"killed_at_s": [], "n_files": []}
    for _ in range(n_kills):
        moment = chance.uniform(0.0, seconds)
        process = run(task, out, resume=bool(row["killed_at_s"])).wait_for_first(out)
        if not process.kill_after(moment):
            return row  # it came to its end before its moment did
        row["killed_at_s"].append(round(moment, 2))
        row["n_files"].append(sum(path.is_file() for path in out.rglob("*")))
    run(task, out, resume=True).finish()
    return row


class Process(NamedTuple):
    """A command at work."""

    task: Task
    process: "subprocess.Popen[bytes]"
    log: Path

    def wait_for_first(self, out: Path) -> "Process":
        """Returns when its first file is there, or when it is done."""
        while self.process.poll() is None and not (out / self.task.first_file).exists():
            time.sleep(0.01)
        return self

    def kill_after(self, seconds: float) -> bool:
        """Whether it was still at work by then; it is not any more."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            return True
        self._require_success()
        return False

    def finish(self) -> float:
        """Seconds until it was done."""
        began = time.monotonic()
        self.process.wait()
        self._require_success()
        return time.monotonic() - began

    def _require_success(self) -> None:
        if self.process.returncode:
            sys.exit(f"monoseme {self.task.name} failed:\n{self.log.read_text()}")


def run(task: Task, out: Path, *, resume: bool = False) -> Process:
    """Starts the command; a resume knows the settings, but may be one of nothing."""
    log = out.with_name(f"{out.name}.log")
    words = [task.words[0], "--resume"] if resume else list(task.words)
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "monoseme", *words, "--out", str(out)], stdout=file, stderr=subprocess.STDOUT
        )
    return Process(task, process, log)


def digests(folder: Path, task: Task) -> dict[str, str]:
    """SHA-256 of each file that has to be the same."""
    files = sorted({path for pattern in task.compared for path in folder.glob(pattern) if path.is_file()})
    return {path.relative_to(folder).as_posix(): hashlib.sha256(content(path)).hexdigest() for path in files}


def content(path: Path) -> bytes:
    """A file's bytes; of JSON without what says how it went."""
    if path.suffix not in (".json", ".jsonl"):
        return path.read_bytes()
    texts = path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
    return json.dumps([lasting(json.loads(text)) for text in texts], sort_keys=True).encode()


def lasting(value: Any) -> Any:
    """A JSON value without timings."""
    if isinstance(value, dict):
        return {key: lasting(inner) for key, inner in kept(value)}
    return [lasting(inner) for inner in value] if isinstance(value, list) else value


def kept(table: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The entries that are no timings; a JSON file's own checksum holds its timings, and it is compared by itself."""
    for key, value in table.items():
        if not any(part in key for part in _TIMED):
            yield key, value


if __name__ == "__main__":
    main()
