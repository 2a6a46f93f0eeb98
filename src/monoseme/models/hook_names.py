"""Names that other tools give to places in a model, and ours.

Names of TransformerLens, as SAELens, Llamascopium and Neuronpedia use them. Source: `HookedTransformer`'s hook names; its
`hook_attn_out` and `hook_mlp_out` come after Gemma's post-norms, as ours do; `hook_attn_in` and `hook_mlp_in` come before the
norm: none of ours. `ln1.hook_normalized` and `ln2.hook_normalized` are what attention and the MLP read, save for the norm's
weight, which TransformerLens multiplies in later: none of ours either, unless its norms are folded.

| theirs | ours |
|---|---|
| `blocks.L.hook_resid_pre` | `resid_pre.L` |
| `blocks.L.attn.hook_z`, heads side by side | `head_out.L` |
| `blocks.L.hook_attn_out` | `attn_out.L` |
| `blocks.L.hook_mlp_out` | `mlp_out.L` |
| `blocks.L.hook_resid_post` | `resid_post.L` |

Names of modules, as sparsify and plain transformers use them, mean a module's output: `layers.10` (also `model.layers.10`,
`h.10`, `transformer.h.10`, `gpt_neox.layers.10`) is `resid_post.10`, `layers.10.mlp` is `mlp_out.10` where nothing comes after
the MLP before the residual (not in Gemma 2 and 3), `layers.10.self_attn`, `.attention` and `.attn` are `attn_out.10` likewise.
"""

import re

from monoseme.models.site import Site

_HOOKS = {
    "hook_resid_pre": "resid_pre",
    "attn.hook_z": "head_out",
    "hook_attn_out": "attn_out",
    "hook_mlp_out": "mlp_out",
    "hook_resid_post": "resid_post",
}
_NAMES = {kind: hook for hook, kind in _HOOKS.items()}
_BLOCK = r"(?:(?:model|transformer|gpt_neox|language_model)\.)*(?:layers|h|blocks)\.(\d{1,6})"
_MODULES = {"": "resid_post", ".mlp": "mlp_out", ".self_attn": "attn_out", ".attention": "attn_out", ".attn": "attn_out"}


def hook_site(name: str) -> Site | None:
    """The site of a hook name of TransformerLens; None for one that is not known to be a site of ours."""
    match = re.fullmatch(r"blocks\.(\d{1,6})\.(.+)", name, re.ASCII)
    kind = _HOOKS.get(match[2]) if match else None
    return Site(kind, int(match[1])) if match and kind else None


def site_hook(site: Site) -> str | None:
    """The hook name of TransformerLens for a site; None where it has none."""
    hook = _NAMES.get(site.kind)
    return None if hook is None else f"blocks.{site.layer}.{hook}"


def module_site(name: str) -> Site | None:
    """The site of the output of a module, by its name in transformers; None for one that is not known to be a site of ours."""
    match = re.fullmatch(_BLOCK + r"((?:\.\w+)?)", name, re.ASCII)
    kind = _MODULES.get(match[2]) if match else None
    return Site(kind, int(match[1])) if match and kind else None
