"""Gradient times activation: what the metric would lose, to first order, if a latent did not fire.

    score_j = f_j dm/df_j

with f_j the code of latent j in the clean run and m the metric. One forward and one backward give all latents at all positions
and sites. It is right where the metric is linear in the latent; integrated gradients and ablation are for where it is not.

The gradient goes on as if no SAE were there (`splice.run_with_saes`), so scores of one site do not count what another's explain.
Source: Simonyan et al. 2013, arXiv:1312.6034, and for latents Marks et al. 2024, arXiv:2403.19647, section 3.1 (there with the
sign of an ablation).
Letters: n prompts, S positions, r rows, s columns, T positions asked about, D model width, F latents.
"""

from collections.abc import Mapping

import torch

from monoseme.attribution._latents import SAEs, codes_of, gradients_where_they_fire, placed_at
from monoseme.attribution._scores import Attribution, Part, before_answers, places_of, together
from monoseme.attribution._suffixes import DEFAULT_BATCHING, Batching, Suffix, suffixes
from monoseme.attribution.metrics import Readout
from monoseme.models import EditContext, FunctionEdit, LanguageModel, Site
from monoseme.splice import Placed, run_with_saes
from monoseme.tensors.shapes import Bool, Float, Tensor


def gradient_times_activation(
    model: LanguageModel,
    readout: Readout,
    saes: SAEs,
    *,
    at: Bool[Tensor, "n S"] | None = None,
    batching: Batching = DEFAULT_BATCHING,
) -> dict[Site, Attribution]:
    """The score of each firing latent where `at` is True (default: tokens that are not special); positive where it speaks for
    the metric. The error's score is its own product with the gradient.

    Raises SiteError for an SAE of several sites, ConfigError for a mask that does not fit.
    """
    placed = placed_at(saes)
    at = before_answers(model, readout, at)
    captured = tuple(dict.fromkeys(site for each in placed.values() for site in (*each.inputs, *each.outputs)))
    n_latents = max(each.sae.n_latents for each in placed.values())
    places, parts = list[Tensor](), {site: list[Part]() for site in placed}
    for piece in suffixes(model, readout, captured, at=at, batching=batching, n_latents=n_latents):
        asked = piece.marked(at)
        places.append(places_of(piece, asked))
        for site, gradient in _gradients(piece, tuple(placed)).items():
            parts[site].append(_scored(placed[site], piece, asked, gradient[asked]))
    return {site: together(each, torch.cat(places)) for site, each in parts.items()}


def _gradients(piece: Suffix, sites: tuple[Site, ...]) -> Mapping[Site, Float[Tensor, "r s D"]]:
    """dm/dx at each of the sites."""
    found: dict[Site, Tensor] = {}
    for rows in torch.arange(len(piece.rows), device=piece.rows.device).split(piece.runs_at_once):
        leaves = {site: torch.zeros_like(piece.x[site][rows]).requires_grad_() for site in sites}
        with torch.enable_grad():
            total = piece.metric(rows, [_added(site, leaf) for site, leaf in leaves.items()]).sum()
        for site, gradient in zip(sites, torch.autograd.grad(total, list(leaves.values())), strict=True):
            found[site] = torch.cat([found[site], gradient]) if site in found else gradient
    return found


def _added(site: Site, leaf: Float[Tensor, "m s D"]) -> FunctionEdit:
    def add(x: Tensor, _context: EditContext) -> Tensor:
        return x + leaf.to(x)

    return FunctionEdit(site, add)


@torch.no_grad()
def _scored(placed: Placed, piece: Suffix, asked: Bool[Tensor, "r s"], gradient: Float[Tensor, "T D"]) -> Part:
    (site,) = placed.outputs
    codes = codes_of(placed, piece, asked)
    slopes, code = gradients_where_they_fire(placed.sae, codes, gradient), codes.sparse()
    scores = code.with_values(code.values * slopes.values)
    error = piece.x[site][asked] - placed.sae.decode(codes).to(piece.x[site])
    return Part(scores.detach(), (gradient * error).sum(-1), code.detach(), gradient)


def plain_gradient_times_activation(
    model: LanguageModel, readout: Readout, saes: SAEs, *, at: Bool[Tensor, "n S"]
) -> dict[Site, Float[Tensor, "n S F"]]:
    """The same the plain way, to check against: whole rows, every latent a leaf of the graph, n x S x F numbers.

    SAEs of one site only, without special tokens in `at`.
    """
    inner = {site: each.sae for site, each in placed_at(saes).items()}
    run = run_with_saes(model, readout.tokens, inner, grad=True, mask=at, real=readout.real)
    logits = run.logits[torch.arange(len(readout)), readout.answer_from]
    gradients = torch.autograd.grad(readout.metric(logits).sum(), [run.at[site].codes for site in saes])
    return {site: (run.at[site].codes * gradient).detach() for site, gradient in zip(saes, gradients, strict=True)}
