"""What each latent does in each text: sums over the tokens that count, sparse, made in stretches so that a resume goes on.

Letters: n texts, T tokens of a chunk, L sites, F latents.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse

from monoseme.core.display import get_display
from monoseme.core.files import guard_disk, hash_json
from monoseme.evaluation._csr import Csr, as_csr, members
from monoseme.studies._alignment.texts import Collected, Text
from monoseme.studies._kept_files import reading
from monoseme.studies._texts import TextContexts
from monoseme.studies._workbench import Coded, Workbench

Value = Literal["mean", "share", "max"]
UNITS: Mapping[Value, str] = {
    "mean": "mean activation of a token",
    "share": "share of tokens that fire",
    "max": "largest activation",
}
_STRETCH = 256
"""Texts of a stretch: what a resume may have to make again."""
_CONTEXTS = 16


class Sums(NamedTuple):
    """What the texts have of each latent."""

    codes: Mapping[str, Csr]
    """Subject -> [n, F], in the unit of the study's value; of a text without tokens that reached the SAE, zeros."""
    length: NDArray[np.float64]
    """[n] tokens that count and reached the SAE."""
    position: NDArray[np.float64]
    """[n] their mean place in the text; 0 where there is none."""


class CountedTokens(NamedTuple):
    """The tokens of a chunk that count."""

    text: NDArray[np.int64]
    """[T] index of the text among those given."""
    position: NDArray[np.int64]
    """[T] place in it."""
    row: NDArray[np.int64]
    """[T] row of the chunk's codes."""


def counted_tokens(coded: Coded, contexts: TextContexts, texts: Sequence[Text]) -> CountedTokens:
    """Those that reach the SAEs and that the study compares."""
    rows, columns = coded.chunk.text.mask.cpu().numpy().nonzero()
    places = coded.chunk.text.documents.cpu().numpy()[rows, columns]
    text, position = contexts.text[places], contexts.positions[places, columns]
    counts = np.array([texts[t].counts[p] for t, p in zip(text, position, strict=True)], dtype=bool)
    return CountedTokens(text[counts], position[counts], np.flatnonzero(counts))


def sums_of(bench: Workbench, collected: Collected, value: Value, work: Path) -> Sums:
    """One pass of the model over all texts. Stretches that `work` holds from before are read; they know what they are of."""
    order = np.argsort([len(text.ids) for text in collected.texts], kind="stable")  # texts of a length need little padding
    names = [subject.name for subject in bench.subjects]
    made: list[Sums] = []
    inputs = bench.inputs()
    with get_display().progress("texts", total=len(order), unit="texts") as bar:
        for first in range(0, len(order), _STRETCH):
            texts = [collected.texts[i] for i in order[first : first + _STRETCH]]
            file = work / "sums" / f"{_fingerprint(texts, value, names, inputs)}.npz"
            if not file.is_file():
                _write(file, _stretch(bench, texts, collected, value))
            made.append(_read(file, names))
            bar.advance(len(texts))
    back = np.argsort(order)
    stacked: dict[str, Csr] = {name: sparse.vstack([each.codes[name] for each in made], format="csr") for name in names}
    length, position = (np.concatenate(parts)[back] for parts in zip(*((s.length, s.position) for s in made), strict=True))
    return Sums({name: code[back] for name, code in stacked.items()}, length, position)


def _fingerprint(texts: Sequence[Text], value: Value, names: Sequence[str], inputs: Mapping[str, str]) -> str:
    said = [[text.ids.tolist(), np.flatnonzero(~text.counts).tolist()] for text in texts]
    return hash_json([said, value, list(names), dict(inputs)]).partition(":")[2][:24]


def _stretch(bench: Workbench, texts: Sequence[Text], collected: Collected, value: Value) -> Sums:
    contexts = TextContexts([text.ids for text in texts], collected.corpus, bench.materials.text.tokenizer)
    length, position = np.zeros(len(texts)), np.zeros(len(texts))
    codes: dict[str, Csr] = {}
    for coded in bench.coded(bench.of_contexts(contexts), n_contexts=_CONTEXTS):
        found = counted_tokens(coded, contexts, texts)
        length += np.bincount(found.text, minlength=len(texts))
        position += np.bincount(found.text, weights=found.position, minlength=len(texts))
        for name, code in coded.codes.items():  # of sites with codes of their own the mean, or the largest
            n_sites = code.n_rows // max(code.leading[0], 1)
            rows = (found.row[:, None] * n_sites + np.arange(n_sites)).ravel()
            counted = as_csr(code.select_rows(torch.from_numpy(rows)))
            part = _aggregated(counted, np.repeat(found.text, n_sites), len(texts), value) / (n_sites if value != "max" else 1)
            codes[name] = part if name not in codes else _together(codes[name], part, value)
    scale = sparse.diags_array(1 / np.maximum(length, 1)) if value != "max" else None
    scaled = {name: code if scale is None else (scale @ code).tocsr() for name, code in codes.items()}
    return Sums(scaled, length, position / np.maximum(length, 1))


def _aggregated(codes: Csr, texts: NDArray[np.int64], n_texts: int, value: Value) -> Csr:
    """[n_texts, F] of the rows of codes, `texts` being the text of each."""
    if value == "max":
        return _largest(codes, texts, n_texts)
    return (members(texts, n_texts) @ (codes if value == "mean" else (codes != 0).astype(np.float64))).tocsr()


def _largest(codes: Csr, texts: NDArray[np.int64], n_texts: int) -> Csr:
    """The largest value of each latent in each text, in which a token that does not fire has 0."""
    entries = codes.tocoo()
    keys = texts[entries.row] * codes.shape[1] + entries.col
    order = np.argsort(keys, kind="stable")
    firsts = np.flatnonzero(np.diff(keys[order], prepend=-1))
    if not len(firsts):
        return sparse.csr_array((n_texts, codes.shape[1]))
    values, own = np.maximum.reduceat(entries.data[order], firsts), keys[order][firsts]
    made = sparse.csr_array(
        (np.maximum(values, 0), (own // codes.shape[1], own % codes.shape[1])), shape=(n_texts, codes.shape[1])
    )
    made.eliminate_zeros()
    return made


def _together(a: Csr, b: Csr, value: Value) -> Csr:
    return a.maximum(b) if value == "max" else (a + b).tocsr()


def _write(file: Path, sums: Sums) -> None:
    arrays = {"length": sums.length, "position": sums.position}
    for i, code in enumerate(sums.codes.values()):
        arrays |= {f"{i}_{part}": getattr(code, part) for part in ("data", "indices", "indptr")}
        arrays[f"{i}_shape"] = np.array(code.shape)
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(".draft.npz")
    with guard_disk(file):
        np.savez(draft, allow_pickle=False, **arrays)
        draft.replace(file)


def _read(file: Path, names: Sequence[str]) -> Sums:
    with reading(file), np.load(file, allow_pickle=False) as held:
        codes = {
            name: sparse.csr_array(
                tuple(held[f"{i}_{part}"] for part in ("data", "indices", "indptr")), shape=tuple(held[f"{i}_shape"])
            )
            for i, name in enumerate(names)
        }
        return Sums(codes, held["length"], held["position"])
