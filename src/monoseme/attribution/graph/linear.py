"""One frozen forward of a prompt, cut where SAEs write, from which any number of targets are traced back.

    edge(target <- source) = <gradient of the target at the source's site and position, vector of the source>

The stream is cut at every site where an SAE writes: behind it goes on what was there, as a leaf of the graph, so that an edge
holds the paths from source to target that pass no other SAE's latents. A transcoder's skip connection is a path too.
Letters: b targets at once, S positions, D width, V vocabulary, n sources.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch

from monoseme.attribution.graph.frozen import Frozen
from monoseme.attribution.graph.reading import GraphSae
from monoseme.models import EditContext, FunctionEdit, LanguageModel, Site
from monoseme.splice import as_computed
from monoseme.tensors.shapes import Float, Int, Tensor


class Sources(NamedTuple):
    """Vectors at one cut, whose sum (with constants) is the stream there."""

    site: Site
    position: Int[Tensor, " n"]
    vector: Float[Tensor, "n D"]


class Targets(NamedTuple):
    """Numbers that the model computes: a direction read at a site, or at the logits of the last position."""

    site: Site | None
    """None for logits."""
    position: Int[Tensor, " b"]
    direction: Float[Tensor, "b D"]
    """At the logits of width V."""


class LinearPrompt:
    """The frozen forward of a prompt, repeated in `n_rows` rows so that as many targets are traced back at once."""

    def __init__(self, model: LanguageModel, tokens: Int[Tensor, "one S"], saes: Sequence[GraphSae], *, n_rows: int) -> None:
        """Raises ModelError where the model's attention cannot be held still."""
        self.n_rows = n_rows
        self._leaves: dict[Site, Tensor] = {}
        self._seen: dict[Site, Tensor] = {}
        first = Site("resid_pre", 0)
        taps = [self._tap(site) for site in dict.fromkeys(each.reads for each in saes)]
        cuts = [self._cut(first, None), *(self._cut(each.writes, each) for each in saes)]
        frozen = Frozen(capped=model.spec.logit_softcap is not None)
        with frozen:
            logits = model.run(tokens.expand(n_rows, -1), edits=[*taps, *cuts], grad=True).logits
        frozen.require_attentions(model.spec.n_layers)
        self._logits = logits[:, -1]
        self.token_site = first

    @property
    def logits(self) -> Float[Tensor, " V"]:
        """Of the last position."""
        return self._logits[0].detach()

    def vectors(self, site: Site) -> Float[Tensor, "S D"]:
        """What went on behind the cut at a site."""
        return self._leaves[site][0].detach()

    def values(self, targets: Targets) -> Float[Tensor, " b"]:
        """<direction, what is read>."""
        read = self.logits.expand(len(targets.position), -1) if targets.site is None else self._seen[targets.site][0].detach()
        read = read if targets.site is None else read[targets.position.to(read.device)]
        return (read * targets.direction.to(read)).sum(-1)

    def edges(self, targets: Targets, sources: Sequence[Sources]) -> Float[Tensor, "b n"]:
        """[target, source], sources side by side in the order given, in the model's dtype; at most `n_rows` targets."""
        gradients = self._gradients(targets)
        columns = [_products(gradients.get(each.site), each, len(targets.position)) for each in sources]
        return torch.cat(columns, dim=1)

    def _gradients(self, targets: Targets) -> dict[Site, Tensor]:
        """[b, S, D] at each cut that lies on a path."""
        read = self._logits if targets.site is None else self._seen[targets.site]
        if not read.requires_grad:
            return {}
        wanted = torch.zeros_like(read)
        row = torch.arange(len(targets.position), device=read.device)
        place = (row,) if targets.site is None else (row, targets.position.to(read.device))
        wanted[place] = targets.direction.to(read)
        found = torch.autograd.grad(read, list(self._leaves.values()), wanted, retain_graph=True, allow_unused=True)
        reached: dict[Site, Tensor | None] = dict(zip(self._leaves, found, strict=True))
        return {site: gradient[: len(row)] for site, gradient in reached.items() if gradient is not None}

    def _tap(self, site: Site) -> FunctionEdit:
        """Keeps what passes a site, with its graph."""

        def keep(x: Tensor, _context: EditContext) -> Tensor:
            self._seen[site] = x
            return x

        return FunctionEdit(site, keep)

    def _cut(self, site: Site, by: GraphSae | None) -> FunctionEdit:
        """Goes on with a leaf of the same values, and with the path past the latents where the SAE has one."""

        def cut(x: Tensor, _context: EditContext) -> Tensor:
            leaf = self._leaves[site] = x.detach().clone().requires_grad_()
            if by is None or by.reads == by.writes:
                return leaf
            skipped = by.sae.encode(as_computed(by.sae, self._seen[by.reads])).base
            return leaf if skipped is None else leaf + (skipped - skipped.detach()).to(leaf)

        return FunctionEdit(site, cut)


def _products(gradient: Tensor | None, sources: Sources, n_targets: int) -> Tensor:
    if gradient is None:
        return sources.vector.new_zeros(n_targets, len(sources.position))
    at = gradient[:, sources.position.to(gradient.device)]
    return torch.einsum("bnd,nd->bn", at, sources.vector.to(at))
