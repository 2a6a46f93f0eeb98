"""Fidelity as SAEBench's `core` file: its own numbers where it has a definition of its own, ours beside them.

In `eval_result_unstructured` are the numbers that are right where SAEBench's differ: the explained variance and the error.
"""

from typing import Any

import numpy as np

from monoseme.evaluation import EvalResult
from monoseme.evaluation.formats import SaeBenchResult
from monoseme.studies._saebench_files import RELEASE, saebench_file

_NAMES = {
    "model_performance_preservation": {
        "ce_loss_score": "ce_recovered",
        "ce_loss_with_ablation": "ce_zero",
        "ce_loss_with_sae": "ce_spliced",
        "ce_loss_without_sae": "ce_original",
    },
    "model_behavior_preservation": {"kl_div_with_sae": "kl"},
    "reconstruction_quality": {
        "explained_variance": "ev_as_saebench",
        "explained_variance_legacy": "ev_as_saebench_legacy",
        "mse": "mse_as_saebench",
        "cossim": "cosine",
    },
    "shrinkage": {
        "l2_norm_in": "l2_norm_in",
        "l2_norm_out": "l2_norm_out",
        "l2_ratio": "l2_ratio",
        "relative_reconstruction_bias": "relative_reconstruction_bias_as_saebench",
    },
    "sparsity": {"l0": "l0", "l1": "l1"},
}
"""Category -> SAEBench's metric -> the metric of `fidelity` that it is."""
_NOT_MEASURED = {
    "model_behavior_preservation": ("kl_div_score", "kl_div_with_ablation"),
    "misc_metrics": (
        "normalized_freq_over_1_percent",
        "normalized_freq_over_10_percent",
        "average_max_encoder_cosine_sim",
        "average_max_decoder_cosine_sim",
    ),
}


def core_file(result: EvalResult, *, config: dict[str, Any]) -> dict[str, bytes]:
    """Name and content of the file of one SAE. Raises ConfigError where a number is not finite."""
    metrics: dict[str, dict[str, float | None]] = {
        category: {theirs: result[ours].value for theirs, ours in names.items()} for category, names in _NAMES.items()
    }
    density = np.asarray(result.tables["latents"]["density"])
    dead = result["dead_fraction"]
    metrics["misc_metrics"] = {
        "freq_over_1_percent": float((density > 0.01).mean()),
        "freq_over_10_percent": float((density > 0.1).mean()),
        "frac_alive": None if dead.value is None else 1.0 - dead.value,
    }
    n_tokens = float(result["fvu"].n)
    metrics["token_stats"] = {"total_tokens_eval_reconstruction": n_tokens, "total_tokens_eval_sparsity_variance": n_tokens}
    for category, names in _NOT_MEASURED.items():
        metrics[category] |= dict.fromkeys(names)
    right = {name: result[name].value for name in ("explained_variance", "fvu", "squared_error", "relative_reconstruction_bias")}
    return saebench_file(
        SaeBenchResult(
            eval_type="core",
            metrics=metrics,
            release=RELEASE,
            sae_id=result.subject,
            config=config,
            unstructured={"monoseme": right},
        )
    )
