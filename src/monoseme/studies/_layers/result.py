"""What the study of layers found, as one result: tables, figures, findings."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import torch

from monoseme.core.seeds import generator
from monoseme.evaluation import EvalResult
from monoseme.evaluation._directions import directions_of
from monoseme.evaluation._layer_pairs import PairGrid, pair_grid
from monoseme.reports.figures import Figure
from monoseme.studies._base import Row, StudyResult
from monoseme.studies._intervals import of_replicates
from monoseme.studies._layers.embeddings import Nearest, embedding_rows, nearest_embeddings
from monoseme.studies._layers.figures import counts_and_totals, embedding_lines, mean_layers, shapes, site_lines, variance_shares
from monoseme.studies._layers.findings import findings_of
from monoseme.studies._layers.latents import (
    SHOWN,
    Latents,
    distribution_rows,
    latent_rows,
    latents_of,
    population_rows,
)
from monoseme.studies._layers.maps import aggregated_map, file_name, prompt_map, similarity_map
from monoseme.studies._layers.prompt import on_prompt
from monoseme.studies._layers.tables import comparison_rows, site_columns, site_rows, spread_rows, variance_rows
from monoseme.studies._workbench import Subject, Workbench
from monoseme.tensors.shapes import Float, Tensor

if TYPE_CHECKING:
    from monoseme.studies.layers import Layers

_TEXT = """\
Latents that have codes at several layers, of {saes}, on up to {n_tokens} tokens of {text}. The activation |z| of a latent j at a
layer l and a token t, as a share of all activation, is a distribution over (L, J, T); P(l | j) is latent j's.

- *between latents*, *between tokens*, *within firing*: shares of Var(L), which sum to 1 (law of total variance). *rel_var_f* =
  E Var(L | J) / Var(L); *rel_var_t* = E Var(L | J, T) / E Var(L | J): small where latents wander over layers from token to token.
- *..._as_mlsae*: the paper's own averages, in which tokens on which a latent is silent count as zeros.
- *share_at_token* of a latent: how much of its variance over layers is there at a single token.
- Intervals are of 95 %, over documents; those of *_as_mlsae* over batches of 16 contexts, those of correlations over latents.
"""


class LayersMeasured(NamedTuple):
    """SAE -> its results."""

    spreads: Mapping[str, EvalResult]
    fidelity: Mapping[str, EvalResult]


class _Details(NamedTuple):
    """What is worked out from the latents of one SAE."""

    latents: Latents
    rows: list[Row]
    grid: PairGrid
    nearest: list[Nearest]
    means: Float[Tensor, " n"]
    """Mean layers of the latents of `nearest`."""
    embeddings: list[Row]
    prompt: list[Row]
    figures: list[Figure]


def result_of(bench: Workbench, config: "Layers.Config", found: LayersMeasured) -> StudyResult:
    """Everything put together."""
    subjects = {subject.name: subject for subject in bench.subjects}
    details = [_details(bench, config, subjects[name], result) for name, result in found.spreads.items()]
    latents = [row for each in details for row in each.rows]
    populations = [row for d in details for row in population_rows(d.latents.sae, d.rows, n_layers=len(d.latents.sites))]
    sites = site_rows(found.fidelity)
    nearest = {d.latents.sae: d.nearest for d in details if d.nearest}
    tables = {
        "variances": variance_rows(found.spreads),
        "spread": spread_rows(found.spreads),
        "differences": comparison_rows(found.spreads),
        "populations": populations,
        "sites": sites,
        "similarity": [_similarity_row(each) for each in details],
        "latents": latents,
        "distributions": [row for each in details for row in distribution_rows(each.latents)],
        "embeddings": [row for each in details for row in each.embeddings],
        "prompt": [row for each in details for row in each.prompt],
    }
    figures = [variance_shares(found.spreads), *(figure for each in details for figure in each.figures)]
    figures += [mean_layers([each.latents for each in details]), shapes(latents)]
    figures += [embedding_lines(nearest, {d.latents.sae: d.means for d in details})] if nearest else []
    figures += [site_lines(sites)] if sites else []
    return StudyResult(
        title="Which layers latents act at",
        text=_TEXT.format(
            saes=", ".join(found.spreads),
            n_tokens="all" if config.max_tokens is None else f"{config.max_tokens:,}",
            text="documents that the run held out" if config.corpus.source == "run" else config.corpus.source,
        ),
        tables={name: rows for name, rows in tables.items() if rows},
        shown={"latents": SHOWN, "sites": site_columns()},
        metrics={name: result.metrics for name, result in found.spreads.items()},
        figures=figures,
        findings=findings_of(found.spreads),
        inputs=bench.inputs(),
        seeds={"bootstrap": config.seed},
    )


def _details(bench: Workbench, config: "Layers.Config", subject: Subject, result: EvalResult) -> _Details:
    latents = latents_of(result)
    directions = directions_of(subject.sae, n_sites=len(subject.sites))
    alive = latents.alive[directions[latents.alive].norm(dim=1) > 0]
    rng = generator(config.seed, "layers", "pairs", subject.name)
    paired = alive if len(alive) <= config.max_paired else alive[torch.randperm(len(alive), generator=rng)[: config.max_paired]]
    grid = pair_grid(directions[paired], latents.mean[paired], rng=rng)
    nearest = nearest_embeddings(bench.model, directions[alive], k=config.n_embeddings) if len(alive) else []
    strongest = latents.totals.sum(0)[alive].argsort(descending=True, stable=True)[: config.max_embedded]
    embeddings = [
        row
        for each in nearest
        for row in embedding_rows(
            each._replace(token=each.token[strongest], cosine=each.cosine[strongest]),
            bench.model,
            sae=subject.name,
            latents=alive[strongest],
            means=latents.mean[alive[strongest]],
        )
    ]
    prompt = on_prompt(bench.model, subject, config.prompt)
    on = prompt_map(latents, prompt.totals, config.prompt)
    figures = [
        aggregated_map(latents),
        *([on] if on is not None else []),
        counts_and_totals(latents, file=file_name(latents.sae)),
    ]
    figures.append(similarity_map(latents, grid, told=_correlation(grid)))
    rows = latent_rows(latents, min_count=config.min_count)
    return _Details(latents, rows, grid, nearest, latents.mean[alive], embeddings, prompt.rows, figures)


def _similarity_row(details: _Details) -> Row:
    found = of_replicates(details.grid.correlation.numpy())
    n_pairs = int(details.grid.counts.sum())
    return {"sae": details.latents.sae, "n_pairs": n_pairs, "correlation": found.value, "low": found.low, "high": found.high}


def _correlation(grid: PairGrid) -> str:
    return f"Their correlation is {of_replicates(grid.correlation.numpy())}, with its interval over latents."
