"""The lines of a card on labelled texts, small: what few latents tell of a class, and what ablating them does to probes."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from monoseme.core.intervals import error_between
from monoseme.evaluation import Metric
from monoseme.studies._base import Row
from monoseme.studies._card.bench import CardBench
from monoseme.studies._card.controls import under_card_names
from monoseme.studies._card.lines import Filled, Pick, texts_of
from monoseme.studies._controls import COMPONENTS
from monoseme.studies._tpp.tables import RANDOM_LATENTS
from monoseme.studies.sparse_probing import SparseProbing
from monoseme.studies.tpp import TPP

_N_ABLATED = 10
"""Latents of a class that are ablated (count): SAEBench's middle."""
_N_PROBED = (1, 5)
"""Latents that probes see (counts)."""
_N_SEEDS = 2

PROBING = tuple(
    Pick(
        f"top_{n}_accuracy",
        f"sparse probing, {n} latent{'s' if n > 1 else ''}",
        f"How often {n} latent{' tells' if n == 1 else 's tell'} the class of a text from the others; 0.5 is guessing.",
    )
    for n in _N_PROBED
)
PERTURBATION = (
    Pick(
        f"tpp_{_N_ABLATED}",
        f"TPP, {_N_ABLATED} latents",
        "Accuracy that a class loses when its latents are ablated, less what other classes lose; 0 is none of its own.",
    ),
)


def sparse_probing(card: CardBench) -> Filled:
    """Accuracy of probes of one and five latents; PCA is of the same activations, and what these give is told."""
    study = SparseProbing(SparseProbing.Config(**_shared(card), n_features=_N_PROBED, n_seeds=_N_SEEDS))
    result = study.investigate(card.work / "sparse_probing")
    first = result.tables["accuracy"][0]["dataset"]  # the mean over data sets, where there are several
    rows = [row for row in result.tables["accuracy"] if row["dataset"] == first]
    like = {metric.name: metric for metric in next(iter(result.metrics.values()), ())}
    components = [_metric_of(row, like[name]) for row in rows if row["subject"] == COMPONENTS and (name := _name(row)) in like]
    metrics = dict(result.metrics) | ({COMPONENTS: components} if components else {})
    told = [f"{row['accuracy']:.3f} from {row['features']}" for row in rows if row["subject"] == "activations"]
    notes = [f"Sparse probing of the activations themselves gives an accuracy of {', '.join(told)} dimensions."] if told else []
    return Filled(metrics, notes, texts_of(result.files))


def tpp(card: CardBench) -> Filled:
    """Targeted probe perturbation with ten latents of each class."""
    study = TPP(TPP.Config(**_shared(card), n_latents=(_N_ABLATED,)))
    result = study.investigate(card.work / "tpp")
    metrics = under_card_names({name: held for name, held in result.metrics.items() if name != RANDOM_LATENTS})
    return Filled(metrics, files=texts_of(result.files))


def _shared(card: CardBench) -> Mapping[str, Any]:
    """The settings that both studies take from the card."""
    config = card.config
    return {
        "sae": config.sae,
        "part": config.part,
        "model": config.model,
        "dataset": config.dataset,
        "n_train": config.n_texts,
        "n_test": max(2, config.n_texts // 2),
        "n_replicates": config.n_replicates,
        "seed": config.seed,
    }


def _name(row: Row) -> str:
    """Of the metric that a row of the study's table is."""
    return f"top_{row['features']}_accuracy"


def _metric_of(row: Row, like: Metric) -> Metric:
    """A row of the study's table as the metric that it has of SAEs."""
    error = error_between(row["accuracy_low"], row["accuracy_high"])
    return replace(like, value=row["accuracy"], why_missing=None, standard_error=error)
