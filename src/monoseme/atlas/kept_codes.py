"""Reads kept codes: all non-zero codes of the tokens of some whole contexts, drawn before the pass. Needs no torch.

Written by `kept_codes_writer.py` beside the other files of a latents artifact; read through memory maps by whoever needs all
codes of a token or all firings of a latent exactly: relations between latents, effects, excerpts where a latent is silent.

| file | holds |
|---|---|
| `kept_tokens.npy` | int64 [2, M]: document and position of each token |
| `kept_contexts.npy` | int64 [2, C + 1]: the ordinal of each context in the source (last entry 0) and where its tokens begin |
| `kept_token_offsets.npy` | int64 [M + 1]: where each token's codes begin |
| `kept_token_latents.npy`, `kept_token_values.npy` | int32 and float32 [E]: codes by (token, latent) |
| `kept_latent_offsets.npy` | int64 [F + 1]: where each latent's codes begin |
| `kept_latent_rows.npy`, `kept_latent_values.npy` | int32 and float32 [E]: the same codes by (latent, token) |

Letters: M kept tokens, C kept contexts, F latents, E non-zero codes.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monoseme.atlas.keys import hash_documents
from monoseme.core.artifact import Artifact
from monoseme.core.errors import ArtifactDamagedError

_BY_TOKEN = ("token_offsets", "token_latents", "token_values")
_BY_LATENT = ("latent_offsets", "latent_rows", "latent_values")
KEPT_FILES = ("tokens", "contexts", *_BY_TOKEN, *_BY_LATENT)


def kept_file(folder: Path, name: str) -> Path:
    """Where one of KEPT_FILES lies."""
    return folder / f"kept_{name}.npy"


def sampled_contexts(seed: int, n_contexts: int, n_wanted: int) -> NDArray[np.int64]:
    """Ordinals of the contexts whose codes are kept, ascending: the `n_wanted` with the smallest hashes of (seed, ordinal).

    All of them where there are no more. A function of its arguments alone, so that every process and every resume draws alike.
    """
    ordinals = np.arange(n_contexts, dtype=np.int64)
    if n_wanted >= n_contexts:
        return ordinals
    chosen = np.argsort(hash_documents(seed, ordinals), kind="stable")[:n_wanted]
    return np.sort(ordinals[chosen])


class TokenCodes(NamedTuple):
    """The codes of one token, arrays [n]."""

    latents: NDArray[np.int32]
    """Ascending."""
    values: NDArray[np.float32]
    """Non-zero; negative where the SAE's codes are signed."""


class LatentCodes(NamedTuple):
    """The codes of one latent, arrays [n]."""

    rows: NDArray[np.int32]
    """Ascending."""
    values: NDArray[np.float32]
    """Non-zero; negative where the SAE's codes are signed."""


@dataclass(frozen=True, kw_only=True, eq=False)
class KeptCodes:
    """The codes of M tokens, the tokens of one context together and in order. Rows number these tokens."""

    document: NDArray[np.int64]
    """[M]"""
    position: NDArray[np.int64]
    """[M] position in the document."""
    contexts: NDArray[np.int64]
    """[C + 1] where each context's rows begin; the last entry is M."""
    ordinals: NDArray[np.int64]
    """[C] place of each context in the source, ascending."""
    token_offsets: NDArray[np.int64]
    """[M + 1] where each token's codes begin in the two arrays below."""
    token_latents: NDArray[np.int32]
    token_values: NDArray[np.float32]
    latent_offsets: NDArray[np.int64]
    """[F + 1] where each latent's codes begin in the two arrays below."""
    latent_rows: NDArray[np.int32]
    latent_values: NDArray[np.float32]

    def __repr__(self) -> str:
        return f"KeptCodes({self.n_tokens:,} tokens, {self.n_latents:,} latents, {len(self.token_latents):,} codes)"

    @property
    def n_tokens(self) -> int:
        """M."""
        return len(self.document)

    @property
    def n_latents(self) -> int:
        """F."""
        return len(self.latent_offsets) - 1

    @property
    def context(self) -> NDArray[np.int64]:
        """[M] which of the C contexts each token is of; worked out at each call."""
        return np.repeat(np.arange(len(self.ordinals)), np.diff(self.contexts))

    def context_of(self, rows: NDArray[np.integer]) -> NDArray[np.int64]:
        """Which of the C contexts these rows are of."""
        return np.searchsorted(self.contexts, rows, side="right") - 1

    def of_latent(self, latent: int) -> LatentCodes:
        """All codes of one latent, by row."""
        at = slice(int(self.latent_offsets[latent]), int(self.latent_offsets[latent + 1]))
        return LatentCodes(self.latent_rows[at], self.latent_values[at])

    def of_token(self, row: int) -> TokenCodes:
        """All codes of one token, by latent."""
        at = slice(int(self.token_offsets[row]), int(self.token_offsets[row + 1]))
        return TokenCodes(self.token_latents[at], self.token_values[at])


def open_kept_codes(artifact: Artifact) -> KeptCodes | None:
    """The kept codes of a latents artifact; None for one that was made without.

    Raises ArtifactDamagedError for files that do not fit together.
    """
    if kept_file(Path(), KEPT_FILES[0]).name not in artifact.manifest["files"]:
        return None
    files = {name: np.load(artifact.file(kept_file(Path(), name).name), mmap_mode="r") for name in KEPT_FILES}
    tokens, contexts = files.pop("tokens"), files.pop("contexts")
    if tokens.ndim != 2 or contexts.ndim != 2 or len(tokens) != 2 or len(contexts) != 2:
        raise _unfit(artifact)
    kept = KeptCodes(document=tokens[0], position=tokens[1], contexts=contexts[1], ordinals=contexts[0, :-1], **files)
    codes = (kept.token_latents, kept.token_values, kept.latent_rows, kept.latent_values)
    n_codes = {int(kept.token_offsets[-1]), int(kept.latent_offsets[-1]), *map(len, codes)}
    fits = len(n_codes) == 1 and len(kept.token_offsets) == kept.n_tokens + 1 and kept.contexts[-1] == kept.n_tokens
    if not fits or kept.n_latents != artifact.config["n_latents"]:
        raise _unfit(artifact)
    return kept


def _unfit(artifact: Artifact) -> ArtifactDamagedError:
    return ArtifactDamagedError(f"the kept codes of {artifact.path} do not fit together. Scan again.")
