"""How well an attribution foretells what ablation finds.

Attribution is an estimate: a gradient, or an average of gradients, times a change. Where ablation can be run on the same latents,
the two can be compared; a report of attributions is worth what this says.
Letters: J latents (firings) that were both attributed and ablated.
"""

from typing import Any, NamedTuple

from scipy import stats

from monoseme.core.errors import ConfigError
from monoseme.tensors.shapes import Float, Tensor

_FEWEST = 3
"""Pairs of which a correlation says anything."""


class Agreement(NamedTuple):
    """Of pairs (attribution, ablation); None where `why_missing` says why. All in float64."""

    n: int
    """Pairs."""
    spearman: float | None
    """Rank correlation in [-1, 1]: whether the order is right."""
    pearson: float | None
    """Linear correlation in [-1, 1]."""
    slope: float | None
    """Least squares through the origin of ablation on attribution: 1 where the size is right, above 1 where attribution says too
    little."""
    same_sign: float | None
    """Fraction of pairs with the same sign, of those that are both not zero."""
    top_overlap: float | None
    """Fraction of the tenth of latents (at least one) with the largest ablation effects that are also in the tenth with the
    largest attributions, by absolute value."""
    why_missing: str = ""


def agreement(attribution: Float[Tensor, " J"], ablation: Float[Tensor, " J"]) -> Agreement:
    """Of two estimates of the same effects, in the same order. Raises ConfigError where their shapes differ."""
    if attribution.shape != ablation.shape or attribution.dim() != 1:
        raise ConfigError(f"an agreement is of pairs, not of {tuple(attribution.shape)} with {tuple(ablation.shape)}")
    a, b = attribution.detach().double().cpu(), ablation.detach().double().cpu()
    why = _why_missing(a, b)
    if why:
        return Agreement(len(a), None, None, None, None, None, why)
    ranks: Any = stats.spearmanr(a.numpy(), b.numpy())
    linear: Any = stats.pearsonr(a.numpy(), b.numpy())
    signed = (a != 0) & (b != 0)
    same = float((a.sign() == b.sign())[signed].double().mean()) if bool(signed.any()) else None
    return Agreement(
        n=len(a),
        spearman=float(ranks.statistic),
        pearson=float(linear.statistic),
        slope=float(a @ b / (a @ a)),
        same_sign=same,
        top_overlap=_overlap(a, b),
    )


def _why_missing(a: Tensor, b: Tensor) -> str:
    if len(a) < _FEWEST:
        return f"{len(a)} pairs are too few for a correlation"
    constant = [name for name, each in (("attributions", a), ("ablation effects", b)) if bool((each == each[0]).all())]
    return f"all {' and all '.join(constant)} are equal" if constant else ""


def _overlap(a: Tensor, b: Tensor) -> float:
    n = max(1, len(a) // 10)
    first, second = (set(each.abs().sort(descending=True, stable=True).indices[:n].tolist()) for each in (a, b))
    return len(first & second) / n
