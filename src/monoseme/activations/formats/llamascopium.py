"""Llamascopium (OpenMOSS) cached activations: a folder for each hook with chunks of contexts and their tokens.

    CACHE/HOOK/chunk-00000007.safetensors           activation [contexts, S, D], tokens [contexts, S]
    CACHE/HOOK/chunk-00000007.meta.json             what the corpus said of each context
    CACHE/HOOK/shard-1-chunk-00000007.safetensors   the same, where several processes wrote
    CACHE/HOOK/chunk-00000007.pt                    the same as torch.save of a table, with `meta` in it

Source: `activation/writer.py` and `processors/cached_activation.py` of Language-Model-SAEs, as it was called before. Known:
chunks of all hooks hold the same contexts in the same order, by process and number; the last chunk of a process may have fewer;
some versions have one more axis in front of the contexts, which is taken away. What is padding is not written down: `pad_id`
names it. Assumed: a context is one text of a corpus, cut or padded to S, and so a document.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from monoseme.activations.formats._base import ActivationFormat
from monoseme.activations.formats._foreign import ForeignFacts, ForeignStore, ForeignText
from monoseme.activations.formats._numbered import NumberedFiles, Template, has_numbered, numbered_files
from monoseme.activations.formats._rows import as_rows, stored_dtype
from monoseme.activations.formats._sites import map_sites
from monoseme.core.errors import ForeignError
from monoseme.core.files import hash_json
from monoseme.models.hook_names import hook_site
from monoseme.models.site import Site
from monoseme.tensors.foreign_file import load_table
from monoseme.tensors.shapes import Bool, Int, Tensor

_ALONE, _OF_SHARD = Template("chunk-{:08d}", ".pt"), Template("shard-{}-chunk-{:08d}", ".pt")


class Llamascopium(ActivationFormat):
    """A context is a document."""

    looks_for = "HOOK/chunk-00000000.safetensors"

    @dataclass(frozen=True, kw_only=True)
    class Config(ActivationFormat.Config):
        """Of chunks."""

        pad_id: int | None = None
        """Token that fills contexts up behind their text. None: nothing is padding."""

    def recognises(self, folder: Path) -> bool:
        """By the name of a chunk in a folder below."""
        return any(has_numbered(place, kind) for place in _below(folder) for kind in (_ALONE, _OF_SHARD))

    def find(self, folder: Path, options: Config) -> ForeignStore:
        """The store in a folder."""
        return _Chunks(folder, options)


class _Chunks(ForeignStore):
    def __init__(self, folder: Path, options: Llamascopium.Config) -> None:
        found = {place.name: files for place in _below(folder) if (files := _files(place)) is not None}
        if not found:
            raise ForeignError(f"{folder} holds no folders with chunk-00000000.safetensors or .pt")
        self._files = {site: found[name] for name, site in map_sites(list(found), options.site, hook_site).items()}
        self._first, *others = self._files
        for site in others:
            if not np.array_equal(self._files[site].numbers, self._files[self._first].numbers):
                raise ForeignError(f"{site} and {self._first} do not have the same chunks")
        self._pad_id = options.pad_id
        shapes = [self._tokens(i).shape for i in range(len(self._files[self._first]))]
        if len({shape[1] for shape in shapes}) != 1:
            raise ForeignError(f"the chunks of {self._first} have contexts of {sorted({shape[1] for shape in shapes})} positions")
        self._bounds = np.cumsum([0, *(shape[0] for shape in shapes)])
        self._context_len = int(shapes[0][1])
        vectors = {site: self._table(site, 0)[0] for site in self._files}
        self._dtype = vectors[self._first].dtype
        self.facts = ForeignFacts(
            widths={site: int(of_site.shape[-1]) for site, of_site in vectors.items()},
            dtype=stored_dtype(vectors[self._first], self.where(0)),
            context_len=self._context_len,
            units=np.arange(int(self._bounds[-1])),
            n_rows=None if options.pad_id is not None else int(self._bounds[-1]) * self._context_len,
            has_text=True,
            fingerprint=hash_json([files.fingerprint for files in self._files.values()]),
            details={"n_chunks": len(shapes)},
            lost=("what the corpus said of each context (meta)",),
        )

    def text(self, contexts: NDArray[np.int64]) -> ForeignText:
        """The ids up to the padding."""
        tokens = torch.cat([self._tokens(chunk)[places] for chunk, places in self._runs(contexts)])
        filled = self._filled(tokens)
        return ForeignText(
            lengths=filled.sum(dim=1),
            tokens=tokens[filled],
            documents=torch.from_numpy(contexts),
            starts=torch.zeros(len(contexts), dtype=torch.long),
        )

    def rows(self, contexts: NDArray[np.int64]) -> Mapping[Site, Tensor]:
        """The vectors up to the padding. Raises ForeignError where hooks do not hold the same tokens."""
        found: dict[Site, list[Tensor]] = {site: [] for site in self._files}
        for chunk, places in self._runs(contexts):
            expected = self._tokens(chunk)
            filled = self._filled(expected[places])
            for site, parts in found.items():
                vectors, tokens = self._table(site, chunk)
                where = str(self._files[site].path(chunk))
                if not torch.equal(tokens, expected):
                    raise ForeignError(f"{where} holds other tokens than {self._files[self._first].path(chunk)}")
                rows = as_rows(vectors, like=self._dtype, width=self.facts.widths[site], where=where)
                parts.append(rows.view(*expected.shape, -1)[places][filled])
        return {site: torch.cat(parts) for site, parts in found.items()}

    def where(self, context: int) -> str:
        """The file, and the context in it."""
        chunk = int(np.searchsorted(self._bounds, context, side="right")) - 1
        return f"{self._files[self._first].path(chunk)}, context {context - int(self._bounds[chunk])}"

    def _runs(self, contexts: NDArray[np.int64]) -> list[tuple[int, Int[Tensor, " n"]]]:
        """Contexts that follow each other in a chunk: the chunk, and their places in it."""
        chunks = np.searchsorted(self._bounds, contexts, side="right") - 1
        places = contexts - self._bounds[chunks]
        cuts = np.flatnonzero(np.diff(chunks)) + 1
        runs = zip(np.split(chunks, cuts), np.split(places, cuts), strict=True)
        return [(int(run[0]), torch.from_numpy(where)) for run, where in runs]

    def _filled(self, tokens: Int[Tensor, "n S"]) -> Bool[Tensor, "n S"]:
        """What is not padding: everything before the run of `pad_id` that ends a context."""
        if self._pad_id is None:
            return torch.ones_like(tokens, dtype=torch.bool)
        return (tokens != self._pad_id).flip(1).cumsum(dim=1).flip(1) > 0

    def _tokens(self, chunk: int) -> Int[Tensor, "n S"]:
        return self._table(self._first, chunk)[1]

    def _table(self, site: Site, chunk: int) -> tuple[Tensor, Int[Tensor, "n S"]]:
        """Vectors [n, S, D] and tokens of a chunk. Raises ForeignError where they do not fit together."""
        path = self._files[site].path(chunk)
        table = load_table(path)
        if not {"activation", "tokens"} <= set(table):
            raise ForeignError(f"{path} holds {', '.join(table)}; activation and tokens are needed")
        vectors, tokens = table["activation"], table["tokens"]
        while tokens.ndim > 2 and vectors.ndim > 3:
            vectors, tokens = vectors.flatten(0, 1), tokens.flatten(0, 1)
        if vectors.ndim != 3 or tokens.shape != vectors.shape[:2] or tokens.is_floating_point() or bool((tokens < 0).any()):
            raise ForeignError(f"{path}: activation {tuple(vectors.shape)} and tokens {tuple(tokens.shape)} do not fit together")
        return vectors, tokens.long()


def _below(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir())
    except OSError:
        return []


def _files(place: Path) -> NumberedFiles | None:
    """The chunks of a hook; None where there are none. Raises ForeignError for chunks of both kinds."""
    kinds = [files for kind in (_ALONE, _OF_SHARD) if len(files := numbered_files(place, kind))]
    if len(kinds) > 1:
        raise ForeignError(f"{place} holds chunks of one process and of several: they are of two runs")
    return kinds[0] if kinds else None
