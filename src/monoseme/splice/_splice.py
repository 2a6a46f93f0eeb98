"""An SAE inside a model: its reconstruction in place of the activations, or its changes on top of them.

Letters: n sequences, S positions, B rows that the SAE sees, D model width.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from monoseme.core.errors import SiteError
from monoseme.models.edit import EditContext
from monoseme.models.site import Site
from monoseme.saes import Codes
from monoseme.splice._contract import SAELike, as_computed
from monoseme.splice._sequences import codes_of
from monoseme.tensors.shapes import Bool, Float, Tensor

Change = Callable[[Codes, EditContext], Codes]
"""What is done to the codes of the rows [B] where the mask is True, in row-major order."""


class Spliced(NamedTuple):
    """The tensors of one splice in one forward."""

    mask: Bool[Tensor, "n S"]
    """Where the SAE acted; the rows below are these positions, row by row."""
    x: Float[Tensor, "B D"]
    """What the model had."""
    codes: Codes
    """After `part`, before `change`."""
    x_hat: Float[Tensor, "B D"]
    """What these codes decode to."""
    x_new: Float[Tensor, "B D"]
    """What the model goes on with."""


@dataclass(frozen=True, eq=False, kw_only=True)
class SAEEdit:
    """The edit that `splice` makes; its fields are `splice`'s arguments."""

    sae: SAELike
    site: Site
    error_term: bool = False
    mask: Bool[Tensor, "n S"] | None = None
    part: str | None = None
    change: Change | None = None
    observe: Callable[[Spliced], None] | None = None

    def __post_init__(self) -> None:
        """Raises SiteError for an SAE of several sites."""
        if self.sae.learns_from == "layers" or self.sae.reads == "layers":
            raise SiteError(
                f"{type(self.sae).__name__} has several sites; a splice at {self.site} sees and changes only that one.\n"
                "  monoseme.splice.Placed(sae, sites).read(activations, mask) gives what it puts back at each of them."
            )

    def __call__(self, x: Float[Tensor, "n S D"], context: EditContext) -> Float[Tensor, "n S D"]:
        """The activations with the SAE's rows in place. Raises SiteError when widths or mask do not fit, and for the tokens
        that a generation adds where the SAE reads whole contexts and cannot go on.
        """
        mask = self.where(x, context)
        if not bool(mask.any()) and self.sae.reads == "tokens":
            return x
        given = as_computed(self.sae, x)
        read = mask.to(given.device)
        raw, codes = given[read], self.encode(given, read, context)
        if self.part is not None:
            codes = codes.with_all(codes.part(self.part))
        x_hat = self.sae.decode(codes)
        changed = x_hat if self.change is None else self.sae.decode(self.change(codes, context))
        # The error is held constant: gradients flow through the SAE alone. Adding a difference, not the error, to what
        # was there leaves every bit as it was while nothing is changed.
        new = raw.detach() + (changed - x_hat.detach()) if self.error_term else changed
        if self.observe is not None:
            self.observe(Spliced(mask, raw, codes, x_hat, new))
        return x.index_put((mask,), new.to(x))

    def encode(self, x: Float[Tensor, "n S D"], mask: Bool[Tensor, "n S"], context: EditContext) -> Codes:
        """Codes [B, F] of the rows that the mask marks.

        Raises SiteError for the tokens that a generation adds where the SAE reads whole contexts and cannot go on.
        """
        return codes_of(self.sae, x, mask, context, key=self)

    def where(self, x: Float[Tensor, "n S D"], context: EditContext) -> Bool[Tensor, "n S"]:
        """Where it acts in this forward. Raises SiteError when widths or mask do not fit."""
        if x.shape[-1] != self.sae.d_in:
            raise SiteError(
                f"this SAE reads vectors of D={self.sae.d_in}, but {self.site} of this model has D={x.shape[-1]}. "
                "Splice it into the model and at the site that it was trained on."
            )
        mask = context.mask if self.mask is None else self.mask
        if mask.shape != x.shape[:2]:
            raise SiteError(f"the splice at {self.site} has a mask of {tuple(mask.shape)} for contexts of {tuple(x.shape[:2])}")
        return mask.to(x.device)


def splice(
    sae: SAELike,
    site: Site,
    *,
    error_term: bool = False,
    mask: Bool[Tensor, "n S"] | None = None,
    part: str | None = None,
    change: Change | None = None,
    observe: Callable[[Spliced], None] | None = None,
) -> SAEEdit:
    """An edit that puts `sae` into a model at `site`, differentiable throughout.

    Without the error term the model goes on with decode(codes); with it, with x + decode(changed codes) - decode(codes), so
    that no logit moves until `change` changes something. `mask` says where it acts (default: the forward's mask); elsewhere
    the model keeps its own activations. `part` keeps only that part of the codes: the reconstruction is made from it alone,
    and `change` sees it alone. `observe` is handed the tensors of each forward.
    """
    return SAEEdit(sae=sae, site=site, error_term=error_term, mask=mask, part=part, change=change, observe=observe)
