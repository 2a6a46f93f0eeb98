"""Attribution graphs as files of circuit-tracer, which its own page and Neuronpedia's draw.

    SLUG.json             {"metadata", "qParams", "nodes", "links"}
    graph-metadata.json   {"graphs": [metadata, ...]}: what lies in the folder, read by its local server

Rows of its page are layers: a latent's is the block where its SAE writes, or its place among the SAEs where two stand in one
block. `influence` is cumulative there: the share of all influence that a node and all more influential ones hold. Error nodes
have feature -1. Feature ids are Cantor pairs of layer and latent.

Schema: `circuit_tracer/frontend/graph_models.py` and `utils/create_graph_files.py` of safety-research/circuit-tracer
(schema_version 1, as of 2026). Differs: a link's weight is the linear effect on the target's code or logit (`tracing`), as
everywhere here; what stands for an MLP there may stand for the residual stream here.
"""

from typing import Any

from monoseme.attribution.graph.influence import Pruned
from monoseme.attribution.graph.nodes import AttributionGraph, Node
from monoseme.core.files import to_json

_SHOWN = str.maketrans({"\n": "⏎", "\t": "→", "\r": "↵"})
METADATA_FILE = "graph-metadata.json"


def circuit_tracer_files(pruned: Pruned, *, slug: str, prompt: str, scan: str, node_threshold: float = 0.8) -> dict[str, bytes]:
    """The files of one pruned graph, by name.

    `slug` names it and its file. `scan` names the model or the SAEs: circuit-tracer looks there for examples of latents, and
    shows the graph without them where it finds none.
    """
    graph = pruned.graph
    metadata = {
        "slug": slug,
        "scan": scan,
        "transcoder_list": list(dict.fromkeys(node.sae for node in graph.nodes if node.sae is not None)),
        "prompt_tokens": [text.translate(_SHOWN) for text in graph.token_texts],
        "prompt": prompt,
        "node_threshold": node_threshold,
        "schema_version": 1,
    }
    rows = _rows(graph)
    nodes = [_node(node, graph, rows, share) for node, share in zip(graph.nodes, pruned.cumulative.tolist(), strict=True)]
    targets, sources = graph.edges.nonzero().unbind(1)
    weights = graph.edges[targets, sources].tolist()
    links = [
        {"source": nodes[source]["node_id"], "target": nodes[target]["node_id"], "weight": weight}
        for target, source, weight in zip(targets.tolist(), sources.tolist(), weights, strict=True)
    ]
    asked = {"pinnedIds": [], "supernodes": [], "linkType": "both", "clickedId": "", "sg_pos": ""}
    whole = {"metadata": metadata, "qParams": asked, "nodes": nodes, "links": links}
    return {f"{slug}.json": to_json(whole).encode(), METADATA_FILE: to_json({"graphs": [metadata]}).encode()}


def node_ids(graph: AttributionGraph) -> list[str]:
    """What circuit-tracer calls each node: LAYER_LATENT_POSITION, with -1 for an error, E for a token's layer."""
    rows = _rows(graph)
    return [_ids(node, graph, rows)[0] for node in graph.nodes]


def _node(node: Node, graph: AttributionGraph, rows: dict[str, int], share: float) -> dict[str, Any]:
    node_id, js_id = _ids(node, graph, rows)
    made: dict[str, Any] = {
        "node_id": node_id,
        "feature": _feature(node, rows),
        "layer": node_id.split("_")[0],
        "ctx_idx": node.position,
        "feature_type": _TYPES[node.kind],
        "token_prob": node.probability or 0.0,
        "is_target_logit": False,
        "run_idx": 0,
        "reverse_ctx_idx": 0,
        "jsNodeId": js_id,
        "clerp": "",
        "influence": None if node.kind == "logit" else share,
        "activation": node.value if node.kind == "latent" else None,
    }
    if node.kind == "logit":
        first = next(each for each in graph.nodes if each.kind == "logit")
        text = graph.logit_texts[node.index].translate(_SHOWN)
        made |= {"is_target_logit": node is first, "clerp": f'Output "{text}" (p={node.probability:.3f})'}
    return made


_TYPES = {"latent": "cross layer transcoder", "error": "mlp reconstruction error", "token": "embedding", "logit": "logit"}
"""Its page knows these alone."""


def _ids(node: Node, graph: AttributionGraph, rows: dict[str, int]) -> tuple[str, str]:
    """`node_id` and `jsNodeId`, each different for every node."""
    if node.kind == "token":
        return f"E_{node.index}_{node.position}", f"E_{node.index}-{node.position}"
    if node.kind == "logit":
        return f"{_top(graph, rows)}_{node.index}_{node.position}", f"L_{node.index}-{node.position}"
    row = rows[node.site]
    return f"{row}_{node.index}_{node.position}", f"{row}_{node.index}-{node.position if node.kind == 'error' else 0}"


def _feature(node: Node, rows: dict[str, int]) -> int:
    if node.kind == "latent":
        row, latent = rows[node.site], node.index
        return (row + latent) * (row + latent + 1) // 2 + latent
    return {"error": -1, "token": node.position, "logit": node.index}[node.kind]


def _rows(graph: AttributionGraph) -> dict[str, int]:
    """Site -> its layer, or its place among the sites where two of them are in one layer."""
    layers = {node.site: node.layer for node in graph.nodes if node.sae is not None}
    return layers if len(set(layers.values())) == len(layers) else {site: i for i, site in enumerate(layers)}


def _top(graph: AttributionGraph, rows: dict[str, int]) -> int:
    return max(graph.n_layers, *rows.values(), 0) + 1
