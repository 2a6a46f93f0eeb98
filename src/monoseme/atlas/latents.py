"""Reads the latents of one (SAE, part) from an atlas: what `store.py` wrote. Needs no torch, so that viewers open quickly."""

import functools
import threading
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from monoseme.atlas.bins import bin_edges
from monoseme.atlas.kept_codes import KeptCodes, open_kept_codes
from monoseme.atlas.pages import Decile, Example, Histogram, LatentStats, TokenLogit
from monoseme.atlas.roles import RoleFilter
from monoseme.atlas.scanning.role_counts import ROLES_TABLE
from monoseme.atlas.text_store import TextStore, TextWindow
from monoseme.core.artifact import Artifact
from monoseme.core.errors import ArtifactDamagedError, ConfigError

LATENTS_PER_GROUP = 32
"""Latents in a row group of examples: small enough that a page reads in milliseconds, large enough to compress."""


class FiringSample(NamedTuple):
    """Uniform samples of each latent's firings, sorted by latent; arrays [E]."""

    latent: NDArray[np.int32]
    document: NDArray[np.int64]
    position: NDArray[np.int64]
    value: NDArray[np.float32]


class BackgroundSample(NamedTuple):
    """A uniform sample of tokens, [M], and their codes, [E], sorted by (latent, row)."""

    document: NDArray[np.int64]
    position: NDArray[np.int64]
    latent: NDArray[np.int32]
    row: NDArray[np.int32]


class ShownExamples(NamedTuple):
    """The examples of one latent."""

    top: tuple[Example, ...]
    deciles: tuple[Decile, ...]


