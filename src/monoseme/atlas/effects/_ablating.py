"""Takes single latents out of the model at single tokens and compares the prediction of the next token.

At the token the model goes on with x - (decode(code) - decode(code without the latent)): the error term is kept, and so are all
other latents. What stands before the token is read once per context, whatever is ablated in it; only the token itself is run
again, behind the site where that is the residual stream.

Letters: n contexts, S positions, D width, L output sites, m runs, V vocabulary.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from monoseme.atlas.kept_codes import KeptCodes
from monoseme.atlas.roles import RoleFilter
from monoseme.atlas.scanning.feed import Target
from monoseme.atlas.text_store import TextStore
from monoseme.models import Edit, EditContext, FunctionEdit, LanguageModel, Site, replacement
from monoseme.models._prefix import Prefix
from monoseme.saes import Codes
from monoseme.splice import as_computed
from monoseme.tensors.sparse import SparseCodes

_SKIPPED = {"resid_pre": 0, "resid_post": 1}


class Runs(NamedTuple):
    """Single ablations, each array [m]."""

    row: NDArray[np.int64]
    """Of the kept tokens."""
    latent: NDArray[np.int64]
    value: NDArray[np.float32]
    """The latent's code there."""


class Change(NamedTuple):
    """What ablations did, for some runs by number."""

    runs: NDArray[np.int64]
    before: Tensor
    """[m, V] log-probabilities of the next token, float32 at least."""
    after: Tensor
    """[m, V] the same without the latent."""


class _Batch(NamedTuple):
    """Some contexts as the model reads them."""

    tokens: Tensor
    """[n, S], padded on the right."""
    real: Tensor
    """[n, S]"""
    mask: NDArray[np.bool_]
    """[n, S]: what reached the SAE."""


class AtOnce(NamedTuple):
    """What bounds the memory of the runs."""

    contexts: int
    """Contexts read at a time (count)."""
    runs: int
    """Ablations run at a time (count)."""


