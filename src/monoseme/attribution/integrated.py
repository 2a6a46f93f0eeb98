"""Attribution patching by integrated gradients: all latents of some positions are moved to a baseline at once, along a line.

    x(a) = decode((1 - a) f + a f') + (1 - a) e + a e',    g_j = mean over steps of dm/df_j at a_i,    score_j = (f'_j - f_j) g_j

with f, e codes and error of the clean run, f', e' those of the baseline: zero, or another prompt's. The score is the change of
the metric that moving latent j along brings: negative where the latent speaks for the metric, as in an ablation. Scores of all
latents and of the error add up to m(x(1)) - m(x(0)) but for the error of the sum over steps.

Steps a_i, i = 0 ... N - 1: the midpoints (i + 1/2) / N, or i / N ("left", as the original has it: the clean end counts, the
baseline's end does not; its error falls as 1 / N, that of midpoints as 1 / N^2).

A decoder is linear in its codes, so x(a) is a line between two vectors and the gradient at x, averaged over steps, is all that
need be known. It costs D numbers for a position, whatever F is.
Source: Sundararajan et al. 2017, arXiv:1703.01365; for latents Marks et al. 2024, arXiv:2403.19647, section 3.1, and Chanin et
al. 2024, arXiv:2409.14507, section 4.2 (10 left steps; 6 in its experiment).
Letters: n prompts, S positions, r rows, s columns, T positions asked about, m runs, D model width, F latents.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import torch

from monoseme.attribution._latents import (
    SAEs,
    codes_of,
    gradients_where_they_fire,
    placed_at,
    row_sums,
    rows_of,
    sum_of,
)
from monoseme.attribution._line import Line
from monoseme.attribution._scores import Attribution, Part, before_answers, places_of, together
from monoseme.attribution._suffixes import DEFAULT_BATCHING, Batching, Suffix, suffixes
from monoseme.attribution.metrics import Readout
from monoseme.core.errors import ConfigError
from monoseme.models import Edit, LanguageModel, Site
from monoseme.saes import Codes
from monoseme.splice import Placed, SAELike, without_code
from monoseme.tensors.shapes import Bool, Float, Int, Tensor
from monoseme.tensors.sparse import SparseCodes


@dataclass(frozen=True, kw_only=True)
class Path:
    """How the way from the clean run to the baseline is gone."""

    n_steps: int = 16
    """Gradients that are averaged (count)."""
    rule: Literal["midpoint", "left"] = "midpoint"
    """Where on each step."""
    with_error: bool = True
    """Move the SAE's error along; else it stays as it is."""

    def __post_init__(self) -> None:
        if self.n_steps < 1:
            raise ConfigError(f"n_steps is {self.n_steps}; it must be at least 1")
        if self.rule not in ("midpoint", "left"):
            raise ConfigError(f'no rule is called "{self.rule}".\n  Allowed: midpoint, left')

    @property
    def steps(self) -> tuple[float, ...]:
        """a_i."""
        shift = 0.5 if self.rule == "midpoint" else 0.0
        return tuple((i + shift) / self.n_steps for i in range(self.n_steps))


DEFAULT_PATH = Path()


