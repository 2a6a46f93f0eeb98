"""What the sums over long texts mean, as metrics. Letters: W weightings of the bootstrap over texts, R reach."""

from typing import NamedTuple

import numpy as np
import torch

from monoseme.evaluation import DocumentWeights, Metric
from monoseme.evaluation._bootstrap import WeightedSums, ratio
from monoseme.evaluation._formula import Formula, evaluate, formula, replicates
from monoseme.studies._sequences.sums import KINDS, Spread, Track, border_changes, spread, switches
from monoseme.tensors.shapes import Float, Tensor


class Following(NamedTuple):
    """How closely each text is followed."""

    n_shifts: int
    window: int
    reach: int


class TextSums:
    """Sums of one subject over texts, under every weighting of these, and of each latent over all of them."""

    def __init__(self, weights: DocumentWeights, following: Following) -> None:
        self._weights, self._following = weights, following
        self.sums = WeightedSums()
        self.latents: Spread | None = None
        self.n_texts = 0

    def add(self, text: int, track: Track) -> None:
        """Adds a text, by its number."""
        how = self._following
        of_latents = spread(track, n_shifts=how.n_shifts)
        changes = border_changes(track, window=how.window)
        switched = switches(track, reach=how.reach)
        told = {name: float(getattr(of_latents, name).sum()) for name in Spread._fields}
        told |= {f"change_{kind}": changes.change[kind] for kind in KINDS} | {f"n_{kind}": changes.n[kind] for kind in KINDS}
        told |= {"n": len(track.passage), "n_switches": switched.n}
        values = {name: torch.tensor([float(value)], dtype=torch.float64) for name, value in told.items()}
        values["curve"] = torch.from_numpy(switched.curve).unsqueeze(0)
        self.sums.add_documents(values, self._weights.of([text]))
        held = self.latents
        self.latents = of_latents if held is None else Spread(*(a + b for a, b in zip(held, of_latents, strict=True)))
        self.n_texts += 1

    def metrics(self) -> list[Metric]:
        """All of `METRICS`."""
        return evaluate(METRICS, self.sums, n_documents=self.n_texts)

    def replicates(self) -> dict[str, np.ndarray]:
        """Metric -> [W], the estimate first; paired between subjects of the same texts."""
        return {name: values.numpy() for name, values in replicates(METRICS, self.sums).items()}

    def switching(self) -> np.ndarray:
        """[W, 2R] place of the code around a border: 0 before it, 1 once it has settled; NaN where it stays."""
        return _switching(self.sums).numpy()


def _switching(sums: WeightedSums) -> Float[Tensor, "W R2"]:
    before, after = _levels(sums)
    moved = (after - before).unsqueeze(1)
    return torch.where(moved > 0, (sums["curve"] - before.unsqueeze(1)) / moved.where(moved > 0, torch.nan), torch.nan)


def _levels(sums: WeightedSums) -> tuple[Tensor, Tensor]:
    """Mean of the summed curve before the border, and of its last quarter, where it has settled."""
    curve = sums["curve"]
    reach = curve.shape[1] // 2
    return curve[:, :reach].mean(1), curve[:, reach + reach // 2 :].mean(1)


def _distance(sums: WeightedSums) -> Tensor:
    before, after = _levels(sums)
    return ratio(after - before, sums["n_switches"])


def _delay(sums: WeightedSums) -> Tensor:
    """NaN in any weighting whose distance is not above 0, and in all where that of the texts as they are is not certain."""
    curve = _switching(sums)
    reach = curve.shape[1] // 2
    distance = _distance(sums)
    unsure = bool((distance[1:] <= 0).double().mean() > _UNSURE)
    return torch.full_like(distance, torch.nan) if unsure else (1 - curve[:, reach : reach + reach // 2]).sum(1)


_UNSURE = 0.025
"""Share of replicates in which the codes of two passages are no further apart than chance."""


def _change(kind: str) -> Formula:
    words = {"passage": "a passage begins within a context", "context": "a context begins within a passage"}[kind]
    return formula(
        f"{kind}_border_change",
        f"Mean |m_after - m_before|^2 where {words}, over the same at places without a border; m are mean codes of a window of "
        "tokens on either side. 1: the border cannot be told from any other place.",
        lambda sums: ratio(ratio(sums[f"change_{kind}"], sums[f"n_{kind}"]), ratio(sums["change_within"], sums["n_within"])),
        unit="ratio",
        better="neither",
        counted=f"n_{kind}",
        why_missing=f"no place where {words} is far enough from other borders, or nothing changes elsewhere",
    )


METRICS: tuple[Formula, ...] = (
    formula(
        "eta_squared",
        "Share of the variance of the code that lies between passages: sum over latents of the variance of passages' means, over "
        "the sum of all variances.",
        lambda sums: ratio(sums["between"], sums["total"]),
        unit="fraction",
        better="neither",
        why_missing="nothing fires",
    ),
    formula(
        "eta_squared_by_chance",
        "The same with the borders moved along the text: what slowness, position in the context and chance alone give.",
        lambda sums: ratio(sums["shifted"], sums["total"]),
        unit="fraction",
        better="neither",
        why_missing="nothing fires",
    ),
    formula(
        "eta_squared_corrected",
        "(eta_squared - eta_squared_by_chance) / (1 - eta_squared_by_chance): 0 where the code does not follow the passages, 1 "
        "where it follows nothing else.",
        lambda sums: ratio(sums["between"] - sums["shifted"], sums["total"] - sums["shifted"]),
        unit="fraction",
        better="neither",
        why_missing="nothing fires",
    ),
    _change("passage"),
    _change("context"),
    formula(
        "passage_distance",
        "How far the codes of neighbouring passages are apart, from tokens that are not in their means: 0 where both use the "
        "same latents alike, 1 where they share none.",
        _distance,
        unit="fraction",
        better="neither",
        counted="n_switches",
        why_missing="no border between passages could be followed: they are too short, or contexts end near all of them",
    ),
    formula(
        "switch_tokens",
        "Tokens of a new passage that pass before the code has gone over to it: sum over the first tokens of 1 - u, where u is 0 "
        "at the old passage and 1 at the new one.",
        _delay,
        unit="tokens",
        better="lower",
        counted="n_switches",
        why_missing="the codes of neighbouring passages are not certainly apart, so there is nothing to switch",
    ),
)
"""Of one subject over all texts."""
