"""Watching latents while a model reads and writes: what they do on each token, with nothing changed.

Under a KV cache a forward shows new tokens alone. An SAE that reads whole contexts is then given all rows so far again, so that
its codes are those of the whole text.

Letters: n sequences, S positions of this forward, T positions that count, W watched latents.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from monoseme.core.errors import ConfigError
from monoseme.models.edit import Edit, EditContext, Look
from monoseme.models.site import Site
from monoseme.saes import Codes
from monoseme.splice._placed import Placed
from monoseme.tensors.shapes import Bool, Float, Int, Tensor
from monoseme.tensors.sparse import SparseCodes


class Watched(NamedTuple):
    """What watched latents did on the tokens that one forward read; special tokens and padding are left out."""

    row: Int[Tensor, " T"]
    """Which of the caller's sequences."""
    position: Int[Tensor, " T"]
    """0-based position in the sequence."""
    values: Float[Tensor, "T W"]
    """Activations, 0 where a latent does not fire."""


def watch(
    placed: Placed,
    latents: Sequence[int],
    hear: Callable[[Watched], None],
    *,
    part: str | None = None,
    code_site: Site | None = None,
) -> tuple[Edit, ...]:
    """Edits that change nothing and tell `hear`, once per forward, what `latents` (of a part of the codes) do.

    Where each site has codes of its own, `code_site` says whose are meant (None: the first). What is seen at a site is what the
    edits before these left there. Raises ConfigError for a latent or a site that there is not.
    """
    for latent in latents:
        if not 0 <= latent < placed.sae.n_latents:
            raise ConfigError(f"there is no latent {latent} to watch: this SAE has {placed.sae.n_latents:,}, counted from 0")
    if code_site is not None and code_site not in placed.code_sites:
        raise ConfigError(f"this SAE has no codes at {code_site} to watch.\n  Allowed: {', '.join(map(str, placed.code_sites))}")
    number = 0 if code_site is None else placed.code_sites.index(code_site)
    watching = _Watching(placed, tuple(latents), hear, part, number)
    return tuple(watching.at(site) for site in placed.inputs)


@dataclass(frozen=True, eq=False)
class _Watching:
    placed: Placed
    latents: tuple[int, ...]
    hear: Callable[[Watched], None]
    part: str | None
    number: int

    def at(self, site: Site) -> Look:
        """What looks at one of the SAE's inputs; at the last of them there is all it takes."""
        placed = self.placed
        # What was seen before is kept with each sequence, and the sequences of several requests differ in length.
        key = None if placed.sae.reads == "contexts" else ("watched", placed.sae, placed.sites, self.part)

        def look(x: Tensor, context: EditContext) -> list[SparseCodes] | None:
            seen: dict[Site, Tensor] = context.scratch.setdefault(key or self, {})
            seen[site] = x.detach()
            return self._codes(seen, context) if len(seen) == len(placed.inputs) else None

        return Look(site, key, look, self._tell)

    @torch.no_grad()
    def _codes(self, seen: dict[Site, Tensor], context: EditContext) -> list[SparseCodes]:
        """[T, F] of each site with codes of its own, where the context's mask is True."""
        if self.placed.sae.reads == "contexts":
            codes = self._codes_of_context(seen[self.placed.inputs[0]], context.mask, context)
        else:
            codes = self.placed.encode(seen, context.mask)
        return self.placed.per_site(codes.sparse(self.part))

    @torch.no_grad()
    def _tell(self, codes: list[SparseCodes], context: EditContext, mine: Bool[Tensor, "n S"]) -> None:
        """What is at the positions of `mine`."""
        code, own = codes[self.number], mine[context.mask]
        if not bool(own.all()):
            code = code.select_rows(own.to(code.device))
        row = context.row.unsqueeze(1).expand_as(mine)[mine]
        self.hear(Watched(row, context.positions[mine], latent_columns(code, self.latents)))

    def _codes_of_context(self, x: Tensor, mask: Bool[Tensor, "n S"], context: EditContext) -> Codes:
        """Codes [T, F] of this forward's rows, worked out over all that each sequence has had."""
        for i, state in enumerate(context.state):
            before: list[tuple[Tensor, Tensor]] = state.setdefault(self, [])
            before.append((x[i], mask[i]))
        so_far = [torch.cat([part for part, _ in state[self]]) for state in context.state]
        counts = [torch.cat([part for _, part in state[self]]) for state in context.state]
        all_x, all_mask = torch.stack(so_far), torch.stack(counts)
        codes = self.placed.encode({self.placed.inputs[0]: all_x}, all_mask)
        is_new = torch.zeros_like(all_mask)
        is_new[:, -mask.shape[1] :] = True
        return codes.select_rows(is_new[all_mask])


def latent_columns(code: SparseCodes, latents: Sequence[int]) -> Float[Tensor, "T W"]:
    """The activations of some latents of a code [T, F], dense; rows and entries of other latents cost no memory."""
    columns = code.values.new_zeros(code.n_rows, len(latents))
    rows = code.rows()
    for column, latent in enumerate(latents):
        found = code.indices == latent
        columns[rows[found], column] = code.values[found]
    return columns
