"""Speed and memory of a scan, against the model and the encoder alone.

    python benchmarks/scan.py --run runs/wide --tokens 5000000 --out docs/results/atlas/scan.json

Passes the text of a run in turns: some blocks through the model and the encoders and no further, then as many through the whole
scan, all in one process, so that both see the same machine. Prints tokens per second of both, their ratio, and the largest
RssAnon (`/proc/self/status`: memory that is not a mapped file). What is written when the pass is over is timed by itself.
`--checkpoints` also puts the pass down as a scan does.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def main() -> None:
    """Passes, prints, writes."""
    parser = argparse.ArgumentParser(description="Speed and memory of a scan.")
    parser.add_argument("--run", type=Path, required=True, help="a run with SAEs")
    parser.add_argument("--tokens", type=int, default=1_000_000, help="of the scan; the encoder alone gets a part of them")
    parser.add_argument("--blocks", type=int, default=40, help="of one turn")
    parser.add_argument("--alone", type=float, default=0.25, help="share of the turns in which the encoder alone runs too")
    parser.add_argument("--checkpoints", action="store_true", help="every 30 seconds, as a scan does")
    parser.add_argument("--kept", type=int, default=131_072, help="tokens kept with all their codes")
    parser.add_argument("--profile", type=Path, default=None, help="file for a profile of the scan's turns")
    parser.add_argument("--out", type=Path, default=None, help="file for the results (JSON)")
    args = parser.parse_args()
    found = measured(args)
    for name, value in found.items():
        print(f"{name:28} {value:,.3f}" if isinstance(value, float) else f"{name:28} {value:,}")
    if args.out is not None:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(found, indent=1) + "\n")


def measured(args: argparse.Namespace) -> dict[str, Any]:
    """Runs both in turns."""
    from monoseme.atlas import ScanConfig, names_of
    from monoseme.atlas.scanning.one_pass import Contexts, PassOptions
    from monoseme.atlas.scanning.plan import ScanPlan
    from monoseme.atlas.scanning.running import scan
    from monoseme.core.memory import own_memory_mb
    from monoseme.pipeline._atlas import _target
    from monoseme.pipeline._evaluate import run_config
    from monoseme.pipeline._folder import RunFolder
    from monoseme.pipeline._materials import Materials
    from monoseme.pipeline._saes import open_saes

    run = RunFolder(args.run)
    config = run_config(run)
    most = int(1.2 * args.tokens)  # the text is read to its end before the pass, for its hash
    config = replace(config, atlas=replace(config.atlas, n_tokens=args.tokens), stream=replace(config.stream, max_tokens=most))
    materials = Materials(config)
    targets = [_target(sae) for sae in open_saes(str(args.run))]
    source = Turns(materials.whole, targets, args)
    options = PassOptions(checkpoint_seconds=30.0 if args.checkpoints else 1e9)
    with tempfile.TemporaryDirectory(prefix="monoseme-scan-") as folder:
        kept = ScanConfig(n_kept_tokens=args.kept)
        plan = ScanPlan(source, tuple(targets), kept, materials.model, options)
        source.warm_up(plan.feeds(Contexts.of(source), Path(folder) / "warm"))
        source.start()
        began = time.perf_counter()
        result = scan(source, targets, Path(folder) / "atlas", config=kept, model=materials.model,
                      names=names_of(materials.text), options=options)  # fmt: skip
        whole = time.perf_counter() - began
        pages = page_seconds(Path(folder) / "atlas", result.keys[0])
        n_bytes = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    return source.found() | {
        "tokens": result.n_tokens,
        "seconds_of_writing": whole - source.passing,
        "atlas_mb": n_bytes / 1e6,
        "page_ms_median": 1e3 * pages[len(pages) // 2],
        "page_ms_of_twenty_the_slowest": 1e3 * pages[-len(pages) // 20],
        "most_mb": max(source.memory),
        "memory_at_half_mb": source.memory[len(source.memory) // 2],
        "memory_at_end_mb": source.memory[-1],
        "memory_after_mb": own_memory_mb(),
    }


def page_seconds(atlas: Path, key: str) -> list[float]:
    """How long the pages of two hundred latents take, the quickest first."""
    import numpy as np

    from monoseme.atlas import open_atlas

    opened = open_atlas(atlas)
    found = []
    opened.latent(key, 0)
    for latent in np.random.default_rng(0).integers(0, opened.latents(key).n_latents, 200).tolist():
        began = time.perf_counter()
        opened.latent(key, latent)
        found.append(time.perf_counter() - began)
    return sorted(found)


class Turns:
    """A source whose pass is interrupted by turns of the model and the encoders alone."""

    def __init__(self, source: Any, targets: Any, args: argparse.Namespace) -> None:
        self.source, self.targets, self.args = source, targets, args
        self.alone, self.scanning = [0.0, 0], [0.0, 0]
        self.ratios: list[float] = []
        self.memory: list[float] = []
        self.passing = 0.0
        self.looks = 2
        """At the first block, for the length of a context: for the warm-up, and of the scan."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.source, name)

    def warm_up(self, feeds: Any) -> None:
        """So that neither pays for what is compiled or loaded once."""
        from monoseme.atlas.scanning.feed import block_rows
        from monoseme.atlas.scanning.one_pass import grid_of

        for i in range(2):
            block = self.source.block(i)
            rows = block_rows(grid_of(block), gap=25)
            for feed in feeds:
                feed.add(i, block.activations, rows)
        for feed in feeds:
            feed.flush()

    def start(self) -> None:
        """Begins to count."""
        self.began = time.perf_counter()

    def blocks(self, start: int = 0) -> Iterator[Any]:
        """The blocks, with turns of the encoder alone between them."""
        from monoseme.core.memory import own_memory_mb

        self.looks -= 1
        if self.looks >= 0:
            yield self.source.block(start)
            return
        profile = _profile(self.args)
        turn = max(1, self.args.blocks)
        every = max(1, round(1 / self.args.alone)) if self.args.alone else 10**9
        for number, first in enumerate(range(start, self.source.n_blocks, turn)):
            one = range(first, min(first + turn, self.source.n_blocks))
            spent = 0.0 if number % every else self._alone(one)
            began, n_tokens = time.perf_counter(), 0
            with profile:
                for i in one:
                    block = self.source.block(i)
                    n_tokens += int(block.mask.sum())
                    yield block
            seconds = time.perf_counter() - began
            self.scanning = [self.scanning[0] + seconds, self.scanning[1] + n_tokens]
            if spent:
                self.ratios.append(spent / seconds)
            self.memory.append(own_memory_mb())
        self.passing = time.perf_counter() - self.began
        if self.args.profile is not None:
            profile.dump(self.args.profile)

    def _alone(self, blocks: range) -> float:
        """Seconds that the model and the encoders take for these blocks."""
        import torch

        began, n_tokens = time.perf_counter(), 0
        with torch.no_grad():
            for i in blocks:
                block = self.source.block(i)
                n_tokens += int(block.mask.sum())
                for target in self.targets:
                    placed = target.placed
                    step = max(1, 4096 // block.tokens.shape[1])
                    for first in range(0, len(block.tokens), step):
                        part = slice(first, first + step)
                        activations = {site: block.activations[site][part] for site in placed.inputs}
                        placed.encode(activations, block.mask[part]).sparse(target.part)
        spent = time.perf_counter() - began
        self.alone = [self.alone[0] + spent, self.alone[1] + n_tokens]
        return spent

    def found(self) -> dict[str, Any]:
        """Tokens per second of both, and how much of its speed the encoder alone keeps."""
        import statistics

        return {
            "tokens_per_second_alone": self.alone[1] / self.alone[0],
            "tokens_per_second_scan": self.scanning[1] / self.scanning[0],
            "ratio": self.scanning[1] / self.scanning[0] * self.alone[0] / self.alone[1],
            "median_ratio_of_turns": statistics.median(self.ratios),
            "turns": len(self.ratios),
        }


class _profile:
    """cProfile where asked for."""

    def __init__(self, args: argparse.Namespace) -> None:
        import cProfile

        self.profiler = cProfile.Profile() if args.profile is not None else None

    def __enter__(self) -> None:
        if self.profiler is not None:
            self.profiler.enable()

    def __exit__(self, *_: object) -> None:
        if self.profiler is not None:
            self.profiler.disable()

    def dump(self, path: Path) -> None:
        if self.profiler is not None:
            self.profiler.dump_stats(path)


if __name__ == "__main__":
    main()
