"""The tables, metrics and findings of the study `attribution`."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch

from monoseme.atlas.scanning.logits import Unembedding, direct_logits, why_no_logits
from monoseme.attribution.graph import AttributionGraph, GraphSae, GraphScores, Node, Pruned
from monoseme.evaluation import Metric
from monoseme.models import LanguageModel
from monoseme.splice import written_by
from monoseme.studies._attribution.estimates import Effects, Key
from monoseme.studies._base import Comparison, Finding, Row

_N_TOKENS = 3
_SCORES = {
    "replacement": "Share of the influence that reaches the logits' sources, tokens and errors, that comes from tokens: "
    "tokens / (tokens + errors). 1 where everything goes by latents (Ameisen et al. 2025).",
    "completeness": "Share of the inputs of nodes that are not errors, weighted by the nodes' influence (Ameisen et al. 2025).",
    "constant_share": "Sum over latents and logits of |value - incoming edges|, divided by that of |value|: what biases and the "
    "first position add, which no node stands for; above 1 where these cancel.",
}


def node_rows(pruned: Pruned, ids: Sequence[str], promoted: Mapping[tuple[str, int], str]) -> list[Row]:
    """One for each node that is left, the most influential first."""
    graph = pruned.graph
    rows: list[Row] = [
        {
            "node": ids[i],
            "kind": node.kind,
            "sae": node.sae,
            "site": node.site,
            "position": node.position,
            "token": graph.token_texts[node.position],
            "index": node.index if node.kind != "error" else None,
            "value": node.value,
            "influence": float(pruned.influence[i]),
            "cumulative": float(pruned.cumulative[i]),
            "probability": node.probability,
            "text": _text(node, graph, promoted),
        }
        for i, node in enumerate(graph.nodes)
    ]
    return sorted(rows, key=lambda row: -row["influence"])


def edge_rows(graph: AttributionGraph, ids: Sequence[str]) -> list[Row]:
    """One for each edge that is left, the largest share of its target first."""
    shares = graph.edges.abs() / graph.edges.abs().sum(1, keepdim=True).clamp(min=1e-30)
    rows: list[Row] = [
        {"source": ids[s], "target": ids[t], "weight": float(graph.edges[t, s]), "share": float(shares[t, s])}
        for t, s in graph.edges.nonzero().tolist()
    ]
    return sorted(rows, key=lambda row: -row["share"])


def effect_rows(effects: Effects, graph: AttributionGraph, promoted: Mapping[tuple[str, int], str]) -> list[Row]:
    """One for each latent that fires: what was estimated and what ablation found; the largest effect first."""
    rows: list[Row] = [
        {
            "sae": key[0],
            "position": key[1],
            "token": graph.token_texts[key[1]],
            "latent": key[2],
            **{name: found.get(key) for name, found in effects.by.items()},
            "promotes": promoted.get((key[0], key[2])),
        }
        for key in effects.keys
    ]
    return sorted(rows, key=lambda row: -abs(row["ablation"]))


class About(NamedTuple):
    """A node in words, short enough for a line each; "" where there is nothing to say."""

    node: str
    of: str
    """Its SAE."""
    at: str
    """Its position and the token there."""
    text: str
    """A logit's token, or what a latent promotes."""


def about(pruned: Pruned, promoted: Mapping[tuple[str, int], str]) -> list[About]:
    """Each node in words."""
    graph = pruned.graph
    words = {"latent": "latent {index}, code {value:.3g}", "error": "error, length {value:.3g}"}
    words |= {"token": "token", "logit": "next token, p = {probability:.3f}"}
    return [
        About(
            node=words[node.kind].format(index=node.index, value=node.value, probability=node.probability or 0.0),
            of=node.sae or "",
            at=f"{node.position} “{graph.token_texts[node.position]}”" if node.kind != "logit" else "",
            text=_text(node, graph, promoted) or "",
        )
        for node in graph.nodes
    ]


def promoted_tokens(model: LanguageModel, saes: Sequence[GraphSae], keys: Sequence[Key]) -> dict[tuple[str, int], str]:
    """(SAE, latent) -> the tokens that its decoder row raises most; none of SAEs that do not write to the residual stream."""
    unembedding = Unembedding(model.unembedding(), model.final_norm_scale(), model.spec.norm == "layer")
    found: dict[tuple[str, int], str] = {}
    for each in saes:
        latents = sorted({latent for name, _, latent in keys if name == each.name})
        if not latents or why_no_logits(each.writes) is not None:
            continue
        rows = written_by(each.sae, torch.tensor(latents))
        top = direct_logits(rows, unembedding, n_tokens=_N_TOKENS).top_tokens
        for latent, tokens in zip(latents, top.tolist(), strict=True):
            found[each.name, latent] = " ".join(f"“{text}”" for text in model.decode_tokens(tokens))
    return found


def metrics_of(graph: AttributionGraph, scores: GraphScores) -> list[Metric]:
    """Of the whole graph, before pruning."""
    is_target = graph.of_kind("latent", "logit")
    size = float(graph.values[is_target].abs().sum())
    constant = float(graph.constants[is_target].abs().sum()) / size if size > 0 else None
    values = {"replacement": scores.replacement, "completeness": scores.completeness, "constant_share": constant}
    better = {"replacement": "higher", "completeness": "higher", "constant_share": "lower"}
    return [
        Metric(
            name=name,
            value=value,
            why_missing="nothing reaches the logits" if value is None else None,
            unit="fraction",
            better=better[name],  # pyright: ignore[reportArgumentType]
            n=len(graph.tokens),
            n_documents=1,
            definition=_SCORES[name],
        )
        for name, value in values.items()
    ]


def findings_of(agreements: Sequence[Row]) -> list[Finding]:
    """What the comparison with ablation says of the estimates."""
    by = {(row["sae"], row["estimate"]): row for row in agreements if row["spearman"] is not None}
    names = list(dict.fromkeys(sae for sae, _ in by if sae != "all"))
    pairs = [(sae, by.get((sae, "gradient")), by.get((sae, "integrated"))) for sae in names]
    comparisons = tuple(
        Comparison(b["spearman"] >= a["spearman"], f"{sae}: {b['spearman']:.3f} against {a['spearman']:.3f} (n = {a['n']})")
        for sae, a, b in pairs
        if a is not None and b is not None
    )
    claim = (
        "Integrated gradients to zero, on which all latents of a site go together, order single latents more as their ablation "
        "does than gradient times activation does: rank correlation with ablation, per SAE. (On a path of one latent alone they "
        "are its ablation. Marks et al. 2024, arXiv:2403.19647, section 3.1, go to another prompt instead.)"
    )
    return [Finding(claim, comparisons, "" if comparisons else "too few latents fire on this prompt")]


def _text(node: Node, graph: AttributionGraph, promoted: Mapping[tuple[str, int], str]) -> str | None:
    """What a node is about: the token, or what a latent promotes."""
    if node.kind == "logit":
        return graph.logit_texts[node.index]
    if node.kind == "latent" and node.sae is not None:
        tokens = promoted.get((node.sae, node.index))
        return None if tokens is None else f"promotes {tokens}"
    return None
