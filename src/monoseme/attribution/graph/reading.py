"""What SAEs make of one prompt: the latents that fire, what each reads and writes, and the error at each position.

Letters: S positions, T positions at which an SAE acts, n firings, D model width.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch

from monoseme.core.errors import SiteError
from monoseme.models import LanguageModel, Site
from monoseme.saes import SAE
from monoseme.splice import Placed, as_computed, written_by
from monoseme.tensors.shapes import Bool, Float, Int, Tensor

_ROWS_AT_ONCE = 256
"""Rows encoded at once for what latents read; dense pre-activations of as many are held."""


class GraphSae(NamedTuple):
    """An SAE or transcoder in its place, as a graph sees it."""

    name: str
    sae: SAE
    reads: Site
    """Its latents are targets of edges here."""
    writes: Site
    """Its latents and errors are sources of edges from here; the model's own path ends here."""


class Firings(NamedTuple):
    """What one SAE makes of a prompt."""

    position: Int[Tensor, " n"]
    latent: Int[Tensor, " n"]
    code: Float[Tensor, " n"]
    read: Float[Tensor, "n D"]
    """Gradient of each code to the activation that its SAE reads: the latent's column of the encoder."""
    written: Float[Tensor, "n D"]
    """code times its row of the decoder, in raw activations."""
    error: Float[Tensor, "S D"]
    """Activation minus reconstruction; zeros where the SAE does not act."""


def graph_sae(name: str, placed: Placed) -> GraphSae:
    """Raises SiteError for an SAE that reads whole contexts or has several inputs or outputs."""
    sae = placed.sae
    if not isinstance(sae, SAE) or sae.reads != "tokens" or len(placed.inputs) != 1 or len(placed.outputs) != 1:
        raise SiteError(
            f"{name} cannot be in an attribution graph: it reads {sae.reads} at {', '.join(map(str, placed.inputs))} and writes "
            f"{', '.join(map(str, placed.outputs))}.\n  A graph takes SAEs and transcoders that read one token at one site and "
            "write at one site."
        )
    return GraphSae(name, sae, placed.inputs[0], placed.outputs[0])


def in_order(saes: Sequence[GraphSae]) -> tuple[GraphSae, ...]:
    """By depth. Raises SiteError where two of them write at one site: each would be the whole of it."""
    ordered = sorted(saes, key=lambda each: (each.writes, each.reads))
    for first, second in itertools.pairwise(ordered):
        if first.writes == second.writes:
            raise SiteError(
                f"{first.name} and {second.name} both stand for {first.writes}: a graph takes one SAE for each site.\n"
                "  Name one of them with --sae RUN/saes/NAME"
            )
    return tuple(ordered)


def read_prompt(model: LanguageModel, tokens: Int[Tensor, "one S"], saes: Sequence[GraphSae]) -> dict[str, Firings]:
    """What each SAE makes of the prompt, by name. SAEs act at tokens that are not special."""
    sites = tuple(dict.fromkeys(site for each in saes for site in (each.reads, each.writes)))
    captured = model.capture(tokens, sites)
    mask = model.editable(tokens)
    return {each.name: _read(each, captured, mask) for each in saes}


def _read(each: GraphSae, captured: Mapping[Site, Tensor], mask: Bool[Tensor, "one S"]) -> Firings:
    """Of one SAE."""
    y = captured[each.writes][0]
    acts = mask[0].to(y.device)
    rows = as_computed(each.sae, captured[each.reads][0][acts])
    with torch.no_grad():
        codes = each.sae.encode(rows)
        error = torch.zeros_like(y).index_put((acts,), (y[acts] - each.sae.decode(codes).to(y)))
    code = codes.sparse()
    row, latent = code.rows(), code.indices.long()
    written = written_by(each.sae, latent) * code.values.cpu().double().unsqueeze(1)
    if codes.scale is not None:
        written = written * codes.scale[row].cpu().double()
    return Firings(
        position=acts.nonzero().squeeze(1)[row.to(acts.device)].cpu(),
        latent=latent.cpu(),
        code=code.values.cpu().double(),
        read=_gradients(each.sae, rows, row, latent).to(y),
        written=written.to(y),
        error=error,
    )


def _gradients(sae: SAE, rows: Float[Tensor, "T D"], row: Int[Tensor, " n"], latent: Int[Tensor, " n"]) -> Float[Tensor, "n D"]:
    """Of each firing's code to the row that was read, through `encode` itself."""
    found: list[Tensor] = [rows.new_zeros(0, rows.shape[1])]
    for which in torch.arange(len(row), device=row.device).split(_ROWS_AT_ONCE):
        x = rows[row[which]].detach().requires_grad_()
        with torch.enable_grad():
            dense = sae.encode(x).dense()
        chosen = dense.gather(1, latent[which].unsqueeze(1)).sum()
        found.append(torch.autograd.grad(chosen, x)[0])
    return torch.cat(found)
