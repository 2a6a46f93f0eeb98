"""Whole runs: random tokens through a model into a TopK SAE, ours and the peers' own, one after the other."""

import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from monoseme.benchmarks._capture import ModelDtype, own_source, relative_error
from monoseme.benchmarks._environments import PEERS, Peer
from monoseme.benchmarks._machine import machine_facts, use_threads
from monoseme.benchmarks._model import CONTEXT_LEN, LAYER, N_LAYERS, SITE, WIDTH, random_tokens, write_model
from monoseme.benchmarks._peers import whole_run
from monoseme.benchmarks._rounds import Contestant, Timing, interleave
from monoseme.core.errors import ConfigError
from monoseme.saes.topk import TopK
from monoseme.training import Job, TrainConfig, train

_BATCH, _K, _N_LATENTS, _N_LATENTS_OF_SWEEP = 2048, 32, 4096, 2048
_WARM_UP_STEPS = 8
_DTYPES: tuple[ModelDtype, ...] = ("float32", "bfloat16")


@dataclass(frozen=True, kw_only=True)
class E2EBench:
    """What is timed, and how long."""

    tokens: int = 500_000
    """Tokens of a run (count); cut to whole batches of 2,048."""
    rounds: int = 1
    """Runs of each contestant (count)."""
    threads: int | None = None
    """Of torch. None: torch's own number."""
    peers: bool = False
    """Also eai-sparsify and sae-lens, each in an environment of its own (made once, 5 GB)."""
    sweep: int | None = None
    """Also a run of so many SAEs of 2,048 latents on one stream, against a run of one (count, at least 2)."""

    def __post_init__(self) -> None:
        if self.tokens < _WARM_UP_STEPS * _BATCH:
            raise ConfigError(f"tokens is {self.tokens}; it must be at least {_WARM_UP_STEPS * _BATCH:,}")
        if self.rounds < 1 or (self.threads is not None and self.threads < 1):
            raise ConfigError(f"rounds is {self.rounds} and threads {self.threads}; both must be at least 1")
        if self.sweep is not None and self.sweep < 2:
            raise ConfigError(f"sweep is {self.sweep}; it must be at least 2")


