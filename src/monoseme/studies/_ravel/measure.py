"""How well one attribute is carried over and the others kept, by every SAE and by what it is held against.

Letters: F latents, D width, W weightings of the entities.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from monoseme.core.seeds import derive_seed, generator
from monoseme.evaluation import DocumentWeights
from monoseme.evaluation._latent_effects import Floats
from monoseme.studies._ravel.patching import MaskSchedule, Patcher
from monoseme.studies._ravel.swaps import Swap
from monoseme.tensors.shapes import Float, Tensor

NOTHING, WHOLE = "nothing carried over", "whole vector"


class Testing(NamedTuple):
    """How answers are tested."""

    max_new_tokens: int
    batch_size: int
    n_replicates: int
    seed: int


class Scored(NamedTuple):
    """What was carried over of one attribute by one subject."""

    subject: str
    attribute: str
    is_control: bool
    n_carried: int | None
    """Latents in the mask; None for whole vectors."""
    cause: Floats
    """[W]: share of the swaps of the attribute after which the model says the source's answer."""
    isolation: Floats
    """[W]: share of the swaps of other attributes after which it still says the base's."""
    as_saebench: tuple[float, float] | None
    """Cause and isolation by the mask trained and tested without the error term."""
    n_swaps: tuple[int, int]
    """Tested, of either kind."""

    @property
    def disentanglement(self) -> Floats:
        """[W]: the mean of both."""
        return (self.cause + self.isolation) / 2


def masks_of(patcher: Patcher, swaps: Sequence[Swap], schedule: MaskSchedule) -> dict[str, Float[Tensor, " F"]]:
    """The mask's logits with the error term (ours) and without (saebench)."""
    return {name: patcher.train(swaps, schedule, error_term=name == "ours") for name in ("ours", "saebench")}


def of_sae(
    patcher: Patcher, masks: dict[str, Float[Tensor, " F"]], attribute: str, swaps: Sequence[Swap], how: Testing
) -> list[Scored]:
    """The SAE with its mask, and with as many random latents."""
    carried = masks["ours"] > 0
    draw = torch.randperm(len(carried), generator=generator(how.seed, "random latents", attribute))
    some = torch.zeros_like(carried)
    some[draw[: int(carried.sum())]] = True
    name = patcher.subject.name
    theirs = _answers(patcher, masks["saebench"] > 0, swaps, how, error_term=False)
    pair = _shares(swaps, theirs, how)
    made = _scored(name, attribute, _answers(patcher, carried, swaps, how, error_term=True), swaps, how)
    control = _scored(f"{name}, random latents", attribute, _answers(patcher, some, swaps, how, error_term=True), swaps, how)
    n = int(carried.sum())
    return [
        made._replace(n_carried=n, is_control=False, as_saebench=(float(pair[0][0]), float(pair[1][0]))),
        control._replace(n_carried=n),
    ]


def of_vectors(patcher: Patcher, attribute: str, swaps: Sequence[Swap], how: Testing) -> list[Scored]:
    """Without an SAE: nothing is carried over, then all that is at the entity."""
    for_base = torch.stack([patcher.at(swap.base).x for swap in swaps])
    for_source = torch.stack([patcher.at(swap.source).x for swap in swaps])
    return [
        _scored(name, attribute, _said(patcher, swaps, vectors, how), swaps, how)
        for name, vectors in ((NOTHING, for_base), (WHOLE, for_source))
    ]


def _answers(patcher: Patcher, carried: Tensor, swaps: Sequence[Swap], how: Testing, *, error_term: bool) -> list[bool]:
    moved = (carried.float() * patcher.differences(swaps)) @ patcher.writes
    return _said(patcher, swaps, patcher.anchors(swaps, error_term=error_term) + moved, how)


def _said(patcher: Patcher, swaps: Sequence[Swap], vectors: Float[Tensor, "n D"], how: Testing) -> list[bool]:
    return patcher.answers(swaps, vectors, max_new_tokens=how.max_new_tokens, batch_size=how.batch_size)


def _scored(subject: str, attribute: str, right: Sequence[bool], swaps: Sequence[Swap], how: Testing) -> Scored:
    cause, isolation = _shares(swaps, right, how)
    n_cause = sum(swap.is_cause for swap in swaps)
    return Scored(subject, attribute, True, None, cause, isolation, None, (n_cause, len(swaps) - n_cause))


def _shares(swaps: Sequence[Swap], right: Sequence[bool], how: Testing) -> tuple[Floats, Floats]:
    """Shares [W] of the swaps of either kind that are right; entities of the base are what is drawn."""
    names = sorted({swap.base.question.entity for swap in swaps})
    drawn = DocumentWeights(n_replicates=how.n_replicates, seed=derive_seed(how.seed, "entities")).of(list(range(len(names))))
    weights = drawn.numpy()[[names.index(swap.base.question.entity) for swap in swaps]]
    found: list[Floats] = []
    for kind in (True, False):
        there = weights * np.array([swap.is_cause is kind for swap in swaps])[:, None]
        total = there.sum(0)
        with np.errstate(invalid="ignore", divide="ignore"):
            found.append(np.array(right, dtype=np.float64) @ there / np.where(total > 0, total, np.nan))
    return found[0], found[1]
