"""Capture into a store beside the bare forward passes of the same batches.

The bare loop is a plain transformers model without its head, in eval mode and without gradient, that throws away what it gets; of
eager and fused attention and, in float32, either library of products, whichever is fastest on the first batches. Its tokens lie
ready in memory; the capture reads its own from the tokenised text. A capture ends when the last file is on the disk and the
manifest written.
"""

import itertools
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from monoseme.activations import LiveSource
from monoseme.activations.store.capture import CapturedInput
from monoseme.activations.store.config import StorageConfig
from monoseme.activations.store.writer import write_store
from monoseme.benchmarks._bare import products_by
from monoseme.benchmarks._rounds import interleave
from monoseme.bundled.places import model_folder
from monoseme.core.display import SilentDisplay, use_display
from monoseme.core.folder import LocalFolder
from monoseme.models import LanguageModel, ModelConfig, Site
from monoseme.models._loading import without_progress_bar
from monoseme.text import CorpusConfig, TokenStore

CONTEXTS_PER_BLOCK = 16
_PROBED = 8
"""Batches on which the bare loops are compared."""


def open_model(name: str) -> tuple[LanguageModel, Path]:
    """A model and its folder."""
    folder = model_folder() if name == "bundled" else Path(name)
    return LanguageModel.load(ModelConfig(model=str(folder))), folder


def tokenised(model: LanguageModel, corpus: str, *, n_tokens: int) -> TokenStore:
    """The first tokens of a text, all of them there when this returns: the tokeniser must not run beside a contestant."""
    config = CorpusConfig(source=corpus, context_len=min(128, model.spec.n_positions or 128))
    text = TokenStore.build(config, model.tokenizer, max_tokens=n_tokens)
    _ = text.n_tokens
    return text


def captured(model: LanguageModel, text: TokenStore, sites: Sequence[Site]) -> CapturedInput:
    """What a capture of these sites writes."""
    return CapturedInput(model, text, sites, contexts_per_block=CONTEXTS_PER_BLOCK)


def time_capture(name: str, corpus: str, place: Path, *, n_tokens: int, rounds: int) -> dict[str, Any]:
    """Tokens per second of both, and their ratio; JSON-able."""
    model, folder = open_model(name)
    sites = [Site("resid_post", layer) for layer in range(model.spec.n_layers)]
    text = tokenised(model, corpus, n_tokens=n_tokens)
    supply = captured(model, text, sites)
    batches = _batches(supply, LiveSource(model, text.contexts("train"), sites, contexts_per_block=CONTEXTS_PER_BLOCK))
    variant, bare = fastest_bare(folder, model.dtype, batches)
    sizes: list[int] = []
    contestants = {"capture": lambda: _capture(supply, place / "capture", sizes), "bare": lambda: bare(batches)}
    timings = interleave(contestants, rounds=rounds, steps=1, warm_up=1, description=f"capture {Path(name).name}")
    n_real = sum(batch.numel() for batch in batches)
    return {
        "model": Path(name).name,
        "tokens": n_real,
        "sites": len(sites),
        "width": model.spec.d_model,
        "stored_bytes": sizes[-1],
        "bare_variant": variant,
        "capture_over_bare": round(timings["capture"].best / timings["bare"].best, 3),
        "capture_over_bare_median": round(timings["capture"].median / timings["bare"].median, 3),
        "contestants": [
            {"name": part, **timing.facts(), "tokens_per_s": round(n_real / timing.best)} for part, timing in timings.items()
        ],
    }


def _batches(supply: CapturedInput, live: LiveSource) -> list[Tensor]:
    """The tokens of every forward of the capture, in order."""
    texts = (supply.text(i) for i in itertools.takewhile(supply.has_block, itertools.count()))
    return [text.tokens[rows] for text in texts for rows in live.forwards(text)]


def _capture(supply: CapturedInput, store: Path, sizes: list[int]) -> float:
    began = time.perf_counter()
    with use_display(SilentDisplay()):
        summary = write_store(LocalFolder(store), supply, StorageConfig(dtype="bfloat16"), config={}, inputs={})
    seconds = time.perf_counter() - began
    sizes.append(summary.n_bytes)
    shutil.rmtree(store)
    return seconds


def fastest_bare(folder: Path, dtype: torch.dtype, batches: Sequence[Tensor]) -> tuple[str, Callable[[Sequence[Tensor]], float]]:
    """The name of the fastest bare loop on the first batches, and the loop."""
    loops: dict[str, Callable[[Sequence[Tensor]], float]] = {}
    for attention in ("eager", "sdpa"):
        with without_progress_bar():
            whole: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation=attention)
        base = whole.model.eval().requires_grad_(False)
        loops[attention] = _loop(base, "highest")
        if dtype == torch.float32:
            loops[f"{attention}, oneDNN"] = _loop(base, "medium")
    probed = {name: lambda loop=loop: loop(batches[:_PROBED]) for name, loop in loops.items()}
    timings = interleave(probed, rounds=3, steps=1, warm_up=1, description="bare loops")
    best = min(timings, key=lambda name: timings[name].best)
    return best, loops[best]


def _loop(base: Any, precision: Any) -> Callable[[Sequence[Tensor]], float]:
    @torch.no_grad()
    def loop(batches: Sequence[Tensor]) -> float:
        with products_by(precision):
            began = time.perf_counter()
            for batch in batches:
                base(batch, use_cache=False)
            return time.perf_counter() - began

    return loop
