"""A text through an SAE whose sites have codes of their own: codes, histograms and metrics of each layer, latents over all.

Letters: E entries, M latents that fired.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from monoseme.evaluation import text_metrics
from monoseme.web.forward import Forward
from monoseme.web.measured import metric
from monoseme.web.prompt._entries import Entries, entries_of, over_text, shortened
from monoseme.web.prompt._known import KnownLatents
from monoseme.web.prompt.answers import LayerCodes, LayerLatent, LayerOfPrompt, LayersReading
from monoseme.web.run_files import UnavailableError
from monoseme.web.token_text import TokenText
from monoseme.web.values import Histogram, MetricValue

N_BINS = 64
"""As MLSAE's application has them."""
MAX_ENTRIES = 100_000
"""Codes in one answer: about 3 MB of JSON. Beyond, the strongest of each token and layer are listed; told in `truncated`."""
MAX_KEPT = 1 << 20
"""Codes of one text in memory: 32 MB. Beyond, the strongest of each token and layer are kept; told in `truncated`."""
MAX_LATENTS = 2000
METRICS = ("fvu", "fvu_as_mlsae", "mse", "l2_norm_in", "l2_norm_out", "cosine", "l0", "l1")
"""Of each layer."""


class ReadLayers(NamedTuple):
    """What a text made an SAE say at each of its sites; small enough to keep."""

    text: TokenText
    sites: list[str]
    entries: Entries
    """All, or the strongest of each token and layer."""
    histograms: list[Histogram]
    metrics: list[list[MetricValue]]
    n_fired: list[int]
    """Latents at each site."""
    truncated: str


def read_layers(forward: Forward) -> ReadLayers:
    """The codes at all sites. Raises UnavailableError for an SAE with one code for all its sites."""
    if not forward.sae.codes_per_site:
        raise UnavailableError(
            f"{forward.asked.name} has one code for all it reads: there are no layers to set side by side\n"
            "  Only SAEs with codes of their own at each site, such as MLSAE, have this view."
        )
    reads = forward.read()
    entries = entries_of([read.codes for read in reads], forward.text.positions())
    sites = [str(site) for site in forward.placed.code_sites]
    most = _most(entries, MAX_KEPT, n_layers=len(sites))
    kept = entries.strongest(most)
    cut = f"Tables hold the {most} strongest latents of each token and layer." if len(kept.value) < len(entries.value) else ""
    return ReadLayers(
        forward.text,
        sites,
        kept,
        histograms_of(entries, n_layers=len(sites)),
        [[metric(found) for found in text_metrics(read, METRICS)] for read in reads],
        [len(np.unique(entries.latent[entries.layer == layer])) for layer in range(len(sites))],
        f"{forward.text.truncated} {cut}".strip(),
    )


def _most(entries: Entries, bound: int, *, n_layers: int) -> int:
    """How many of each token and layer can be had, so that there are hardly more than `bound` in all."""
    n_entries, n_tokens = len(entries.value), len(np.unique(entries.position))
    return n_entries if n_entries <= bound else max(bound // (n_tokens * n_layers), 1)


def histograms_of(entries: Entries, *, n_layers: int) -> list[Histogram]:
    """The codes of each layer in 64 bins from 0, or the lowest below it, to the largest at any layer."""
    low, high = min(entries.value.min(initial=0.0), 0.0), max(entries.value.max(initial=0.0), 0.0)
    edges = np.linspace(low, high if high > low else low + 1.0, N_BINS + 1)
    counts = [np.histogram(entries.value[entries.layer == layer], bins=edges)[0] for layer in range(n_layers)]
    return [Histogram(edges=edges.tolist(), counts=count.tolist()) for count in counts]


def layers_reading(read: ReadLayers, known: KnownLatents, *, sae: str, text: str, seconds: float) -> LayersReading:
    """The answer: what was read, with what the atlas knows."""
    keys = [known.key(site=site) for site in read.sites]
    most = _most(read.entries, MAX_ENTRIES, n_layers=len(read.sites))
    shown, latents = read.entries.strongest(most), latents_over_layers(read.entries)
    is_cut = len(shown.value) < len(read.entries.value)
    cut = f"Only the {most} strongest latents of each token and layer shade the text." if is_cut else ""
    return LayersReading(
        sae=sae,
        text=text,
        tokens=read.text.shown(),
        layers=[_layer(read, layer, key) for layer, key in enumerate(keys)],
        codes=LayerCodes(
            position=shown.position.tolist(),
            layer=shown.layer.tolist(),
            latent=shown.latent.tolist(),
            value=shortened(shown.value),
        ),
        latents=_explained(latents[:MAX_LATENTS], keys, known),
        n_latents_fired=len(latents),
        truncated=f"{read.truncated} {cut}".strip(),
        seconds=seconds,
    )


def _layer(read: ReadLayers, layer: int, key: str | None) -> LayerOfPrompt:
    values = read.entries.value[read.entries.layer == layer]
    return LayerOfPrompt(
        site=read.sites[layer],
        key=key,
        max=float(values.max()) if len(values) else None,
        n_fired=read.n_fired[layer],
        histogram=read.histograms[layer],
        metrics=read.metrics[layer],
    )


def latents_over_layers(entries: Entries) -> list[LayerLatent]:
    """Each latent over all layers and positions, strongest first."""
    found = over_text(entries)
    size, peaks = np.abs(entries.value), found.peaks
    total = np.bincount(found.which, entries.value)
    mean_layer = np.bincount(found.which, size * entries.layer) / np.bincount(found.which, size)
    n_firings = np.bincount(found.which)
    return [
        LayerLatent(
            index=int(found.latents[m]),
            max=float(entries.value[peaks[m]]),
            peak=int(entries.position[peaks[m]]),
            peak_layer=int(entries.layer[peaks[m]]),
            total=float(total[m]),
            mean_layer=float(mean_layer[m]),
            n_firings=int(n_firings[m]),
            explanation=None,
        )
        for m in found.by_strength(entries)
    ]


def _explained(latents: Sequence[LayerLatent], keys: Sequence[str | None], known: KnownLatents) -> list[LayerLatent]:
    """With the explanation of each at the layer of its peak; one look-up for each layer."""
    of_layer = explanations_at([(latent.index, latent.peak_layer) for latent in latents], keys, known)
    return [latent.model_copy(update={"explanation": said}) for latent, said in zip(latents, of_layer, strict=True)]


def explanations_at(latents: Sequence[tuple[int, int]], keys: Sequence[str | None], known: KnownLatents) -> list[str | None]:
    """The explanation of each (latent, layer); None where there is none."""
    rows = {layer: known.rows(keys[layer], [i for i, at in latents if at == layer]) for layer in {at for _, at in latents}}
    return [rows[layer][index].explanation if index in rows[layer] else None for index, layer in latents]
