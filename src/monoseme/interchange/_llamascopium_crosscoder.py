"""Crosscoders of Llamascopium, where one code for all heads is what theirs is for each.

    pre = sum_h (s_h x_h) W_E,h + sum_h b_E,h,   f_h = pre g(pre n_h),   s_h y_hat_h = f_h W_D,h + b_D,h

Each head gates by the norm n_h of its own decoder row. With relu f is one; with jumprelu it is where a latent's norms are alike.
On raw activations W_E,h is multiplied by s_h, W_D,h and b_D,h are divided by it; codes stay as they are.
Letters: D model width, F latents, H heads.
"""

from typing import Any

import torch

from monoseme.core.errors import ConfigError, ForeignError
from monoseme.core.foreign import as_texts
from monoseme.interchange._assembled import assembled, matrix, one_tensor
from monoseme.interchange._base import ForeignSae
from monoseme.interchange._openmoss_files import mean_norm, thresholds_in
from monoseme.interchange._places import with_site
from monoseme.interchange._plain_encoders import NO_SCALE
from monoseme.interchange._scaled_sides import scale_of
from monoseme.models.hook_names import hook_site
from monoseme.saes.crosscoder import Crosscoder
from monoseme.tensors.shapes import Tensor


def crosscoder(told: dict[str, Any], table: dict[str, Any], *, name: str, asked: str | None, where: str) -> ForeignSae:
    """One crosscoder. Raises ForeignError for one whose heads fire apart, ConfigError where a norm is missing."""
    hooks = as_texts(told.get("hook_points"), where=f"{where}: hook_points")
    n_heads, d_in, n_latents = matrix(table, "W_E", n_axes=3, where=where).shape
    if len(hooks) != n_heads or n_heads < 2:
        raise ForeignError(f"{where}: it has {n_heads} heads for {len(hooks)} hook points; a crosscoder has two or more of each")
    W_E = one_tensor(table, "W_E", (n_heads, d_in, n_latents), where=where).double()
    b_E = one_tensor(table, "b_E", (n_heads, n_latents), where=where)
    W_D = one_tensor(table, "W_D", (n_heads, n_latents, d_in), where=where).double()
    b_D = one_tensor(table, "b_D", (n_heads, d_in), where=where).double()
    limits = _limits(told, table, W_D, where=where)
    s = _scales(told, table, hooks, d_in=d_in, where=where).reshape(-1, 1, 1)
    state: dict[str, Tensor] = {
        "W_enc": (W_E * s).reshape(n_heads * d_in, n_latents).float(),
        "b_enc": b_E.double().sum(0).float(),
        "W_dec": (W_D / s).transpose(0, 1).reshape(n_latents, n_heads * d_in).float(),
        "b_dec": (b_D / s.reshape(-1, 1)).reshape(-1).float(),
    }
    if limits is not None:
        state["threshold"] = limits.float()
    codes = "relu" if limits is None else "threshold"
    config = Crosscoder.Config(d_in=d_in, n_latents=n_latents, n_sites=n_heads, codes=codes, normalise=NO_SCALE)
    sites = [hook_site(hook) for hook in hooks]
    config = with_site(config, asked, ",".join(map(str, sites)) if all(sites) else None)
    notes = (
        () if bool((s == 1).all()) else ("the scale of each site's activations was folded into its weights; codes are theirs",)
    )
    return ForeignSae(name=name, sae=assembled(config, state, where=where), facts={"hook_points": list(hooks)}, notes=notes)


def _scales(told: dict[str, Any], table: dict[str, Any], hooks: tuple[str, ...], *, d_in: int, where: str) -> Tensor:
    kind = told["norm_activation"]
    if kind == "inference":
        return torch.ones(len(hooks), dtype=torch.float64)
    if kind != "dataset-wise":
        raise ForeignError(f"{where}: a crosscoder whose activations are scaled {kind}; no architecture here does that")
    norms = [mean_norm(table, hook, where=where) for hook in hooks]
    if None in norms:
        raise ConfigError(
            f"{where}: the average norm of activations is missing for {hooks[norms.index(None)]}; write it to the file"
        )
    return torch.tensor([scale_of(norm or 0.0, d_in, where=where) for norm in norms], dtype=torch.float64)


def _limits(told: dict[str, Any], table: dict[str, Any], W_D: Tensor, *, where: str) -> Tensor | None:
    """Thresholds on codes; None with relu."""
    act = str(told.get("act_fn", "relu")).lower()
    if act == "relu":
        return None
    norms = W_D.norm(dim=2)
    limits = thresholds_in(table, W_D.shape[1], where=where) if act == "jumprelu" else None
    apart = bool(((norms - norms.mean(0)).abs() > 1e-5 * norms.mean(0)).any()) or bool((norms == 0).any())
    if limits is None or apart:
        raise ForeignError(
            f"{where}: its heads fire apart ({act}, gated by the norm of each head's decoder row), and a crosscoder here has one "
            "code for all.\n  Read are relu, and jumprelu with norms that are alike"
        )
    return limits.double() / norms.mean(0)
