"""Encoding by a screen: candidates from a 16-bit product, then from a float32 product for rows that fail, then every latent.

    1. screen in 16 bits (bfloat16 where the weights are float32), all rows
    2. screen in float32 without tensor cores, the rows whose certificate failed: its bound is some thirty times tighter, which
       is what rows with massive outlier dimensions need
    3. every latent scored again, the rows that fail even there (ties without end, not a number)

Every value is a float32 dot product of the same kernel, so neither the values nor the choice depend on where a row came through.
How many rows fail is read back by the host once per call, after the work on all rows is under way.

Letters: B rows, D width, F latents, K entries per row, n entries in all.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
import triton

from monoseme.kernels._gpu_candidates import MOST_KEYS, Ends, ends, row_candidates
from monoseme.kernels._gpu_choice import SMALLEST_ROOM, Chosen, choose
from monoseme.kernels._gpu_products import entry_dots
from monoseme.kernels._gpu_rounding import rounded, rounded_latents
from monoseme.kernels._gpu_screen import HALF_TILES, Screened, kept_per_tile, screen
from monoseme.kernels._half import HalfCopy
from monoseme.kernels._screening import count
from monoseme.kernels._selection import topk_latents
from monoseme.tensors.shapes import Bool, Float, Int, Tensor

_MOST_PLAIN = 16
"""Rows, or an eighth of them all, may have every latent scored again; beyond, a dense product is the better way."""
_WIDER = 4
"""Times as many latents kept of a tile, and as much room for candidates, in the second screen."""
_MOST_KEPT = 32
"""Latents kept of a tile: each is a round over the scores of the tile."""
_KEPT_ABOVE = 16
"""Latents kept of a tile where nothing says how many there will be: 1,024 entries per row at F 8192."""
_LARGEST_ROOM = 2048
"""Candidates of a row: what one program can compare in registers."""


class Problem(NamedTuple):
    """What is encoded: rows that are centred already, and the latents that take part."""

    centred: Float[Tensor, "B D"]
    weight: Float[Tensor, "D F"]
    """The encoder's own, which keeps notes."""
    bias: Float[Tensor, " f"]
    """Of those that take part; float32, like all below."""
    screen_bias: Float[Tensor, " f"]
    """What is added where latents compete: the bias, less a threshold."""
    size: Float[Tensor, " f"]
    """Largest absolute value that was added up to make `screen_bias`."""
    among: Int[Tensor, " f"] | None = None
    """Latents that take part, ascending; None: all."""

    @property
    def n_latents(self) -> int:
        """That take part."""
        return self.bias.shape[0]

    def at(self, rows: Int[Tensor, " n"]) -> "Problem":
        """The same for some of the rows."""
        return self._replace(centred=self.centred[rows])

    def screened(self, dtype: torch.dtype, kept: int) -> Screened:
        """All rows, by a product in `dtype`."""
        fast = dtype != torch.float32
        latents = rounded_latents(self.weight) if fast else rounded(self.weight.detach().t().to(dtype), dtype)
        if self.among is not None:
            latents = HalfCopy(*(part[self.among] for part in latents))
        x = rounded(self.centred if fast else self.centred.to(dtype), dtype)
        return screen(x, latents, self.screen_bias, self.size, kept=kept)

    def scores(self, latents: Int[Tensor, " n"], *, entry_rows: Int[Tensor, " n"] | None = None,
               per_row: int = 1) -> Float[Tensor, " n"]:  # fmt: skip
        """Pre-activations; `latents` are numbered among those that take part, and -1 gives anything."""
        known = latents.clamp(min=0)
        own = latents if self.among is None else torch.where(latents < 0, -1, self.among[known].to(torch.int32))
        return entry_dots(own, self.centred, self.weight.t(), entry_rows=entry_rows, per_row=per_row) + self.bias[known]


class Entries(NamedTuple):
    """Entries by ascending flat index."""

    rows: Int[Tensor, " n"]
    latents: Int[Tensor, " n"]
    values: Float[Tensor, " n"]


