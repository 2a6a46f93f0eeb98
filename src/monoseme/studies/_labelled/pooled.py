"""Means over the tokens of each text: of the activations that an SAE reads, and of its codes.

A decoder is linear, so means are all that ablation of latents needs: with the SAE's error added back, taking latents away from
every token of a text changes the mean of its activations by minus the sum of `written` times the decoder's rows.
Letters: N texts, T tokens, D width of the activations, F latents.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from safetensors.numpy import load, save

from monoseme.core.files import write_atomic
from monoseme.evaluation import Chunk, chunks
from monoseme.evaluation._csr import as_csr, members
from monoseme.evaluation._probes import Ints
from monoseme.models import Site
from monoseme.saes import Codes
from monoseme.studies._kept_files import reading
from monoseme.studies._labelled.texts import LabelledTexts
from monoseme.studies._probing.text import ExcerptContexts, Frame
from monoseme.studies._workbench import Subject, Workbench

_CONTEXTS_PER_CHUNK = 32


@dataclass(frozen=True, eq=False)
class Pooled:
    """Texts, and the means of what the model and the SAEs make of their tokens."""

    texts: LabelledTexts
    """Those of which an SAE sees any token."""
    activations: Mapping[Site, NDArray[np.float32]]
    """[N, D] at each site that an SAE reads."""
    codes: Mapping[str, sp.csr_matrix]
    """Subject -> [N, F], in the SAE's own unit."""
    written: Mapping[str, sp.csr_matrix]
    """Subject -> [N, F], multiples of decoder rows in raw activations: `codes`, unless vectors were standardised one by one."""


@torch.no_grad()
def pool(bench: Workbench, subjects: Sequence[Subject], texts: LabelledTexts, frame: Frame) -> Pooled:
    """Runs the model over the texts; special tokens and attention sinks, which SAEs do not see, do not count."""
    sites = tuple(dict.fromkeys(subject.placed.inputs[0] for subject in subjects))
    n_tokens = np.zeros(len(texts))
    sums: dict[Site, NDArray[np.float64]] = {}
    codes: dict[str, list[Any]] = defaultdict(list)
    written: dict[str, list[Any]] = defaultdict(list)
    met: list[Ints] = []
    for chunk in chunks(bench.of_contexts(ExcerptContexts(texts.excerpts, frame)), bench.sites, n_contexts=_CONTEXTS_PER_CHUNK,
                        max_tokens=None):  # fmt: skip
        if not bool(chunk.text.mask.any()):
            continue
        rows, row_of, counts = np.unique(chunk.text.documents[chunk.text.mask].numpy(), return_inverse=True, return_counts=True)
        adds = members(row_of, len(rows))
        met.append(rows)
        n_tokens[rows] = counts
        for site in sites:
            x = chunk.activations[site][chunk.text.mask].double().cpu().numpy()
            held = sums.setdefault(site, np.zeros((len(texts), x.shape[1])))
            held[rows] = np.asarray(adds @ x)
        mean: Any = sp.diags_array(1 / counts) @ adds
        for name, (own, raw) in _codes(subjects, chunk).items():
            codes[name].append(sp.csr_matrix(mean @ own, dtype=np.float32))
            if raw is not None:
                written[name].append(sp.csr_matrix(mean @ raw, dtype=np.float32))
    kept = n_tokens > 0
    order = np.argsort(np.concatenate(met), kind="stable")  # contexts come short ones first
    pooled = {name: _stacked(parts, order) for name, parts in codes.items()}
    return Pooled(
        texts.kept(kept),
        {site: (x[kept] / n_tokens[kept, None]).astype(np.float32) for site, x in sums.items()},
        pooled,
        pooled | {name: _stacked(parts, order) for name, parts in written.items()},
    )


def _codes(subjects: Sequence[Subject], chunk: Chunk) -> dict[str, tuple[Any, Any]]:
    """Of each subject the codes [T, F], and, where these are of vectors standardised one by one, the codes in raw activations."""
    made: dict[str, Codes] = {}
    found: dict[str, tuple[Any, Any]] = {}
    for subject in subjects:
        if subject.sae_name not in made:
            made[subject.sae_name] = subject.placed.encode(chunk.activations, chunk.text.mask)
        code = as_csr(made[subject.sae_name].sparse(subject.part))
        scale = made[subject.sae_name].scale
        raw = None if scale is None else sp.diags_array(scale.double().cpu().numpy().ravel()) @ code
        found[subject.name] = (code, raw)
    return found


def _stacked(parts: Sequence[Any], order: Ints) -> sp.csr_matrix:
    joined: Any = sp.vstack(parts, format="csr")
    return sp.csr_matrix(joined[order])


def write_pooled(path: Path, found: Pooled, texts: LabelledTexts) -> None:
    """Keeps the means of `texts`, from which `found` was made, as safetensors. Raises DiskFullError."""
    place = {id(excerpt): i for i, excerpt in enumerate(texts.excerpts)}
    arrays: dict[str, NDArray[Any]] = {"rows": np.array([place[id(e)] for e in found.texts.excerpts], dtype=np.int64)}
    arrays |= {f"activations/{site}": x for site, x in found.activations.items()}
    for kind, held in (("codes", found.codes), ("written", found.written)):
        for name, codes in held.items():
            if kind == "codes" or codes is not found.codes[name]:
                parts = {"data": codes.data, "indices": codes.indices, "indptr": codes.indptr, "shape": np.array(codes.shape)}
                arrays |= {f"{kind}/{name}/{part}": np.ascontiguousarray(values) for part, values in parts.items()}
    write_atomic(path, save(arrays))


def read_pooled(path: Path, texts: LabelledTexts) -> Pooled:
    """What `write_pooled` kept of these texts. Raises ArtifactDamagedError."""
    with reading(path):
        arrays = load(path.read_bytes())
        codes, own = _matrices(arrays, "codes"), _matrices(arrays, "written")
        activations = {Site.parse(n.partition("/")[2]): x for n, x in arrays.items() if n.startswith("activations/")}
        return Pooled(texts.kept(arrays["rows"]), activations, codes, codes | own)


def _matrices(arrays: Mapping[str, NDArray[Any]], kind: str) -> dict[str, sp.csr_matrix]:
    names = [n.removeprefix(f"{kind}/").removesuffix("/data") for n in arrays if n.startswith(f"{kind}/") and n.endswith("/data")]
    return {
        name: sp.csr_matrix(
            tuple(arrays[f"{kind}/{name}/{part}"] for part in ("data", "indices", "indptr")),
            shape=tuple(int(n) for n in arrays[f"{kind}/{name}/shape"]),
        )
        for name in names
    }
