"""SAEs of ours as hooks of TransformerLens, and TransformerLens' models as our `LanguageModel`. Nothing of it is imported.

Letters: n sequences, S positions, D model width.
"""

from collections.abc import Callable
from typing import Any

import torch

from monoseme.adapters._linear import hook_of, place
from monoseme.core.errors import ConfigError, ModelError, SiteError
from monoseme.models import EditContext, LanguageModel
from monoseme.models._hooked import HookedModules
from monoseme.models.site import Site
from monoseme.saes import SAE
from monoseme.splice import Change, SAEEdit, splice
from monoseme.tensors.shapes import Bool, Int, Tensor

Hook = tuple[str, Callable[..., Tensor]]
"""The name of a hook point and what is called there, as `run_with_hooks` takes them."""
_ROUNDING = 1e-5
"""Of the largest entry: what is left of a mean that was taken away in float32."""


def fwd_hooks(
    sae: SAE,
    *,
    site: Site | str,
    error_term: bool = False,
    change: Change | None = None,
    part: str | None = None,
    mask: Bool[Tensor, "n S"] | None = None,
    tokens: Int[Tensor, "n S"] | None = None,
) -> list[Hook]:
    """The splice of `sae` at `site`, for `run_with_hooks(tokens, fwd_hooks=...)` of TransformerLens.

    The arguments are those of `monoseme.splice.splice`. It acts where `mask` is True, at all positions without one:
    TransformerLens does not tell a hook which tokens are special. `tokens` are for a `change` that looks at them. A forward must
    be one over whole texts, not a step of a generation with keys and values kept.
    Raises SiteError for an SAE of several sites, a site that TransformerLens has no name for, and in the forward where widths or
    shapes do not fit; ConfigError for an SAE of whole contexts without `mask`, which padding would reach.
    """
    site = place(site)
    name = hook_of(site, tool="TransformerLens")
    if sae.reads == "contexts" and mask is None:
        raise ConfigError(
            f"{sae.plugin_name} reads whole contexts, and a hook does not see what is padding.\n"
            "  Give mask=torch.ones_like(tokens, dtype=torch.bool), False on padding."
        )
    edit = splice(sae, site, error_term=error_term, change=change, part=part)

    def hook(activation: Tensor, hook: Any) -> Tensor:  # noqa: ARG001  TransformerLens gives it by this name
        """Called by TransformerLens, with these names."""
        x = activation.flatten(2)  # heads lie side by side, as at head_out
        return edit(x, _context(x, edit, mask, tokens)).reshape(activation.shape)

    return [(name, hook)]


def _context(x: Tensor, edit: SAEEdit, mask: Tensor | None, tokens: Tensor | None) -> EditContext:
    n, length = x.shape[:2]
    for name, given in (("mask", mask), ("tokens", tokens)):
        if given is not None and given.shape != (n, length):
            raise SiteError(f"the hook at {edit.site} has {name} of {tuple(given.shape)} for activations of {(n, length)}")
    everywhere = torch.ones(n, length, dtype=torch.bool, device=x.device)
    return EditContext(
        tokens=torch.full((n, length), -1, device=x.device) if tokens is None else tokens.to(x.device),
        mask=everywhere if mask is None else mask.to(x.device),
        positions=torch.arange(length, device=x.device).expand(n, length),
        row=torch.arange(n, device=x.device),
        is_prompt=everywhere,
        state=tuple({} for _ in range(n)),
    )


def from_transformer_lens(model: Any, *, tokenizer: Any = None, processed: bool = False) -> LanguageModel:
    """A `HookedTransformer` (TransformerLens 3.9) or `TransformerBridge` (3 and 4) as our model, sharing its weights.

    Of a bridge it is the model of transformers inside, with all sites. A `HookedTransformer` runs its own forward and has
    `resid_pre`, `head_out`, `attn_out`, `mlp_in`, `mlp_out` and `resid_post`. Hooks that are on the model stay and act. Its
    weights take no gradient from here on. `tokenizer` is the model's own unless given.

    Raises ModelError for one without a tokenizer, and for one whose weights were processed (norms folded, residual stream
    centred), unless `processed` says that this is wanted: its activations are then not those of the model that was published, and
    SAEs of the one do not fit the other.
    """
    tokenizer = getattr(model, "tokenizer", None) if tokenizer is None else tokenizer
    if tokenizer is None:
        raise ModelError("this model of TransformerLens has no tokenizer: give one with tokenizer=")
    name = str(getattr(model.cfg, "model_name", "transformer-lens"))
    inside = getattr(model, "original_model", None)
    why = _centred_bridge(model) if inside is not None else _processed(model)
    if why is not None and not processed:
        raise ModelError(
            f"the weights of {name} were processed when TransformerLens loaded it: {why}. Its activations are not the model's "
            "own.\n"
            "  Load it with from_pretrained_no_processing (a bridge: without enable_compatibility_mode), or say processed=True."
        )
    if inside is not None:
        return LanguageModel.from_modules(inside, tokenizer, name=name)
    return LanguageModel.from_modules(HookedModules(model, tokenizer), tokenizer, name=name)


def _centred_bridge(bridge: Any) -> str | None:
    return "it is in compatibility mode" if getattr(bridge, "compatibility_mode", False) else None


def _processed(hooked: Any) -> str | None:
    """What was done to the weights, as far as it can be seen; None for nothing."""
    kind = hooked.cfg.normalization_type
    if kind in ("LNPre", "RMSPre"):
        return "the weights of its norms are folded into what reads them"
    embedding: Tensor = hooked.embed.W_E.detach()
    is_centred = bool(embedding.mean(-1).abs().max() <= _ROUNDING * embedding.abs().max())
    return "its residual stream is centred" if kind == "LN" and is_centred else None
