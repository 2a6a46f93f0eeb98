"""The dictionaries that a study compares: their latents, directions and codes, and which of them share a space.

Letters: T tokens, F latents, D width.
"""

from collections.abc import Mapping
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch

from monoseme.evaluation import CodeColumns, directions_of, writes_of
from monoseme.models import Site
from monoseme.models.site import WRITES_RESIDUAL
from monoseme.saes import SAE
from monoseme.studies._workbench import Subject
from monoseme.tensors.shapes import Float, Tensor

_JOIN = "+"
"""Between groups that a part takes together."""


@runtime_checkable
class _Grouped(Protocol):
    """An SAE whose latents lie in groups, or the config of one that says so."""

    @property
    def groups(self) -> dict[str, int]:
        """Name -> size, in the order of the latents."""
        ...


class Space(NamedTuple):
    """Where the decoder rows of a dictionary live."""

    sites: tuple[Site, ...]
    """The places written to."""
    width: int
    is_joined: bool
    """Whether a row has a piece for each site, side by side (a crosscoder), instead of being one vector for any of them."""

    def why_apart(self, other: "Space") -> str | None:
        """Why rows of the two cannot be compared; None where they can.

        Different places of the residual stream share a basis, and what writes to it does too: these are compared.
        """
        if self.is_joined or other.is_joined:
            return None if self == other else f"rows over {_told(self)} and rows over {_told(other)} are different vectors"
        if self.width != other.width:
            return f"rows of {_told(self)} have D={self.width}, rows of {_told(other)} have D={other.width}"
        if {site.model for site in self.sites} != {site.model for site in other.sites}:
            return f"{_told(self)} and {_told(other)} are of different models"
        if set(self.sites) & set(other.sites) or (_in_residual(self) and _in_residual(other)):
            return None
        return f"{_told(self)} and {_told(other)} have no basis in common"


class Dictionary(NamedTuple):
    """The latents of one subject."""

    subject: Subject
    kind: str
    """What it has in common with those of other seeds and widths: see `kind_of`."""
    space: Space
    numbers: np.ndarray
    """[F] their own numbers in the SAE."""
    directions: Float[Tensor, "F D"]
    """Of length 1, float64; zeros where a latent writes nothing."""
    codes: CodeColumns
    """[T, F]."""

    @property
    def name(self) -> str:
        """Of the subject."""
        return self.subject.name

    @property
    def density(self) -> np.ndarray:
        """[F] share of tokens on which each fires."""
        return self.codes.n_fired / max(1, self.codes.n_tokens)

    def firing(self) -> "Dictionary":
        """Those latents only that fire on the text, and not on every token alike: the others have no correlation."""
        return self.of(np.flatnonzero(self.codes.deviation > 0))

    def of(self, places: np.ndarray) -> "Dictionary":
        """The latents at those places, in that order."""
        rows = self.directions[torch.from_numpy(places)]
        return self._replace(numbers=self.numbers[places], directions=rows, codes=self.codes.of(places))


def why_refused(subject: Subject) -> str | None:
    """Why a subject cannot take part; None where it can."""
    if subject.word == "predicted":
        return "the predicted part is dense, so that every latent fires on every token: take all or novel"
    placed = subject.placed
    if subject.sae.codes_per_site and placed.inputs != placed.outputs:
        return "each layer has latents of its own that write to several layers: none has one direction"
    return None


def as_compared(subject: Subject) -> Subject:
    """With the part whose firing counts: of a temporal SAE the novel one, as the predicted one is dense."""
    is_whole = subject.part is None and "novel" in subject.sae.parts
    return subject._replace(part="novel") if is_whole else subject


def space_of(subject: Subject) -> Space:
    """Where its decoder rows live."""
    joined = subject.sae.reads == "layers" and not subject.sae.codes_per_site
    return Space(subject.placed.outputs, subject.sae.d_out, joined)


def dictionary_of(subject: Subject, codes: CodeColumns, *, kind: str) -> Dictionary:
    """The latents of its part; `codes` are of all latents of the SAE, `kind` is that of the whole."""
    space, n_sites = space_of(subject), len(subject.sites)
    if space.is_joined:
        directions = torch.nn.functional.normalize(writes_of(subject.sae, n_sites=n_sites).flatten(1), dim=1)
    else:
        directions = directions_of(subject.sae, n_sites=n_sites)
    kind = kind if subject.word == "all" else f"{kind} ({subject.word})"
    every = Dictionary(subject, kind, space, np.arange(subject.sae.n_latents), directions, codes)
    return every.of(latents_of(subject))


def latents_of(subject: Subject) -> np.ndarray:
    """The numbers of the latents that its part is about: those of its groups, else all."""
    groups = _groups_of(subject.sae)
    ends = np.cumsum([0, *groups.values()])
    ranges = {name: np.arange(start, stop) for name, start, stop in zip(groups, ends, ends[1:], strict=False)}
    named = [ranges[part] for part in (subject.part or "").split(_JOIN) if part in ranges]
    return np.concatenate(named) if named else np.arange(subject.sae.n_latents)


def _groups_of(sae: SAE) -> Mapping[str, int]:
    """Name -> size, in the order of the latents; none for an SAE without groups."""
    said = (held.groups for held in (sae, sae.config) if isinstance(held, _Grouped))
    return next((groups for groups in said if isinstance(groups, Mapping)), {})  # others mean something else by the word


def _told(space: Space) -> str:
    return ", ".join(map(str, space.sites))


def _in_residual(space: Space) -> bool:
    return all(site.kind in WRITES_RESIDUAL for site in space.sites)
