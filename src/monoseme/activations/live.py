"""Activations straight from a model, made when they are asked for: nothing is stored."""

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import torch

from monoseme.activations.block import Block
from monoseme.activations.sinks import SinkFilter, find_sinks, measure_thresholds
from monoseme.activations.source import CapturingModel, Contexts, InOrder, SourceSeconds, iterate_blocks
from monoseme.core.display import get_display
from monoseme.core.errors import ConfigError
from monoseme.models.site import Site
from monoseme.tensors.shapes import Tensor
from monoseme.text.block import TokenBlock

_TOKENS_PER_FORWARD = {"cpu": 2048}
"""On two cores 2,048 tokens went through a small Llama faster than 1,024, and 30 % faster than 8,192, which leave the cache."""
_TOKENS_PER_FORWARD_ELSEWHERE = 16_384
"""An accelerator needs enough rows to fill it. Not measured yet; more mostly costs memory."""


class LiveSource(InOrder):
    """The contexts of a plan, run through a model.

    A block always goes through the model in the same batches, since the bits of a row depend on the shape of its batch: so
    a block made again after a resume equals the one made before.
    """

    def __init__(
        self,
        model: CapturingModel,
        plan: Contexts,
        sites: Sequence[Site],
        *,
        contexts_per_block: int = 64,
        contexts_per_forward: int | None = None,
        filter: SinkFilter | None = SinkFilter(),  # noqa: B008 - the contract's name; frozen, so one default serves all
    ) -> None:
        """A forward takes `contexts_per_forward` contexts; None: as many of a block as hold about 2,048 tokens on a CPU, 16,384
        elsewhere. `filter` None lets attention sinks through.

        Raises ConfigError for sizes below 1 or no sites, SiteError for a site the model does not have.
        """
        if min(contexts_per_block, contexts_per_forward or contexts_per_block) < 1:
            raise ConfigError("contexts_per_block and contexts_per_forward must be at least 1")
        if not sites:
            raise ConfigError("no site to capture.\n  Give at least one, such as resid_post.3")
        self.sites = tuple(dict.fromkeys(sites))
        self.widths: Mapping[Site, int] = {site: model.spec.site_width(site) for site in self.sites}
        self.plan, self.filter = plan, filter
        self.seconds = SourceSeconds()
        self.n_sinks = 0
        """Tokens the filter left out so far; blocks made twice count twice."""
        self._model = model
        self._contexts_per_block = contexts_per_block
        self._contexts_per_forward = contexts_per_forward or _suited(model, plan.context_len, most=contexts_per_block)
        self._thresholds: dict[Site, float] | None = None

    @property
    def n_blocks(self) -> int:
        """Blocks of the plan. Waits for the whole corpus to be tokenised; `has_block` does not."""
        return self.plan.n_blocks(self._contexts_per_block)

    @property
    def contexts_per_forward(self) -> int:
        """Contexts that go through the model at once, at most: the bits of a row depend on it."""
        return self._contexts_per_forward

    @property
    def spec(self) -> dict[str, Any]:
        """What a manifest says of the source. Waits for the whole corpus, and measures the filter's thresholds."""
        sinks = self.filter and {"factor": self.filter.factor, "thresholds": self.sink_thresholds}
        return {
            "kind": "live",
            "model": self._model.content_hash(),
            "sites": [str(site) for site in self.sites],
            "contexts_per_block": self._contexts_per_block,
            "contexts_per_forward": self._contexts_per_forward,
            "plan": self.plan.spec,
            "sinks": sinks,
        }

    @property
    def sink_thresholds(self) -> dict[str, float | None]:
        """Longest norm let through per site, by the site's name; None where the site's median norm is 0."""
        found = {} if self.filter is None else self._limits(self.filter)
        return {str(site): limit if limit < float("inf") else None for site, limit in found.items()}

    def has_block(self, i: int) -> bool:
        """Whether the plan reaches block i; waits only until that is known."""
        with self._counted("reading"):
            return i >= 0 and self.plan.has(i * self._contexts_per_block)

    def block(self, i: int) -> Block:
        """Block i. Raises IndexError if there is none, EmptyCorpusError if the plan is empty, and what the model raises."""
        text = self.text(i)
        return self.filtered(text, self.run(text), index=i)

    def text(self, i: int) -> TokenBlock:
        """The text of block i. Raises IndexError if there is none, EmptyCorpusError if the plan is empty."""
        with self._counted("reading"):
            return self.plan.block(i, self._contexts_per_block)

    def filtered(self, text: TokenBlock, activations: Mapping[Site, Tensor], *, index: int) -> Block:
        """The block that `run` made the activations of, with the filter applied to its mask."""
        block = Block.of(text, activations, index=index)
        if self.filter is None:
            return block
        sinks = find_sinks(block.activations, self._limits(self.filter)) & block.mask
        self.n_sinks += int(sinks.sum())
        return Block.of(block, block.activations, index=index, mask=block.mask & ~sinks)

    def blocks(self, start: int = 0) -> Iterator[Block]:
        """The blocks from `start` to the last, in order."""
        return iterate_blocks(self, start)

    def __repr__(self) -> str:
        """The sites and the split."""
        return f"LiveSource({', '.join(map(str, self.sites))}; {self.plan.split})"

    def _unfiltered(self, i: int) -> Block:
        text = self.text(i)
        return Block.of(text, self.run(text), index=i)

    @contextlib.contextmanager
    def _counted(self, part: Literal["reading", "model"]) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            spent = getattr(self.seconds, part) + time.perf_counter() - began
            self.seconds = self.seconds._replace(**{part: spent})

    def forwards(self, text: TokenBlock) -> list[slice]:
        """The contexts of each forward in which a block goes through the model, in order."""
        step = self._contexts_per_forward
        return [slice(start, min(start + step, text.n_contexts)) for start in range(0, text.n_contexts, step)]

    def run(self, text: TokenBlock, forwards: Sequence[slice] | None = None) -> Mapping[Site, Tensor]:
        """The activations [n, S, D] of these forwards of a block, one after the other (None: all of them); nothing is filtered.

        Of one forward as they come, of several copied as they come. What stands at padding means nothing (zeros, past the end of
        the forward's longest context).
        """
        with self._counted("model"):
            activations = self._activations(text, self.forwards(text) if forwards is None else forwards)
            _wait_for(activations)
        return activations

    def _activations(self, text: TokenBlock, forwards: Sequence[slice]) -> Mapping[Site, Tensor]:
        if len(forwards) == 1:
            return self._forward(text, forwards[0])
        whole: dict[Site, Tensor] = {}
        done, n_contexts = 0, sum(rows.stop - rows.start for rows in forwards)
        for rows in forwards:
            for site, x in self._forward(text, rows).items():
                if site not in whole:
                    whole[site] = x.new_empty(n_contexts, *x.shape[1:])
                whole[site][done : done + len(x)] = x
            done += rows.stop - rows.start
        return whole

    def _forward(self, text: TokenBlock, rows: slice) -> Mapping[Site, Tensor]:
        """Only as many positions as the longest of these contexts fills go through the model; beyond them stand zeros."""
        real, tokens = text.real[rows], text.tokens[rows]
        length = _filled(real)
        # Without padding the model can do without an attention mask, and takes its faster path.
        padded = None if bool(real[:, :length].all()) else real[:, :length].to(self._model.device)
        found = self._model.capture(tokens[:, :length].to(self._model.device), self.sites, real=padded)
        left = real.shape[1] - length
        return found if not left else {site: torch.nn.functional.pad(x, (0, 0, 0, left)) for site, x in found.items()}

    def _limits(self, chosen: SinkFilter) -> dict[Site, float]:
        if self._thresholds is None:
            self._thresholds = self._given(chosen) if chosen.thresholds is not None else self._measured(chosen)
        return self._thresholds

    def _given(self, chosen: SinkFilter) -> dict[Site, float]:
        given = dict(chosen.thresholds or {})
        missing = [str(site) for site in self.sites if str(site) not in given]
        if missing:
            raise ConfigError(f"the attention-sink filter has no threshold for {', '.join(missing)}")
        limits = {site: given[str(site)] for site in self.sites}
        return {site: float("inf") if limit is None else limit for site, limit in limits.items()}

    def _measured(self, chosen: SinkFilter) -> dict[Site, float]:
        wanted = [i for i in range(chosen.n_blocks) if i == 0 or self.has_block(i)]
        blocks = [self._unfiltered(i) for i in wanted]
        limits = measure_thresholds(blocks, factor=chosen.factor)
        n_tokens = sum(int(block.mask.sum()) for block in blocks)
        n_sinks = sum(int((find_sinks(block.activations, limits) & block.mask).sum()) for block in blocks)
        get_display().say(
            f"attention-sink filter: tokens with a norm above {chosen.factor:g} x the median are left out "
            f"({n_sinks:,} of the first {n_tokens:,})"
        )
        return limits


def _suited(model: CapturingModel, context_len: int, *, most: int) -> int:
    """Contexts whose tokens make the model's quickest forward, at least one and at most `most`."""
    n_tokens = _TOKENS_PER_FORWARD.get(torch.device(model.device).type, _TOKENS_PER_FORWARD_ELSEWHERE)
    return min(most, max(1, n_tokens // context_len))


def _filled(real: Tensor) -> int:
    """Positions up to the last that is real in any context [n, S]; 1 where none is."""
    places = real.any(dim=0).nonzero()
    return int(places[-1]) + 1 if len(places) else 1


def _wait_for(activations: Mapping[Site, Tensor]) -> None:
    """Lets the device finish, so that the seconds counted are the model's."""
    device = next(iter(activations.values())).device
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
