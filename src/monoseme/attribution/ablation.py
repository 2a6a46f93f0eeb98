"""Ablation: what a number read off the logits loses when latents are taken away, one run of the model for each.

Each ablation adds a delta to the activations at the SAE's output site and leaves the SAE's error as it is:

    x' = x + sum_j (b_j - f_j) W_dec[j],   effect = m(x') - m(x)

with f_j the code of latent j, b_j what it is replaced with (`baselines`) and m the metric. Ablations of many prompts share a
forward, which begins at the site.
Source: Chanin et al. 2024, arXiv:2409.14507 (each firing latent, zero ablation, a callback on the deltas); holding other paths at
their clean values: Wang et al. 2022, arXiv:2211.00593, section 3.1 (path patching).
Letters: n prompts, S positions, T positions at which latents are ablated, J ablations, E entries of their deltas, G groups, F
latents, D model width, V vocabulary.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch

from monoseme.attribution._codes_at import codes_at
from monoseme.attribution.baselines import Baseline, Zero
from monoseme.attribution.metrics import Readout
from monoseme.core.errors import ConfigError
from monoseme.models import EditContext, FunctionEdit, LanguageModel, Site
from monoseme.splice import Placed, written_by
from monoseme.tensors.shapes import Bool, Float, Int, Tensor

ChangeDeltas = Callable[[Float[Tensor, "J S D"], Int[Tensor, " J"]], Float[Tensor, "J S D"]]
"""Takes the deltas of some ablations and the prompt of each; gives the deltas that are added."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Ablating:
    """How ablations are run."""

    held: Mapping[Site, Bool[Tensor, "n S"] | None] = field(default_factory=dict[Site, Tensor | None])
    """Path mask: sites that keep the values of the clean run, at all positions (None) or where the mask is True. The effect then
    goes by the other paths alone; `direct_path` holds all but the residual stream."""
    change: ChangeDeltas | None = None
    """Called with the deltas before they are added."""
    rows_at_once: int = 64
    """Ablations that share a forward (count)."""

    def __post_init__(self) -> None:
        if self.rows_at_once < 1:
            raise ConfigError(f"rows_at_once is {self.rows_at_once}; it must be at least 1")


DEFAULT_ABLATING = Ablating()


class FiringEffects(NamedTuple):
    """Each firing latent, and what ablating it does."""

    prompt: Int[Tensor, " J"]
    position: Int[Tensor, " J"]
    latent: Int[Tensor, " J"]
    code: Float[Tensor, " J"]
    effect: Float[Tensor, "J *m"]
    """m(ablated) - m(clean): negative where the latent speaks for the metric. Float64."""


def ablate_firings(
    model: LanguageModel,
    placed: Placed,
    readout: Readout,
    *,
    at: Bool[Tensor, "n S"] | None = None,
    baseline: Baseline = Zero(),  # noqa: B008 (frozen)
    how: Ablating = DEFAULT_ABLATING,
) -> FiringEffects:
    """Ablates each latent that fires, by itself, at each position where `at` is True (default: tokens that are not special).

    Raises SiteError for an SAE of several output sites, or a held site before it.
    """
    run = _Ablations(model, placed, readout, at, how)
    effect = run.effects(*run.of_firings(baseline), run.metric)
    codes = run.codes
    return FiringEffects(codes.prompt[codes.row], codes.position[codes.row], codes.latent, codes.value, effect)


def ablate_firings_on_logits(
    model: LanguageModel,
    placed: Placed,
    readout: Readout,
    *,
    tokens: Int[Tensor, " m"],
    at: Bool[Tensor, "n S"] | None = None,
    baseline: Baseline = Zero(),  # noqa: B008 (frozen)
    how: Ablating = DEFAULT_ABLATING,
) -> FiringEffects:
    """The total effect of each firing latent on the logits of some tokens, [J, m]; otherwise as `ablate_firings`."""
    run = _Ablations(model, placed, readout, at, how)
    effect = run.effects(*run.of_firings(baseline), lambda logits, _: logits[:, tokens.to(logits.device)])
    codes = run.codes
    return FiringEffects(codes.prompt[codes.row], codes.position[codes.row], codes.latent, codes.value, effect)


