"""What probes see of an example: the codes of each SAE, and what the codes are held against.

Letters: E examples, D width of the activations, F latents, K classes.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from monoseme.core.errors import UndefinedMetricError
from monoseme.evaluation import Chunk, chunks
from monoseme.evaluation._csr import as_csr
from monoseme.evaluation._probes import Features, Ints, class_contrasts
from monoseme.models import Site
from monoseme.saes import Codes
from monoseme.saes.random import Random
from monoseme.splice import Placed
from monoseme.studies._probing.tasks import ProbeTask
from monoseme.studies._probing.text import ExcerptContexts, Frame
from monoseme.studies._workbench import Subject, Workbench
from monoseme.tensors.shapes import Bool, Tensor

_CONTEXTS_PER_CHUNK = 16

Sites = tuple[Site, ...]
Side = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Gathered:
    """A task, and everything that is known of its examples."""

    task: ProbeTask
    codes: dict[str, sp.csr_matrix]
    """Subject -> [E, F]; where each site has codes of its own, these side by side."""
    activations: dict[Sites, NDArray[np.float32]]
    """[E, D] at the sites of each SAE; of several sites, side by side."""
    sites: dict[str, Sites]
    """Of each subject."""
    words: sp.csr_matrix
    """[E, token ids that occur] which token it is; of several tokens, the share of each."""
    n_hidden: int
    """Examples left out because their token is special or an attention sink, which SAEs do not see."""


class Rival(NamedTuple):
    """A representation that is probed."""

    name: str
    is_sae: bool
    features: Callable[[Side, int], Features]
    """(which examples are for the test, seed) -> [E, F]; what is fitted is fitted to the others."""
    is_selected: bool = True
    """Whether the features of each class are selected; off: all are used."""
    is_signed: bool = False
    """Whether features may be as telling by being low."""


@torch.no_grad()
def gather(bench: Workbench, task: ProbeTask, frame: Frame) -> Gathered:
    """Runs the model over the task's excerpts. SAEs that read single tokens encode the examples only."""
    source = bench.of_contexts(ExcerptContexts(task.excerpts, frame))
    keys = task.excerpt * frame.context_len + task.token + (frame.context_len - frame.room)
    by_key = np.argsort(keys, kind="stable")
    site_sets = tuple(dict.fromkeys(subject.sites for subject in bench.subjects))
    codes: dict[str, list[sp.csr_matrix]] = defaultdict(list)
    activations: dict[Sites, list[NDArray[np.float32]]] = defaultdict(list)
    tokens, found = list[Ints](), list[Ints]()
    for chunk in chunks(source, bench.sites, n_contexts=_CONTEXTS_PER_CHUNK, max_tokens=None):
        places = chunk.text.documents * frame.context_len + torch.arange(frame.context_len)
        wanted = torch.isin(places, torch.from_numpy(keys)) & chunk.text.mask
        if not bool(wanted.any()):
            continue
        found.append(places[wanted].numpy())
        tokens.append(chunk.text.tokens[wanted].numpy())
        for sites in site_sets:
            activations[sites].append(np.concatenate([_float32(chunk.activations[s][wanted]) for s in sites], axis=1))
        for name, rows in _codes(bench.subjects, chunk, wanted).items():
            codes[name].append(rows)
    if not found:
        raise UndefinedMetricError(
            f"{task.name}: every token to be probed is special or an attention sink, which SAEs do not see"
        )
    # Chunks come in the order of the contexts; examples go back into the task's own.
    met = np.concatenate(found)
    rank = np.argsort(met)
    is_met = np.isin(keys[by_key], met)
    order = np.empty(len(keys), dtype=np.int64)
    order[by_key[is_met]] = rank
    kept = np.isin(keys, met)
    rows = order[kept]
    return Gathered(
        task=task.kept(kept),
        codes={name: _rows(parts, rows) for name, parts in codes.items()},
        activations={sites: np.concatenate(parts)[rows] for sites, parts in activations.items()},
        sites={subject.name: subject.sites for subject in bench.subjects},
        words=one_hot(np.concatenate(tokens)[rows]),
        n_hidden=int((~kept).sum()),
    )


