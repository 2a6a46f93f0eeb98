"""Why does the model go on with this token? The attribution graph of a prompt, and what its attributions are worth.

Latents of SAEs or transcoders at several layers, their errors, the tokens and the likeliest next tokens are nodes; edges are
linear effects in a forward with attention patterns and norms held still. What is estimated of each latent, by the graph, by
gradients and by integrated gradients, is compared with ablating it.

Source: Ameisen et al. 2025, "Circuit Tracing: Revealing Computational Graphs in Language Models"; thresholds and files as in
safety-research/circuit-tracer. Differs: SAEs of the residual stream can be used too (`attribution.graph.tracing` says how), and
edges are compared with ablation.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, NamedTuple

from monoseme.attribution.graph import (
    AttributionGraph,
    GraphSae,
    TracingConfig,
    circuit_tracer_files,
    graph_sae,
    graph_scores,
    node_ids,
    prune,
    trace,
)
from monoseme.core.display import get_display
from monoseme.core.errors import ConfigError, SiteError
from monoseme.models import LanguageModel
from monoseme.reports.plain_tables import markdown_text
from monoseme.studies._attribution.estimates import Effects, agreement_rows, effects_on, read_effects, write_effects
from monoseme.studies._attribution.figures import estimates_figure, graph_figure
from monoseme.studies._attribution.tables import (
    about,
    edge_rows,
    effect_rows,
    findings_of,
    metrics_of,
    node_rows,
    promoted_tokens,
)
from monoseme.studies._base import Study, StudyResult
from monoseme.studies._workbench import SHORT_FLAGS, SaeStudyConfig, Workbench

PROMPT = "Once upon a time there was a little girl named Lily. She loved to play in the"
_TEXT = """\
What makes {model} go on as it does after

> {prompt}

The likeliest next tokens: {next}. {saes} stand in the graph: {n_latents:,} latents fire; {n_nodes:,} nodes and {n_edges:,} edges
are left after pruning ({node_threshold:g} of the influence of nodes, {edge_threshold:g} of that of edges).

- *influence*: the share of the logit nodes' probability that flows back to a node along edges, each as wide as its absolute share
  of what reaches its target. *cumulative*: the share of all influence that a node and all more influential ones hold.
- an *edge*: what its source adds to its target, a code or a logit (less the mean of all logits), with attention patterns and
  norms held still; negative where it holds the target down.
