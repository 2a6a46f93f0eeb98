"""Crosscoders of others as ours and back: scales and centres of the sites, thresholds in their unit.

    theirs     f = relu(sum_l g_l (x_l - m_l) E_l + b),  kept where f c > threshold     x_hat_l = (f W_l + d_l) / h_l + m_l
    ours       f = relu(sum_l (s_l x_l - c_l) W_enc,l + b_enc),  f n > threshold        x_hat_l = (f W_dec,l + b_dec,l) / t_l

s = g, c = g m, t = h, b_dec = d + h m. c is by `code_normalization`: the sum over sites of the norms of W (`CROSSCODER`, our n),
the norm of all of them together (`SAE`), a weighted sum of both (`MIXED`) or 1 (`NONE`); what is not n becomes a threshold for
each latent, threshold / c on f. A threshold of -1 was never set, and lets every positive activation through.

Our codes are f / u (see `saes._sites`), so that a code times its exported row of W_dec is in raw activations: theirs are ours
times u. Letters: L sites, D model width, F latents.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch

from monoseme.core.errors import ForeignError
from monoseme.interchange._assembled import assembled, matrix, one_tensor, plain_bias
from monoseme.saes import NormaliseConfig
from monoseme.saes._site_codes import CodesKind
from monoseme.saes.crosscoder import Crosscoder
from monoseme.tensors.shapes import Float, Tensor

_EPS = 1e-8
"""What crosscoder_learning adds to a site's scale before it divides by it."""


class Parts(NamedTuple):
    """A crosscoder in the symbols of the module's docstring."""

    E: Float[Tensor, "L D F"]
    b: Float[Tensor, " F"]
    W: Float[Tensor, "L F D"]
    d: Float[Tensor, "L D"]
    g: Float[Tensor, " L"]
    h: Float[Tensor, " L"]
    m: Float[Tensor, "L D"]


class SiteScales(NamedTuple):
    """Factors on what is read of each site and under what is written, and the centre of each, in those symbols."""

    g: Float[Tensor, " L"]
    h: Float[Tensor, " L"]
    m: Float[Tensor, "L D"]


class TheirParts(NamedTuple):
    """A crosscoder of ours in their symbols."""

    parts: Parts
    threshold_factor: float
    """What our threshold on f n is to be multiplied by."""


class Selection(NamedTuple):
    """Which activations are kept."""

    codes: CodesKind
    """relu, batchtopk or threshold."""
    threshold: Tensor | None = None
    """() for batchtopk, [F] for threshold."""
    k: int | None = None


class Made(NamedTuple):
    """A crosscoder of ours."""

    sae: Crosscoder
    code_factor: float
    """Theirs are ours times this."""


def crosscoder_of(parts: Parts, selection: Selection, *, where: str) -> Made:
    """One of ours, on raw activations."""
    n_sites, d_in, n_latents = parts.E.shape
    settings: dict[str, Any] = {} if selection.k is None else {"k": selection.k}
    plain = NormaliseConfig(kind="none")
    config = Crosscoder.Config(
        d_in=d_in, n_latents=n_latents, n_sites=n_sites, codes=selection.codes, normalise=plain, **settings
    )
    state = {
        "W_enc": parts.E.reshape(n_sites * d_in, n_latents),
        "b_enc": parts.b,
        "W_dec": parts.W.permute(1, 0, 2).reshape(n_latents, n_sites * d_in),
        "b_dec": (parts.d.double() + parts.h.double().unsqueeze(1) * parts.m.double()).float().reshape(-1),
        "centre": (parts.g.double().unsqueeze(1) * parts.m.double()).float().reshape(-1),
        "input_factor": parts.g,
        "output_factor": parts.h,
        **({} if selection.threshold is None else {"threshold": selection.threshold}),
    }
    sae = assembled(config, state, where=where)
    assert isinstance(sae, Crosscoder)
    if bool((parts.g == 1).all()) and bool((parts.h == 1).all()):
        return Made(sae, 1.0)
    folded = sae.export()
    assert isinstance(folded, Crosscoder)
    return Made(folded, float(sae.code_unit))


def weighted_threshold(
    threshold: Float[Tensor, ""], W: Float[Tensor, "L F D"], *, normalization: str, alphas: tuple[float, float], k: int
) -> Selection:
    """The rule f c > threshold as ours. `alphas` weigh the norm of all and the sum of norms, for MIXED."""
    limit = threshold.clamp_min(0)
    if normalization == "CROSSCODER":
        return Selection("batchtopk", limit, k)
    together = W.double().permute(1, 0, 2).flatten(1).norm(dim=1)
    summed = W.double().norm(dim=2).sum(0)
    weights = {"SAE": together, "MIXED": alphas[0] * together + alphas[1] * summed, "NONE": torch.ones_like(summed)}[
        normalization
    ]
    most = torch.finfo(torch.float32).max
    never = torch.full_like(weights, 0.0 if bool(threshold < 0) else most)  # f 0 > threshold holds for none that was set
    limits = torch.where(weights > 0, limit.double() / weights.clamp_min(torch.finfo(torch.float32).tiny), never)
    return Selection("threshold", limits.clamp_max(most).float())


def site_scales(tensors: Mapping[str, Any], shape: tuple[int, int], *, where: str) -> SiteScales | None:
    """Of crosscoder_learning's buffers; None where nothing is scaled. Raises ForeignError."""
    names = ("activation_mean", "activation_std")
    if not any(name in tensors for name in names):
        return None
    given = [matrix(tensors, name, n_axes=2, where=where) for name in names]
    if any(bool(torch.isnan(one).all()) for one in given):
        return None
    mean, _ = (one_tensor(tensors, name, shape, where=where) for name in names)
    g = one_tensor(tensors, "activation_global_scale", shape[:1], where=where)
    if not bool((g > 0).all()):
        raise ForeignError(f"{where}: activation_global_scale holds numbers that are not positive")
    return SiteScales(g, g + _EPS, mean)


def parts_of(sae: Crosscoder) -> TheirParts:
    """An exported crosscoder of ours in their symbols.

    Sites that weigh alike need no scales; else g is the weights, brought to about 1 so that h is g to rounding.
    """
    weights, n_sites = sae.site_weights.detach().double(), len(sae.site_weights)
    E = sae.W_enc.detach().reshape(n_sites, sae.d_in, -1)
    W = sae.W_dec.detach().reshape(-1, n_sites, sae.d_in).permute(1, 0, 2)
    d, centre = sae.b_dec.detach().reshape(n_sites, -1), sae.centre.reshape(n_sites, -1)
    if sae.config.codes == "relu" or bool((weights == weights[0]).all()):
        b = plain_bias(sae.b_enc.detach(), sae.W_enc.detach(), sae.centre)
        ones, centred = torch.ones(n_sites), torch.zeros_like(d)
        return TheirParts(Parts(E, b, W, d, ones, ones, centred), float(1 / weights[0]))
    common = weights.square().reciprocal().mean().rsqrt()  # with it u is 1: codes that are read again are in the same unit
    g = (weights / common).unsqueeze(1)
    scaled = (E.double() / g.unsqueeze(2)).float(), (W.double() * g.unsqueeze(2)).float()
    bias = ((d.double() - centre.double()) * g).float()
    flat = g.reshape(-1).float()
    parts = Parts(scaled[0], sae.b_enc.detach(), scaled[1], bias, flat, flat + _EPS, centre)
    return TheirParts(parts, float(1 / common))
