"""What is probed: tokens with a class each, chosen so that neither source, nor length, nor the size of a class gives it away.

Source of the protocol: T-SAE, arXiv:2511.05541, and its code: the class of a document and the part of speech at the last token of
each document, the document itself at the last tokens of fewer documents.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monoseme.core.display import get_display
from monoseme.core.seeds import derive_seed
from monoseme.evaluation._probes import Ints, split_by_unit
from monoseme.studies._probing.text import Excerpt

Balance = Literal["none", "classes", "lengths"]
_LENGTH_BINS = 20
_LEAST_DOCUMENTS = 5
"""Documents that make telling them apart a task."""


@dataclass(frozen=True, eq=False)
class ProbeTask:
    """Examples: tokens of excerpts, each with a class. Arrays have one entry for each example."""

    name: str
    """semantics, context or syntax."""
    excerpts: Sequence[Excerpt]
    excerpt: Ints
    """Number of the excerpt in `excerpts`."""
    token: Ints
    """Place of the token in its excerpt."""
    labels: Ints
    """Number of the class in `classes`."""
    classes: tuple[str, ...]
    units: Ints
    """What is independent: the source, or in the context task the document. Drawn anew by the bootstrap."""
    splits_within: bool = False
    """Whether each unit is on both sides, a stretch of it on the test side, because the unit is what is to be told."""

    def test_side(self, *, test_fraction: float, seed: int) -> NDArray[np.bool_]:
        """Which examples are for the test."""
        if not self.splits_within:
            return split_by_unit(self.labels, self.units, test_fraction=test_fraction, seed=seed)
        rng = np.random.default_rng(derive_seed(seed, "stretch"))
        test = np.zeros(len(self.labels), dtype=bool)
        for unit in np.unique(self.units):
            held = np.flatnonzero(self.units == unit)
            n_test = min(max(round(test_fraction * len(held)), 1), len(held) - 1)
            begin = int(rng.integers(0, len(held) - n_test + 1))
            test[held[np.argsort(self.token[held])][begin : begin + n_test]] = True
        return test

    def kept(self, examples: NDArray[np.bool_]) -> "ProbeTask":
        """Only these examples."""
        arrays = {name: getattr(self, name)[examples] for name in ("excerpt", "token", "labels", "units")}
        return replace(self, **arrays)


class NoTask(NamedTuple):
    """Why a task cannot be set."""

    why: str


def semantics_task(excerpts: Sequence[Excerpt], *, n_documents: int, least: int, balance: Balance, seed: int
                   ) -> ProbeTask | NoTask:  # fmt: skip
    """The class of a document, at the last token of each excerpt.

    Classes of fewer than `least` excerpts, or of one source, are left out and told. `balance`: as many of each class ("classes"),
    also among excerpts of about the same length ("lengths"), or as they come ("none").
    """
    order = [i for i in _spread_over_sources(excerpts, seed) if excerpts[i].label is not None]
    names = [str(excerpts[i].label) for i in order]
    kept = large_classes(names, [excerpts[i].source for i in order], least=least, what="semantics")
    if len(kept) < 2:
        return NoTask(f"{len(kept)} classes have {least} documents of two sources or more; at least two are needed")
    classes = tuple(sorted(kept))
    order = [i for i, name in zip(order, names, strict=True) if name in kept]
    labels = np.array([classes.index(str(excerpts[i].label)) for i in order])
    lengths = np.array([len(excerpts[i].ids) for i in order])
    chosen = _balanced(labels, lengths, n_documents, balance)
    if not len(chosen):
        return NoTask("no length is shared by documents of all classes; --balanced classes lets lengths differ")
    picked = [excerpts[order[i]] for i in chosen]
    return ProbeTask(
        "semantics",
        picked,
        excerpt=np.arange(len(picked)),
        token=lengths[chosen] - 1,
        labels=labels[chosen],
        classes=classes,
        units=np.array([excerpt.source for excerpt in picked]),
    )


def context_task(excerpts: Sequence[Excerpt], *, n_documents: int, n_tokens: int, seed: int) -> ProbeTask | NoTask:
    """Which document a token is from, for the last tokens of excerpts of one length, so that no position tells the document."""
    order = [i for i in _spread_over_sources(excerpts, seed) if len(excerpts[i].ids) >= n_tokens]
    if len(order) < _LEAST_DOCUMENTS:
        return NoTask(f"{len(order)} documents have {n_tokens} tokens; {_LEAST_DOCUMENTS} are needed")
    lengths = np.array([len(excerpts[i].ids) for i in order])
    length = int(np.sort(lengths)[::-1][min(n_documents, len(order)) - 1])
    chosen = [excerpts[i] for i, n in zip(order, lengths, strict=True) if n >= length][:n_documents]
    document = np.repeat(np.arange(len(chosen)), n_tokens)
    return ProbeTask(
        "context",
        [excerpt._replace(ids=excerpt.ids[:length]) for excerpt in chosen],
        excerpt=document,
        token=np.tile(np.arange(length - n_tokens, length), len(chosen)),
        labels=document,
        classes=tuple(str(i) for i in range(len(chosen))),
        units=document,
        splits_within=True,
    )


def syntax_task(excerpts: Sequence[Excerpt], *, n_tokens: int, least: int, seed: int) -> ProbeTask | NoTask:
    """The tag of a token, for tokens drawn from everywhere. Tags of fewer than `least` tokens, or of one source, are left out."""
    found = [(i, token, tag) for i, e in enumerate(excerpts) for token, tag in enumerate(e.tags) if tag is not None]
    rng = np.random.default_rng(derive_seed(seed, "syntax"))
    drawn = [found[i] for i in np.sort(rng.permutation(len(found))[:n_tokens])]
    names = [tag for _, _, tag in drawn]
    kept = large_classes(names, [excerpts[i].source for i, _, _ in drawn], least=least, what="syntax")
    if len(kept) < 2:
        return NoTask(f"{len(kept)} tags have {least} tokens of two sources or more; at least two are needed")
    classes = tuple(sorted(kept))
    drawn = [(i, token, classes.index(tag)) for i, token, tag in drawn if tag in kept]
    excerpt, token, labels = (np.array(column, dtype=np.int64) for column in zip(*drawn, strict=True))
    used, excerpt = np.unique(excerpt, return_inverse=True)
    picked = [excerpts[i] for i in used]
    units = np.array([e.source for e in picked])[excerpt]
    return ProbeTask("syntax", picked, excerpt=excerpt, token=token, labels=labels, classes=classes, units=units)


def large_classes(names: Sequence[str], sources: Sequence[int], *, least: int, what: str) -> set[str]:
    """Classes with at least `least` examples from two sources or more; the others are told."""
    found, counts = np.unique(names, return_counts=True) if names else (np.array([], dtype=str), np.array([], dtype=int))
    n_sources = {name: len({s for n, s in zip(names, sources, strict=True) if n == name}) for name in map(str, found)}
    kept = {str(name) for name, count in zip(found, counts, strict=True) if count >= least and n_sources[str(name)] > 1}
    left = [f"{name} ({count})" for name, count in zip(found, counts, strict=True) if str(name) not in kept]
    if left:
        get_display().say(f"{what}: left out, for fewer than {least} examples of two sources: {', '.join(left)}")
    return kept


def _spread_over_sources(excerpts: Sequence[Excerpt], seed: int) -> list[int]:
    """All excerpts in a random order in which every source comes once before any comes twice."""
    order = np.random.default_rng(derive_seed(seed, "documents")).permutation(len(excerpts))
    seen: dict[int, int] = {}
    turns: list[int] = []
    for i in order:
        turns.append(seen.get(excerpts[i].source, 0))
        seen[excerpts[i].source] = turns[-1] + 1
    return [int(i) for i in order[np.argsort(turns, kind="stable")]]


def _balanced(labels: Ints, lengths: Ints, n_most: int, balance: Balance) -> Ints:
    """Numbers of the examples taken, the first ones of each class and length."""
    if balance == "none":
        return np.arange(min(n_most, len(labels)))
    stratum = np.zeros(len(labels), dtype=np.int64)
    if balance == "lengths":
        edges = np.unique(np.quantile(lengths, np.linspace(0, 1, _LENGTH_BINS + 1)[1:-1]))
        stratum = np.searchsorted(edges, lengths, side="left")
    n_classes = int(labels.max()) + 1
    held = np.zeros((int(stratum.max()) + 1, n_classes), dtype=np.int64)
    np.add.at(held, (stratum, labels), 1)
    wanted = held.min(axis=1)
    wanted = wanted if n_classes * wanted.sum() <= n_most else wanted * n_most // (n_classes * wanted.sum())
    taken = [
        np.flatnonzero((stratum == s) & (labels == label))[: wanted[s]] for s in range(len(held)) for label in range(n_classes)
    ]
    return np.sort(np.concatenate(taken))
