"""Floating-point work by formulas: what the language model and the SAEs do for a token (products and sums, each as one).

| part | work for one token |
|---|---|
| a block's matrices | 2 for each of its parameters |
| attention | 4 S H: the products of queries with keys and of weights with values, H numbers over all heads, S positions |
| unembedding | 2 D V, only where logits are needed |
| SAE, choosing latents | 2 D F |
| SAE, decoding K latents and going back | 8 K D: the reconstruction, and the gradients of decoder, codes and encoder |
| SAE without kernels that skip zeros | 12 D F: encoder and decoder forward, twice that backward |

Adam's work on each weight is no product and is not counted: it is bound by memory.
Letters: D width of the activations, F latents, K active latents, S positions of a context, V vocabulary.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

from monoseme.models import LanguageModel, Site
from monoseme.planning.figure import Figure, missing
from monoseme.planning.tensor_files import Sized
from monoseme.saes import SAE


class ModelWork(NamedTuple):
    """The language model's work for one token (FLOP)."""

    to_deepest_site: int
    whole: int
    """With logits."""


def model_work(model: LanguageModel, sites: Iterable[Site], *, context_len: int) -> ModelWork:
    """The forward to the deepest of `sites`, and the whole one."""
    shapes = model.parameter_shapes
    per_block = [
        sum(math.prod(shape) for name, (_, shape) in shapes.items() if name.startswith(prefix) and len(shape) > 1)
        for prefix in model.block_names
    ]
    attention = 4 * context_len * model.spec.n_heads * model.spec.d_head
    layers = [site.layer for site in sites]
    # What lies before a block's attention needs nothing of the block.
    deepest = max(layer + (0 if kind == "resid_pre" else 1) for layer, kind in zip(layers, [s.kind for s in sites], strict=True))
    work = [2 * matrices + attention for matrices in per_block]
    return ModelWork(sum(work[:deepest]), sum(work) + 2 * model.spec.d_model * model.spec.vocab_size)


def sae_work(kind: type[SAE], config: SAE.Config, parameters: dict[str, Sized], *, n_sites: int) -> Figure:
    """The SAE's work for one item of its batch: forward and backward (FLOP). Missing where nothing says how many are active."""
    encoder = parameters.get("W_enc")
    matrices = sum(sized.n_elements for sized in parameters.values() if len(sized.shape) > 1)
    if not matrices:
        return missing("SAE work", "FLOP", f"{kind.plugin_name} has no matrices that learn")
    vectors = n_sites if kind.codes_per_site else 1
    k = active_latents(config)
    if kind.sparsity == "k" and k is not None:
        chosen = 2 * (encoder.n_elements if encoder is not None else matrices // 2)
        value = vectors * (chosen + 4 * k * matrices // config.n_latents)
        return Figure(
            name=kind.plugin_name, value=value, unit="FLOP", found="computed", note="2 D F to choose, 8 K D for K latents"
        )
    return Figure(
        name=kind.plugin_name,
        value=vectors * 6 * matrices,
        unit="FLOP",
        found="estimated",
        note="12 D F, as if no zero were skipped",
    )


def active_latents(config: SAE.Config) -> int | None:
    """K, where the architecture has one."""
    k = getattr(config, "k", None)
    return k if isinstance(k, int) else None