@torch.no_grad()
def topk_entries(problem: Problem, k: int) -> Chosen | None:
    """The k largest of each row; None where the shape or the numbers do not suit a screen."""
    kept, room = kept_per_tile(k, problem.n_latents), max(SMALLEST_ROOM, triton.next_power_of_2(4 * k))
    if kept is None or room * _WIDER > _LARGEST_ROOM or kept * triton.cdiv(problem.n_latents, HALF_TILES.latents) > MOST_KEYS:
        return None
    found, failed = _screened_topk(problem, k, _half(problem), kept, room)
    if failed.shape[0]:
        wide, still = _screened_topk(problem.at(failed), k, torch.float32, _wider(kept), room * _WIDER)
        if still.shape[0] > _most_plain(problem):
            return None
        found.latents[failed], found.values[failed] = wide.latents, wide.values
        if still.shape[0]:
            last = failed[still]
            found.latents[last], found.values[last] = _plain_topk(problem.at(last), k)
    return found


def _screened_topk(problem: Problem, k: int, dtype: torch.dtype, kept: int, room: int) -> tuple[Chosen, Int[Tensor, " n"]]:
    """What was found, and the rows in which it may be wrong."""
    candidates = row_candidates(problem.screened(dtype, kept), k, room)
    latents = candidates.latents
    chosen = choose(latents, problem.scores(latents.view(-1), per_row=room).view_as(latents), k)
    return chosen, _failed(candidates.certified, candidates.counts.where(candidates.certified, 0).sum())


def _plain_topk(problem: Problem, k: int) -> Chosen:
    n_rows, n_latents = problem.centred.shape[0], problem.n_latents
    every = torch.arange(n_latents, dtype=torch.int32, device=problem.bias.device).repeat(n_rows)
    pre = problem.scores(every, per_row=n_latents).view(n_rows, n_latents)
    latents = topk_latents(pre, k)
    return Chosen(latents.to(torch.int32), pre.gather(1, latents))


@torch.no_grad()
def entries_above(problem: Problem, cut_of: Callable[[Ends], Float[Tensor, ""]], per_row: int | None) -> Entries | None:
    """All entries whose pre-activation (with `screen_bias`) may reach a cut, and some that do not.

    `cut_of` makes the cut from what the first screen says. None where the shape or the numbers do not suit a screen.
    """
    kept = _KEPT_ABOVE if per_row is None else kept_per_tile(per_row, problem.n_latents)
    if kept is None:
        return None
    found = ends(problem.screened(_half(problem), kept))
    cut = cut_of(found)
    rows, latents, failed = _reaching(found, cut, kept)
    if failed.shape[0]:
        wider = _wider(kept)
        more_rows, more_latents, still = _reaching(ends(problem.at(failed).screened(torch.float32, wider)), cut, wider)
        if still.shape[0] > _most_plain(problem):
            return None
        every = torch.arange(problem.n_latents, dtype=torch.int32, device=rows.device)
        rows = torch.cat([rows, failed[more_rows], failed[still].repeat_interleave(problem.n_latents)])
        latents = torch.cat([latents, more_latents, every.repeat(still.shape[0])])
    order = (rows * problem.n_latents + latents).argsort()
    rows, latents = rows[order], latents[order]
    return Entries(rows, latents, problem.scores(latents, entry_rows=rows))


def _reaching(found: Ends, cut: Float[Tensor, ""], kept: int) -> tuple[Tensor, Tensor, Tensor]:
    """Rows and latents of the entries that may reach the cut; apart, the rows in which more of them may have been dropped."""
    reaching = (found.upper >= cut) & (found.latents >= 0)
    certified = ~reaching[:, kept - 1 :: kept].any(1)
    reaching &= certified.unsqueeze(1)
    rows, slots = reaching.nonzero(as_tuple=True)
    n_candidates = torch.tensor(rows.shape[0], device=rows.device)
    return rows, found.latents[rows, slots], _failed(certified, n_candidates)


def _failed(certified: Bool[Tensor, " B"], n_candidates: Int[Tensor, ""]) -> Int[Tensor, " n"]:
    """Rows without a certificate; both numbers come to the host in one go, for whoever counts screens."""
    n_certified, n_scored = torch.stack([certified.sum(), n_candidates]).tolist()
    n_rows = certified.shape[0]
    count(rows=n_rows, uncertified=n_rows - n_certified, candidates=n_scored)
    return (~certified).nonzero().squeeze(1) if n_certified < n_rows else certified.new_empty(0, dtype=torch.int64)


def _half(problem: Problem) -> torch.dtype:
    return torch.bfloat16 if problem.weight.dtype == torch.float32 else problem.weight.dtype


def _wider(kept: int) -> int:
    return min(_MOST_KEPT, kept * _WIDER)


def _most_plain(problem: Problem) -> int:
    return max(_MOST_PLAIN, problem.centred.shape[0] // 8)
