"""From a prompt to its attribution graph.

Nodes are the latents that fire, the error of each SAE at each position, the token embeddings and the likeliest next tokens. An
edge is the linear effect of its source on its target in a frozen forward (`frozen`), over the paths that pass no other SAE
(`linear`):

    to a latent    on its code, through the column of the encoder that reads it
    to a logit     on the logit less the mean of all logits, at the last position

The first position, where it holds a special token, sees nothing but itself: it is the same in every prompt, and has no error node
(nor latents). What it adds is, like that of biases, in `AttributionGraph.constants`.

Where SAEs stand on the whole residual stream, an edge reaches from one SAE to the next alone; where transcoders stand for MLPs,
the stream goes on past them and edges reach every later layer.
Source: Ameisen et al. 2025, "Circuit Tracing"; order of tracing by influence as in circuit-tracer. Differs: MLPs on a path are
linear by their secants (`frozen`), so that SAEs of the residual stream have graphs too; edges are on the code, whose bias is no
node.
Letters: N nodes, S positions, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from monoseme.attribution.graph.influence import influence_on_logits
from monoseme.attribution.graph.linear import LinearPrompt, Sources, Targets
from monoseme.attribution.graph.nodes import AttributionGraph, Node
from monoseme.attribution.graph.reading import Firings, GraphSae, in_order, read_prompt
from monoseme.core.errors import ConfigError
from monoseme.models import LanguageModel
from monoseme.tensors.shapes import Float, Int, Tensor


@dataclass(frozen=True, kw_only=True)
class TracingConfig:
    """What becomes a node."""

    n_logits: int = 10
    """Most logit nodes (count); circuit-tracer's choice."""
    logit_probability: float = 0.95
    """Logit nodes are the likeliest tokens that together reach this probability."""
    max_latents: int | None = 4096
    """Most latent nodes (count), the most influential first; None for all that fire."""
    targets_at_once: int = 64
    """Targets traced back at once (count): rows of the forward, whose graph is held."""

    def __post_init__(self) -> None:
        for name in ("n_logits", "targets_at_once", "max_latents"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} is {value}; it must be at least 1")
        if not 0 < self.logit_probability <= 1:
            raise ConfigError(f"logit_probability is {self.logit_probability}; it must be above 0 and at most 1")


def trace(
    model: LanguageModel, tokens: Sequence[int], saes: Sequence[GraphSae], config: TracingConfig | None = None
) -> AttributionGraph:
    """The attribution graph of one prompt.

    Raises ConfigError without SAEs or tokens, SiteError for SAEs that cannot share a graph, ModelError for a prompt that is too
    long or where the model's attention cannot be held still.
    """
    if not saes or not len(tokens):
        raise ConfigError("an attribution graph needs at least one SAE and one token")
    return _Tracing(model, tokens, in_order(saes), config or TracingConfig()).graph()


