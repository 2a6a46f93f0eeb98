"""Tables that compare SAEs of several layers: spread over layers, differences between SAEs, and each layer's reconstruction."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from monoseme.evaluation import EvalResult
from monoseme.studies._base import Row
from monoseme.studies._intervals import Interval, around, of_sample

SITE_METRICS = ("fvu", "l0", "l1", "ce_increase", "kl", "logit_mse")
"""Of `fidelity`, for each layer."""
COMPARED = (
    "layer_std",
    "layers_per_latent",
    "layers_per_firing",
    "single_layer_firings",
    "rel_var_f",
    "rel_var_t",
    "between_latents",
    "between_tokens",
    "within_firing",
)
"""Of `layer_spread`, between SAEs."""
_AS_MLSAE = ("var_l", "exp_var_l_f", "exp_var_l_tf", "rel_var_f", "rel_var_t")


def interval_of(found: EvalResult, metric: str) -> Interval | None:
    """A metric of `layer_spread` with its interval over documents, or of MLSAE's over batches; None where it has no value."""
    value = found[metric].value
    if value is None:
        return None
    if metric in found.replicates and found[metric].n_documents > 1:
        return around(found.replicates[metric].numpy())
    if metric.endswith("_as_mlsae"):
        batches = found.tables["batches"].column(metric.removesuffix("_as_mlsae")).to_pylist()
        return of_sample([value for value in batches if value is not None])
    return Interval(value, None, None, "there is one document only")


def spread_rows(spreads: Mapping[str, EvalResult]) -> list[Row]:
    """A row for each SAE and metric."""
    rows: list[Row] = []
    for name, found in spreads.items():
        for metric in found.metrics:
            interval = interval_of(found, metric.name)
            low, high = (None, None) if interval is None else interval[1:3]
            rows.append({"sae": name, "metric": metric.name, "value": metric.value, "low": low, "high": high,
                         "why_missing": metric.why_missing})  # fmt: skip
    return rows


def variance_rows(spreads: Mapping[str, EvalResult]) -> list[Row]:
    """A row for each SAE with the columns of MLSAE's table `variances`, in both forms."""
    columns = {
        "var_layer": "var_layer",
        "of_latent": "var_layer_of_latent",
        "of_firing": "var_layer_of_firing",
        "rel_var_f": "rel_var_f",
        "rel_var_t": "rel_var_t",
    } | {f"{name}_as_mlsae": f"{name}_as_mlsae" for name in _AS_MLSAE}
    return [{"sae": name} | {c: found[metric].value for c, metric in columns.items()} for name, found in spreads.items()]


def comparison_rows(spreads: Mapping[str, EvalResult]) -> list[Row]:
    """A row for each pair of SAEs and metric: the difference with its interval, from paired replicates."""
    rows: list[Row] = []
    for (first, a), (second, b) in itertools.combinations(spreads.items(), 2):
        for metric in COMPARED:
            if metric in a.replicates and metric in b.replicates and a[metric].value is not None and b[metric].value is not None:
                n = min(len(a.replicates[metric]), len(b.replicates[metric]))
                found = around((a.replicates[metric][:n] - b.replicates[metric][:n]).numpy())
                rows.append({"metric": metric, "first": first, "second": second, "difference": found.value, "low": found.low,
                             "high": found.high})  # fmt: skip
    return rows


def site_rows(fidelity: Mapping[str, EvalResult]) -> list[Row]:
    """A row for each SAE and output site: what is lost there, with standard errors over documents."""
    return [row for name, found in fidelity.items() for row in _sites(name, found)]


def _sites(name: str, found: EvalResult) -> list[Row]:
    if "sites" not in found.tables:
        rows = [{"site": found.facts["site"], "metric": m.name, "value": m.value, "standard_error": m.standard_error}
                for m in found.metrics]  # fmt: skip
    else:
        rows = found.tables["sites"].to_pylist()
    by_site: dict[Any, Row] = {}
    for row in rows:
        if row["metric"] in SITE_METRICS:
            made = by_site.setdefault(row["site"], {"sae": name, "site": row["site"]})
            made |= {row["metric"]: row["value"], f"{row['metric']}_error": row["standard_error"]}
    return list(by_site.values())


def site_columns() -> Sequence[str]:
    """Those of `site_rows` that a page has room for."""
    return ("sae", "site", *SITE_METRICS)
