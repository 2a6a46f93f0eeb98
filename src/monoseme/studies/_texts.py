"""Texts that a study puts together itself, as contexts of the model, and the codes of their tokens.

Each text begins a context of its own and goes on in as many as it needs; only its last one is padded. What the corpus does with
BOS is done here too. Letters: n contexts, S positions, T tokens, F latents.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse

from monoseme.core.errors import SiteError
from monoseme.evaluation._csr import Csr, as_csr
from monoseme.studies._workbench import Coded, Subject, Workbench
from monoseme.tensors.sparse import SparseCodes
from monoseme.text import CorpusConfig, GivenContexts, TextTokenizer
from monoseme.text.block import TokenBlock

Ids = Sequence[int] | NDArray[Any]


class TextContexts:
    """Token ids of texts as contexts, in their order: an `activations.Contexts`. Each context counts as a document."""

    split = "all"

    def __init__(self, texts: Sequence[Ids], corpus: CorpusConfig, tokenizer: TextTokenizer) -> None:
        """`corpus` says how long a context is and where BOS stands, as a token store resolves it."""
        self._len, self._every_context = corpus.context_len, corpus.bos == "always"
        bos = tokenizer.bos_id if corpus.bos in ("always", "document") else None
        places = [place for text, ids in enumerate(texts) for place in self._lay_out(text, np.asarray(ids), bos)]
        shape = (len(places), self._len)
        tokens = np.full(shape, tokenizer.pad_id, dtype=np.int64)
        self.text = np.array([place.text for place in places], dtype=np.int64)
        """[n] text of each context."""
        self.positions = np.full(shape, -1, dtype=np.int64)
        """[n, S] place of the token in its text; -1 on BOS and padding."""
        self._real = np.zeros(shape, dtype=bool)
        for row, place in enumerate(places):
            stop = place.first + len(place.ids)
            if bos is not None:
                tokens[row, : place.first] = bos
            tokens[row, place.first : stop] = place.ids
            self.positions[row, place.first : stop] = np.arange(place.start, place.start + len(place.ids))
            self._real[row, :stop] = True
        hidden = () if corpus.keep_special else tokenizer.special_ids
        self._given = GivenContexts(torch.from_numpy(tokens), special_ids=hidden)

    def _lay_out(self, text: int, ids: NDArray[Any], bos: int | None) -> Iterator["_Place"]:
        start = 0
        while start < len(ids):
            first = int(bos is not None and (start == 0 or self._every_context))
            stop = min(start + self._len - first, len(ids))
            yield _Place(text, start, ids[start:stop], first)
            start = stop

    def __len__(self) -> int:
        """Contexts."""
        return len(self._given)

    def __repr__(self) -> str:
        """How many there are."""
        return f"TextContexts({len(self):,} contexts of {self.context_len})"

    @property
    def context_len(self) -> int:
        """Positions of a context (S)."""
        return self._len

    @property
    def spec(self) -> dict[str, Any]:
        """What a manifest says of them."""
        return self._given.spec

    def has(self, i: int) -> bool:
        """Whether there is a context i."""
        return self._given.has(i)

    def n_blocks(self, n_contexts: int) -> int:
        """Blocks of `n_contexts` each; the last may have fewer."""
        return self._given.n_blocks(n_contexts)

    def block(self, i: int, n_contexts: int) -> TokenBlock:
        """Contexts [i * n_contexts, (i + 1) * n_contexts), or as many as there are. Raises IndexError if there is none."""
        plain = self._given.block(i, n_contexts)
        rows = slice(i * n_contexts, (i + 1) * n_contexts)
        real, positions = torch.from_numpy(self._real[rows]), torch.from_numpy(self.positions[rows])
        documents = plain.documents.masked_fill(~real, -1)
        mask = plain.mask & real
        return dataclasses.replace(plain, mask=mask, real=real, documents=documents, sources=documents, positions=positions)


class _Place(NamedTuple):
    """Tokens of a text that stand in one context, from its column `first` on; a BOS stands before that."""

    text: int
    start: int
    ids: NDArray[Any]
    first: int


class CodedText(NamedTuple):
    """The tokens of one text that reached the SAEs, and their codes."""

    text: int
    """Its number."""
    position: NDArray[np.int64]
    """[T] place of each token in the text, ascending; what the SAEs do not see (special tokens, sinks) has no row."""
    context: NDArray[np.int64]
    """[T] context of each token, counted from the text's first."""
    codes: Mapping[str, Csr]
    """Subject -> [T, F], float64."""


def coded_texts(bench: Workbench, texts: Sequence[Ids], *, site: str | None = None, n_contexts: int = 16) -> Iterator[CodedText]:
    """The codes of every text in turn; a text without any token that the SAEs see has no turn.

    `site`: of which site, for an SAE with codes at each; None: the first that it reads. Raises SiteError for one it lacks.
    """
    _require_site(bench.subjects, site)
    store = bench.materials.text
    laid_out = TextContexts(texts, store.config, store.tokenizer)
    waiting: list[CodedText] = []
    for coded in bench.coded(bench.of_contexts(laid_out), n_contexts=n_contexts):
        for part in _parts(bench.subjects, coded, laid_out, site):
            if waiting and waiting[0].text != part.text:
                yield _joined(waiting)
                waiting = []
            waiting.append(part)
    if waiting:
        yield _joined(waiting)


def _require_site(subjects: Sequence[Subject], site: str | None) -> None:
    """Before any text is read. Raises SiteError for a site that no SAE has codes at."""
    several = {s.sae_name: [str(each) for each in s.placed.code_sites] for s in subjects if s.sae.codes_per_site}
    if site is None or any(site in names for names in several.values()):
        return
    if not several:
        raise SiteError(f"site is {site}, but no SAE of the study has codes at several sites.\n  Leave --site out.")
    have = "; ".join(f"{name} has {', '.join(names)}" for name, names in several.items())
    raise SiteError(f"no SAE has codes at {site}.\n  Allowed: {have}")


def _parts(subjects: Sequence[Subject], coded: Coded, laid_out: TextContexts, site: str | None) -> Iterator[CodedText]:
    """What a chunk holds of each text."""
    rows, columns = coded.chunk.text.mask.cpu().numpy().nonzero()
    contexts = coded.chunk.text.documents.cpu().numpy()[rows, columns]
    positions, texts = laid_out.positions[contexts, columns], laid_out.text[contexts]
    codes = {s.name: as_csr(code_at(s, coded.codes[s.name], site)) for s in subjects}
    for text in np.unique(texts):
        of_text = np.flatnonzero((texts == text) & (positions >= 0))  # a corpus may show BOS to the SAEs: it is not of the text
        held = {name: code[of_text] for name, code in codes.items()}
        yield CodedText(int(text), positions[of_text], contexts[of_text], held)


def _joined(parts: Sequence[CodedText]) -> CodedText:
    context = np.concatenate([part.context for part in parts])
    stacked = {name: sparse.vstack([part.codes[name] for part in parts], format="csr") for name in parts[0].codes}
    return CodedText(parts[0].text, np.concatenate([part.position for part in parts]), context - context[0], stacked)


def code_at(subject: Subject, code: SparseCodes, site: str | None) -> SparseCodes:
    """The code [T, F] of one site (None: the first), or the only one there is. Raises SiteError for a site it does not have."""
    placed = subject.placed
    if site is None or not subject.sae.codes_per_site:
        return placed.per_site(code)[0]
    names = [str(each) for each in placed.code_sites]
    if site not in names:
        raise SiteError(f"{subject.name} has no codes at {site}.\n  Allowed: {', '.join(names)}")
    return placed.per_site(code)[names.index(site)]
