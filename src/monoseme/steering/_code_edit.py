"""What a change of codes does to activations, and the edit that does it at one site.

Letters: n sequences, S positions, B rows, L sites, D width.
"""

from dataclasses import dataclass
from typing import Protocol

from monoseme.models import EditContext, Site
from monoseme.saes import Codes
from monoseme.splice import SAEEdit, SAELike, as_computed
from monoseme.steering._conditions import Condition
from monoseme.steering._residual import acting
from monoseme.tensors.shapes import Float, Tensor


class Change(Protocol):
    """A change of an SAE's codes, with what becomes of the rest."""

    @property
    def sae(self) -> SAELike:
        """Whose codes."""
        ...

    @property
    def error_term(self) -> bool:
        """Whether what the SAE does not reconstruct is kept."""
        ...

    def __call__(self, x: Float[Tensor, "*lead D"], codes: Codes) -> Codes:
        """The codes of x, changed; the same object where nothing changes."""
        ...


def decoded(
    change: Change, given: Float[Tensor, "B *L D"], codes: Codes, x: Float[Tensor, "B D"], *, pick: int | None = None
) -> Float[Tensor, "B D"]:
    """What x becomes where the SAE made `codes` of what it was `given`; `pick` is the number of x's site in what it decodes."""
    changed = change(given, codes)
    if change.error_term and changed is codes:
        return x
    new = _at(change.sae.decode(changed), pick)
    # Adding a difference, not the error, leaves every bit as it was where nothing is changed.
    return x + (new - _at(change.sae.decode(codes), pick)) if change.error_term else new


def _at(x_hat: Tensor, pick: int | None) -> Tensor:
    return x_hat if pick is None else x_hat[..., pick, :]


@dataclass(frozen=True, eq=False)
class CodeEdit:
    """The edit at the one site of an SAE."""

    site: Site
    splice: SAEEdit
    change: Change
    conditions: Condition

    def __call__(self, x: Float[Tensor, "n S D"], context: EditContext) -> Float[Tensor, "n S D"]:
        """The activations, changed where the conditions hold. Raises SiteError when widths do not fit."""
        seen = self.splice.where(x, context)
        where = acting(self.conditions, x, context)
        if self.splice.sae.reads == "tokens":
            seen = where
            if not bool(where.any()):
                return x
        given = as_computed(self.splice.sae, x)
        codes = self.splice.encode(given, seen.to(given.device), context)
        if not bool(where.any()):
            return x
        if seen is not where:
            codes = codes.select_rows(where[seen].to(given.device))
        rows = given[where.to(given.device)]
        return x.index_put((where,), decoded(self.change, rows, codes, rows).to(x))