@dataclass(frozen=True, eq=False, kw_only=True)
class Corrupted:
    """Other prompts, whose activations are the baseline."""

    tokens: Int[Tensor, "n S2"]
    real: Bool[Tensor, "n S2"] | None = None
    position: Int[Tensor, "n S"] | None = None
    """Where in the other prompt what takes the place of each position is; None: at the same position."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Patch:
    """What is moved, what it is moved to, and what gets a score."""

    at: Bool[Tensor, "n S"] | None = None
    """Positions moved together; None for all tokens that are not special."""
    scored: Bool[Tensor, "n S"] | None = None
    """Positions that get scores; None for those moved. Elsewhere than there a score is (f' - f) times a gradient on a path that
    leaves the position as it is: the original gives such scores, they take no part in any sum."""
    corrupted: Corrupted | None = None
    """None: codes and error go to zero."""


EVERYWHERE = Patch()


def integrated_gradients(
    model: LanguageModel,
    readout: Readout,
    saes: SAEs,
    *,
    patch: Patch = EVERYWHERE,
    path: Path = DEFAULT_PATH,
    batching: Batching = DEFAULT_BATCHING,
    edits: Sequence[Edit] = (),
) -> dict[Site, Attribution]:
    """The score of each latent, for each site by itself: the others keep what the model has there.

    `edits` are part of the model that is explained; they act by the forward's default mask. Raises SiteError for an SAE of
    several sites, ConfigError for masks that do not fit.
    """
    work = _Work(model, readout, placed_at(saes), patch, path)
    places, parts = list[Tensor](), {site: list[Part]() for site in saes}
    for piece in work.pieces(batching, edits):
        places.append(places_of(piece, piece.marked(work.scored)))
        for site in saes:
            way = work.way(piece, site)
            parts[site].append(way.part(way.line.mean_gradient(path.steps)))
    return {site: together(each, torch.cat(places)) for site, each in parts.items()}


class Completeness(NamedTuple):
    """Whether scores add up, for each prompt: they should give what the whole patch does."""

    difference: Float[Tensor, " n"]
    """m(baseline) - m(clean), measured by running both, in float64."""
    explained: Float[Tensor, " n"]
    """The sum of all scores and the error's, in float64."""

    @property
    def relative_error(self) -> Float[Tensor, " n"]:
        """|explained - difference| / |difference|."""
        return (self.explained - self.difference).abs() / self.difference.abs()


def completeness(
    model: LanguageModel,
    readout: Readout,
    saes: SAEs,
    *,
    patch: Patch = EVERYWHERE,
    path: Path = DEFAULT_PATH,
    batching: Batching = DEFAULT_BATCHING,
) -> dict[Site, Completeness]:
    """How well the scores of `integrated_gradients` add up; what is moved gets scores here, whatever `patch.scored` says.

    0 for prompts in which nothing is moved. Raises as `integrated_gradients`.
    """
    work = _Work(model, readout, placed_at(saes), replace(patch, scored=None), path)
    empty = torch.zeros(2, len(readout), dtype=torch.float64, device=model.device)
    found = {site: empty.clone() for site in saes}
    for piece in work.pieces(batching, ()):
        prompts = places_of(piece, piece.marked(work.moved))[:, 0]
        for site in saes:
            way = work.way(piece, site)
            part = way.part(way.line.mean_gradient(path.steps))
            found[site][0, piece.rows] = (way.line.metric_at(1.0) - way.line.metric_at(0.0)).double()
            found[site][1].index_add_(0, prompts, part.error.double() + row_sums(part.scores).to(prompts.device))
    return {site: Completeness(*each.unbind(0)) for site, each in found.items()}


class _Work:
    """What is asked of all pieces."""

    def __init__(self, model: LanguageModel, readout: Readout, placed: dict[Site, Placed], patch: Patch, path: Path) -> None:
        self._model, self._readout, self._placed, self._patch, self._path = model, readout, placed, patch, path
        self.moved = before_answers(model, readout, patch.at)
        self.scored = self.moved if patch.scored is None else before_answers(model, readout, patch.scored)

    def pieces(self, batching: Batching, edits: Sequence[Edit]) -> Iterator[Suffix]:
        """The prompts in pieces, with the activations that are needed."""
        sites = [site for each in self._placed.values() for site in (*each.inputs, *each.outputs)]
        sites = dict.fromkeys([*sites, *(Line.start(site) for site in self._placed)])
        n_latents = max(each.sae.n_latents for each in self._placed.values())
        at = self.moved | self.scored
        return suffixes(self._model, self._readout, tuple(sites), at=at, batching=batching, n_latents=n_latents, edits=edits)

    @torch.no_grad()
    def way(self, piece: Suffix, site: Site) -> "_Way":
        """What goes where at one site of a piece."""
        placed, moved, asked = self._placed[site], piece.marked(self.moved), piece.marked(self.scored)
        known = moved | asked
        x, codes = piece.x[site][known], codes_of(placed, piece, known)
        to, x_to = self._baseline(placed, piece, known, codes)
        if not self._path.with_error:
            x_to = placed.sae.decode(to).to(x) + x - placed.sae.decode(codes).to(x)
        moves = torch.zeros_like(piece.x[site])
        moves[moved] = (x_to - x)[moved[known]]
        here = asked[known].nonzero().squeeze(1)
        return _Way(Line(piece, site, moves), placed.sae, asked, rows_of(codes, here), rows_of(to, here), (x_to - x)[here])

    def _baseline(self, placed: Placed, piece: Suffix, known: Bool[Tensor, "r s"], codes: Codes) -> tuple[Codes, Tensor]:
        """Codes [T, F] and activations [T, D] that take the place of those known."""
        (site,) = placed.outputs
        if self._patch.corrupted is None:
            to = without_code(codes)
            return to, placed.sae.decode(to).to(piece.x[site])
        return _corrupted(self._patch.corrupted, placed, piece, known)


@dataclass(frozen=True, eq=False)
class _Way:
    """From the clean run to the baseline, at one site of one piece; rows T are the positions that get scores."""

    line: Line
    sae: SAELike
    asked: Bool[Tensor, "r s"]
    codes: Codes
    to: Codes
    delta: Float[Tensor, "T D"]
    """What the activations would change by."""

    @torch.no_grad()
    def part(self, gradient: Float[Tensor, "r s D"]) -> Part:
        """Scores from the gradient averaged over the path."""
        at_x = gradient[self.asked]
        lost, won = (self._times(codes, at_x) for codes in (self.codes, self.to))
        lost = lost.with_values(-lost.values)
        scores = sum_of(lost, won) if won.nnz else lost
        error = (at_x.double() * self.delta.double()).sum(-1) - row_sums(scores).to(at_x.device)
        return Part(scores, error.to(at_x.dtype), self.codes.sparse().detach(), at_x)

    def _times(self, codes: Codes, at_x: Float[Tensor, "T D"]) -> SparseCodes:
        slopes = gradients_where_they_fire(self.sae, codes, at_x)
        return slopes.with_values((slopes.values * codes.sparse().values).detach())


def _corrupted(other: Corrupted, placed: Placed, piece: Suffix, known: Bool[Tensor, "r s"]) -> tuple[Codes, Tensor]:
    """Codes [T, F] and activations [T, D] of other prompts at the positions that stand for those known."""
    row, column = known.nonzero(as_tuple=True)
    rows = piece.rows.to(other.tokens.device)
    position = piece.position[row, column]
    if other.position is not None:
        position = other.position.to(row.device)[piece.rows[row], position]
    real = None if other.real is None else other.real[rows]
    there = torch.zeros(len(rows), other.tokens.shape[1], dtype=torch.bool, device=row.device)
    if bool((position < 0).any()) or bool((position >= there.shape[1]).any()):
        raise ConfigError(
            f"the other prompts have positions 0 to {there.shape[1] - 1}, but others are asked for: give `position`"
        )
    there[row, position] = True
    if real is not None and bool((there & ~real.to(there.device)).any()):
        raise ConfigError("some positions of the other prompts are padding: say in `position` where to look")
    activations = piece.model.capture(other.tokens[rows], (*placed.inputs, *placed.outputs), real=real, edits=piece.edits)
    seen = there if placed.sae.reads != "contexts" else there | piece.model.editable(other.tokens[rows], real).to(there.device)
    number = seen.flatten().cumsum(0).reshape(seen.shape) - 1
    codes = rows_of(placed.encode(activations, seen), number[row, position])
    return codes, activations[placed.outputs[0]][row, position]