class Latents:
    """The latents of one (SAE, part), opened."""

    def __init__(self, key: str, artifact: Artifact, text: TextStore) -> None:
        """Raises ArtifactDamagedError if the text store is not the one that was scanned."""
        if artifact.inputs.get("text") != text.content_hash:
            raise ArtifactDamagedError(
                f"{artifact.path} was scanned over another text than {text.artifact.path} holds. Scan again."
            )
        self.key, self.artifact, self._text = key, artifact, text
        self._offsets: NDArray[np.int64] = np.load(artifact.file("example_offsets.npy"))
        self._histograms: NDArray[np.int64] = np.load(artifact.file("histograms.npy"), mmap_mode="r")
        self._examples = pq.ParquetFile(artifact.file("examples.parquet"), memory_map=True)
        self._lock = threading.Lock()
        self._left = int(artifact.config["scan"]["keep"]["left"])
        self._right = int(artifact.config["scan"]["keep"]["right"])
        self.only = RoleFilter.of_config(artifact.config["scan"].get("only"))

    def __repr__(self) -> str:
        return f"Latents({self.key!r}, {str(self.artifact.path)!r})"

    @property
    def n_latents(self) -> int:
        """F."""
        return int(self.artifact.config["n_latents"])

    @property
    def n_tokens(self) -> int:
        """Tokens that reached the SAE (count)."""
        return int(self.artifact.config["n_tokens"])

    @property
    def site(self) -> str:
        """The site the SAE reads."""
        return self.artifact.config["site"]

    @functools.cached_property
    def content_hash(self) -> str:
        """Names this scan in the manifests of what annotates it."""
        return self.artifact.content_hash

    def check_latent(self, latent: int) -> None:
        """Raises ConfigError for a number that no latent has."""
        if not 0 <= latent < self.n_latents:
            raise ConfigError(f"{self.key} has no latent {latent}: its latents are 0 to {self.n_latents - 1:,}.")

    def row(self, latent: int) -> dict[str, Any]:
        """The latent's row of latents.parquet."""
        self.check_latent(latent)
        return self._table.slice(latent, 1).to_pylist()[0]

    def stats(self, row: dict[str, Any]) -> LatentStats:
        """The numbers in a row; one of an older layout has not all."""
        names = [name for name in LatentStats.__dataclass_fields__ if name != "n_tokens"]
        return LatentStats(n_tokens=self.n_tokens, **{name: row[name] for name in names if name in row})

    def histogram(self, latent: int) -> Histogram | None:
        """The latent's activation histogram; None if it never fired."""
        counts = np.asarray(self._histograms[latent])
        filled = np.nonzero(counts)[0]
        if not len(filled):
            return None
        first, last = int(filled[0]), int(filled[-1]) + 1
        edges = bin_edges()[first : last + 1]
        return Histogram(edges=tuple(edges.tolist()), counts=tuple(counts[first:last].tolist()))

    def examples(self, row: dict[str, Any], *, only: RoleFilter | None = None) -> ShownExamples:
        """The strongest examples and those of each decile; `only` keeps those whose firing token is of some roles and turns."""
        latent = row["latent"]
        if self._offsets[latent] == self._offsets[latent + 1]:
            return ShownExamples((), ())
        rows = self._rows_of(self._examples, self._offsets, latent)
        shown = [(found["decile"], self._example(found)) for found in rows]
        if only is not None:
            shown = [(decile, example) for decile, example in shown if only.passes(example.role, example.turn)]
        edges = row["deciles"]
        deciles = [
            Decile(low=edges[i], high=edges[i + 1], examples=tuple(e for decile, e in shown if decile == i))
            for i in range(len(edges) - 1)
        ]
        return ShownExamples(tuple(e for decile, e in shown if decile is None), tuple(deciles))

    def logits(self, row: dict[str, Any], end: str) -> tuple[TokenLogit, ...]:
        """Direct logit attribution at the `top` or `bottom`; empty where it is missing."""
        if row[f"{end}_tokens"] is None:
            return ()
        columns = zip(row[f"{end}_tokens"], row[f"{end}_texts"], row[f"{end}_logits"], strict=True)
        return tuple(TokenLogit(token=token, text=text, logit=logit) for token, text, logit in columns)

    def firings(self, latent: int) -> tuple[Example, ...] | None:
        """The latent's firings in the uniform sample, in its random order; None in an atlas that kept no windows of them."""
        self.check_latent(latent)
        if self._firings is None:
            return None
        offsets = np.load(self.artifact.file("firing_offsets.npy"), mmap_mode="r")
        return tuple(self._example(found) for found in self._rows_of(self._firings, offsets, latent))

    def firing_sample(self) -> FiringSample:
        """The uniform sample of firings of all latents."""
        table = pq.read_table(self.artifact.file("firings.parquet"), columns=list(FiringSample._fields))
        return FiringSample(*(table[name].to_numpy() for name in FiringSample._fields))

    def background_sample(self) -> BackgroundSample:
        """The uniform sample of tokens with their codes."""
        rows = pq.read_table(self.artifact.file("background.parquet"))
        codes = pq.read_table(self.artifact.file("background_codes.parquet"))
        columns = (rows["document"], rows["position"], codes["latent"], codes["row"])
        return BackgroundSample(*(column.to_numpy() for column in columns))

    def kept_codes(self) -> KeptCodes | None:
        """All codes of a sample of whole contexts, memory-mapped; None for an atlas that was made without."""
        return open_kept_codes(self.artifact)

    def densities(self) -> NDArray[np.float64]:
        """Density of each latent, [F]."""
        return self._table["density"].to_numpy()

    def role_densities(self) -> dict[str, NDArray[np.float64]]:
        """Density of each latent on the tokens of each role of a conversation, [F]; empty for plain text."""
        if ROLES_TABLE not in self.artifact.manifest["files"]:
            return {}
        table = pq.read_table(self.artifact.file(ROLES_TABLE), columns=["role", "density"])
        role, density = np.asarray(table["role"].to_pylist()), table["density"].to_numpy()
        return {name: density[role == name] for name in dict.fromkeys(role.tolist())}

    def column(self, name: str) -> list[Any]:
        """One column of latents.parquet."""
        return self._table[name].to_pylist()

    @functools.cached_property
    def _table(self) -> pa.Table:
        return pq.read_table(self.artifact.file("latents.parquet"))

    @functools.cached_property
    def _firings(self) -> pq.ParquetFile | None:
        file = pq.ParquetFile(self.artifact.file("firings.parquet"), memory_map=True)
        return file if "window" in file.schema_arrow.names else None

    def _rows_of(self, file: pq.ParquetFile, offsets: NDArray[np.int64], latent: int) -> list[dict[str, Any]]:
        """The latent's rows of a file with a row group for each LATENTS_PER_GROUP latents."""
        group, begin, end = latent // LATENTS_PER_GROUP, int(offsets[latent]), int(offsets[latent + 1])
        with self._lock:  # a ParquetFile reads for one thread at a time
            table = file.read_row_group(group, use_threads=False)  # so few rows that starting threads takes longer
        return table.slice(begin - int(offsets[group * LATENTS_PER_GROUP]), end - begin).to_pylist()

    def _reached(self, window: TextWindow) -> list[bool]:
        return (window.mask & self.only.passed(window.roles, window.turns, like=window.mask)).tolist()

    def _example(self, found: dict[str, Any]) -> Example:
        window = self._text.window(found["document"], found["position"], left=self._left, right=self._right)
        first = self._left - window.focus
        values = found["window"][first : first + len(window.tokens)]
        known = [value if valid else None for value, valid in zip(values, self._reached(window), strict=True)]
        known[window.focus] = found["value"]
        tokens = window.tokens.tolist()
        speaker = self._text.speaker_of(found["document"], found["position"])
        return Example(
            document=found["document"],
            position=found["position"],
            source=self._text.source_of(found["document"], found["position"]),
            labels=self._text.labels_of(found["document"]),
            role=None if speaker is None else speaker.role,
            turn=None if speaker is None else speaker.turn,
            value=found["value"],
            focus=window.focus,
            tokens=tuple(tokens),
            texts=tuple(self._text.token_text(token) for token in tokens),
            values=tuple(known),
        )
