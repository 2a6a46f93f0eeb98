"""What other tools take an SAE for: a dense code for each vector, and a reconstruction that is linear in it.

Letters: B rows, D model width, F latents.
"""

from typing import NamedTuple

import torch
from torch import nn

from monoseme.core.errors import ConfigError, SiteError
from monoseme.models.hook_names import site_hook
from monoseme.models.site import Site
from monoseme.saes import SAE, Codes
from monoseme.tensors.shapes import Float, Tensor


class Dictionary(NamedTuple):
    """The arrays of an SAE for use, in raw activations."""

    W_enc: Float[Tensor, "D F"]
    W_dec: Float[Tensor, "F D"]
    b_enc: Float[Tensor, " F"] | None
    """None for an encoder that is not centred and linear, or has another bias: `b_enc` then means something else."""
    b_dec: Float[Tensor, " D"]
    notes: tuple[str, ...]
    """Where these are not what their names say."""


def for_use(sae: SAE, *, tool: str) -> SAE:
    """The SAE for use on raw activations: x_hat = codes W_dec + b_dec.

    Raises SiteError for an SAE of several sites, ConfigError for one whose reconstruction is no such product.
    """
    name = sae.plugin_name
    if sae.learns_from == "layers" or sae.reads == "layers":
        raise SiteError(
            f"{tool} knows SAEs of one site, and {name} has several.\n"
            "  Measure it with monoseme eval, which takes all its sites; monoseme.splice.Placed reads and puts back each."
        )
    made = sae.export()
    if made.unit != "activation":
        raise ConfigError(
            f"{tool} decodes codes by themselves; {name} with normalise.kind={sae.config.normalise.kind!r} needs the mean and "
            "the scale of each vector too.\n"
            "  Measure it with monoseme eval, or train with a normalisation that folds (--sae.normalise.kind none)."
        )
    if type(made).decode is not SAE.decode:
        raise ConfigError(
            f"{tool} takes the decoder for one matrix, and that of {name} is more than that.\n  Measure it with monoseme eval."
        )
    return made


def dictionary_of(made: SAE) -> Dictionary:
    """Copies of the arrays of an SAE from `for_use`. What has no linear encoder is given W_dec^T for one, which is said."""
    w_dec, b_dec = made.W_dec.detach().clone(), made.b_dec.detach().clone()
    names = dict(made.named_parameters())
    notes: list[str] = []
    w_enc = names.get("W_enc")
    if w_enc is None:
        notes.append(f"{made.plugin_name} has no encoder matrix: W_enc is W_dec^T, so measures of the encoder are the decoder's")
    b_enc = names.get("b_enc")
    if b_enc is None:
        notes.append(f"{made.plugin_name} has no b_enc: it is zero here")
    return Dictionary(
        w_dec.t().contiguous() if w_enc is None else w_enc.detach().clone(),
        w_dec,
        None if b_enc is None else b_enc.detach().clone(),
        b_dec,
        tuple(notes),
    )


def dense_codes(made: SAE, x: Float[Tensor, "*lead D"]) -> Float[Tensor, "*lead F"]:
    """The codes of raw activations. Raises SiteError for loose rows where the SAE reads whole contexts."""
    if made.reads == "tokens":
        return made.encode(x).dense()
    if x.ndim != 3:
        raise SiteError(
            f"{made.plugin_name} reads whole contexts [n, S, D], and it was given {tuple(x.shape)}: what this evaluation does "
            "with loose rows it cannot do.\n  SAEBench's core gives contexts; the others can be run as monoseme study."
        )
    return made.encode_contexts(x, torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)).dense()


def decoded(made: SAE, codes: Float[Tensor, "*lead F"]) -> Float[Tensor, "*lead D"]:
    """Raw activations from dense codes."""
    return made.decode(Codes({made.parts[0]: codes}))


def hook_of(site: Site, *, tool: str) -> str:
    """The name that the tool knows the site by. Raises SiteError where it has none."""
    name = site_hook(site)
    if name is None:
        raise SiteError(
            f"{tool} has no name for {site}.\n  It has: resid_pre, resid_post, attn_out, mlp_out and head_out (its hook_z)."
        )
    return name


def place(site: Site | str) -> Site:
    """A site given as one or by its name; raises SiteError for what is none."""
    return Site.parse(site) if isinstance(site, str) else site


def frozen(module: nn.Module) -> nn.Module:
    """The module in evaluation mode, without gradients to its parameters."""
    return module.eval().requires_grad_(False)
