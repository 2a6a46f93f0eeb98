"""Figures over all texts: shares of the parts, ranks, events and garden paths, each with its intervals."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from monoseme.reports.figures import Estimate, Figure, interval_dots
from monoseme.studies._intervals import Interval
from monoseme.studies._predictability.garden import Effect
from monoseme.studies._predictability.shares import Share
from monoseme.studies._predictability.summary import Mean

_SHARES = {
    "share of the energy given back": {
        "predicted": "energy_share_predicted",
        "novel": "energy_share_novel",
        "cross term": "energy_share_cross",
    },
    "share of the variance given back": {
        "predicted": "variance_share_predicted",
        "novel": "variance_share_novel",
        "cross term": "variance_share_cross",
    },
    "variance of x explained alone": {
        "predicted": "explained_predicted",
        "novel": "explained_novel",
        "both together": "explained_both",
    },
    "cosine of predicted and novel": {
        "of what they give back": "cosine_reconstructions",
        "of the codes": "cosine_codes",
        "of the errors of each alone": "cosine_errors",
    },
}
_OVER_TIME = {
    "effective rank, 99.9 % of the energy (directions)": "effective_rank",
    "effective rank by entropy (directions)": "entropy_rank",
    "relative total variation": "tv_relative",
}
_DETECTION = {
    "AUROC against all other gaps": "auroc",
    "AUROC against other sentence ends": "auroc_ends",
}
_SIMILARITY = {
    "within − across at the same distance, above chance": "event_gap",
    "novelty at boundaries − at other gaps": "sharpness",
    "novelty at boundaries − at sentence ends": "sharpness_ends",
}
_GARDEN = {
    "novel_share": "novel share of both energies",
    "novel_energy": "energy of the novel part / ‖x − b‖²",
    "left_by_predicted": "left by the predicted part",
    "error": "left by both",
    "surprisal": "surprisal of the model (nats)",
}
_WHERE = {"word": "at the word", "before": "token before it"}


def share_figure(shares: Sequence[Share]) -> Figure:
    """What predicted and novel parts give back and explain."""
    return _dots(
        "shares",
        (
            _estimate(f"{share.sae}: {what}", share.interval(metric), panel=panel)
            for panel, metrics in _SHARES.items()
            for share in shares
            if share.has_parts
            for what, metric in metrics.items()
        ),
        title="What the predicted and the novel part give back",
        caption="The first two panels share out what both parts give back together: predicted, novel and cross term add up to 1. "
        "The third is what each part explains of the activations when it stands alone (below 0: worse than the mean). Bars are "
        "95 % intervals over documents.",
    )


def over_time_figure(shares: Sequence[Share]) -> Figure:
    """Rank and change of whole codes and parts."""
    return _dots(
        "over_time",
        (
            _estimate(share.sae if part == "all" else f"{share.sae} ({part})", share.interval(f"{metric}_{part}"), panel=panel)
            for panel, metric in _OVER_TIME.items()
            for share in shares
            for part in ("all", "predicted", "novel")
        ),
        title="How many directions codes take in a text, and how fast they change",
        caption="Ranks are of the codes of a stretch of one document, and grow with its length; a code that carries what the "
        "whole text shares has few directions and a small variation from token to token. Bars are 95 % intervals over documents.",
    )


def detection_figure(means: Mapping[tuple[str, str], Mean]) -> Figure:
    """How well each code tells boundaries."""
    return _dots(
        "boundaries",
        _of_means(means, _DETECTION),
        title="Are event boundaries where codes change?",
        caption="Chance that a boundary has more novelty than another gap; the line is chance. Left: than any gap, which a code "
        "that only follows sentences passes too. Right: than the end of a sentence inside an event. Bars are 95 % intervals "
        "over texts.",
        reference=0.5,
    )


def similarity_figure(means: Mapping[tuple[str, str], Mean]) -> Figure:
    """How much more alike codes are within events, and how sharply that drops."""
    return _dots(
        "events",
        _of_means(means, _SIMILARITY),
        title="Are codes of one event alike?",
        caption="Cosines of centred codes. The first panel compares tokens equally far apart, and the text with itself cut at "
        "other places, so that nearness and drift do not count; the others compare the drop at boundaries with that elsewhere. "
        "Right of the line: events show. Bars are 95 % intervals over texts.",
        reference=0.0,
    )


def garden_figure(effects: Sequence[Effect]) -> Figure:
    """Garden path less control."""
    return _dots(
        "garden_paths",
        (
            _estimate(f"{effect.sae or 'model'}, {_WHERE[effect.where]}", effect.difference, panel=_GARDEN[effect.measure])
            for measure in _GARDEN
            for effect in effects
            if effect.kind == "all" and effect.measure == measure
        ),
        title="What a garden path changes at the word that ends it",
        caption="Garden path less control, the same word at the same place: right of the line, more in the garden path. The "
        "token before the word is where nothing should differ yet. Bars are 95 % intervals over pairs of sentences.",
        reference=0.0,
    )


def _of_means(means: Mapping[tuple[str, str], Mean], panels: Mapping[str, str]) -> Iterator[Estimate]:
    for panel, measure in panels.items():
        for (code, name), mean in means.items():
            if name == measure:
                yield _estimate(code, mean.interval, panel=panel)


def _estimate(row: str, interval: Interval | None, *, panel: str) -> Estimate:
    if interval is None or not np.isfinite(interval.value):
        return Estimate(row, None, panel=panel)
    return Estimate(row, interval.value, interval.low, interval.high, panel=panel)


def _dots(name: str, estimates: Iterator[Estimate], *, title: str, caption: str, reference: float | None = None) -> Figure:
    return interval_dots(name, list(estimates), title=title, caption=caption, reference=reference)
