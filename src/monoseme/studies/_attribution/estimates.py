"""What each latent on the prompt does to the likeliest next token: estimated in three ways, and measured by ablation.

All effects are those of taking the latent away, on the logit of that token less the mean of all logits:

    graph        minus the total effect by the edges of the graph: patterns and norms held still
    gradient     minus gradient times activation
    integrated   integrated gradients from the activation to zero, all latents of the site together
    ablation     the run without it
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path as File
from typing import NamedTuple

import torch

from monoseme.attribution import (
    LogitMetric,
    Path,
    Readout,
    ablate_firings,
    agreement,
    gradient_times_activation,
    integrated_gradients,
)
from monoseme.attribution.graph import AttributionGraph, GraphSae
from monoseme.core.files import write_atomic
from monoseme.models import LanguageModel, Site
from monoseme.splice import Placed
from monoseme.studies._base import Row
from monoseme.studies._kept_files import reading
from monoseme.tensors.shapes import Tensor

ESTIMATES = ("graph", "gradient", "integrated")
Key = tuple[str, int, int]
"""SAE, position, latent."""


class Effects(NamedTuple):
    """Effects of taking latents away, one by one."""

    keys: list[Key]
    """Every latent that fires, SAE by SAE."""
    by: Mapping[str, Mapping[Key, float]]
    """Estimate, or "ablation", -> effects; of `graph`, those that were traced alone."""


def effects_on(model: LanguageModel, graph: AttributionGraph, saes: Sequence[GraphSae], *, n_steps: int) -> Effects:
    """Of all latents that fire on the graph's prompt, on its first logit node."""
    readout = _readout(graph)
    placed = {each.writes: _placed(each) for each in saes}
    gradients = gradient_times_activation(model, readout, placed)
    integrated = integrated_gradients(model, readout, placed, path=Path(n_steps=n_steps))
    by: dict[str, dict[Key, float]] = {name: {} for name in (*ESTIMATES, "ablation")}
    by["graph"] = _by_graph(graph)
    for each in saes:
        measured = ablate_firings(model, placed[each.writes], readout)
        keys = [(each.name, s, j) for s, j in zip(measured.position.tolist(), measured.latent.tolist(), strict=True)]
        by["ablation"] |= dict(zip(keys, measured.effect.tolist(), strict=True))
        for name, sign, found in (("gradient", -1, gradients[each.writes]), ("integrated", 1, integrated[each.writes])):
            row = torch.zeros(len(graph.tokens), dtype=torch.int64)
            row[found.position.cpu()] = torch.arange(len(found.position))
            scores = sign * found.scores.to_dense().double().cpu()[row[measured.position], measured.latent]
            by[name] |= dict(zip(keys, scores.tolist(), strict=True))
    return Effects(list(by["ablation"]), by)


def write_effects(path: File, effects: Effects) -> None:
    """As JSON: the latents, and a list for each estimate, null where it is of others."""
    by = {name: [found.get(key) for key in effects.keys] for name, found in effects.by.items()}
    write_atomic(path, json.dumps({"keys": effects.keys, "by": by}))


def read_effects(path: File) -> Effects:
    """What `write_effects` wrote. Raises ArtifactDamagedError."""
    with reading(path):
        kept = json.loads(path.read_text(encoding="utf-8"))
        keys: list[Key] = [(sae, position, latent) for sae, position, latent in kept["keys"]]
        pairs = {name: zip(keys, values, strict=True) for name, values in kept["by"].items()}
        return Effects(keys, {name: {key: value for key, value in each if value is not None} for name, each in pairs.items()})


def agreement_rows(effects: Effects) -> list[Row]:
    """How each estimate agrees with ablation, for each SAE and for all of them."""
    names = list(dict.fromkeys(name for name, _, _ in effects.keys))
    scopes = {name: [key for key in effects.keys if key[0] == name] for name in names}
    scopes |= {"all": effects.keys} if len(names) > 1 else {}
    rows: list[Row] = []
    for sae, keys in scopes.items():
        for name in ESTIMATES:
            known = [key for key in keys if key in effects.by[name]]
            pairs = (torch.tensor([effects.by[which][key] for key in known]) for which in (name, "ablation"))
            rows.append({"sae": sae, "estimate": name, **agreement(*pairs)._asdict()})
    return rows


def _readout(graph: AttributionGraph) -> Readout:
    """The logit of the likeliest next token less the mean of all."""
    token = next(node.index for node in graph.nodes if node.kind == "logit")

    def above_mean(logits: Tensor) -> Tensor:
        return logits[:, token] - logits.mean(-1)

    return Readout(graph.tokens.unsqueeze(0), torch.tensor([len(graph.tokens) - 1]), LogitMetric(above_mean))


def _by_graph(graph: AttributionGraph) -> dict[Key, float]:
    target = next(i for i, node in enumerate(graph.nodes) if node.kind == "logit")
    effects = (-graph.total_effects()[target]).tolist()
    return {
        (node.sae, node.position, node.index): effect
        for node, effect in zip(graph.nodes, effects, strict=True)
        if node.kind == "latent" and node.sae is not None
    }


def _placed(each: GraphSae) -> Placed:
    sites: tuple[Site, ...] = (each.reads,) if each.reads == each.writes else (each.reads, each.writes)
    return Placed(each.sae, sites)
