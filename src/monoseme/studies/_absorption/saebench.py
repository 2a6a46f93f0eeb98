"""Absorption by projection as SAEBench's `absorption_first_letter` files: one for each SAE."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from monoseme.evaluation.formats import SaeBenchResult
from monoseme.studies._absorption.findings import Measured
from monoseme.studies._base import Row
from monoseme.studies._saebench_files import RELEASE, saebench_file

_COLUMNS = {
    "absorption_fraction_score": "absorption_fraction",
    "full_absorption_score": "full_absorption",
    "num_split_features": "n_main_latents",
}
"""SAEBench's number -> column of a letter's row, of which it is the mean and the standard deviation over letters."""


def saebench_files(found: Sequence[Measured], config: Mapping[str, Any]) -> dict[str, bytes]:
    """Of the letters that count, missing numbers where too few do; nothing where projection was not measured."""
    made: dict[str, bytes] = {}
    for each in found:
        letters = [row for row in each.rates.letters if row["counts"]]
        if each.row["is_control"] or "absorption_fraction" not in each.row:
            continue
        has_mean = each.row["absorption_fraction"] is not None
        metrics: dict[str, float | None] = {}
        for name, column in _COLUMNS.items():
            values = [float(row[column]) for row in letters if row[column] is not None] if has_mean else []
            metrics[f"mean_{name}"] = statistics.fmean(values) if values else None
            metrics[f"std_dev_{name}"] = statistics.stdev(values) if len(values) > 1 else None
        made |= saebench_file(
            SaeBenchResult(
                eval_type="absorption_first_letter",
                metrics={"mean": metrics},
                release=RELEASE,
                sae_id=each.row["subject"],
                config=config,
                details=[_detail(row) for row in letters],
            )
        )
    return made


def _detail(row: Row) -> dict[str, Any]:
    return {
        "first_letter": row["letter"],
        "mean_absorption_fraction": row["absorption_fraction"],
        "full_absorption_rate": row["full_absorption"],
        "num_probe_true_positives": row["num_probe_true_positives"],
        "num_split_features": row["n_main_latents"],
    }
