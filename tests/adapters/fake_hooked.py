"""A model with the parts and the call of TransformerLens' `HookedTransformer`, over the weights of a GPT-2 of transformers."""

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn


class Point(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x


class Norm(nn.Module):
    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm, self.w = norm, norm.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x)


class Attention(nn.Module):
    def __init__(self, attn: nn.Module, n_heads: int) -> None:
        super().__init__()
        self.attn, self.n_heads, self.hook_z = attn, n_heads, Point()

    def forward(self, x: Tensor, kept: Any, attended: Tensor) -> Tensor:
        q, k, v = (part.unflatten(-1, (self.n_heads, -1)) for part in self.attn.c_attn(x).chunk(3, -1))
        before = 0
        if kept is not None:
            before = kept.past_keys.size(1)
            k, v = kept.append(k, v)
        scores = torch.einsum("nqhe,nkhe->nhqk", q, k) / q.shape[-1] ** 0.5
        index = torch.arange(k.shape[1])
        seen = (index <= index[before:, None]) & attended[:, None, None, :].bool()
        pattern = scores.masked_fill(~seen, -1e9).softmax(-1)
        return self.attn.c_proj(self.hook_z(torch.einsum("nhqk,nkhe->nqhe", pattern, v)).flatten(2))


class Block(nn.Module):
    def __init__(self, block: Any, n_heads: int) -> None:
        super().__init__()
        self.ln1, self.ln2, self.mlp, self.attn = block.ln_1, block.ln_2, block.mlp, Attention(block.attn, n_heads)
        self.hook_resid_pre, self.hook_attn_out, self.hook_mlp_out, self.hook_resid_post = (Point() for _ in range(4))

    def forward(self, x: Tensor, kept: Any, attended: Tensor) -> Tensor:
        x = self.hook_resid_pre(x)
        x = x + self.hook_attn_out(self.attn(self.ln1(x), kept, attended))
        return self.hook_resid_post(x + self.hook_mlp_out(self.mlp(self.ln2(x))))


class Unembed(nn.Module):
    def __init__(self, head: nn.Linear) -> None:
        super().__init__()
        self.W_U = nn.Parameter(head.weight.detach().T.clone())

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.W_U


class FakeHooked(nn.Module):
    def __init__(self, gpt2: Any, tokenizer: Any, *, normalization_type: str = "LN") -> None:
        super().__init__()
        config, inside = gpt2.config, gpt2.transformer
        self.tokenizer = tokenizer
        self.cfg = SimpleNamespace(
            model_name="fake",
            d_model=config.hidden_size,
            n_layers=config.num_hidden_layers,
            n_heads=config.num_attention_heads,
            n_key_value_heads=None,
            d_head=config.hidden_size // config.num_attention_heads,
            n_ctx=config.max_position_embeddings,
            normalization_type=normalization_type,
            attn_only=False,
            output_logits_soft_cap=-1.0,
            parallel_attn_mlp=False,
            dtype=torch.float32,
        )
        self.embed, self.pos = nn.Module(), inside.wpe
        self.embed.W_E = nn.Parameter(inside.wte.weight.detach().clone())
        self.blocks = nn.ModuleList(Block(block, config.num_attention_heads) for block in inside.h)
        self.ln_final, self.unembed = Norm(inside.ln_f), Unembed(gpt2.lm_head)

    def forward(
        self, tokens: Tensor, return_type: str = "logits", attention_mask: Tensor | None = None, past_kv_cache: Any = None
    ) -> Tensor:
        assert return_type == "logits"
        new = torch.ones_like(tokens) if attention_mask is None else attention_mask
        assert new.shape == tokens.shape
        attended = new if past_kv_cache is None else past_kv_cache.append_attention_mask(new)
        positions = (attended.cumsum(-1) - 1).clamp_min(0)[:, -tokens.shape[1] :]
        x = self.embed.W_E[tokens] + self.pos(positions)
        for i, block in enumerate(self.blocks):
            x = block(x, None if past_kv_cache is None else past_kv_cache[i], attended)
        return self.unembed(self.ln_final(x))

    def run_with_hooks(self, tokens: Tensor, *, fwd_hooks: list[Any]) -> Tensor:
        points = {name: self.get_submodule(name) for name, _ in fwd_hooks}
        handles = [
            points[name].register_forward_hook(lambda module, _args, x, call=call: call(x, hook=module))
            for name, call in fwd_hooks
        ]
        try:
            return self(tokens)
        finally:
            for handle in handles:
                handle.remove()
