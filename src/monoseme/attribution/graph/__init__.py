"""The attribution graph of a prompt: what latents, errors and tokens add to each other and to what the model says next."""

from monoseme.attribution.graph.circuit_tracer import circuit_tracer_files, node_ids
from monoseme.attribution.graph.frozen import Frozen
from monoseme.attribution.graph.influence import GraphScores, Pruned, graph_scores, influence_on_logits, prune
from monoseme.attribution.graph.nodes import AttributionGraph, Node
from monoseme.attribution.graph.reading import GraphSae, graph_sae
from monoseme.attribution.graph.tracing import TracingConfig, trace

__all__ = [
    "AttributionGraph",
    "Frozen",
    "GraphSae",
    "GraphScores",
    "Node",
    "Pruned",
    "TracingConfig",
    "circuit_tracer_files",
    "graph_sae",
    "graph_scores",
    "influence_on_logits",
    "node_ids",
    "prune",
    "trace",
]
