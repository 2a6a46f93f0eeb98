"""The metrics of `layer_spread`, as formulas over the sums of `_layer_sums`."""

from collections.abc import Callable

from monoseme.evaluation._bootstrap import WeightedSums, ratio
from monoseme.evaluation._formula import Formula, formula
from monoseme.tensors.shapes import Tensor


def _of(name: str, text: str, compute: Callable[[WeightedSums], Tensor], *, unit: str, why: str = "no latent fires") -> Formula:
    """A metric of the firings measured; none of them is better high or low."""
    return formula(name, text, compute, unit=unit, better="neither", counted="pairs", why_missing=why)


def _mean(name: str, count: str) -> Callable[[WeightedSums], Tensor]:
    return lambda s: ratio(s[name], s[count])


SPREAD = (
    _of(
        "layer_std",
        "Mean over latents that fire of the standard deviation of the layer under P(l | j), the share of latent j's activation "
        "that is at layer l.",
        _mean("std", "alive"),
        unit="layers",
    ),
    _of(
        "layer_entropy",
        "Mean over latents that fire of the entropy of P(l | j).",
        _mean("entropy", "alive"),
        unit="nats",
    ),
    _of(
        "layers_per_latent",
        "Mean over latents that fire of the number of layers at which they ever do.",
        _mean("n_layers", "alive"),
        unit="layers",
    ),
    _of(
        "layers_per_firing",
        "Mean over tokens and the latents that fire there of the number of layers at which the latent does.",
        _mean("pair_layers", "pairs"),
        unit="layers",
    ),
    _of(
        "var_layer",
        "Var(L): variance of the layer, each layer weighted by all activation there.",
        _mean("all_spread", "mass"),
        unit="layers²",
    ),
    _of(
        "var_layer_of_latent",
        "E Var(L | J): variance of the layer under P(l | j), mean over latents weighted by their activation.",
        _mean("latent_spread", "mass"),
        unit="layers²",
    ),
    _of(
        "var_layer_of_firing",
        "E Var(L | J, T): variance of the layer for one latent at one token, mean weighted by activation.",
        _mean("pair_spread", "pair_mass"),
        unit="layers²",
    ),
    _of(
        "rel_var_f",
        "E Var(L | J) / Var(L): 1 when latents are spread over layers as all activation is, 0 when each has its own layer.",
        _mean("latent_spread", "all_spread"),
        unit="fraction",
        why="all activation is at one layer",
    ),
    _of(
        "rel_var_t",
        "E Var(L | J, T) / E Var(L | J): the share of a latent's spread over layers that is already there at a single token. "
        "Small when latents wander: at one layer for one token, at another for the next.",
        lambda s: ratio(ratio(s["pair_spread"], s["pair_mass"]), ratio(s["latent_spread"], s["mass"])),
        unit="fraction",
        why="no latent fires at two layers",
    ),
)
"""Metrics of P(L | J) and P(L | J, T); their n counts firings. By the law of total variance both ratios lie in [0, 1]."""