- *graph*, *gradient*, *integrated*: what is foretold of the logit of the likeliest token when a latent is taken away; *ablation*:
  what happens.
{left_out}
`files/{slug}.json` is the graph for circuit-tracer's page and for Neuronpedia.
"""
_SLUG = "prompt"


class Attribution(Study):
    """The attribution graph of a prompt over SAEs or transcoders at several layers, and how attributions agree with ablation."""

    @dataclass(frozen=True, kw_only=True)
    class Config(SaeStudyConfig):
        """Which SAEs, one for each site, on which prompt."""

        prompt: str = PROMPT
        """Text whose next token is explained."""
        tracing: TracingConfig = field(default_factory=TracingConfig)
        """What becomes a node."""
        node_threshold: float = 0.8
        """Share of the influence of nodes that is kept (fraction)."""
        edge_threshold: float = 0.98
        """Share of the influence of edges that is kept (fraction)."""
        n_steps: int = 16
        """Steps of integrated gradients (count)."""
        most_drawn: int = 150
        """Most nodes in the figure (count); tokens and logits always are."""

        def __post_init__(self) -> None:
            super().__post_init__()
            for name in ("n_steps", "most_drawn"):
                if getattr(self, name) < 1:
                    raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least 1")
            for name in ("node_threshold", "edge_threshold"):
                if not 0 < getattr(self, name) <= 1:
                    raise ConfigError(f"{name} is {getattr(self, name)}; it must be above 0 and at most 1")
            if self.part != ("all",):
                raise ConfigError("an attribution graph is of whole codes: leave out --part")

    config: Config
    short_flags: ClassVar[Mapping[str, str]] = SHORT_FLAGS

    def investigate(self, work: Path) -> StudyResult:
        """Traces the prompt, then estimates and ablates every latent; these effects are kept in `work`."""
        config, bench = self.config, Workbench(self.config, reads_text=False)
        chosen = _chosen(bench)
        model = bench.model
        tokens = _tokens(model, config.prompt)
        graph = trace(model, tokens, chosen.saes, config.tracing)
        pruned = prune(graph, node_threshold=config.node_threshold, edge_threshold=config.edge_threshold)
        effects = _kept_effects(work / "effects.json", lambda: effects_on(model, graph, chosen.saes, n_steps=config.n_steps))
        agreements = agreement_rows(effects)
        ids, promoted = node_ids(pruned.graph), promoted_tokens(model, chosen.saes, effects.keys)
        edges = edge_rows(pruned.graph, ids)
        figures = [graph_figure(pruned, ids, about(pruned, promoted), most_nodes=config.most_drawn)]
        return StudyResult(
            title="Attribution graph of a prompt",
            text=_TEXT.format(
                model=bench.settings.model.model,
                prompt="\n> ".join(markdown_text(line) for line in config.prompt.split("\n")),
                next=_likeliest(graph),
                saes=", ".join(f"{each.name} ({each.writes})" for each in chosen.saes),
                n_latents=len(effects.keys),
                n_nodes=len(pruned.graph.nodes),
                n_edges=len(edges),
                node_threshold=config.node_threshold,
                edge_threshold=config.edge_threshold,
                left_out="".join(f"\n- left out: {line}" for line in chosen.left_out),
                slug=_SLUG,
            ),
            tables={
                "agreement": agreements,
                "nodes": node_rows(pruned, ids, promoted),
                "edges": edges,
                "effects": effect_rows(effects, graph, promoted),
            },
            shown={"agreement": ("sae", "estimate", "n", "spearman", "pearson", "slope", "same_sign", "top_overlap")},
            metrics={"graph": metrics_of(graph, graph_scores(graph))},
            figures=[*figures, estimates_figure(effects)] if effects.keys else figures,
            findings=findings_of(agreements),
            files=circuit_tracer_files(
                pruned,
                slug=_SLUG,
                prompt=config.prompt,
                scan=bench.settings.model.model,
                node_threshold=config.node_threshold,
            ),
            inputs=bench.inputs(),
        )


class _Chosen(NamedTuple):
    saes: list[GraphSae]
    left_out: list[str]
    """A line for each SAE that cannot be in a graph."""


def _chosen(bench: Workbench) -> _Chosen:
    """The SAEs that can be in a graph. Raises SiteError where none can."""
    found: list[GraphSae] = []
    left_out: list[str] = []
    for subject in bench.subjects:
        try:
            found.append(graph_sae(subject.name, subject.placed))
        except SiteError as error:
            left_out.append(str(error).split("\n")[0])
    if not found:
        raise SiteError("none of these SAEs can be in an attribution graph.\n  " + "\n  ".join(left_out))
    for line in left_out:
        get_display().warn(line)
    return _Chosen(found, left_out)


def _kept_effects(path: Path, measure: Callable[[], Effects]) -> Effects:
    """Read where they were written before."""
    if not path.is_file():
        write_effects(path, measure())
    return read_effects(path)


def _tokens(model: LanguageModel, prompt: str) -> Sequence[int]:
    """Raises ConfigError for a prompt without a token that counts."""
    tokens = model.encode(prompt)
    if all(token in model.special_ids for token in tokens):
        raise ConfigError(f'the prompt "{prompt}" has no token that counts.\n  Give one with words:  --prompt "The cat sat"')
    return tokens


def _likeliest(graph: AttributionGraph) -> str:
    logits = [node for node in graph.nodes if node.kind == "logit"]
    return ", ".join(f"“{graph.logit_texts[node.index]}” ({node.probability or 0.0:.2f})" for node in logits[:5])
