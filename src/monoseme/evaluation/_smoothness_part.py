"""What is gathered of one part of a code over time, and the metrics and tables that follow from it.

Letters: F latents, G stretches, W weightings.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pyarrow as pa
import torch

from monoseme.evaluation._bootstrap import DocumentWeights, WeightedSums, ratio
from monoseme.evaluation._chunks import DocumentRows, TokenChunk, document_rows
from monoseme.evaluation._formula import Formula, evaluate, replicates
from monoseme.evaluation._ledger import Ledger
from monoseme.evaluation._metric import Metric
from monoseme.evaluation._signals import Series, Stretch, changes, series_of, stretches, whole_contexts
from monoseme.evaluation._smoothness_as_tsae import AS_TSAE, context_sums
from monoseme.evaluation._smoothness_autocorrelation import (
    MEMORY,
    Autocorrelation,
    correlation,
    covariance,
    integrated_time,
    latent_covariance,
)
from monoseme.evaluation._smoothness_sums import SMOOTHNESS, Variations, stretch_sums, variations
from monoseme.tensors.shapes import Float, Tensor
from monoseme.tensors.sparse import SparseCodes


class Signals(NamedTuple):
    """The codes of one site at the unmasked tokens of a chunk, and how far its activations move from row to row."""

    code: SparseCodes
    moved: Float[Tensor, " rows_less_1"]


class PartOverTime:
    """Gathers the signals of one part, at every site that has codes of its own."""

    def __init__(self, n_latents: int, weights: DocumentWeights, *, n_sites: int, n_lags: int, as_tsae: bool) -> None:
        self._n_latents = n_latents
        self._ours, self._theirs = Ledger(weights, None), Ledger(weights, None)
        self._memory = [Autocorrelation(n_latents, n_lags=n_lags, weights=weights) for _ in range(n_sites)]
        self._latents = {name: torch.zeros(n_latents, dtype=torch.float64) for name in ("firings", *Variations._fields)}
        self._as_tsae = as_tsae

    def __repr__(self) -> str:
        return f"PartOverTime(n_latents={self._n_latents}, n_documents={self.n_documents})"

    @property
    def n_documents(self) -> int:
        """Distinct documents seen."""
        return self._ours.n_documents

    def update(self, text: TokenChunk, sites: Sequence[Signals]) -> None:
        """Adds a chunk."""
        cut, contexts = stretches(text), whole_contexts(text)
        rows = _rows(cut)
        for (code, moved), memory in zip(sites, self._memory, strict=True):
            of = series_of(code, cut)
            near = changes(of, 1)
            found = variations(of, near)
            _add(self._ours, rows, stretch_sums(of, near, found, moved))
            memory.update(of, rows)
            self._add_latents(of, found)
            if self._as_tsae:
                whole = series_of(code, contexts)
                _add(self._theirs, _rows(contexts), context_sums(whole, changes(whole, 1), moved))

    def _add_latents(self, of: Series, found: Variations) -> None:
        for name, value in (found._asdict() | {"firings": of.first.diff().double()}).items():
            self._latents[name].index_add_(0, of.latent, value)

    def sums(self) -> list[tuple[Sequence[Formula], WeightedSums]]:
        """Formulas, and what they are over."""
        ours = self._ours.whole()
        memory = WeightedSums()
        memory.add("n", ours["n"])
        memory.add("r", self.autocorrelation())
        made: list[tuple[Sequence[Formula], WeightedSums]] = [(SMOOTHNESS, ours), (MEMORY, memory)]
        return [*made, (AS_TSAE, self._theirs.whole())] if self._as_tsae else made

    def autocorrelation(self) -> Float[Tensor, "W L"]:
        """Of the code at each lag, under every weighting."""
        return correlation(covariance(self._memory))

    def latent_rows(self, n_tokens: int) -> dict[str, pa.Array]:
        """A column each of what is known of the latents that fire."""
        firings = self._latents["firings"]
        alive = firings.nonzero().squeeze(1)
        found = latent_covariance(self._memory)[alive]
        tv, level, shuffled = (self._latents[name][alive] for name in Variations._fields)
        columns = {
            "density": firings[alive] / (n_tokens * len(self._memory)),
            "variance": found[:, 0],
            "tv_relative": ratio(tv, level),
            "tv_to_shuffled": ratio(tv, shuffled),
            "autocorrelation_1": correlation(found)[:, min(1, found.shape[1] - 1)],
            "autocorrelation_time": integrated_time(correlation(found)),
        }
        made = {"latent": pa.array(alive.tolist(), pa.int64()), "firings": pa.array(firings[alive].long().tolist(), pa.int64())}
        return made | {name: pa.array(value.numpy(), pa.float64(), from_pandas=True) for name, value in columns.items()}


def metrics_of(sums: Sequence[tuple[Sequence[Formula], WeightedSums]], *, n_documents: int) -> list[Metric]:
    """The metrics of several tables of formulas."""
    return [metric for formulas, found in sums for metric in evaluate(formulas, found, n_documents=n_documents)]


def replicates_of(sums: Sequence[tuple[Sequence[Formula], WeightedSums]]) -> dict[str, Float[Tensor, " W"]]:
    """Their values under every weighting."""
    return {name: value for formulas, found in sums for name, value in replicates(formulas, found).items()}


def latent_table(parts: Mapping[str, PartOverTime], *, n_tokens: int) -> pa.Table:
    """One row per part and latent that fires in it: `part`, `latent`, `firings`, `density`, `variance` (of the code, about its
    mean over all tokens), `tv_relative`, `tv_to_shuffled`, `autocorrelation_1`, `autocorrelation_time`."""
    tables = [pa.table(part.latent_rows(n_tokens)) for part in parts.values()]
    names = [name for name, table in zip(parts, tables, strict=True) for _ in range(table.num_rows)]
    return pa.concat_tables(tables).add_column(0, "part", pa.array(names, pa.string()))


def curve_table(parts: Mapping[str, PartOverTime]) -> pa.Table:
    """`part`, `lag`, `autocorrelation`, `standard_error`; lags that no stretch of a document has are left out."""
    curves = {name: part.autocorrelation() for name, part in parts.items()}
    rows = [(name, lag, r[:, lag]) for name, r in curves.items() for lag in range(r.shape[1]) if bool(r[0, lag].isfinite())]
    spread = [float(r[1:][r[1:].isfinite()].std()) if int(r[1:].isfinite().sum()) > 1 else None for _, _, r in rows]
    return pa.table(
        {
            "part": pa.array([name for name, _, _ in rows], pa.string()),
            "lag": pa.array([lag for _, lag, _ in rows], pa.int64()),
            "autocorrelation": pa.array([float(r[0]) for _, _, r in rows], pa.float64()),
            "standard_error": pa.array(spread, pa.float64()),
        }
    )


def _rows(cut: Sequence[Stretch]) -> DocumentRows:
    return document_rows(torch.tensor([stretch.document for stretch in cut]))


def _add(ledger: Ledger, rows: DocumentRows, sums: Mapping[str, Float[Tensor, " G"]]) -> None:
    """Adds the sums of stretches to their documents."""
    values = rows.sums(torch.stack(list(sums.values()), dim=1))
    ledger.add(dict(zip(sums, values.unbind(1), strict=True)), rows)
