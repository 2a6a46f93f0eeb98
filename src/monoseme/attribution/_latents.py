"""Codes at the positions asked about, and gradients carried from a reconstruction to the latents it is made of.

A decoder is linear in its codes, so the gradient at a reconstruction says all about them: at the latents that fire it is
carried back through the sparse decoder, without ever making what does not fire.

Letters: r rows, s columns, T positions asked about (row by row), D model width, F latents.
"""

from collections.abc import Mapping
from dataclasses import replace

import torch

from monoseme.attribution._suffixes import Suffix
from monoseme.core.errors import SiteError
from monoseme.models import Site
from monoseme.saes import Codes
from monoseme.splice import Placed, SAELike
from monoseme.tensors.shapes import Bool, Float, Int, Tensor
from monoseme.tensors.sparse import SparseCodes

SAEs = Mapping[Site, SAELike | Placed]
"""Site -> the SAE whose reconstruction stands there. A transcoder comes `Placed`, under the site that it writes."""


def placed_at(saes: SAEs) -> dict[Site, Placed]:
    """Each SAE in its places. Raises SiteError for one of several sites, or under another site than it writes."""
    placed = {site: sae if isinstance(sae, Placed) else Placed(sae, (site,)) for site, sae in saes.items() if _of_one(sae, site)}
    for site, each in placed.items():
        if len(each.inputs) != 1 or each.outputs != (site,):
            read, written = (", ".join(map(str, sites)) for sites in (each.inputs, each.outputs))
            raise SiteError(
                f"{type(each.sae).__name__} reads {read} and writes {written}, but was given for {site}.\n"
                "  Attribution takes SAEs that read one site and write one, each under the site that it writes."
            )
    return placed


def _of_one(sae: SAELike | Placed, site: Site) -> bool:
    inner = sae.sae if isinstance(sae, Placed) else sae
    if inner.reads == "layers" or (inner.learns_from == "layers" and not isinstance(sae, Placed)):
        raise SiteError(
            f"{type(inner).__name__} has several sites; attribution at {site} sees only that one.\n"
            "  Give an SAE of one site, or a transcoder as monoseme.splice.Placed(sae, sites)."
        )
    return True


def codes_of(placed: Placed, piece: Suffix, asked: Bool[Tensor, "r s"]) -> Codes:
    """Codes [T, F] where `asked` is True; an SAE that reads contexts sees the whole row, special tokens left out."""
    (site,) = placed.inputs
    if placed.sae.reads != "contexts":
        return placed.encode({site: piece.x[site]}, asked)
    tokens, real = (torch.cat(pair, dim=1) for pair in zip(piece.before, (piece.tokens, piece.real), strict=True))
    there = torch.cat([torch.zeros_like(piece.before.real), asked], dim=1)
    seen = piece.model.editable(tokens, real) | there
    x = piece.x[site] if not piece.prefix.captured else torch.cat([piece.prefix.captured[site], piece.x[site]], dim=1)
    codes = placed.encode({site: x}, seen)
    return codes.select_rows(there[seen].to(codes.all.device))


def rows_of(codes: Codes, index: Int[Tensor, " T"]) -> Codes:
    """Rows of codes [B, F] by number, which may repeat."""
    index = index.to(codes.all.device)
    parts = {n: p.select_rows(index) if isinstance(p, SparseCodes) else p[index] for n, p in codes.parts.items()}
    offset, scale, base = (None if t is None else t[index] for t in (codes.offset, codes.scale, codes.base))
    return replace(codes, parts=parts, offset=offset, scale=scale, base=base)


def gradients_where_they_fire(sae: SAELike, codes: Codes, at_x_hat: Float[Tensor, "T D"]) -> SparseCodes:
    """dm/dcodes at the codes' own entries, from dm/dx_hat."""
    code = codes.sparse().detach()
    if not code.nnz:
        return code
    with torch.enable_grad():
        values = code.values.clone().requires_grad_()
        x_hat = sae.decode(codes.with_all(code.with_values(values)))
        (found,) = torch.autograd.grad(x_hat, values, grad_outputs=at_x_hat.to(x_hat))
    return code.with_values(found)


def gradients_of_all(sae: SAELike, codes: Codes, at_x_hat: Float[Tensor, "T D"]) -> Float[Tensor, "T F"]:
    """dm/dcodes of every latent, whether it fires or not; the plain way, and T x F numbers."""
    with torch.enable_grad():
        dense = codes.dense().detach().requires_grad_()
        x_hat = sae.decode(codes.with_all(dense))
        (found,) = torch.autograd.grad(x_hat, dense, grad_outputs=at_x_hat.to(x_hat))
    return found


def sum_of(a: SparseCodes, b: SparseCodes) -> SparseCodes:
    """a + b, an entry wherever one of them has one."""
    keys = torch.cat([each.rows() * each.n_latents + each.indices.long() for each in (a, b)])
    entries, which = keys.unique(return_inverse=True)
    both = torch.cat([a.values, b.values])
    values = torch.zeros(len(entries), dtype=both.dtype, device=a.device).index_add_(0, which, both)
    rows, latents = entries // a.n_latents, entries % a.n_latents
    return SparseCodes.from_rows(rows, latents, values, n_rows=a.n_rows, n_latents=a.n_latents)


def row_sums(code: SparseCodes) -> Float[Tensor, " T"]:
    """The sum of each row's entries, in float64."""
    sums = torch.zeros(code.n_rows, dtype=torch.float64, device=code.device)
    return sums.index_add_(0, code.rows(), code.values.double())
