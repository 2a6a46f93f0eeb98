"""Correlation of latents over the tokens of one text, from sparse codes: no matrix of tokens by latents, and blocks of latents.

    r_ij = (sum_t x_ti y_tj - T mean_i mean_j) / (s_i s_j),   s_i^2 = sum_t (x_ti - mean_i)^2

Only tokens on which both fire enter the first sum. All sums are in float64. A latent whose code never changes (it never fires)
has no correlation.

Letters: T tokens, L sites, A, B, F latents.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from monoseme.tensors.sparse import SparseCodes

BLOCK_ENTRIES = 1 << 23
"""Correlations held at a time, 64 MB."""


class CodeColumns(NamedTuple):
    """The codes of T tokens, a column for each latent."""

    codes: Any  # scipy types the shape of a csc_array as unknown
    """csc_array [T, F] float64, without explicit zeros."""
    mean: np.ndarray
    """[F] over all tokens."""
    deviation: np.ndarray
    """[F] s: the root of the sum of squares about the mean. 0: the code never changes."""

    @property
    def n_tokens(self) -> int:
        """T."""
        return self.codes.shape[0]

    @property
    def n_fired(self) -> np.ndarray:
        """[F] tokens on which each latent fires, int64."""
        return np.diff(self.codes.indptr).astype(np.int64)

    def of(self, latents: np.ndarray) -> "CodeColumns":
        """Those latents only, in that order."""
        return CodeColumns(self.codes[:, latents], self.mean[latents], self.deviation[latents])

    def moved(self, n_tokens: int) -> "CodeColumns":
        """The same codes so many tokens later, the last ones first: what goes together by chance, all else alike."""
        moved = self.codes.tocoo()
        rows = (moved.row + n_tokens) % self.n_tokens
        made = sparse.csc_array((moved.data, (rows, moved.col)), shape=self.codes.shape)
        return self._replace(codes=made)


def columns_of(codes: Any) -> CodeColumns:
    """Codes as `CodeGatherer.codes` gives them, with the moments of each latent."""
    n_tokens, n_latents = codes.shape
    fired = np.diff(codes.indptr)
    latent = np.repeat(np.arange(n_latents), fired)
    mean = np.bincount(latent, weights=codes.data, minlength=n_latents) / max(1, n_tokens)
    squares = np.bincount(latent, weights=(codes.data - mean[latent]) ** 2, minlength=n_latents)
    squares += (n_tokens - fired) * mean**2
    return CodeColumns(codes, mean, np.sqrt(squares))


class CodeGatherer:
    """Takes codes as they come, and makes columns of them; one code for a token, the sum over sites where each has its own."""

    def __init__(self, n_latents: int) -> None:
        self.n_latents = n_latents
        self.n_tokens = 0
        self._pieces: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def __repr__(self) -> str:
        return f"CodeGatherer({self.n_latents}, n_tokens={self.n_tokens})"

    def add(self, codes: SparseCodes) -> None:
        """Codes [T, F], or [T, L, F], of the tokens that follow."""
        n_sites = codes.n_rows // max(1, codes.leading[0])
        kept = codes.detach().drop_zeros()
        tokens = kept.rows().cpu().numpy() // max(1, n_sites) + self.n_tokens
        self._pieces.append((tokens, kept.indices.cpu().numpy(), kept.values.double().cpu().numpy()))
        self.n_tokens += codes.leading[0]

    def codes(self) -> Any:
        """csc_array [T, F] of everything added, float64; 12 bytes for each firing."""
        empty = (np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(0))
        tokens, latents, values = (np.concatenate(column) for column in zip(*(self._pieces or [empty]), strict=True))
        made = sparse.csc_array((values, (tokens, latents)), shape=(self.n_tokens, self.n_latents))
        made.sum_duplicates()
        made.eliminate_zeros()
        return made


def correlation_blocks(a: CodeColumns, b: CodeColumns, *, block_entries: int = BLOCK_ENTRIES) -> Iterator[tuple[int, np.ndarray]]:
    """The first latent of each block of A, and its correlations [n, B] float64 with all of B, NaN where there is none.

    The same bits whatever the blocks. Raises ValueError for codes of different numbers of tokens.
    """
    if a.n_tokens != b.n_tokens:
        raise ValueError(f"codes of {a.n_tokens} tokens do not go with codes of {b.n_tokens}")
    by_token = b.codes.tocsr()
    n_a, n_b = a.codes.shape[1], b.codes.shape[1]
    step = max(1, block_entries // max(1, n_b))
    for start in range(0, n_a, step):
        stop = min(start + step, n_a)
        shared = (a.codes[:, start:stop].T @ by_token).toarray()
        about_means = shared - a.n_tokens * np.outer(a.mean[start:stop], b.mean)
        scale = np.outer(a.deviation[start:stop], b.deviation)
        r = np.divide(about_means, scale, out=np.full(scale.shape, np.nan), where=scale > 0)
        yield start, np.clip(r, -1.0, 1.0)


def paired_correlations(a: CodeColumns, b: CodeColumns) -> np.ndarray:
    """Of the i-th latent of A with the i-th of B, [F] float64, NaN where there is none; both have as many latents."""
    shared = np.asarray(a.codes.multiply(b.codes).sum(axis=0)).reshape(-1)
    scale = a.deviation * b.deviation
    r = np.divide(shared - a.n_tokens * a.mean * b.mean, scale, out=np.full(scale.shape, np.nan), where=scale > 0)
    return np.clip(r, -1.0, 1.0)


def fired_together(a: CodeColumns, b: CodeColumns) -> np.ndarray:
    """Tokens on which the i-th latents of both fire, [F] int64; both have as many latents."""
    both = a.codes.astype(bool).multiply(b.codes.astype(bool))
    return np.asarray(both.sum(axis=0)).reshape(-1).astype(np.int64)
