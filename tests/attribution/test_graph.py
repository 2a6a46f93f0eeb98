"""Attribution graphs: edges add up, influence, pruning and scores by hand, circuit-tracer's files."""

import json
from dataclasses import replace

import pytest
import torch
from tests.attribution.tiny import TOKENS, double_model, mlp_transcoder, resid_sae

from monoseme.attribution.graph import (
    AttributionGraph,
    GraphSae,
    Node,
    TracingConfig,
    circuit_tracer_files,
    graph_sae,
    graph_scores,
    influence_on_logits,
    node_ids,
    prune,
    trace,
)
from monoseme.core.errors import ConfigError, SiteError
from monoseme.models import LanguageModel, Site
from monoseme.models.edit import replacement
from monoseme.saes.mlsae import MLSAE
from monoseme.splice import Placed

PROMPT = TOKENS[0].tolist()


def saes_of(model: LanguageModel, kind: str, *, biases: bool = True) -> list[GraphSae]:
    """At two of three layers."""
    made = {
        "sae": lambda layer: resid_sae(layer, width=model.spec.d_model, biases=biases),
        "transcoder": lambda layer: mlp_transcoder(layer, width=model.spec.d_model, biases=biases),
        "skip": lambda layer: mlp_transcoder(layer, width=model.spec.d_model, skip=True, biases=biases),
    }[kind]
    return [graph_sae(f"{kind}{layer}", made(layer)) for layer in (0, 2)]


@pytest.mark.parametrize(("family", "kind"), [("llama", "sae"), ("gpt2", "skip"), ("gemma2", "transcoder")])
def test_without_biases_the_edges_into_a_node_add_up_to_its_value(family: str, kind: str):
    model = double_model(family, biases=False)
    # No special token in front: the first position would have no error node.
    graph = trace(model, PROMPT[1:], saes_of(model, kind, biases=False), TracingConfig(targets_at_once=7))
    is_target = graph.of_kind("latent", "logit")
    assert bool((graph.values[is_target].abs() > 1e-3).any())
    assert float(graph.constants[is_target].abs().max()) < 1e-5
    assert not graph.edges[~is_target].any()


def test_an_edge_is_what_an_sae_layer_further_on_sees_of_a_latents_removal_in_a_linear_model():
    model = double_model("gpt2", biases=False)
    saes = saes_of(model, "sae", biases=False)[1:]
    graph = trace(model, PROMPT[1:], saes)
    site = saes[0].writes
    tokens = torch.tensor([PROMPT[1:]])
    x = model.capture(tokens, [site])[site]
    held = model.unembed(x[0, -1])
    factor = 1 / (x[0, -1] - x[0, -1].mean()).square().mean().add(1e-5).sqrt()
    last = [i for i, node in enumerate(graph.nodes) if node.kind == "latent" and node.position == 4]
    logits = [i for i, node in enumerate(graph.nodes) if node.kind == "logit"]
    assert torch.allclose(model.run(tokens, edits=[replacement(site, x)]).logits[0, -1], held)
    for source in last:
        node = graph.nodes[source]
        write = node.value * saes[0].sae.W_dec[node.index]
        moved = (write - write.mean()) * model.final_norm_scale().double() * factor @ model.unembedding()
        for target in logits:
            expected = float(moved[graph.nodes[target].index] - moved.mean())
            assert float(graph.edges[target, source]) == pytest.approx(expected, abs=1e-9)


def test_edges_lead_forward_and_residual_saes_hide_what_lies_before_them():
    model = double_model()
    graph = trace(model, PROMPT, saes_of(model, "sae"))
    target, source = graph.edges.nonzero().unbind(1)
    for t, s in zip(target.tolist(), source.tolist(), strict=True):
        assert graph.nodes[s].layer < graph.nodes[t].layer
        assert graph.nodes[s].position <= graph.nodes[t].position
    tokens, late = graph.of_kind("token"), torch.tensor([node.layer >= 2 for node in graph.nodes])
    assert not graph.edges[late][:, tokens].any()
    by_transcoders = trace(model, PROMPT, saes_of(model, "transcoder"))
    late = torch.tensor([node.layer >= 2 for node in by_transcoders.nodes])
    assert bool(by_transcoders.edges[late][:, by_transcoders.of_kind("token")].any())


def test_targets_at_once_do_not_change_edges():
    model = double_model()
    few, many = (trace(model, PROMPT, saes_of(model, "sae"), TracingConfig(targets_at_once=n)) for n in (3, 64))
    assert few.nodes == many.nodes
    assert torch.allclose(few.edges, many.edges, atol=1e-10)


def test_the_most_influential_latents_are_traced_and_others_left_out():
    model = double_model()
    saes = saes_of(model, "sae")
    whole = trace(model, PROMPT, saes, TracingConfig(n_logits=2))
    some = trace(model, PROMPT, saes, TracingConfig(n_logits=2, max_latents=5, targets_at_once=2))
    assert sum(node.kind == "latent" for node in some.nodes) == 5
    assert sum(node.kind == "logit" for node in some.nodes) == 2
    place = {node: i for i, node in enumerate(whole.nodes)}
    chosen = torch.tensor([place[node] for node in some.nodes])
    assert torch.allclose(some.edges, whole.edges[chosen][:, chosen], atol=1e-10)


def test_a_special_first_token_has_neither_latents_nor_error():
    model = double_model()
    graph = trace(model, PROMPT, saes_of(model, "sae"))
    assert {node.kind for node in graph.nodes if node.position == 0} == {"token"}


# -- a graph small enough to be worked by hand ----------------------------------------------------------------------