def ablate_groups(
    model: LanguageModel,
    placed: Placed,
    readout: Readout,
    groups: Sequence[Sequence[int]],
    *,
    at: Bool[Tensor, "n S"] | None = None,
    baseline: Baseline = Zero(),  # noqa: B008 (frozen)
    how: Ablating = DEFAULT_ABLATING,
) -> Float[Tensor, "n G"]:
    """Ablates all latents of a group together, at all positions where `at` is True; float64.

    A group's latents are replaced also where they do not fire, if the baseline is not zero there. Raises ConfigError for latents
    that the SAE does not have or names twice in a group, and as `ablate_firings`.
    """
    run = _Ablations(model, placed, readout, at, how)
    effect = run.effects(*run.of_groups(groups, baseline), run.metric)
    return effect.reshape(len(readout), len(groups))


def direct_path(model: LanguageModel, site: Site) -> dict[Site, Bool[Tensor, "n S"] | None]:
    """For `Ablating.held`: what every attention and MLP after `site` adds, so that an effect goes by the residual stream alone.

    Raises SiteError where the model does not have these sites.
    """
    every = [Site(kind, layer) for layer in range(model.spec.n_layers) for kind in ("attn_out", "mlp_out")]
    held = [each for each in every if each.depth > site.depth]
    for each in held:
        model.spec.check(each)
    return dict.fromkeys(held)


class _Deltas(NamedTuple):
    """What is added in each ablation, entry by entry."""

    job: Int[Tensor, " E"]
    """In ascending order."""
    position: Int[Tensor, " E"]
    latent: Int[Tensor, " E"]
    change: Float[Tensor, " E"]
    """Of the code, in the unit of raw activations."""