class OwnRun:
    """One run of ours; calling it trains from the start and keeps where the time went."""

    def __init__(self, folder: Path, tokens: Tensor, *, dtype: ModelDtype, n_latents: int, n_saes: int = 1) -> None:
        """The model is loaded here, and a few steps are taken, so that compiling is not in the time."""
        self._folder, self._tokens = folder, tokens
        self._dtype: ModelDtype = dtype
        self._n_latents, self._n_saes = n_latents, n_saes
        self.parts: dict[str, float] = {}
        self.kernel = TopK(self._config(0)).kernel_name
        source = own_source(folder, tokens[: _WARM_UP_STEPS * _BATCH // CONTEXT_LEN], dtype=dtype)
        self.error = relative_error(folder, source)
        self._train(source, n_steps=_WARM_UP_STEPS)

    def __call__(self) -> float:
        """Seconds of a whole run, the model already loaded."""
        source = own_source(self._folder, self._tokens, dtype=self._dtype)
        began = time.perf_counter()
        self.parts = self._train(source, n_steps=self._tokens.numel() // _BATCH)
        return time.perf_counter() - began

    def _train(self, source: Any, *, n_steps: int) -> dict[str, float]:
        """Seconds by part."""
        config = TrainConfig(n_steps=n_steps, batch_size=_BATCH, checkpoint_at=())
        jobs = [Job(f"topk-{seed}", TopK(self._config(seed)), (SITE,)) for seed in range(self._n_saes)]
        with tempfile.TemporaryDirectory() as folder:
            result = train(source, jobs, config, folder=Path(folder) / "run")
        return {name: round(seconds, 3) for name, seconds in asdict(result.seconds).items() if seconds is not None}

    def _config(self, seed: int) -> TopK.Config:
        return TopK.Config(d_in=WIDTH, n_latents=self._n_latents, k=_K, seed=seed)


def bench_e2e(bench: E2EBench) -> dict[str, Any]:
    """One entry in `configs`, with every contestant's seconds; JSON-able. Raises ConfigError when a peer fails."""
    use_threads(bench.threads)
    tokens = random_tokens(bench.tokens // _BATCH * _BATCH)
    with tempfile.TemporaryDirectory() as name:
        folder = write_model(Path(name))
        own = {f"monoseme ({dtype})": OwnRun(folder, tokens, dtype=dtype, n_latents=_N_LATENTS) for dtype in _DTYPES}
        contestants: dict[str, Contestant] = {**own}
        if bench.peers:
            contestants |= _peers(folder, tokens)
        timings = interleave(contestants, rounds=bench.rounds, steps=1, warm_up=0, description="whole runs")
        row = _entry(timings, own, n_tokens=tokens.numel())
        if bench.sweep is not None:
            row["sweep"] = _sweep(bench, folder, tokens, n_saes=bench.sweep)
    return {"benchmark": "e2e", "configs": [row], "machine": machine_facts()}


def _peers(folder: Path, tokens: Tensor) -> dict[str, Contestant]:
    """A contestant for each setting of each peer that has a whole run; only what it times itself counts."""
    torch.save(tokens, folder / "tokens.pt")
    task: dict[str, Any] = {
        "tokens": str(folder / "tokens.pt"),
        "model": str(folder),
        "layer": LAYER,
        "d_model": WIDTH,
        "n_latents": _N_LATENTS,
        "k": _K,
        "batch": _BATCH,
    }

    def contestant(peer: Peer, variant: str) -> Contestant:
        return lambda: float(whole_run(peer, variant, task)["seconds"])

    return {
        f"{peer.name} ({variant})" if variant else peer.name: contestant(peer, variant)
        for peer in PEERS
        for variant in peer.variants_of_runs
    }


def _entry(timings: Mapping[str, Timing], own: Mapping[str, OwnRun], *, n_tokens: int) -> dict[str, Any]:
    exact = timings[f"monoseme ({_DTYPES[0]})"]
    rows = [
        {
            "name": name,
            "seconds": round(timing.best, 2),
            "seconds_median": round(timing.median, 2),
            "tokens_per_s": round(n_tokens / timing.best),
            "ours_is_faster": round(timing.best / exact.best, 2),
            "kernel": own[name].kernel if name in own else None,
            "parts": own[name].parts if name in own else None,
            "relative_error": own[name].error if name in own else None,
        }
        for name, timing in timings.items()
    ]
    return {
        "config": f"Llama {N_LAYERS} x {WIDTH}, block {LAYER}, TopK {WIDTH} -> {_N_LATENTS}",
        "k": _K,
        "batch": _BATCH,
        "tokens": n_tokens,
        "seconds": round(exact.best, 2),
        "tokens_per_s": round(n_tokens / exact.best),
        "contestants": rows,
    }


def _sweep(bench: E2EBench, folder: Path, tokens: Tensor, *, n_saes: int) -> dict[str, Any]:
    """A run of several SAEs against as many runs of one; one of these is timed and counted so many times."""
    runs = {
        "together": OwnRun(folder, tokens, dtype="float32", n_latents=_N_LATENTS_OF_SWEEP, n_saes=n_saes),
        "one": OwnRun(folder, tokens, dtype="float32", n_latents=_N_LATENTS_OF_SWEEP),
    }
    timings = interleave(runs, rounds=bench.rounds, steps=1, warm_up=0, description=f"sweep of {n_saes}")
    return {
        "n_saes": n_saes,
        "n_latents": _N_LATENTS_OF_SWEEP,
        "seconds_together": round(timings["together"].best, 2),
        "seconds_one": round(timings["one"].best, 2),
        "share_of_separate_runs": round(timings["together"].best / (n_saes * timings["one"].best), 3),
        "parts_together": runs["together"].parts,
        "parts_one": runs["one"].parts,
    }
