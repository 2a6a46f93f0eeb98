"""The dictionaries of the study: the SAEs, and beside them controls of the same size that learned nothing of the letters.

Letters: N words, D width, F latents.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
import torch

from monoseme.core.seeds import derive_seed
from monoseme.evaluation import writes_of
from monoseme.evaluation._csr import Csr, as_csr
from monoseme.models import Site
from monoseme.saes import SAE
from monoseme.studies._absorption.letters import Dictionary
from monoseme.studies._architecture import architecture_of
from monoseme.studies._controls import components, random_dictionary
from monoseme.studies._first_letter.bench import FirstLetterBench
from monoseme.studies._first_letter.latent_probes import Labelled, probe_latents, read_probes, write_probes
from monoseme.studies._workbench import Subject
from monoseme.tensors.shapes import Float, Tensor

ALIKE = 1.5
"""Ratio up to which two numbers of active latents count as the same."""


class Size(NamedTuple):
    """What a control has in common with SAEs."""

    site: Site
    width: int
    k: int


class Entry(NamedTuple):
    """A dictionary before its codes are read."""

    name: str
    architecture: str
    """What it was trained as."""
    is_control: bool
    sae: SAE
    site: Site
    subject: Subject | None
    """None for a control."""
    width: int
    """Latents (count)."""
    l0: float
    """Latents on at a word, mean over the words."""


def entries_of(bench: FirstLetterBench, *, controls: bool, seed: int) -> list[Entry]:
    """The subjects, and with `controls` a random dictionary and a PCA for each site, width and L0 there is among whole SAEs."""
    kinds = {each.named.name: architecture_of(each) for each in bench.bench.found}
    found = [
        Entry(s.name, kinds[s.sae_name], False, s.sae, s.sites[0], s, s.sae.n_latents, _l0(bench.codes(s)))
        for s in bench.subjects
    ]
    if not controls:
        return found
    several = len(bench.sites) > 1
    made = (control for size in sizes_of(found) for control in _controls(bench, size, several=several, seed=seed))
    by_name = {control.name: control for control in made}  # a PCA has no more components than dimensions, whatever the width
    return [*found, *by_name.values()]


def sizes_of(found: Sequence[Entry]) -> list[Size]:
    """Of the whole SAEs, fewest active latents first; a size stands for those of a little more active latents too."""
    sizes: list[Size] = []
    for entry in sorted((e for e in found if e.subject is None or e.subject.part is None), key=lambda e: e.l0):
        size = Size(entry.site, entry.width, max(1, round(entry.l0)))
        if not any(size[:2] == held[:2] and size.k <= ALIKE * held.k for held in sizes):
            sizes.append(size)
    return sizes


def dictionary_of(bench: FirstLetterBench, entry: Entry, work: Path) -> Dictionary:
    """Its codes of the words and its sparse probes, which are kept under `work`."""
    writes = writes_of(entry.sae, n_sites=1)
    if entry.subject is not None:
        probes = bench.latent_probes(entry.subject)
        return Dictionary(entry.name, entry.site, bench.codes(entry.subject), writes, probes)
    codes = _codes(entry.sae, bench.activations(entry.site))
    if not work.is_file():
        data = Labelled(codes, bench.truth, bench.classes, bench.split)
        write_probes(work, probe_latents(data, bench.config, probe=bench.probe(entry.site), directions=_unit(writes)))
    return Dictionary(entry.name, entry.site, codes, writes, read_probes(work))


def _controls(bench: FirstLetterBench, size: Size, *, several: bool, seed: int) -> Iterator[Entry]:
    site, width, k = size
    x = bench.activations(site)
    learned_from = x[torch.from_numpy(bench.split.train)]
    drawn = derive_seed(seed, "control", str(site), width, k)
    made = (
        ("random", random_dictionary(learned_from, n_latents=width, k=k, seed=drawn)),
        ("PCA", components(learned_from, n_latents=width, k=k)),
    )
    where = f" at {site}" if several else ""
    for kind, of in made:
        yield Entry(f"{kind} of {of.n_latents}, {k} on{where}", kind, True, of, site, None, of.n_latents, _l0(_codes(of, x)))


@torch.no_grad()
def _codes(sae: SAE, x: Float[Tensor, "N D"]) -> sp.csr_array:
    return as_csr(sae.encode(x).sparse(), dtype=np.float32)


def _l0(codes: Csr) -> float:
    n_words: int = codes.shape[0]
    return float(codes.count_nonzero()) / max(n_words, 1)


def _unit(writes: Float[Tensor, "F D"]) -> np.ndarray:
    return torch.nn.functional.normalize(writes, dim=1).numpy()
