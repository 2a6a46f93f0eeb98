"""Findings of MLSAE's paper, decided by what the study measured."""

import math
from collections.abc import Mapping

from monoseme.evaluation import EvalResult
from monoseme.studies._base import Comparison, Finding
from monoseme.studies._layers.tables import interval_of

_TWO_ORDERS = 0.03
"""A ratio of 1/30 or less is nearer to two orders of magnitude than to one."""
_OFTEN = 0.5
_PAPER = "Lawson et al. 2024, MLSAE, arXiv:2409.04185"


def findings_of(spreads: Mapping[str, EvalResult]) -> list[Finding]:
    """Every claim, measured or not."""
    return [_two_orders(spreads), _where_it_fires(spreads), _one_layer(spreads), _LARGER]


def _two_orders(spreads: Mapping[str, EvalResult]) -> Finding:
    claim = (
        "The variance of a latent's layer is about two orders of magnitude greater aggregated over tokens than for one token "
        f"({_PAPER}). About two: rel_var_t, in the paper's form, where a token without a firing counts as one without spread, is "
        f"at most {_TWO_ORDERS:g}; intervals are over batches."
    )
    return _decided(claim, spreads, "rel_var_t_as_mlsae", most=_TWO_ORDERS)


def _where_it_fires(spreads: Mapping[str, EvalResult]) -> Finding:
    claim = (
        "The same over those tokens only at which the latent fires, weighted by activation: does one firing stay at one layer? "
        f"(rel_var_t at most {_TWO_ORDERS:g}; intervals are over documents.)"
    )
    return _decided(claim, spreads, "rel_var_t", most=_TWO_ORDERS)


def _one_layer(spreads: Mapping[str, EvalResult]) -> Finding:
    claim = (
        f"A latent is often active at a single layer for a given token ({_PAPER}). Often: single_layer_firings, the share of all "
        f"firings, is at least {_OFTEN:g}."
    )
    return _decided(claim, spreads, "single_layer_firings", least=_OFTEN)


def _decided(
    claim: str, spreads: Mapping[str, EvalResult], metric: str, *, most: float = math.inf, least: float = -math.inf
) -> Finding:
    """Holds for an SAE where its whole interval does."""
    comparisons: list[Comparison] = []
    for name, found in spreads.items():
        interval = interval_of(found, metric)
        if interval is not None:
            low, high = (interval.value if end is None else end for end in interval[1:3])
            comparisons.append(Comparison(least <= low and high <= most, f"{name}: {interval}"))
    return Finding(claim, tuple(comparisons), "" if comparisons else "No SAE has this number.")


_LARGER = Finding(
    f"Latents act at more layers at once the larger the model ({_PAPER}).",
    (),
    "SAEs of one model were measured; run the study for each size of a family and compare layers_per_firing.",
)
