"""The latents at one position of a text, over the layers: MLSAE's table.

Letters: L layers.
"""

import numpy as np

from monoseme.web.prompt._entries import Entries, shortened
from monoseme.web.prompt._known import KnownLatents
from monoseme.web.prompt._layers import ReadLayers, explanations_at
from monoseme.web.prompt.answers import LayerRow, LayerTable
from monoseme.web.run_files import NotFoundError

MAX_ROWS = 500


def layer_table(read: ReadLayers, known: KnownLatents, *, sae: str, position: int, threshold: float) -> LayerTable:
    """The table of one position. Raises NotFoundError for one that the text does not have."""
    if position >= len(read.text.ids):
        raise NotFoundError(f"there is no token {position:,}: this text has {len(read.text.ids):,}, counted from 0")
    here = read.entries.where(read.entries.position == position)
    top = float(here.value.max()) if len(here.value) else None
    rows = rows_above(here, n_layers=len(read.sites), above=threshold * (top or 0.0))
    shown = ordered(rows[:MAX_ROWS])
    peaks = [(row.latent, max(range(len(row.values)), key=lambda layer: abs(row.values[layer] or 0.0))) for row in shown]
    said = explanations_at(peaks, [known.key(site=site) for site in read.sites], known)
    return LayerTable(
        sae=sae,
        position=position,
        token=read.text.shown()[position],
        sites=read.sites,
        threshold=threshold,
        max=top,
        rows=[row.model_copy(update={"explanation": words}) for row, words in zip(shown, said, strict=True)],
        n_rows=len(rows),
    )


def rows_above(here: Entries, *, n_layers: int, above: float) -> list[LayerRow]:
    """The latents with a value above `above`, at the layers where it is; the largest totals first."""
    here = here.where(here.value > above)
    rows = [_row(here.where(here.latent == latent), n_layers) for latent in np.unique(here.latent).tolist()]
    return sorted(rows, key=lambda row: (-row.total, row.latent))


def ordered(rows: list[LayerRow]) -> list[LayerRow]:
    """By mean layer, then the largest total first."""
    return sorted(rows, key=lambda row: (row.mean_layer, -row.total, row.latent))


def _row(of_latent: Entries, n_layers: int) -> LayerRow:
    values: list[float | None] = [None] * n_layers
    for layer, value in zip(of_latent.layer.tolist(), shortened(of_latent.value), strict=True):
        values[layer] = value
    total = float(of_latent.value.sum())
    return LayerRow(
        latent=int(of_latent.latent[0]),
        values=values,
        mean_layer=float((of_latent.value * of_latent.layer).sum() / total),
        total=total,
        explanation=None,
    )