class _Ablations:
    """The prompts, their codes, and the runs."""

    def __init__(
        self, model: LanguageModel, placed: Placed, readout: Readout, at: Bool[Tensor, "n S"] | None, how: Ablating
    ) -> None:
        self.model, self.placed, self.readout, self.how = model, placed, readout, how
        self.codes = codes_at(model, placed, readout.tokens, real=readout.real, at=at)
        self.clean = _captured(model, readout, (placed.outputs[0], *how.held), how.rows_at_once)
        self.latents = torch.zeros(0, dtype=torch.int64)
        """Those whose `rows` of the decoder are held."""
        self.rows = torch.zeros(0, placed.sae.d_in, dtype=torch.float64)

    def of_firings(self, baseline: Baseline) -> tuple[Int[Tensor, " J"], _Deltas]:
        """The prompt of each ablation, and the deltas: one entry each."""
        codes = self.codes
        change = (baseline.values(codes, codes.row, codes.latent) - codes.value) * codes.unit[codes.row]
        jobs = torch.arange(len(codes.latent))
        return codes.prompt[codes.row], _Deltas(jobs, codes.position[codes.row], codes.latent, change)

    def of_groups(self, groups: Sequence[Sequence[int]], baseline: Baseline) -> tuple[Int[Tensor, " J"], _Deltas]:
        """A job for each prompt and group, groups innermost; every latent of a group at every position of its prompt."""
        _check_groups(groups, self.placed.sae.n_latents)
        codes, n_groups = self.codes, len(groups)
        group = torch.tensor([g for g, members in enumerate(groups) for _ in members], dtype=torch.int64)
        latent = torch.tensor([latent for members in groups for latent in members], dtype=torch.int64)
        row = torch.arange(len(codes.prompt)).repeat_interleave(len(latent))
        group, latent = group.repeat(len(codes.prompt)), latent.repeat(len(codes.prompt))
        change = (baseline.values(codes, row, latent) - codes.lookup(row, latent)) * codes.unit[row]
        job = codes.prompt[row] * n_groups + group
        moved = (change != 0).nonzero().squeeze(1)
        moved = moved[job[moved].argsort(stable=True)]
        prompts = torch.arange(len(self.readout)).repeat_interleave(n_groups)
        return prompts, _Deltas(job[moved], codes.position[row[moved]], latent[moved], change[moved])

    def metric(self, logits: Float[Tensor, "J V"], prompt: Int[Tensor, " J"]) -> Float[Tensor, " J"]:
        """The readout's own."""
        return self.readout.metric.rows(prompt)(logits)

    @torch.no_grad()
    def effects(
        self, prompt: Int[Tensor, " J"], deltas: _Deltas, measure: Callable[[Tensor, Tensor], Tensor]
    ) -> Float[Tensor, "J *m"]:
        """`measure` of the logits at the answer, ablated less clean, float64 on the CPU."""
        self.latents, place = deltas.latent.unique(return_inverse=True)
        self.rows = written_by(self.placed.sae, self.latents)
        everyone = torch.arange(len(self.readout))
        base = [measure(self._logits(some, None), some).double().cpu() for some in everyone.split(self.how.rows_at_once)]
        found = [torch.cat(base)[:0]]
        for jobs in torch.arange(len(prompt)).split(self.how.rows_at_once):
            delta = self._delta(jobs, deltas, place).to(device=self.model.device, dtype=self.model.dtype)
            delta = delta if self.how.change is None else self.how.change(delta, prompt[jobs])
            ablated = measure(self._logits(prompt[jobs], delta), prompt[jobs]).double().cpu()
            found.append(ablated - torch.cat(base)[prompt[jobs]])
        return torch.cat(found)

    def _delta(self, jobs: Int[Tensor, " J"], deltas: _Deltas, place: Int[Tensor, " E"]) -> Float[Tensor, "J S D"]:
        first, end = torch.searchsorted(deltas.job, torch.tensor([int(jobs[0]), int(jobs[-1]) + 1])).tolist()
        some = slice(first, end)
        delta = torch.zeros(len(jobs), self.readout.tokens.shape[1], self.rows.shape[1], dtype=torch.float64)
        vectors = self.rows[place[some]] * deltas.change[some].unsqueeze(1)
        return delta.index_put((deltas.job[some] - jobs[0], deltas.position[some]), vectors, accumulate=True)

    def _logits(self, prompt: Int[Tensor, " J"], delta: Float[Tensor, "J S D"] | None) -> Float[Tensor, "J V"]:
        """At the answer of each row."""
        some, site = self.readout.rows(prompt), self.placed.outputs[0]
        x = self.clean[site][prompt.to(self.model.device)]
        x = x if delta is None else x + delta
        edits = [_held(each, self.clean[each], mask, prompt) for each, mask in self.how.held.items()]
        logits = self.model.run_from(site, x, tokens=some.tokens, real=some.real, edits=edits)
        return logits[torch.arange(len(prompt)), some.answer_from.to(logits.device)]


def _captured(model: LanguageModel, readout: Readout, sites: tuple[Site, ...], n: int) -> dict[Site, Tensor]:
    """Clean activations [n, S, width] of all prompts."""
    parts = [readout.rows(some) for some in torch.arange(len(readout)).split(n)]
    captured = [model.capture(part.tokens, sites, real=part.real) for part in parts]
    return {site: torch.cat([each[site] for each in captured]) for site in sites}


def _held(site: Site, clean: Tensor, mask: Tensor | None, prompt: Int[Tensor, " J"]) -> FunctionEdit:
    """Puts clean values back where the mask is True."""
    index = prompt.to(clean.device)

    def hold(x: Tensor, _context: EditContext) -> Tensor:
        there = clean[index].to(x)
        return there if mask is None else there.where(mask.to(x.device)[index].unsqueeze(-1), x)

    return FunctionEdit(site, hold)


def _check_groups(groups: Sequence[Sequence[int]], n_latents: int) -> None:
    for members in groups:
        unknown = [latent for latent in members if not 0 <= latent < n_latents]
        if unknown:
            raise ConfigError(f"there is no latent {unknown[0]}: this SAE has {n_latents:,}, counted from 0")
        if len(set(members)) < len(members):
            raise ConfigError(f"a group names a latent twice: {list(members)}")
