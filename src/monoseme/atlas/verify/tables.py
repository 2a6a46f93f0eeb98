"""Verifies that the tables of a scan agree with each other, for all latents: needs neither model nor text.

Letters: F latents, N bins.
"""

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from monoseme.atlas.bins import bin_of
from monoseme.atlas.latents import Latents
from monoseme.atlas.scanning.logits import LatentLogits
from monoseme.atlas.verify.checks import Check, Tally


def check_tables(latents: Latents) -> Check:
    """Counts against histograms and densities, and maxima against the strongest examples."""
    tally = Tally(f"{latents.key}: counts, densities, histograms and maxima of all latents against each other")
    histograms = np.load(latents.artifact.file("histograms.npy"), mmap_mode="r")
    table = pq.read_table(latents.artifact.file("latents.parquet"), columns=["n_fired", "density", "max"])
    n_fired, density = table["n_fired"].to_numpy(), table["density"].to_numpy()
    largest = table["max"].fill_null(0.0).to_numpy()
    tally.compare(histograms.sum(axis=1), n_fired, tolerance=0.0, told=lambda i: f"latent {i}, firings in its histogram")
    tally.compare(density, n_fired / latents.n_tokens, tolerance=1e-12, told=lambda i: f"latent {i}, density")
    strongest = _strongest(latents)
    tally.compare(largest, strongest, tolerance=1e-6, told=lambda i: f"latent {i}, its maximum against its strongest example")
    fired = np.nonzero(n_fired)[0]
    last = histograms.shape[1] - 1 - np.argmax(histograms[fired, ::-1] > 0, axis=1)
    tally.n += len(fired)
    for j in fired[last != bin_of(largest[fired].astype(np.float32))].tolist():
        tally.fail(f"latent {j}: its maximum is not in the last bin of its histogram")
    return tally.done()


def check_logits(latents: Latents, again: LatentLogits, *, tolerance: float) -> Check:
    """Direct logit attribution against the same computed again, for all latents; tokens of equal logits may change places."""
    tally = Tally(f"{latents.key}: direct logit attribution of all latents, computed again")
    for end in ("top", "bottom"):
        stored = np.array([row or [] for row in latents.column(f"{end}_logits")], dtype=np.float64)
        ours = np.asarray(getattr(again, f"{end}_logits"), dtype=np.float64)
        if stored.shape != ours.shape:
            tally.fail(f"{end} logits: {stored.shape} are stored, {ours.shape} are computed")
            continue
        width = max(1, stored.shape[1])
        tally.compare(stored.reshape(-1), ours.reshape(-1), tolerance=tolerance, told=_Told(end, width))
        tokens = np.array(latents.column(f"{end}_tokens"), dtype=np.int64)
        apart = (tokens != getattr(again, f"{end}_tokens")) & ~_is_tied(ours, tolerance)
        for latent, place in np.argwhere(apart).tolist():
            tally.fail(f"latent {latent}, {end} token {place}: {tokens[latent, place]} is stored, another one is computed")
    return tally.done()


class _Told:
    """Names a number of a table by its place when it is laid out flat."""

    def __init__(self, end: str, width: int) -> None:
        self._end, self._width = end, width

    def __call__(self, i: int) -> str:
        return f"latent {i // self._width}, {self._end} logit {i % self._width}"


def _is_tied(logits: NDArray[np.float64], tolerance: float) -> NDArray[np.bool_]:
    """Where a neighbour's logit is as large up to the tolerance; at the end of the list none can be known."""
    tied = np.zeros(logits.shape, dtype=bool)
    near = np.abs(np.diff(logits, axis=1)) <= tolerance * np.abs(logits[:, 1:])
    tied[:, 1:] |= near
    tied[:, :-1] |= near
    tied[:, -1:] = True
    return tied


def _strongest(latents: Latents) -> NDArray[np.float32]:
    """Value of each latent's first example, [F]; 0 where it has none."""
    table = pq.read_table(latents.artifact.file("examples.parquet"), columns=["latent", "decile", "rank", "value"])
    first = table["decile"].is_null().to_numpy() & (table["rank"].to_numpy() == 0)
    found = np.zeros(latents.n_latents, dtype=np.float32)
    found[table["latent"].to_numpy()[first]] = table["value"].to_numpy()[first]
    return found