def _codes(subjects: Sequence[Subject], chunk: Chunk, wanted: Bool[Tensor, "C S"]) -> dict[str, sp.csr_matrix]:
    """Of each subject, for the tokens wanted; each SAE encodes once."""
    made: dict[str, Codes] = {}
    found: dict[str, sp.csr_matrix] = {}
    for subject in subjects:
        if subject.sae_name not in made:
            made[subject.sae_name] = _encoded(subject.placed, chunk, wanted)
        each = subject.placed.per_site(made[subject.sae_name].sparse(subject.part))
        found[subject.name] = sp.csr_matrix(sp.hstack([as_csr(code, dtype=np.float32) for code in each], format="csr"))
    return found


def _encoded(placed: Placed, chunk: Chunk, wanted: Bool[Tensor, "C S"]) -> Codes:
    if placed.sae.reads != "contexts":
        return placed.encode(chunk.activations, wanted)
    return placed.encode(chunk.activations, chunk.text.mask).select_rows(wanted[chunk.text.mask])


def _rows(parts: Sequence[sp.csr_matrix], rows: Ints) -> sp.csr_matrix:
    joined: Any = sp.vstack(parts, format="csr")
    return joined[rows]


def _float32(x: Tensor) -> NDArray[np.float32]:
    return x.float().cpu().numpy()


def rivals(gathered: Gathered) -> list[Rival]:
    """Every representation that is probed: the codes, then the baselines."""
    codes = [Rival(name, True, lambda _test, _seed, x=x: x) for name, x in gathered.codes.items()]
    several = len(gathered.activations) > 1
    made = [rival for sites in gathered.activations for rival in _of_activations(gathered, sites, several=several)]
    place = gathered.task.token.astype(np.float32)
    places = np.stack([place, np.log1p(place), place**2], axis=1)
    return [
        *codes,
        *made,
        Rival("token alone", False, lambda _test, _seed: gathered.words, is_selected=False),
        Rival("position alone", False, lambda _test, _seed: places, is_selected=False),
        Rival("most frequent class", False, lambda _test, _seed: places[:, :0], is_selected=False),
    ]


def one_hot(tokens: Ints) -> sp.csr_matrix:
    """[E, token ids that occur], 1 for the token of each example."""
    ids, column = np.unique(tokens, return_inverse=True)
    n = len(tokens)
    return sp.csr_matrix((np.ones(n, dtype=np.float32), (np.arange(n), column)), shape=(n, len(ids)))


def _of_activations(gathered: Gathered, sites: Sites, *, several: bool) -> list[Rival]:
    x = gathered.activations[sites]
    where = f" ({sites[0] if len(sites) == 1 else f'{len(sites)} sites'})" if several else ""
    beside = [codes for name, codes in gathered.codes.items() if gathered.sites[name] == sites]
    n_latents = max(cast(tuple[int, int], codes.shape)[1] for codes in beside)
    k = max(1, round(float(np.median([codes.nnz for codes in beside])) / len(x)))
    labels, n_classes = gathered.task.labels, len(gathered.task.classes)

    def differences(test: Side, _seed: int) -> Features:
        return np.asarray(x @ class_contrasts(x[~test], labels[~test], n_classes).T, dtype=np.float32)

    return [
        Rival(f"activations, all dimensions{where}", False, lambda _test, _seed: x, is_selected=False),
        Rival(f"PCA{where}", False, lambda test, _seed: principal_components(x, test), is_signed=True),
        Rival(f"difference in means{where}", False, differences, is_selected=False),
        Rival(f"random SAE{where}", False, lambda test, seed: random_codes(x, test, n_latents=n_latents, k=k, seed=seed)),
    ]


def principal_components(x: NDArray[np.float32], test: Side) -> NDArray[np.float32]:
    """[E, D]: coordinates in the principal directions of the training side, largest variance first."""
    mean = x[~test].mean(0, dtype=np.float64)
    centred = x - mean
    _, directions = np.linalg.eigh(np.cov(centred[~test].T))
    return np.asarray(centred @ directions[:, ::-1], dtype=np.float32)


@torch.no_grad()
def random_codes(x: NDArray[np.float32], test: Side, *, n_latents: int, k: int, seed: int) -> sp.csr_matrix:
    """Codes of an SAE that learned nothing: the k largest projections on random directions around the training side's mean."""
    config = Random.Config(n_latents=n_latents, d_in=x.shape[1], k=min(k, n_latents), seed=seed % 2**31)
    sae = Random(config)
    sae.start(torch.from_numpy(x[~test]))
    return sp.csr_matrix(as_csr(sae.encode(torch.from_numpy(x)).sparse(), dtype=np.float32))
