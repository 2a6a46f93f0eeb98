"""What was measured as rows, metrics and a finding, and as files of SAEBench."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from monoseme.evaluation import Definition, Metric
from monoseme.evaluation._metric import measured
from monoseme.evaluation.formats import SaeBenchResult, file_name, saebench_to_json
from monoseme.studies._base import Comparison, Finding, Row
from monoseme.studies._intervals import Interval, difference, of_replicates
from monoseme.studies._meta_structure.measure import Measured

_CLAIM = (
    "The latents of an SAE are made of a few more basic directions, which an SAE of its decoder's rows finds (Leask et al. 2025, "
    "arXiv:2502.04878): it explains rows that it has not seen better than random rows of the same covariance."
)
_DEFINITIONS = {
    "held_out": ("explained", "on decoder rows held out from the training of the meta-SAE"),
    "random_rows": ("explained_of_random_rows", "on held-out random unit rows of the same mean and covariance"),
    "as_saebench": ("explained_as_saebench", "on the rows that the meta-SAE was trained on"),
}


def rows_of(found: Mapping[str, Measured]) -> list[Row]:
    """One row for each SAE."""
    return [
        {"sae": name, "n_rows": of.n_rows, "n_held_out": of.n_held_out, "width": of.width, "n_active": of.n_active}
        | _told("structure", difference(of.held_out, of.random_rows))
        | _told("held_out", of_replicates(of.held_out))
        | _told("random_rows", of_replicates(of.random_rows))
        | _told("as_saebench", of_replicates(of.as_saebench))
        for name, of in found.items()
    ]


def _told(name: str, interval: Interval) -> Row:
    return {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}


def metrics_of(found: Mapping[str, Measured]) -> dict[str, list[Metric]]:
    """Each number of each SAE; `n` counts rows."""
    return {
        name: [_metric(of, key) for key in _DEFINITIONS]
        + [
            measured(
                Definition(
                    name="structure",
                    definition="Explained share of held-out decoder rows less that of random unit rows of their covariance.",
                    unit="fraction",
                    better="neither",
                ),
                of.held_out[0] - of.random_rows[0],
                n=of.n_held_out,
                n_documents=of.n_held_out,
                standard_error=float(np.nanstd(np.subtract(of.held_out, of.random_rows)[1:], ddof=1)),
                why_missing="the rows do not differ",
            )
        ]
        for name, of in found.items()
    }


def _metric(of: Measured, key: str) -> Metric:
    name, where = _DEFINITIONS[key]
    replicates: list[float] = getattr(of, key)
    n = of.n_rows if key == "as_saebench" else of.n_held_out
    return measured(
        Definition(
            name=name,
            definition=f"1 - sum |w - w_hat|^2 / sum |w - w_mean|^2 of a BatchTopK SAE of the decoder's rows, {where}.",
            unit="fraction",
            better="neither",
        ),
        replicates[0],
        n=n,
        n_documents=n,
        standard_error=float(np.nanstd(replicates[1:], ddof=1)),
        why_missing="the rows do not differ",
    )


def finding_of(found: Mapping[str, Measured]) -> Finding:
    """A difference that its interval leaves open does not hold."""
    made: list[Comparison] = []
    for name, of in found.items():
        gap = difference(of.held_out, of.random_rows)
        words = f"{name}: {of.held_out[0]:.3f} against {of.random_rows[0]:.3f} of random rows, difference {gap}"
        made.append(Comparison(held=gap.value > 0 and bool(gap.excludes_zero), numbers=words))
    return Finding(_CLAIM, tuple(made), "" if made else "no SAE was measured")


def saebench_files(
    found: Mapping[str, Measured], saes: Mapping[str, Mapping[str, Any]], config: Mapping[str, Any]
) -> dict[str, bytes]:
    """File name -> SAEBench's JSON of each SAE; `saes`: name -> configuration. Its time of training is not told: files repeat."""
    made: dict[str, bytes] = {}
    for name, of in found.items():
        result = SaeBenchResult(
            eval_type="meta_structure_decoder_variance",
            metrics={
                "meta_structure": {
                    "decoder_fraction_variance_explained": of.as_saebench[0],
                    "train_time_seconds": None,
                    "final_reconstruction_mse": of.mse_as_saebench,
                }
            },
            release="monoseme",
            sae_id=name,
            config=config,
            unstructured={"held_out": of.held_out[0], "random_rows": of.random_rows[0]},
            sae_config=saes[name],
        )
        made[f"meta_structure_{file_name('monoseme', name)}"] = saebench_to_json(result)
    return made
