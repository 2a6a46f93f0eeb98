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


def _within(s: WeightedSums) -> Tensor:
    return ratio(s["pair_spread"], s["pair_mass"]) * ratio(s["mass"], s["all_spread"])


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
        "layer_bimodality",
        "Mean over latents that fire at two layers or more of the bimodality coefficient of P(l | j), (skewness² + 1) / "
        "kurtosis: 5/9 for a uniform distribution, 1 for two points.",
        _mean("bimodality", "has_shape"),
        unit="coefficient",
        why="no latent fires at two layers",
    ),
    _of(
        "layer_valley",
        "Mean over latents that fire at two layers or more of how far P(l | j) sinks between two peaks below the lower of them: "
        "0 for one peak, 1/2 for two equal ones with nothing between.",
        _mean("valley", "has_shape"),
        unit="fraction",
        why="no latent fires at two layers",
    ),
    _of(
        "layers_per_firing",
        "Mean over tokens and the latents that fire there of the number of layers at which the latent does.",
        _mean("pair_layers", "pairs"),
        unit="layers",
    ),
    _of(
        "single_layer_firings",
        "Share of the pairs of a token and a latent that fires there at which the latent fires at one layer only.",
        _mean("pair_single", "pairs"),
        unit="fraction",
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
    _of(
        "between_latents",
        "Var E(L | J) / Var(L): the share of the variance of the layer that is between latents. With the next two it sums to 1.",
        lambda s: 1 - ratio(s["latent_spread"], s["all_spread"]),
        unit="fraction",
        why="all activation is at one layer",
    ),
    _of(
        "between_tokens",
        "E Var(E(L | J, T) | J) / Var(L): the share that is between tokens of one latent, which wanders over layers.",
        lambda s: ratio(s["latent_spread"], s["all_spread"]) - _within(s),
        unit="fraction",
        why="all activation is at one layer",
    ),
    _of(
        "within_firing",
        "E Var(L | J, T) / Var(L): the share that is within one firing, at several layers at once.",
        _within,
        unit="fraction",
        why="all activation is at one layer",
    ),
)
"""Metrics of P(L | J) and P(L | J, T); their n counts firings. By the law of total variance both ratios lie in [0, 1]."""
