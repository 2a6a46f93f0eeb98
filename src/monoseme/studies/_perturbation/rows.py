"""Columns and metrics that the tables of `scr` and `tpp` share."""

from collections.abc import Sequence

import numpy as np
import torch

from monoseme.evaluation import Definition, Metric
from monoseme.evaluation._bootstrap import estimate
from monoseme.evaluation._latent_effects import Floats
from monoseme.evaluation._metric import measured
from monoseme.studies._base import Comparison, Row
from monoseme.studies._intervals import Interval, difference, of_replicates
from monoseme.studies._perturbation.ablated import Ablated
from monoseme.studies._perturbation.trial import RULES, Rule, Trial

_MOST_LATENTS = 20
"""Of each contrast, in the table of latents."""


def with_interval(name: str, replicates: Floats) -> Row:
    """`name`, `name_low`, `name_high` of replicates [W]; all None where the estimate does not exist."""
    if not np.isfinite(replicates[0]):
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    found: Interval = of_replicates(replicates)
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}


def metric_of(definition: Definition, replicates: Floats, *, n: int, n_units: int, why_missing: str) -> Metric:
    """From replicates [W]; the standard error is over sources of the test side."""
    error = estimate(torch.from_numpy(np.ascontiguousarray(replicates)), n_documents=n_units).standard_error
    return measured(definition, float(replicates[0]), n=n, n_documents=n_units, standard_error=error, why_missing=why_missing)


def above_control(name: str, score: Floats, control: Floats) -> Comparison:
    """Whether the whole 95 % interval of score less control, both [W], is above 0."""
    gap: Interval = difference(score, control)
    told = f"{name}: {score[0]:.3f} less {control[0]:.3f} is {gap}"
    return Comparison(bool(gap.excludes_zero) and gap.value > 0, told)


def probe_rows(dataset: str, site: str, trial: Trial, clean: dict[Rule, Floats]) -> list[Row]:
    """How accurate each of the first probes is, and after how many epochs it was taken. `clean`: their accuracies [*, W]."""
    rows: list[Row] = []
    for p, name in enumerate(trial.train_contrasts.names[: len(clean["ours"])]):
        row: Row = {"dataset": dataset, "site": site, "probe": name} | with_interval("accuracy", clean["ours"][p])
        row |= {"accuracy_as_saebench": float(clean["saebench"][p, 0])}
        row |= {f"epochs_{rule}": int(trial.probes[rule].epochs[p]) for rule in RULES}
        rows.append(row | {"n_train": len(trial.train), "n_test": len(trial.test), "n_test_sources": trial.n_units})
    return rows


def latent_rows(dataset: str, subject: str, contrasts: Sequence[str], ablated: Sequence[Ablated]) -> list[Row]:
    """The strongest latents of each contrast, to look up in an atlas."""
    return [
        {"dataset": dataset, "subject": subject, "of": name, "rank": rank, "latent": int(latent), "effect": float(effect)}
        for name, each in zip(contrasts, ablated, strict=True)
        for rank, (latent, effect) in enumerate(
            zip(each.latents[:_MOST_LATENTS], each.effects[:_MOST_LATENTS], strict=True), start=1
        )
    ]
