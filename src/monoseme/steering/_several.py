"""Code methods for SAEs that read or write at several sites: transcoders, MLSAE, crosscoders, CLTs.

What the SAE reads is noted at each of its inputs as a forward comes by. At an output it is encoded, changed and decoded, and that
output's part of the difference goes in. Inputs behind an output are given as zeros there: where each site has codes of its own
they have no part in it; an SAE with one code for all sites (a crosscoder) acts at its last site alone.

Letters: n sequences, S positions, B rows, L sites, D width.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from monoseme.core.errors import SiteError
from monoseme.models import Edit, EditContext, Site
from monoseme.splice import Placed, as_computed
from monoseme.steering._code_edit import Change, decoded
from monoseme.steering._conditions import Condition
from monoseme.steering._residual import acting, acting_sites
from monoseme.tensors.shapes import Float, Tensor


def several_edits(placed: Placed, change: Change, conditions: Condition, sites: Sequence[Site] | None) -> list[Edit]:
    """Notes at the inputs, edits at the outputs. Raises SiteError for an output before what its code is made of."""
    outputs = acting_sites(placed, sites)
    if not placed.sae.codes_per_site:
        last = max(placed.inputs)
        outputs = tuple(site for site in outputs if site >= last or sites is not None)
        if not outputs or outputs[0] < last:
            raise SiteError(
                f"{type(placed.sae).__name__} has one code for all its sites, which is known only at {last}.\n"
                "  Steer there, or take the method additive."
            )
    notes = _Notes(placed)
    looks = [_Look(site, notes) for site in dict.fromkeys(placed.inputs)]
    return [*looks, *(_SeveralEdit(site, notes, change, conditions) for site in outputs)]


@dataclass(frozen=True, eq=False)
class _Notes:
    """Whose inputs are noted; names their place in `EditContext.scratch`."""

    placed: Placed

    def of(self, context: EditContext) -> dict[Site, Tensor]:
        """What has been noted in this forward."""
        return context.scratch.setdefault(self, {})


@dataclass(frozen=True, eq=False)
class _Look:
    """An edit that changes nothing and notes what the SAE reads."""

    site: Site
    notes: _Notes

    def __call__(self, x: Float[Tensor, "n S D"], context: EditContext) -> Float[Tensor, "n S D"]:
        if x.shape[-1] != self.notes.placed.sae.d_in:
            raise SiteError(f"this SAE reads vectors of D={self.notes.placed.sae.d_in}, but {self.site} has D={x.shape[-1]}")
        self.notes.of(context)[self.site] = x
        return x


@dataclass(frozen=True, eq=False)
class _SeveralEdit:
    """The edit at one output."""

    site: Site
    notes: _Notes
    change: Change
    conditions: Condition

    def __call__(self, x: Float[Tensor, "n S D"], context: EditContext) -> Float[Tensor, "n S D"]:
        """The activations, changed where the conditions hold."""
        where = acting(self.conditions, x, context)
        if not bool(where.any()):
            return x
        placed = self.notes.placed
        given = self._given(where, context)
        codes = placed.sae.encode(given)
        number = placed.outputs.index(self.site)
        rows = as_computed(placed.sae, x[where])
        new = decoded(self.change, given, codes, rows, pick=number if placed.sae.reads == "layers" else None)
        return x.index_put((where,), new.to(x))

    def _given(self, where: Tensor, context: EditContext) -> Tensor:
        """[B, L, D] of all inputs, or [B, D] of the only one."""
        placed, noted = self.notes.placed, self.notes.of(context)
        rows = {site: as_computed(placed.sae, x[where.to(x.device)]) for site, x in noted.items()}
        zeros = torch.zeros_like(next(iter(rows.values())))
        each = [rows.get(site, zeros) for site in placed.inputs]
        return torch.stack(each, dim=-2) if placed.sae.reads == "layers" else each[0]
