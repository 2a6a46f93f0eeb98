"""The text of an atlas: every token the model saw, once, in contexts; examples are positions in it.

Written by the scan, read by viewers and explainers through memory maps. Files: `tokens.npy` uint32, `mask.npy` bool (may the
token reach an SAE) and `begins.npy` bool (is it the first of its context), one entry per stored token; `segments.npy` int64
[5, n] with the rows of SEGMENT_COLUMNS, sorted by (document, position, n_tokens); `vocabulary.parquet` (token, text, n_tokens);
`sources.parquet` (source, name); `documents.parquet` (document, labels as JSON). Conversations also have `roles.npy` int8
(codes in `monoseme.text.ROLES`) and `turns.npy` int16, one entry per stored token; plain text has neither file.

A **segment** is a run of tokens that are neighbours in both their document and their context: the most that a window may show
together with values, because the model saw nothing else of that document there.
"""

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from monoseme.atlas.roles import RoleFilter, Speaker
from monoseme.atlas.scanning.npy_stream import NpyAppender
from monoseme.core.artifact import Artifact
from monoseme.core.clean import clean_text
from monoseme.core.errors import ArtifactDamagedError
from monoseme.text.document import ROLES

ROLES_FILE, TURNS_FILE, BEGINS_FILE, VOCABULARY_FILE = "roles.npy", "turns.npy", "begins.npy", "vocabulary.parquet"
SEGMENT_COLUMNS = ("document", "position", "n_tokens", "offset", "source")


class TokenGrid(NamedTuple):
    """One block of contexts as plain arrays, each [n, S]."""

    tokens: NDArray[np.int64]
    mask: NDArray[np.bool_]
    """May the token reach an SAE."""
    documents: NDArray[np.int64]
    """-1 where there is no document (padding)."""
    positions: NDArray[np.int64]
    sources: NDArray[np.int64]
    roles: NDArray[np.int8] | None = None
    """Who speaks, as a code in `monoseme.text.ROLES`; None: plain text."""
    turns: NDArray[np.int16] | None = None
    """Turn of a conversation, from 0; None: plain text."""


def segment_starts(grid: TokenGrid) -> NDArray[np.bool_]:
    """Where a new segment begins, [n, S]: at a context's first token, a new document, or a jump of the position."""
    starts = np.ones(grid.tokens.shape, dtype=bool)
    starts[:, 1:] = grid.documents[:, 1:] != grid.documents[:, :-1]
    starts[:, 1:] |= grid.positions[:, 1:] != grid.positions[:, :-1] + 1
    return starts


class TextWriter:
    """Writes a text store while a pass goes by; used as a context manager."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._counts = np.zeros(0, dtype=np.int64)
        self._segments: list[NDArray[np.int64]] = []
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._tokens = self._stack.enter_context(NpyAppender(self._folder / "tokens.npy", "uint32"))
        self._mask = self._stack.enter_context(NpyAppender(self._folder / "mask.npy", "bool"))
        self._begins = self._stack.enter_context(NpyAppender(self._folder / BEGINS_FILE, "bool"))
        self._roles = self._stack.enter_context(NpyAppender(self._folder / ROLES_FILE, "int8"))
        self._turns = self._stack.enter_context(NpyAppender(self._folder / TURNS_FILE, "int16"))
        return self

    def add(self, grid: TokenGrid) -> None:
        """Store the tokens of a block that belong to a document."""
        stored = grid.documents >= 0
        starts = np.nonzero(segment_starts(grid)[stored])[0]
        columns = (grid.documents[stored][starts], grid.positions[stored][starts])
        lengths = np.diff(np.append(starts, int(stored.sum())))
        offsets = starts + self._tokens.length
        self._segments.append(np.stack([*columns, lengths, offsets, grid.sources[stored][starts]]).astype(np.int64))
        self._tokens.append(grid.tokens[stored])
        self._mask.append(grid.mask[stored])
        self._begins.append((stored & (np.cumsum(stored, axis=1) == 1))[stored])
        n_stored = int(stored.sum())
        self._roles.append(np.zeros(n_stored, np.int8) if grid.roles is None else grid.roles[stored])
        self._turns.append(np.zeros(n_stored, np.int16) if grid.turns is None else grid.turns[stored])
        self._count(grid.tokens[grid.mask & stored])

    def finish_vocabulary(self, texts: Callable[[Sequence[int]], Sequence[str]], *, n_vocabulary: int | None) -> None:
        """Write the text and the count of each token id; `n_vocabulary` None takes the largest id seen."""
        n_ids = max(n_vocabulary or 0, len(self._counts))
        ids = np.arange(n_ids)
        words = [clean_text(word) for word in texts(ids.tolist())]
        counts = np.pad(self._counts, (0, n_ids - len(self._counts)))
        vocabulary = pa.table({"token": pa.array(ids, pa.int32()), "text": words, "n_tokens": counts})
        pq.write_table(vocabulary, self._folder / VOCABULARY_FILE, compression="zstd")

    def finish_documents(self, sources: Mapping[int, str], *, labels: Callable[[int], Mapping[str, str]] | None) -> None:
        """Write where documents lie, what their sources are called, and their labels."""
        columns = np.concatenate([np.empty((5, 0), np.int64), *self._segments], axis=1)
        # of segments that begin alike (a packed BOS alone, or with its document's first tokens) look-ups take the longest
        order = np.lexsort((columns[3], columns[2], columns[1], columns[0]))
        np.save(self._folder / "segments.npy", columns[:, order])
        names = [clean_text(name) for name in sources.values()]
        named = pa.table({"source": pa.array(sources.keys(), pa.int64()), "name": pa.array(names, pa.string())})
        pq.write_table(named, self._folder / "sources.parquet", compression="zstd")
        documents = np.unique(columns[0])
        told = [_labels_text(labels(i)) if labels else "{}" for i in documents.tolist()]
        table = pa.table({"document": documents, "labels": pa.array(told, pa.string())})
        pq.write_table(table, self._folder / "documents.parquet", compression="zstd")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.__exit__(kind, error, trace)
        if kind is None and not np.load(self._folder / ROLES_FILE, mmap_mode="r").any():
            # only at the end is it known that nobody speaks: all of it is plain text
            (self._folder / ROLES_FILE).unlink()
            (self._folder / TURNS_FILE).unlink()

    def _count(self, tokens: NDArray[np.int64]) -> None:
        counts = np.bincount(tokens, minlength=len(self._counts)).astype(np.int64)
        counts[: len(self._counts)] += self._counts
        self._counts = counts


def _labels_text(labels: Mapping[str, str]) -> str:
    cleaned = {clean_text(name): clean_text(value) for name, value in labels.items()}
    return json.dumps(cleaned, ensure_ascii=False, sort_keys=True)


class TextWindow(NamedTuple):
    """Tokens around a position, cut at the borders of its segment."""

    tokens: NDArray[np.int64]
    mask: NDArray[np.bool_]
    focus: int
    """Index of the position itself in tokens."""
    roles: NDArray[np.int8] | None = None
    """Who speaks each token; None in plain text."""
    turns: NDArray[np.int16] | None = None
    """Turn of each token; None in plain text."""


class TextPlaces(NamedTuple):
    """Tokens of a text store, arrays [n]."""

    document: NDArray[np.int64]
    position: NDArray[np.int64]
    end: NDArray[np.int64]
    """Offset of the first token after the segment that each is in."""


def _mapped(path: Path) -> NDArray:
    """A file's array, mapped; a plain one, because slicing a np.memmap takes microseconds more each time."""
    return np.asarray(np.load(path, mmap_mode="r"))