def hand_worked() -> AttributionGraph:
    """Token 0 -> latent 1 -> logit 3, error 2 -> logit 3 and latent 1; logit 4 has half the weight and the token alone."""
    nodes = (
        Node("latent", "sae", "resid_post.0", 0, 0, 7, 2.0),
        Node("error", "sae", "resid_post.0", 0, 0, -1, 1.0),
        Node("token", None, "resid_pre.0", -1, 0, 5, 1.0),
        Node("logit", None, "logits", 2, 0, 3, 4.0, 0.5),
        Node("logit", None, "logits", 2, 0, 4, 1.0, 0.25),
    )
    edges = torch.zeros(5, 5, dtype=torch.float64)
    edges[0, 2] = -2.0
    edges[3, 0], edges[3, 1] = 3.0, -1.0
    edges[4, 2] = 1.0
    return AttributionGraph(nodes, edges, torch.tensor([5]), ("a",), {3: "x", 4: "\n"}, 2)


def test_influence_flows_back_along_normalised_edges():
    graph = hand_worked()
    # 0.5 * 3/4 to the latent, 0.5 * 1/4 to the error, all of the latent's and of logit 4's to the token.
    expected = torch.tensor([0.375, 0.125, 0.375 + 0.25, 0.0, 0.0], dtype=torch.float64)
    assert torch.allclose(influence_on_logits(graph.edges, graph.logit_weights), expected)


def test_scores_weigh_tokens_against_errors():
    scores = graph_scores(hand_worked())
    assert scores.replacement == pytest.approx(0.625 / 0.75)
    # Only logit 3 has an error among its inputs: a quarter of them, with 0.5 of 0.375 + 0.125 + 0.625 + 0.75 in all.
    assert scores.completeness == pytest.approx((1.875 - 0.25 * 0.5) / 1.875)


def test_pruning_drops_what_matters_least_and_keeps_tokens_and_logits():
    pruned = prune(hand_worked(), node_threshold=0.8, edge_threshold=1.0)
    assert [node.kind for node in pruned.graph.nodes] == ["latent", "token", "logit", "logit"]
    assert pruned.cumulative.tolist() == pytest.approx([1.0 / 1.125, 0.625 / 1.125, 1.0, 1.0])
    assert pruned.graph.edges[2, 0] == 3.0


def test_what_loses_its_edges_goes_too():
    # Edges' influences are 0.375 by the latent, twice, 0.25 to logit 4 and 0.125 from the error.
    pruned = prune(hand_worked(), node_threshold=1.0, edge_threshold=0.2)
    assert [node.kind for node in pruned.graph.nodes] == ["latent", "token", "logit", "logit"]
    assert pruned.graph.edges.count_nonzero() == 2
    cut = prune(hand_worked(), node_threshold=0.3, edge_threshold=1.0)
    assert [node.kind for node in cut.graph.nodes] == ["token", "logit", "logit"]


def test_total_effects_add_paths_by_latents():
    effects = hand_worked().total_effects()
    # Token -> latent is all of the latent's code of 2 but for its sign: so is what the latent adds to the logit.
    assert float(effects[3, 2]) == pytest.approx(-2.0 / 2.0 * 3.0)
    assert float(effects[3, 0]) == 3.0


@pytest.mark.parametrize("threshold", [-0.1, 1.1])
def test_thresholds_are_shares(threshold: float):
    with pytest.raises(ConfigError, match="between 0 and 1"):
        prune(hand_worked(), node_threshold=threshold)


def test_circuit_tracer_reads_ids_links_and_rows():
    graph = hand_worked()
    files = circuit_tracer_files(prune(graph, node_threshold=1.0, edge_threshold=1.0), slug="tiny", prompt="a", scan="model")
    made = json.loads(files["tiny.json"])
    assert json.loads(files["graph-metadata.json"])["graphs"] == [made["metadata"]]
    assert made["metadata"]["prompt_tokens"] == ["a"]
    assert set(made["qParams"]) == {"pinnedIds", "supernodes", "linkType", "clickedId", "sg_pos"}
    by_id = {node["node_id"]: node for node in made["nodes"]}
    assert list(by_id) == node_ids(graph) == ["0_7_0", "0_-1_0", "E_5_0", "3_3_0", "3_4_0"]
    assert by_id["0_7_0"]["feature"] == 35, "the Cantor pair of 0 and 7"
    assert by_id["0_7_0"]["activation"] == 2.0
    assert by_id["3_3_0"]["is_target_logit"]
    assert not by_id["3_4_0"]["is_target_logit"]
    assert by_id["3_4_0"]["clerp"] == 'Output "⏎" (p=0.250)'
    assert {"source": "0_7_0", "target": "3_3_0", "weight": 3.0} in made["links"]
    assert len({node["jsNodeId"] for node in made["nodes"]}) == 5


def test_two_sites_of_one_block_have_rows_of_their_own():
    graph = hand_worked()
    first = graph.nodes[0]
    other = replace(first, site="mlp_out.0", sae="transcoder")
    assert node_ids(replace(graph, nodes=(first, other, *graph.nodes[2:])))[:2] == ["0_7_0", "1_7_0"]


def test_what_a_graph_cannot_hold_is_refused():
    model = double_model()
    several = MLSAE(MLSAE.Config(d_in=model.spec.d_model, n_latents=11, k=3, n_sites=2))
    with pytest.raises(SiteError, match="one token at one site"):
        graph_sae("several", Placed(several, (Site("resid_post", 0), Site("resid_post", 1))))
    one = saes_of(model, "sae")[0]
    with pytest.raises(SiteError, match="both stand for"):
        trace(model, PROMPT, [one, one._replace(name="twin")])
    with pytest.raises(ConfigError, match="at least one SAE"):
        trace(model, PROMPT, [])
    with pytest.raises(ConfigError, match="n_logits"):
        TracingConfig(n_logits=0)
