"""Models without a family file: found by looking, proved by a probe, refused where nothing can be proved."""

from typing import Any

import pytest
import torch
import transformers

from monoseme.core.errors import ModelError, SiteError
from monoseme.models import LanguageModel, Site
from monoseme.testing.models import random_modules, tiny_tokenizer

_LLAMA_LIKE: dict[str, Any] = {
    "hidden_size": 24,
    "intermediate_size": 28,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": 64,
}
_GPT_LIKE: dict[str, Any] = {"n_embd": 24, "n_layer": 3, "n_head": 4, "n_positions": 64, "rotary_dim": 4}

_CONFIGS: dict[str, transformers.PreTrainedConfig] = {
    "olmo2": transformers.Olmo2Config(**_LLAMA_LIKE),  # norms after attention and MLP, none before
    "stablelm": transformers.StableLmConfig(**_LLAMA_LIKE),
    "cohere": transformers.CohereConfig(**_LLAMA_LIKE, logit_scale=0.25),  # parallel, logits scaled
    "granite": transformers.GraniteConfig(**_LLAMA_LIKE, residual_multiplier=0.3, logits_scaling=2.0),
    "gptj": transformers.GPTJConfig(**_GPT_LIKE),
    "falcon": transformers.FalconConfig(hidden_size=24, num_hidden_layers=3, num_attention_heads=4),
    "bloom": transformers.BloomConfig(hidden_size=24, n_layer=3, n_head=4),
    "opt": transformers.OPTConfig(
        hidden_size=24, ffn_dim=28, num_hidden_layers=3, num_attention_heads=4, max_position_embeddings=64, word_embed_proj_dim=24
    ),
}


@pytest.fixture(params=_CONFIGS)
def other(request: pytest.FixtureRequest) -> LanguageModel:
    tokenizer = tiny_tokenizer()
    config = _CONFIGS[request.param]
    config.vocab_size, config.bos_token_id, config.eos_token_id, config.pad_token_id = len(tokenizer), 1, 1, 0
    return LanguageModel.from_modules(random_modules(config), tokenizer, name=request.param)


def test_it_says_what_it_found(other: LanguageModel) -> None:
    assert other.spec.family == "generic"
    assert other.spec.found.startswith("3 blocks of ")
    assert {"resid_pre", "resid_post"} <= set(other.spec.kinds)
    assert set(other.spec.kinds).isdisjoint(other.spec.missing)


def test_the_residual_stream_is_right(other: LanguageModel, tokens: torch.Tensor) -> None:
    expected = other._model(input_ids=tokens, output_hidden_states=True, use_cache=False).hidden_states
    captured = other.capture(tokens, other.spec.sites("resid_pre.*"))
    for layer in range(1, 3):
        torch.testing.assert_close(captured[Site("resid_pre", layer)], expected[layer])


def test_what_is_placed_adds_up_in_every_block(other: LanguageModel, tokens: torch.Tensor) -> None:
    if "attn_out" not in other.spec.kinds:
        with pytest.raises(SiteError, match="no attn_out: no two parts add up"):
            other.capture(tokens, [Site("attn_out", 0)])
        return
    for layer in range(3):
        sites = [Site(kind, layer) for kind in ("resid_pre", "attn_out", "mlp_out", "resid_post")]
        pre, attn, mlp, post = other.capture(tokens, sites).values()
        torch.testing.assert_close(pre + attn + mlp, post, atol=1e-5, rtol=1e-5)


def test_runs_from_the_residual_stream_and_generation_work(other: LanguageModel, tokens: torch.Tensor) -> None:
    site = Site("resid_post", 1)
    out = other.run(tokens, capture=[site])
    torch.testing.assert_close(other.run_from(site, out.captured[site], tokens=tokens), out.logits)
    assert len(other.generate([[1, 5, 9]], max_new_tokens=3)[0].token_ids) <= 3


def test_unembedding_is_the_models_own_or_refused(other: LanguageModel, tokens: torch.Tensor) -> None:
    out = other.run(tokens, capture=[Site("resid_post", 2)])
    if other.spec.model_type in ("cohere", "granite"):
        with pytest.raises(ModelError, match="scales or shifts"):
            other.unembed(out.captured[Site("resid_post", 2)])
    else:
        torch.testing.assert_close(other.unembed(out.captured[Site("resid_post", 2)]), out.logits, atol=1e-5, rtol=1e-5)


def test_most_models_have_all_their_parts_found() -> None:
    """Which kinds are placed, pinned, so that a heuristic that finds less is seen."""
    missing = {}
    for name, config in _CONFIGS.items():
        model = LanguageModel.from_modules(random_modules(config), tiny_tokenizer(), name=name)
        missing[name] = sorted(model.spec.missing)
    # Bloom adds the residual inside attention and MLP, Granite scales what it adds, OPT flattens before its MLP.
    added = ["attn_out", "mlp_out"]
    found = {name: kinds for name, kinds in missing.items() if kinds}
    assert found == {"bloom": added, "granite": added, "opt": ["attn_out", "mlp_in", "mlp_out"]}
