"""A model with SAEs at one or several sites, run for what passes by them: inputs, codes, outputs, errors, and their gradients.

With the error term nothing is changed: the model goes on with its own activations, bit by bit, and the gradient that arrives
behind a splice reaches what lies before it as if no SAE were there. On the way it is read off at codes, reconstruction and error:

    x' = x + (decode(codes) - stop(decode(codes))) + (error - stop(error)),   codes and error leaves of the graph

so that dm/dcodes = dm/dx' W_dec^T, and dm/derror = dm/dx' = dm/dx. Codes of an earlier site therefore move a later site's input,
but not through the later SAE's encoder.

Source: Marks et al. 2024, arXiv:2403.19647, appendix A (the error node, gradients stopped at it); the pass-through gradient as
`apply_saes_and_run` of sae-spelling has it (Chanin et al. 2024, arXiv:2409.14507).
Letters: n sequences, S positions, B rows that the SAE sees, D model width, F latents, V vocabulary.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from monoseme.models.edit import Edit, EditContext
from monoseme.models.language_model import LanguageModel
from monoseme.models.site import Site
from monoseme.saes import Codes
from monoseme.splice._contract import SAELike, as_computed
from monoseme.splice._splice import SAEEdit
from monoseme.tensors.shapes import Bool, Float, Int, Tensor


class SiteTensors(NamedTuple):
    """What passed by one SAE. Where it does not act, codes and error are 0 and x_hat is x: x = x_hat + error everywhere."""

    mask: Bool[Tensor, "n S"]
    """Where it acts."""
    x: Float[Tensor, "n S D"]
    """What the model had."""
    codes: Float[Tensor, "n S F"]
    """In the type in which the SAE computes."""
    x_hat: Float[Tensor, "n S D"]
    """What these codes decode to, in the model's type."""
    error: Float[Tensor, "n S D"]
    """x - x_hat."""


class TrackedRun(NamedTuple):
    """One forward with SAEs at its sites."""

    logits: Float[Tensor, "n S V"]
    at: dict[Site, SiteTensors]
    captured: dict[Site, Tensor]
    """The tensors at the sites asked for, after what is done there."""


def run_with_saes(
    model: LanguageModel,
    tokens: Int[Tensor, "n S"],
    saes: Mapping[Site, SAELike],
    *,
    error_term: bool = True,
    grad: bool = False,
    mask: Bool[Tensor, "n S"] | None = None,
    real: Bool[Tensor, "n S"] | None = None,
    edits: Sequence[Edit] = (),
    capture: Sequence[Site] = (),
) -> TrackedRun:
    """A forward with each of `saes` at its site; `edits` come after the SAE of the same site.

    With the error term no logit changes. Without it the model goes on with the reconstructions, and gradients pass through
    encoders and decoders as they are; errors are then no part of the graph. With `grad`, a number m made of the logits can be
    differentiated: `torch.autograd.grad(m, [run.at[site].codes, run.at[site].error, run.at[site].x])`; m must depend on them.

    `mask` says where SAEs act (default: real tokens that are not special). Codes are dense, n x S x F values for each SAE: give
    fewer rows at once where that is too much. Raises SiteError for an SAE of several sites or another width, and what
    `LanguageModel.run` raises.
    """
    found: dict[Site, SiteTensors] = {}
    spliced = [
        _Tracked(site=site, splice=SAEEdit(sae=sae, site=site), error_term=error_term, leaves=grad, keep=found.__setitem__)
        for site, sae in saes.items()
    ]
    out = model.run(tokens, edits=[*spliced, *edits], mask=mask, real=real, capture=capture, grad=grad)
    return TrackedRun(out.logits, found, out.captured)


@dataclass(frozen=True, eq=False, kw_only=True)
class _Tracked:
    """The edit at one site."""

    site: Site
    splice: SAEEdit
    error_term: bool
    leaves: bool
    """Whether codes and error are to be leaves of the graph, with the error term."""
    keep: Callable[[Site, SiteTensors], None]

    def __call__(self, x: Float[Tensor, "n S D"], context: EditContext) -> Float[Tensor, "n S D"]:
        """x itself with the error term, else the reconstruction where the SAE acts."""
        sae, mask = self.splice.sae, self.splice.where(x, context)
        given = as_computed(sae, x)
        codes = self.splice.encode(given, mask.to(given.device), context)
        dense = _spread(codes.dense().to(x.device), mask)
        if self.error_term:
            dense = dense.detach().requires_grad_(self.leaves)
        x_hat = self._decoded(dense, codes, x, mask)
        error = (x - x_hat).detach()
        if not self.error_term:
            self.keep(self.site, SiteTensors(mask, x, dense, x_hat, error))
            return x_hat
        error.requires_grad_(self.leaves)
        self.keep(self.site, SiteTensors(mask, x, dense, x_hat, error))
        # Differences of equals are added, so that values stay and gradients flow.
        return x + (x_hat - x_hat.detach()) + (error - error.detach()) if self.leaves else x

    def _decoded(self, dense: Tensor, codes: Codes, x: Tensor, mask: Tensor) -> Tensor:
        """[n, S, D]: what the codes decode to, x itself where the SAE does not act."""
        at = codes.all.device
        rows = self.splice.sae.decode(codes.with_all(dense[mask].to(at)))
        return x.detach().index_put((mask,), rows.to(x)) if self.error_term else x.index_put((mask,), rows.to(x))


def _spread(rows: Float[Tensor, "B F"], mask: Bool[Tensor, "n S"]) -> Float[Tensor, "n S F"]:
    """Rows at the places that the mask marks, zeros elsewhere."""
    empty = torch.zeros(*mask.shape, rows.shape[-1], dtype=rows.dtype, device=rows.device)
    return empty.index_put((mask,), rows)