class _Tracing:
    """One prompt being traced: all nodes that there could be, and the rows of edges known so far."""

    def __init__(self, model: LanguageModel, tokens: Sequence[int], saes: tuple[GraphSae, ...], config: TracingConfig) -> None:
        self.model, self.config, self.saes = model, config, saes
        self.tokens = torch.tensor([list(tokens)], device=model.device)
        self.firings = read_prompt(model, self.tokens, saes)
        self.linear = LinearPrompt(model, self.tokens, saes, n_rows=config.targets_at_once)
        self.logits = self._logit_nodes()
        self.positions = [s for s, token in enumerate(tokens) if s > 0 or int(token) not in model.special_ids]
        """Where errors have nodes."""
        self.sources = [*self._latent_sources(), *self._error_sources(), self._token_source()]
        self.nodes = (*self._latent_nodes(), *self._error_nodes(), *self._token_nodes(), *self.logits)
        self.edges = torch.zeros(len(self.nodes), len(self.nodes), dtype=torch.float64)

    def graph(self) -> AttributionGraph:
        """Logits are traced first, then latents by their influence in what is known by then."""
        self._trace_logits()
        n_latents = self.n_latents
        most = n_latents if self.config.max_latents is None else min(self.config.max_latents, n_latents)
        traced = torch.zeros(len(self.nodes), dtype=torch.bool)
        weights = torch.tensor([node.probability or 0.0 for node in self.nodes], dtype=torch.float64)
        while (left := most - int(traced.sum())) > 0:
            influence = influence_on_logits(self.edges, weights)[:n_latents]
            order = influence.masked_fill(traced[:n_latents], -1.0).argsort(descending=True, stable=True)
            chosen = order[: min(left, self.config.targets_at_once)]
            self._trace_latents(chosen)
            traced[chosen] = True
        traced[n_latents:] = True
        ids = [node.index for node in self.logits]
        made = AttributionGraph(
            nodes=self.nodes,
            edges=self.edges,
            tokens=self.tokens[0].cpu(),
            token_texts=tuple(self.model.decode_tokens(self.tokens[0])),
            logit_texts=dict(zip(ids, self.model.decode_tokens(ids), strict=True)),
            n_layers=self.model.spec.n_layers,
        )
        return made.kept(traced)

    @property
    def n_latents(self) -> int:
        """Firings of all SAEs."""
        return sum(len(each.latent) for each in self.firings.values())

    # -- targets ---------------------------------------------------------------------------------------------------

    def _trace_logits(self) -> None:
        """Logit less mean: directions that add up to 0 over the vocabulary."""
        first = len(self.nodes) - len(self.logits)
        for some in torch.arange(len(self.logits)).split(self.config.targets_at_once):
            ids = torch.tensor([self.logits[i].index for i in some])
            direction = self.linear.logits.new_full((len(ids), len(self.linear.logits)), -1.0 / len(self.linear.logits))
            direction[torch.arange(len(ids)), ids] += 1.0
            position = torch.full_like(ids, self.tokens.shape[1] - 1)
            self._write(first + some, Targets(None, position, direction))

    def _trace_latents(self, chosen: Int[Tensor, " b"]) -> None:
        first = 0
        for each in self.saes:
            found = self.firings[each.name]
            ours = chosen[(chosen >= first) & (chosen < first + len(found.latent))]
            if len(ours):
                at = ours - first
                self._write(ours, Targets(each.reads, found.position[at], found.read[at.to(found.read.device)]))
            first += len(found.latent)

    def _write(self, rows: Int[Tensor, " b"], targets: Targets) -> None:
        """The edges of targets into the matrix; logits, the last columns, are no sources."""
        self.edges[rows, : len(self.nodes) - len(self.logits)] = self.linear.edges(targets, self.sources).cpu().double()

    # -- sources, in the order of the nodes ------------------------------------------------------------------------

    def _latent_sources(self) -> list[Sources]:
        return [Sources(each.writes, found.position, found.written) for each, found in self._read()]

    def _error_sources(self) -> list[Sources]:
        at = torch.tensor(self.positions, dtype=torch.int64)
        return [Sources(each.writes, at, self._rest(each, found)[at.to(found.error.device)]) for each, found in self._read()]

    def _rest(self, each: GraphSae, found: Firings) -> Float[Tensor, "S D"]:
        """The error, or all that is there where the SAE does not act."""
        acts = self.model.editable(self.tokens)[0].to(found.error.device)
        return found.error.where(acts.unsqueeze(1), self.linear.vectors(each.writes))

    def _token_source(self) -> Sources:
        at = torch.arange(self.tokens.shape[1])
        return Sources(self.linear.token_site, at, self.linear.vectors(self.linear.token_site))

    def _read(self) -> list[tuple[GraphSae, Firings]]:
        return [(each, self.firings[each.name]) for each in self.saes]

    # -- nodes -----------------------------------------------------------------------------------------------------

    def _latent_nodes(self) -> list[Node]:
        return [
            Node("latent", each.name, str(each.writes), each.writes.layer, position, latent, code)
            for each, found in self._read()
            for position, latent, code in zip(found.position.tolist(), found.latent.tolist(), found.code.tolist(), strict=True)
        ]

    def _error_nodes(self) -> list[Node]:
        found: list[Node] = []
        for each, firings in self._read():
            sizes = self._rest(each, firings).double().norm(dim=1).tolist()
            found += [Node("error", each.name, str(each.writes), each.writes.layer, s, -1, sizes[s]) for s in self.positions]
        return found

    def _token_nodes(self) -> list[Node]:
        site = str(self.linear.token_site)
        return [Node("token", None, site, -1, s, int(token), 1.0) for s, token in enumerate(self.tokens[0].tolist())]

    def _logit_nodes(self) -> list[Node]:
        """The likeliest tokens, the first that together are likely enough."""
        logits = self.linear.logits.double().cpu()
        likely = logits.softmax(0).sort(descending=True, stable=True)
        n = 1 + int((likely.values.cumsum(0) < self.config.logit_probability).sum())
        chosen = zip(likely.indices.tolist(), likely.values.tolist(), strict=True)
        last, mean, n_layers = self.tokens.shape[1] - 1, float(logits.mean()), self.model.spec.n_layers
        return [
            Node("logit", None, "logits", n_layers, last, token, float(logits[token]) - mean, probability)
            for token, probability in list(chosen)[: min(n, self.config.n_logits)]
        ]
