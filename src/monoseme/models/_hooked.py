"""A `HookedTransformer` of TransformerLens, called as a model of transformers is; its keys and values are kept in a DynamicCache.

Written against TransformerLens 3.9, of which nothing is imported. Its forward takes no position ids: it counts what its attention
mask lets through, as `_padding.positions_of` does. A mask is always given, because it would else guess one from the pad token.

Letters: n sequences, S new tokens, T tokens so far, V vocabulary, h heads, d width of a head.
"""

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache
from transformers.modeling_outputs import CausalLMOutputWithPast

TYPE = "transformer_lens"
"""The `model_type` that says how such a model is built."""


class HookedConfig:
    """What of TransformerLens' configuration a model of transformers would say, under its names."""

    model_type = TYPE

    def __init__(self, hooked: Any, tokenizer: Any) -> None:
        """Of that model."""
        cfg = hooked.cfg
        self.hidden_size: int = cfg.d_model
        self.num_hidden_layers: int = cfg.n_layers
        self.num_attention_heads: int = cfg.n_heads
        self.head_dim: int = cfg.d_head
        self.vocab_size: int = hooked.unembed.W_U.shape[1]
        self.max_position_embeddings: int = cfg.n_ctx
        self.bos_token_id: int | None = tokenizer.bos_token_id
        self.eos_token_id: int | None = tokenizer.eos_token_id

    def get_text_config(self) -> "HookedConfig":
        """Itself."""
        return self


class HookedModules(nn.Module):
    """The wrapped model; `config`, the embeddings and the call are as in transformers."""

    def __init__(self, hooked: Any, tokenizer: Any) -> None:
        """Shares the weights of `hooked`."""
        super().__init__()
        self.hooked = hooked
        self.config = HookedConfig(hooked, tokenizer)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,  # noqa: ARG002  transformers' models are given them
        past_key_values: DynamicCache | None = None,
        use_cache: bool = False,
    ) -> CausalLMOutputWithPast:
        """Logits [n, S, V]. `position_ids` must be those that count what `attention_mask` ([n, T]) lets through."""
        attended = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        cache = DynamicCache() if past_key_values is None else past_key_values
        kept = _Kept(cache, attended, self.hooked.cfg) if use_cache else None
        # The cache hands back the mask over all tokens for that of the new ones.
        new = attended[:, -input_ids.shape[1] :]
        logits = self.hooked(input_ids, return_type="logits", attention_mask=new, past_kv_cache=kept)
        return CausalLMOutputWithPast(logits=logits, past_key_values=None if kept is None else kept.cache)

    def get_input_embeddings(self) -> Any:
        """With W_E as `weight`, [V, D]."""
        return SimpleNamespace(weight=self.hooked.embed.W_E)

    def get_output_embeddings(self) -> "HookedHead":
        """With W_U as `weight`, [V, D]."""
        return HookedHead(self.hooked.unembed)


class HookedHead(nn.Module):
    """The unembedding, with its bias."""

    def __init__(self, unembed: Any) -> None:
        """Shares its weights."""
        super().__init__()
        self.unembed = unembed

    @property
    def weight(self) -> Tensor:
        """[V, D]"""
        return self.unembed.W_U.T

    def forward(self, x: Tensor) -> Tensor:
        """Logits, not capped."""
        return self.unembed(x.contiguous())


class HookedNorm(nn.Module):
    """The final norm; its weight has the name that transformers gives it."""

    def __init__(self, norm: nn.Module) -> None:
        """Shares its weights."""
        super().__init__()
        self.norm = norm

    @property
    def weight(self) -> Tensor | None:
        """[D]; None for a norm whose weights are folded."""
        return getattr(self.norm, "w", None)

    def forward(self, x: Tensor) -> Tensor:
        """The normed vectors."""
        return self.norm(x)


class _Kept:
    """What TransformerLens asks of its cache, over a cache of transformers."""

    def __init__(self, cache: DynamicCache, attended: Tensor, cfg: Any) -> None:
        self.cache = cache
        self._attended = attended
        n_heads = cfg.n_heads if cfg.n_key_value_heads is None else cfg.n_key_value_heads
        self._empty = torch.empty(len(attended), 0, n_heads, cfg.d_head, dtype=cfg.dtype, device=attended.device)

    def __getitem__(self, layer: int) -> "_KeptLayer":
        return _KeptLayer(self.cache, layer, self._empty)

    def append_attention_mask(self, new: Tensor) -> Tensor:  # noqa: ARG002  the whole mask is there already
        """[n, T]: of all tokens, the new ones included."""
        return self._attended


class _KeptLayer:
    """One layer of it: [n, T, h, d] there, [n, h, T, d] in transformers."""

    def __init__(self, cache: DynamicCache, layer: int, empty: Tensor) -> None:
        self._cache, self._layer, self._empty = cache, layer, empty

    @property
    def past_keys(self) -> Tensor:
        """Those kept before this forward."""
        layers: list[Any] = self._cache.layers[self._layer : self._layer + 1]
        return layers[0].keys.transpose(1, 2) if layers and layers[0].keys is not None else self._empty

    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """All keys and values, with the new ones."""
        k, v = self._cache.update(keys.transpose(1, 2), values.transpose(1, 2), self._layer)
        return k.transpose(1, 2), v.transpose(1, 2)
