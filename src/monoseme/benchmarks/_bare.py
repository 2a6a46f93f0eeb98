"""Bare forward loops: what one writes by hand to get a block's output, in all the ways that might be the fastest here.

The model is cut after the block, its final norm taken out, and the loop does nothing with what it gets.
"""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

from monoseme.benchmarks._model import LAYER
from monoseme.benchmarks._rounds import Contestant
from monoseme.models._loading import without_progress_bar

_CONTEXTS, _ATTENTIONS = (8, 16, 32), ("eager", "sdpa")


def bare_loops(folder: Path, tokens: Tensor, *, dtype: torch.dtype) -> dict[str, Contestant]:
    """A contestant for each way to run the model over `tokens` [n, S]; float32 by torch's own products and by oneDNN's."""
    precisions: tuple[Literal["highest", "medium"], ...] = ("highest", "medium") if dtype == torch.float32 else ("highest",)
    loops: dict[str, Contestant] = {}
    for attention in _ATTENTIONS:
        model = cut_model(folder, dtype=dtype, attention=attention)
        for precision in precisions:
            library = ", oneDNN" if precision == "medium" else ""
            for n in _CONTEXTS:
                loops[f"bare: {attention}, {n} contexts{library}"] = _loop(model, tokens, n, precision)
    return loops


def cut_model(folder: Path, *, dtype: torch.dtype, attention: str) -> Any:
    """The model without what comes after the block: its last hidden state is the block's output."""
    with without_progress_bar():
        whole: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation=attention)
    base = whole.model.eval().requires_grad_(False)
    base.layers = base.layers[: LAYER + 1]
    base.norm = nn.Identity()
    return base


def plain_activations(folder: Path, tokens: Tensor) -> Tensor:
    """[n, S, D] of the plain float32 forward: what ours are compared with."""
    with torch.no_grad():
        return cut_model(folder, dtype=torch.float32, attention="eager")(tokens, use_cache=False).last_hidden_state


def _loop(model: Any, tokens: Tensor, n: int, precision: Literal["highest", "medium"]) -> Contestant:
    @torch.no_grad()
    def contestant() -> float:
        with products_by(precision):
            began = time.perf_counter()
            for part in tokens.split(n):
                model(part, use_cache=False)
            return time.perf_counter() - began

    return contestant


@contextlib.contextmanager
def products_by(name: Literal["highest", "medium"]) -> Iterator[None]:
    """torch's public switch to oneDNN's float32 products, for the body."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(name)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