class Ablator:
    """Runs ablations of one (SAE, part) at one site with codes of its own, `number` in the order of `target.keys`."""

    def __init__(
        self,
        model: LanguageModel,
        target: Target,
        number: int,
        *,
        kept: KeptCodes,
        text: TextStore,
        only: RoleFilter,
        at_once: AtOnce,
    ) -> None:
        self._model, self._target, self._number = model, target, number
        self._placed = target.placed
        self._kept, self._text, self._only = kept, text, only
        self._at_once = at_once
        outputs = self._placed.outputs
        self._outputs = (outputs[number],) if target.sae.codes_per_site else outputs

    @torch.no_grad()
    def changes(self, runs: Runs) -> Iterator[Change]:
        """The change by each run, a few at a time, context by context. Raises what the model raises."""
        context = self._kept.context_of(runs.row)
        order = np.lexsort((runs.latent, runs.row))
        wanted = np.unique(context)
        for first in range(0, len(wanted), self._at_once.contexts):
            some = wanted[first : first + self._at_once.contexts]
            yield from self._of_contexts(order[np.isin(context[order], some)], runs)

    def _of_contexts(self, chosen: NDArray[np.int64], runs: Runs) -> Iterator[Change]:
        """The change by the `chosen` runs, which are in few contexts."""
        starts = self._context_starts
        offset = self._text.offsets_of(self._kept.document[runs.row[chosen]], self._kept.position[runs.row[chosen]])
        begin = starts[np.searchsorted(starts, offset, side="right") - 1]
        begins, of_run = np.unique(begin, return_inverse=True)
        row, at = torch.from_numpy(of_run), torch.from_numpy(offset - begin)
        batch = self._read(begins)
        sites = tuple(dict.fromkeys((*self._placed.inputs, *self._outputs)))
        prefix = self._model.prefix(batch.tokens, real=batch.real, capture=sites)
        # only an SAE that reads whole contexts needs more of them than what is ablated
        mask = batch.mask if self._target.sae.reads == "contexts" else np.zeros_like(batch.mask)
        mask[of_run, at.numpy()] = True
        codes = _Scales.of(self._placed.encode(prefix.captured, torch.from_numpy(mask)), mask)
        places, which = torch.unique(torch.stack([row, at], dim=1), dim=0, return_inverse=True)
        # the runs come token by token: a part of them needs few of the unchanged predictions
        for part in torch.arange(len(chosen)).split(self._at_once.runs):
            needed, place = torch.unique(which[part], return_inverse=True)
            before = self._log_p(prefix, batch, places[needed], None)
            latent, value = (torch.from_numpy(each[chosen[part.numpy()]]) for each in (runs.latent, runs.value))
            deltas = self._deltas(codes.at(row[part], at[part]), latent, value)
            after = self._log_p(prefix, batch, places[which[part]], deltas)
            yield Change(chosen[part.numpy()], before[place.to(before.device)], after)

    @property
    def _context_starts(self) -> NDArray[np.int64]:
        starts = self._text.context_starts
        assert starts is not None  # whoever makes an Ablator has checked it
        return starts

    def _read(self, begins: NDArray[np.int64]) -> _Batch:
        """The contexts that begin at these places of the text store."""
        starts = self._context_starts
        ends = np.append(starts, self._text.n_tokens)[np.searchsorted(starts, begins) + 1]
        shape = (len(begins), int((ends - begins).max()))
        tokens, real, mask = np.zeros(shape, np.int64), np.zeros(shape, np.bool_), np.zeros(shape, np.bool_)
        for i, (begin, end) in enumerate(zip(begins.tolist(), ends.tolist(), strict=True)):
            at, reached = slice(begin, end), np.asarray(self._text.mask[begin:end])
            roles = None if self._text.roles is None else self._text.roles[at]
            turns = None if self._text.turns is None else self._text.turns[at]
            tokens[i, : end - begin], real[i, : end - begin] = self._text.tokens[at], True
            mask[i, : end - begin] = reached & self._only.passed(roles, turns, like=reached)
        return _Batch(torch.from_numpy(tokens), torch.from_numpy(real), mask)

    def _deltas(self, scales: "_Scales", latents: Tensor, values: Tensor) -> dict[Site, Tensor]:
        """What leaves the activations at each output site with the latents, [m, D]: decode(latent alone) - decode(nothing)."""
        sae, m = self._target.sae, len(latents)
        lead = (m, len(self._placed.inputs)) if sae.codes_per_site else (m,)
        value = torch.zeros(*lead, 1)
        (value[:, self._number] if sae.codes_per_site else value)[:] = values[:, None]
        value = as_computed(sae, value)
        which = latents.to(value.device).reshape(m, *(1 for _ in lead)).expand(*lead, 1)
        alone = SparseCodes.from_topk(which, value, sae.n_latents)
        nothing = alone.with_values(torch.zeros_like(alone.values))
        with_it, without = (sae.decode(Codes({"all": code}, scales.offset, scales.scale)) for code in (alone, nothing))
        lost = with_it - without
        if sae.codes_per_site:
            return {self._outputs[0]: lost[:, self._number]}
        return dict(zip(self._outputs, lost.unbind(-2) if sae.reads == "layers" else (lost,), strict=True))

    def _log_p(self, prefix: Prefix, batch: _Batch, places: Tensor, lost: Mapping[Site, Tensor] | None) -> Tensor:
        """[m, V] log-probabilities after the tokens at `places` [m, 2] (context of the batch, position)."""
        row, at = places.unbind(1)
        site = self._outputs[0]
        if len(self._outputs) == 1 and site.kind in _SKIPPED:
            x = prefix.captured[site][row.to(prefix.captured[site].device), at.to(prefix.captured[site].device)]
            x = x if lost is None else x - lost[site].to(x)
            edits: Sequence[Edit] = [replacement(site, x[:, None])]
            skipped = site.layer + _SKIPPED[site.kind]
        else:
            edits, skipped = [] if lost is None else [_without(at_site, rows) for at_site, rows in lost.items()], 0
        tokens = batch.tokens[row, at][:, None]
        logits = prefix.run(tokens, rows=row, n_seen=at, edits=edits, skip_blocks=skipped).logits
        return torch.log_softmax(logits.to(torch.promote_types(logits.dtype, torch.float32)), dim=-1)


def _without(site: Site, rows: Tensor) -> FunctionEdit:
    """Takes a vector [m, D] away from the one token of each run."""

    def change(x: Tensor, _context: EditContext) -> Tensor:
        return x - rows[:, None].to(x)

    return FunctionEdit(site, change)


class _Scales(NamedTuple):
    """What brings decoded vectors back to raw activations, for SAEs that standardise each vector."""

    offset: Tensor | None
    """[T, 1], or [T, L, 1]"""
    scale: Tensor | None
    number: Tensor
    """int64 [n, S]: which of the T rows a place is."""

    @classmethod
    def of(cls, codes: Codes, mask: NDArray[np.bool_]) -> "_Scales":
        """Of the codes of the rows where the mask is True."""
        number = np.cumsum(mask.reshape(-1)).reshape(mask.shape) - 1
        return cls(codes.offset, codes.scale, torch.from_numpy(number))

    def at(self, row: Tensor, at: Tensor) -> "_Scales":
        """Those of m places."""
        number = self.number[row, at]
        offset, scale = (None if each is None else each[number.to(each.device)] for each in (self.offset, self.scale))
        return _Scales(offset, scale, number)
