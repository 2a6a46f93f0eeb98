"""The language model of the benchmarks: a small random Llama on disk, and random tokens for it. Nothing is downloaded."""

from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig

from monoseme.core.seeds import generator
from monoseme.models import Site
from monoseme.models._loading import without_progress_bar
from monoseme.tensors.shapes import Int, Tensor
from monoseme.testing.models import random_modules, tiny_tokenizer

WIDTH, N_LAYERS, CONTEXT_LEN, LAYER = 256, 4, 128, 2
"""D, blocks, positions of a context, and the block whose output is taken."""
_VOCABULARY, _HIDDEN, _N_HEADS = 1000, 1024, 4
SITE = Site.parse(f"resid_post.{LAYER}")


def write_model(folder: Path) -> Path:
    """Weights, configuration and a tokenizer in Hugging Face layout; the folder."""
    config = LlamaConfig(
        vocab_size=_VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=_HIDDEN,
        num_hidden_layers=N_LAYERS,
        num_attention_heads=_N_HEADS,
        num_key_value_heads=_N_HEADS,
        max_position_embeddings=CONTEXT_LEN,
        bos_token_id=1,
        eos_token_id=1,
        pad_token_id=0,
    )
    model: Any = random_modules(config)
    with without_progress_bar():
        model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def random_tokens(n_tokens: int, *, seed: int = 0) -> Int[Tensor, "n S"]:
    """At most `n_tokens` tokens as whole contexts; no special one among them."""
    shape = (n_tokens // CONTEXT_LEN, CONTEXT_LEN)
    return torch.randint(2, _VOCABULARY, shape, generator=generator(seed, "bench", "tokens"))