class TextStore:
    """A finished text store, memory-mapped."""

    def __init__(self, artifact: Artifact) -> None:
        self.artifact = artifact
        self.tokens: NDArray[np.uint32] = _mapped(artifact.file("tokens.npy"))
        self.mask: NDArray[np.bool_] = _mapped(artifact.file("mask.npy"))
        has_begins = BEGINS_FILE in artifact.manifest["files"]
        self._begins: NDArray[np.bool_] | None = np.load(artifact.file(BEGINS_FILE), mmap_mode="r") if has_begins else None
        has_roles = ROLES_FILE in artifact.manifest["files"]
        self.roles: NDArray[np.int8] | None = np.load(artifact.file(ROLES_FILE), mmap_mode="r") if has_roles else None
        self.turns: NDArray[np.int16] | None = np.load(artifact.file(TURNS_FILE), mmap_mode="r") if has_roles else None
        segments = _mapped(artifact.file("segments.npy"))
        if segments.ndim != 2 or len(segments) != len(SEGMENT_COLUMNS) or len(self.mask) != len(self.tokens):
            raise ArtifactDamagedError(f"the text store {artifact.path} does not fit together. Scan again.")
        self._document, self._position, self._n_tokens, self._offset, self._source = segments
        # a packed BOS has position -1, so a document's stretch of the line begins one earlier
        self._span = int(self._position.max()) + 2 if segments.shape[1] else 2
        self._line = self._document * self._span + self._position + 1
        vocabulary = pq.read_table(artifact.file(VOCABULARY_FILE))
        self._texts: list[str] = vocabulary["text"].to_pylist()
        self.token_counts: NDArray[np.int64] = vocabulary["n_tokens"].to_numpy()
        sources = pq.read_table(artifact.file("sources.parquet"))
        self.source_names: dict[int, str] = dict(zip(sources["source"].to_pylist(), sources["name"].to_pylist(), strict=True))

        documents = pq.read_table(artifact.file("documents.parquet"))
        self._labelled: NDArray[np.int64] = documents["document"].to_numpy()
        self._labels = documents["labels"]

    def __repr__(self) -> str:
        return f"TextStore({str(self.artifact.path)!r})"

    @property
    def content_hash(self) -> str:
        """Names this text in the manifests of what was made from it."""
        return self.artifact.content_hash

    @property
    def n_tokens(self) -> int:
        """Stored tokens (count), masked ones included."""
        return len(self.tokens)

    @property
    def vocabulary(self) -> list[str]:
        """What each token id is shown as, by id."""
        return self._texts

    def token_text(self, token: int) -> str:
        """What a token id is shown as."""
        return self._texts[token] if 0 <= token < len(self._texts) else f"[{token}]"

    def source_of(self, document: int, position: int) -> str:
        """Name of the source of the text at a position; its number where it has no name."""
        source = int(self._source[self._segment_of(document, position)])
        return self.source_names.get(source, str(source))

    def labels_of(self, document: int) -> dict[str, str]:
        """Labels of a stored document, such as its domain."""
        return json.loads(self._labels[int(np.searchsorted(self._labelled, document))].as_py())

    def sources_of(self, documents: NDArray[np.int64], positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Source number of each position."""
        return self._source[self._segments_of(documents, positions)]

    def window(self, document: int, position: int, *, left: int, right: int) -> TextWindow:
        """The tokens from `left` before to `right` after a position. Raises ArtifactDamagedError if it is not stored."""
        segment = self._segment_of(document, position)
        place = position - int(self._position[segment])
        first = max(0, place - left)
        last = min(int(self._n_tokens[segment]), place + right + 1)
        at = slice(int(self._offset[segment]) + first, int(self._offset[segment]) + last)
        roles = None if self.roles is None else np.asarray(self.roles[at])
        turns = None if self.turns is None else np.asarray(self.turns[at])
        return TextWindow(self.tokens[at].astype(np.int64), np.asarray(self.mask[at]), place - first, roles, turns)

    def segment(self, document: int, position: int) -> TextWindow:
        """All tokens of the segment that a position is in: of a corpus of sentences, the sentence."""
        return self.window(document, position, left=self.n_tokens, right=self.n_tokens)

    def gather(self, documents: NDArray[np.int64], positions: NDArray[np.int64], offsets: Sequence[int]) -> NDArray[np.int64]:
        """Token ids at positions + offsets, [n, len(offsets)]; -1 where the offset leaves the segment."""
        segment = self._segments_of(documents, positions)
        place = (positions - self._position[segment])[:, None] + np.asarray(offsets, dtype=np.int64)[None, :]
        inside = (place >= 0) & (place < self._n_tokens[segment][:, None])
        at = np.where(inside, self._offset[segment][:, None] + place, 0)
        return np.where(inside, self.tokens[at].astype(np.int64), -1)

    def offsets_of(self, documents: NDArray[np.int64], positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where positions lie in `tokens`, `mask`, `roles` and `turns`. Raises ArtifactDamagedError for one not stored."""
        segment = self._segments_of(documents, positions)
        return self._offset[segment] + positions - self._position[segment]

    @functools.cached_property
    def context_starts(self) -> NDArray[np.int64] | None:
        """Where in `tokens` each context begins, ascending; None for a text stored before this was."""
        return None if self._begins is None else np.nonzero(self._begins)[0]

    def places_at(self, offsets: NDArray[np.int64]) -> "TextPlaces":
        """The documents and positions of the tokens at these offsets, and where their segments end."""
        order, begins = self._by_offset
        segment = order[np.searchsorted(begins, offsets, side="right") - 1]
        begin = self._offset[segment]
        return TextPlaces(self._document[segment], self._position[segment] + offsets - begin, begin + self._n_tokens[segment])

    def speaker_of(self, document: int, position: int) -> Speaker | None:
        """Whose the token at a position is; None in plain text."""
        if self.roles is None or self.turns is None:
            return None
        at = int(self.offsets_of(np.array([document]), np.array([position]))[0])
        return Speaker(ROLES[int(self.roles[at])], int(self.turns[at]))

    def passed(self, only: RoleFilter, documents: NDArray[np.int64], positions: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which positions pass a filter of roles and turns."""
        if self.roles is None or self.turns is None:
            return only.passed(None, None, like=documents)
        at = self.offsets_of(documents, positions)
        return only.passed(self.roles[at], self.turns[at], like=documents)

    @functools.cached_property
    def _by_offset(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        order = np.argsort(self._offset, kind="stable")
        return order, self._offset[order]

    def _segment_of(self, document: int, position: int) -> int:
        """As `_segments_of` of one position, in a twentieth of its time: a page asks hundreds of times."""
        wanted = document * self._span + min(position + 1, self._span - 1)
        found = int(self._line.searchsorted(wanted, side="right")) - 1
        if found >= 0 and self._document[found] == document and position < self._position[found] + self._n_tokens[found]:
            return found
        return int(self._segments_of(np.array([document]), np.array([position]))[0])  # which tells what is wrong

    def _segments_of(self, documents: NDArray[np.int64], positions: NDArray[np.int64]) -> NDArray[np.int64]:
        wanted = documents * self._span + np.minimum(positions + 1, self._span - 1)
        found = np.searchsorted(self._line, wanted, side="right") - 1
        safe = np.maximum(found, 0)
        inside = (found >= 0) & (self._document[safe] == documents)
        inside &= positions < self._position[safe] + self._n_tokens[safe]
        if not inside.all():
            first = int(np.nonzero(~inside)[0][0])
            raise ArtifactDamagedError(
                f"the text store {self.artifact.path} has no token at document {documents[first]}, "
                f"position {positions[first]}. The text is another one than was scanned; scan again."
            )
        return found
