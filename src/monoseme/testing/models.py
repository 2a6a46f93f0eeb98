"""Small random language models of every family, with a tokenizer, made without network or files.

Sizes differ wherever the family allows, so that a transposed or misnamed axis fails. Weights are drawn large enough that
attention, norms and activation functions all matter.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
)

from monoseme.core.seeds import generator
from monoseme.models.language_model import LanguageModel

_TEXT = "the cat sat on a mat and saw one big red sun over two hills"
_N_POSITIONS = 64
_N_HEADS = 4
_WINDOW = 5
"""Positions that sliding attention sees: fewer than the contexts of most tests."""


def tiny_model(
    family: str = "llama", *, n_layers: int = 3, seed: int = 0, overrides: Mapping[str, Any] | None = None
) -> LanguageModel:
    """A random model of `family` (a name of `monoseme ls families`), float32 on the CPU.

    `overrides` replace settings of its transformers configuration. The same seed gives the same weights.
    """
    tokenizer = tiny_tokenizer()
    shape = {"vocab_size": len(tokenizer), "bos_token_id": 1, "eos_token_id": 1, "pad_token_id": 0}
    config = _CONFIGS[family](n_layers=n_layers, **shape)
    for name, value in (overrides or {}).items():
        setattr(config, name, value)
    return LanguageModel.from_modules(random_modules(config, seed=seed), tokenizer, name=f"tiny-{family}")


def random_modules(config: PreTrainedConfig, *, seed: int = 0) -> nn.Module:
    """A causal language model of `config` whose weights are drawn from `seed`; torch's global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        model = AutoModelForCausalLM.from_config(config)
    random = generator(seed, "tiny_model")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            drawn = torch.empty_like(parameter).normal_(generator=random)
            is_vector = parameter.ndim == 1
            # Norm weights lie around 1 (around 0 where the norm adds 1 itself, as it was initialised); matrices keep the scale.
            parameter.copy_(parameter + 0.2 * drawn if is_vector else drawn * 0.8 * parameter.shape[-1] ** -0.5)
            if "embed" in name or "wte" in name:
                parameter.mul_(2.0)
    return model


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE of a few words; 0 is `<pad>`, 1 is `<s>`, which begins every text."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [f"Ġ{word}" for word in _TEXT.split()]
    vocabulary, merges = _merged(["<pad>", "<s>", *alphabet], words)
    backend = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(vocabulary)}, merges=merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="<s>", pad_token="<pad>")


def _merged(vocabulary: list[str], words: list[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """Merges that build each word from its left end."""
    merges: dict[tuple[str, str], None] = {}
    for word in words:
        for end in range(2, len(word) + 1):
            merges[(word[: end - 1], word[end - 1])] = None
    tokens = dict.fromkeys([*vocabulary, *(left + right for left, right in merges)])
    return list(tokens), list(merges)


def _llama_like(kind: Callable[..., PreTrainedConfig], **extra: Any) -> Callable[..., PreTrainedConfig]:
    """Configurations of Llama's shape: D = 20, heads * d_head = 24, so that the two differ."""

    def make(*, n_layers: int, **shape: Any) -> PreTrainedConfig:
        return kind(
            hidden_size=20,
            intermediate_size=28,
            num_hidden_layers=n_layers,
            num_attention_heads=_N_HEADS,
            num_key_value_heads=2,
            head_dim=6,
            max_position_embeddings=_N_POSITIONS,
            **extra,
            **shape,
        )

    return make


def _gpt2(*, n_layers: int, **shape: Any) -> PreTrainedConfig:
    return GPT2Config(n_embd=20, n_inner=28, n_layer=n_layers, n_head=_N_HEADS, n_positions=_N_POSITIONS, **shape)


def _gpt_neox(*, n_layers: int, **shape: Any) -> PreTrainedConfig:
    return GPTNeoXConfig(
        hidden_size=32,
        intermediate_size=28,
        num_hidden_layers=n_layers,
        num_attention_heads=_N_HEADS,
        max_position_embeddings=_N_POSITIONS,
        **shape,
    )


_CONFIGS: dict[str, Callable[..., PreTrainedConfig]] = {
    "gpt2": _gpt2,
    "gpt_neox": _gpt_neox,
    "llama": _llama_like(LlamaConfig),
    "mistral": _llama_like(MistralConfig, sliding_window=_WINDOW),
    "qwen2": _llama_like(Qwen2Config),
    "qwen3": _llama_like(Qwen3Config),
    "gemma2": _llama_like(Gemma2Config, sliding_window=_WINDOW, query_pre_attn_scalar=6, final_logit_softcapping=3.0),
    "gemma3": _llama_like(Gemma3TextConfig, sliding_window=_WINDOW, query_pre_attn_scalar=6),
}

TINY_FAMILIES: tuple[str, ...] = tuple(_CONFIGS)
"""The families of which `tiny_model` makes a model."""
