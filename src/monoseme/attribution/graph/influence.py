"""Influence of nodes on the logits, pruning by it, and the scores of a graph.

With A the absolute edges, each row divided by its sum, and w the probabilities of the logit nodes:

    influence                    w (A + A^2 + A^3 + ...)
    an edge's                    A'[t, s] (influence'[t] + w[t])                     primed: of the graph of the nodes kept
    replacement score            influence of tokens / (of tokens + of errors)
    completeness score           sum_t (influence[t] + w[t]) (1 - share of errors in row t) / sum_t (influence[t] + w[t])

Nodes are kept, the most influential first, until they hold `node_threshold` of all influence; tokens and logits always. Then
edges, until they hold `edge_threshold` of all edges' influence. A latent left without incoming edges, and a latent or error
without outgoing ones, goes; so does what then has none.

Source: Ameisen et al. 2025, "Circuit Tracing", appendix "Graph pruning"; the thresholds 0.8 and 0.98, and which nodes always
stay, as in `circuit_tracer/graph.py` of safety-research/circuit-tracer. Letters: N nodes.
"""

from typing import NamedTuple

import torch

from monoseme.attribution.graph.nodes import AttributionGraph
from monoseme.core.errors import ConfigError
from monoseme.tensors.shapes import Bool, Float, Tensor


class GraphScores(NamedTuple):
    """How much of a graph goes by latents rather than by errors; None where nothing reaches the logits."""

    replacement: float | None
    completeness: float | None


class Pruned(NamedTuple):
    """What is left of a graph."""

    graph: AttributionGraph
    influence: Float[Tensor, " N"]
    """Of the nodes that are left, in the whole graph."""
    cumulative: Float[Tensor, " N"]
    """Share of all influence that a node and all more influential ones hold; what circuit-tracer's files call influence."""


def influence_on_logits(edges: Float[Tensor, "N N"], weights: Float[Tensor, " N"]) -> Float[Tensor, " N"]:
    """Of each node, float64; `edges` as in an `AttributionGraph`, `weights` those of the logits."""
    shares = _shares(edges)
    influence = torch.zeros_like(weights)
    passed = weights @ shares
    while bool(passed.any()):
        influence = influence + passed
        passed = passed @ shares
    return influence


def graph_scores(graph: AttributionGraph) -> GraphScores:
    """Of a whole graph, not of a pruned one."""
    weights = graph.logit_weights
    influence = influence_on_logits(graph.edges, weights)
    is_error = graph.of_kind("error")
    tokens, errors = float(influence[graph.of_kind("token")].sum()), float(influence[is_error].sum())
    reached = influence + weights
    without_errors = 1 - _shares(graph.edges)[:, is_error].sum(1)
    total = float(reached.sum())
    replacement = tokens / (tokens + errors) if tokens + errors > 0 else None
    return GraphScores(replacement, float(without_errors @ reached) / total if total > 0 else None)


def prune(graph: AttributionGraph, *, node_threshold: float = 0.8, edge_threshold: float = 0.98) -> Pruned:
    """The part of a graph that matters. Raises ConfigError for thresholds outside [0, 1]."""
    for name, threshold in (("node_threshold", node_threshold), ("edge_threshold", edge_threshold)):
        if not 0 <= threshold <= 1:
            raise ConfigError(f"{name} is {threshold}; it must be between 0 and 1")
    weights = graph.logit_weights
    influence = influence_on_logits(graph.edges, weights)
    always = graph.of_kind("token", "logit")
    nodes = _largest(influence, node_threshold) | always
    kept = graph.edges * (nodes[:, None] & nodes)
    scores = _shares(kept) * (influence_on_logits(kept, weights) + weights)[:, None]
    edges = _largest(scores.flatten(), edge_threshold).reshape(scores.shape) & (kept != 0)
    nodes, edges = _connected(graph, nodes, edges)
    return Pruned(graph.kept(nodes, edges), influence[nodes], _cumulative(influence)[nodes])


def _connected(
    graph: AttributionGraph, nodes: Bool[Tensor, " N"], edges: Bool[Tensor, "N N"]
) -> tuple[Bool[Tensor, " N"], Bool[Tensor, "N N"]]:
    """Without the latents and errors that lead nowhere and the latents to which nothing leads."""
    needs_out, needs_in = graph.of_kind("latent", "error"), graph.of_kind("latent")
    while True:
        edges = edges & nodes[:, None] & nodes
        left = nodes & (edges.any(0) | ~needs_out) & (edges.any(1) | ~needs_in)
        if bool((left == nodes).all()):
            return nodes, edges
        nodes = left


def _shares(edges: Float[Tensor, "N N"]) -> Float[Tensor, "N N"]:
    """Absolute values, each row over its sum; rows of zeros stay."""
    sizes = edges.abs()
    sums = sizes.sum(1, keepdim=True)
    return sizes / sums.where(sums > 0, 1.0)


def _largest(scores: Float[Tensor, " n"], share: float) -> Bool[Tensor, " n"]:
    """The largest that together reach `share` of the sum, with all that equal the last of them; zeros never."""
    if not bool(scores.any()):
        return torch.zeros_like(scores, dtype=torch.bool)
    ordered = scores.sort(descending=True).values
    reached = ordered.cumsum(0) / ordered.sum()
    last = min(int(torch.searchsorted(reached, share)), len(ordered) - 1)
    return (scores >= ordered[last]) & (scores > 0)


def _cumulative(influence: Float[Tensor, " N"]) -> Float[Tensor, " N"]:
    order = influence.sort(descending=True, stable=True).indices
    total = influence.sum()
    reached = torch.zeros_like(influence)
    reached[order] = influence[order].cumsum(0) / total.where(total > 0, 1.0)
    return reached
