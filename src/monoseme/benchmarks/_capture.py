"""The model's side alone: our source of activations against bare forward loops, in interleaved rounds."""

import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

import torch
from torch import Tensor

from monoseme.activations import LiveSource
from monoseme.benchmarks._bare import bare_loops, plain_activations
from monoseme.benchmarks._machine import machine_facts, use_threads
from monoseme.benchmarks._model import CONTEXT_LEN, LAYER, N_LAYERS, SITE, WIDTH, random_tokens, write_model
from monoseme.benchmarks._rounds import Contestant, Timing, interleave
from monoseme.core.errors import ConfigError
from monoseme.models import LanguageModel, ModelConfig
from monoseme.text import GivenContexts

ModelDtype = Literal["float32", "bfloat16"]
_OWN = "monoseme"
_CONTEXTS_PER_BLOCK = 16  # the default of runs


@dataclass(frozen=True, kw_only=True)
class CaptureBench:
    """What is timed, and how long."""

    dtypes: tuple[ModelDtype, ...] = ("float32", "bfloat16")
    """Types of the model's weights."""
    tokens: int = 8192
    """Tokens of a visit (count)."""
    rounds: int = 8
    """Times that every contestant is visited (count)."""
    threads: int | None = None
    """Of torch. None: torch's own number."""

    def __post_init__(self) -> None:
        if self.tokens < CONTEXT_LEN:
            raise ConfigError(f"tokens is {self.tokens}; it must be at least one context, {CONTEXT_LEN}")
        if self.rounds < 1 or (self.threads is not None and self.threads < 1):
            raise ConfigError(f"rounds is {self.rounds} and threads {self.threads}; both must be at least 1")
        if not self.dtypes or any(dtype not in get_args(ModelDtype) for dtype in self.dtypes):
            raise ConfigError(f"dtypes are {self.dtypes}.\n  Allowed: {', '.join(get_args(ModelDtype))}")


def bench_capture(bench: CaptureBench) -> dict[str, Any]:
    """An entry of `configs` for each type of weights; JSON-able."""
    use_threads(bench.threads)
    tokens = random_tokens(bench.tokens)
    with tempfile.TemporaryDirectory() as name:
        folder = write_model(Path(name))
        rows = [_one(bench, folder, tokens, dtype) for dtype in bench.dtypes]
    return {"benchmark": "capture", "configs": rows, "machine": machine_facts()}


def own_source(folder: Path, tokens: Tensor, *, dtype: ModelDtype) -> LiveSource:
    """Our activations of `tokens` [n, S] as runs make them, without the filter for attention sinks."""
    model = LanguageModel.load(ModelConfig(model=str(folder), dtype=dtype))
    return LiveSource(model, GivenContexts(tokens), [SITE], contexts_per_block=_CONTEXTS_PER_BLOCK, filter=None)


def relative_error(folder: Path, source: LiveSource) -> float:
    """|ours - plain| / |plain| over the first block, against the plain float32 forward."""
    block = source.block(0)
    plain = plain_activations(folder, block.tokens)
    return float((block.activations[SITE].float() - plain).norm() / plain.norm())


def _one(bench: CaptureBench, folder: Path, tokens: Tensor, dtype: ModelDtype) -> dict[str, Any]:
    source = own_source(folder, tokens, dtype=dtype)
    contestants: dict[str, Contestant] = {_OWN: _blocks(source)}
    contestants |= bare_loops(folder, tokens, dtype=cast(torch.dtype, getattr(torch, dtype)))
    timings = interleave(contestants, rounds=bench.rounds, steps=1, description=f"capture {dtype}")
    error = relative_error(folder, source)
    return _entry(timings, tokens, dtype=dtype, error=error)


def _blocks(source: LiveSource) -> Contestant:
    def contestant() -> float:
        began = time.perf_counter()
        for _ in source.blocks():
            pass
        return time.perf_counter() - began

    return contestant


def _entry(timings: Mapping[str, Timing], tokens: Tensor, *, dtype: str, error: float) -> dict[str, Any]:
    own, bare = timings[_OWN], {name: timing for name, timing in timings.items() if name != _OWN}
    by_best, by_median = min(bare, key=lambda name: bare[name].best), min(bare, key=lambda name: bare[name].median)
    return {
        "config": f"Llama {N_LAYERS} x {WIDTH}, block {LAYER}",
        "dtype": dtype,
        "tokens_per_s": round(tokens.numel() / own.best),
        "tokens_per_s_median": round(tokens.numel() / own.median),
        "best_bare": by_best,
        "ratio_to_best_bare": round(bare[by_best].best / own.best, 3),
        "ratio_to_best_bare_median": round(bare[by_median].median / own.median, 3),
        "relative_error": error,
        "contestants": [
            {"name": name, **timing.facts(), "tokens_per_s": round(tokens.numel() / timing.best)}
            for name, timing in timings.items()
        ],
    }
