"""From latents at one site to latents at a later one: how the later codes change when an earlier latent is ablated.

The change is total: it goes through every layer between the two, with attention patterns and norms free to move, and through the
later SAE's choice of which latents fire. The direct and linear part of it is the edges of a graph of the two
(`graph.trace(model, tokens, [earlier, later])`).
Letters: n prompts, S positions, J ablations, F latents, D model width.
"""

from typing import NamedTuple

import torch

from monoseme.attribution._codes_at import CodesAt, codes_at
from monoseme.attribution.baselines import Baseline, Zero
from monoseme.core.errors import SiteError
from monoseme.models import LanguageModel
from monoseme.models.edit import replacement
from monoseme.splice import Placed, written_by
from monoseme.tensors.shapes import Bool, Float, Int, Tensor


class LatentEffects(NamedTuple):
    """Pairs of latents, and how far ablating the first moves the second; the largest first within each ablation."""

    prompt: Int[Tensor, " P"]
    position: Int[Tensor, " P"]
    latent: Int[Tensor, " P"]
    """Ablated at that position."""
    later_position: Int[Tensor, " P"]
    later_latent: Int[Tensor, " P"]
    effect: Float[Tensor, " P"]
    """Code of the later latent with the ablation, less without; float64."""


@torch.no_grad()
def effects_between(
    model: LanguageModel,
    earlier: Placed,
    later: Placed,
    tokens: Int[Tensor, "n S"],
    *,
    real: Bool[Tensor, "n S"] | None = None,
    at: Bool[Tensor, "n S"] | None = None,
    baseline: Baseline = Zero(),  # noqa: B008 (frozen)
    most: int = 20,
    rows_at_once: int = 32,
) -> LatentEffects:
    """Ablates each latent of `earlier` that fires where `at` is True, by itself; keeps the `most` largest changes of each.

    Raises SiteError where `later` is not later, or either has several sites.
    """
    if not earlier.outputs[0].depth < later.inputs[0].depth:
        raise SiteError(f"{later.inputs[0]} is not behind {earlier.outputs[0]}: what is ablated here cannot move what is there")
    codes = codes_at(model, earlier, tokens, real=real, at=at)
    change = (baseline.values(codes, codes.row, codes.latent) - codes.value) * codes.unit[codes.row]
    found: list[LatentEffects] = [_none()]
    for some in torch.arange(len(codes.row)).split(rows_at_once):
        moved = _moved(model, earlier, later, _Prompts(tokens, real), codes, change, some)
        found.append(_largest(moved, codes, some, most))
    return LatentEffects(*(torch.cat(column) for column in zip(*found, strict=True)))


class _Prompts(NamedTuple):
    tokens: Int[Tensor, "n S"]
    real: Bool[Tensor, "n S"] | None


def _moved(
    model: LanguageModel,
    earlier: Placed,
    later: Placed,
    prompts: _Prompts,
    codes: CodesAt,
    change: Float[Tensor, " E"],
    some: Int[Tensor, " J"],
) -> Float[Tensor, "J S F"]:
    """Later codes, ablated less clean."""
    site, prompt = earlier.outputs[0], codes.prompt[codes.row[some]]
    tokens = prompts.tokens[prompt]
    real = None if prompts.real is None else prompts.real[prompt]
    clean = model.capture(tokens, (site, *later.inputs), real=real)
    vectors = written_by(earlier.sae, codes.latent[some]) * change[some].unsqueeze(1)
    x = clean[site].clone()
    x[torch.arange(len(some)), codes.position[codes.row[some]]] += vectors.to(x)
    ablated = model.run(tokens, real=real, edits=[replacement(site, x)], capture=later.inputs).captured
    acts = model.editable(tokens, real).cpu()
    moved = torch.zeros(*tokens.shape, later.sae.n_latents, dtype=torch.float64)
    with_it, without = (later.encode(each, acts).dense().double().cpu() for each in (clean, ablated))
    moved[acts] = without - with_it
    return moved


def _largest(moved: Float[Tensor, "J S F"], codes: CodesAt, some: Int[Tensor, " J"], most: int) -> LatentEffects:
    """The largest changes of each ablation; zeros never."""
    flat = moved.flatten(1)
    order = flat.abs().topk(min(most, flat.shape[1]), dim=1).indices
    effect = flat.gather(1, order)
    job, place = (effect != 0).nonzero().unbind(1)
    chosen, n_latents = order[job, place], moved.shape[2]
    entry = some[job]
    row = codes.row[entry]
    return LatentEffects(
        codes.prompt[row],
        codes.position[row],
        codes.latent[entry],
        chosen // n_latents,
        chosen % n_latents,
        effect[job, place],
    )


def _none() -> LatentEffects:
    empty = torch.zeros(0, dtype=torch.int64)
    return LatentEffects(empty, empty, empty, empty, empty, torch.zeros(0, dtype=torch.float64))
