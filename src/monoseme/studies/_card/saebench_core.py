"""Fidelity as SAEBench's `core` file: its own numbers where it has a definition of its own, ours beside them.

In `eval_result_unstructured` are the numbers that are right where SAEBench's differ: the explained variance and the error.
"""

import re
from typing import Any

import numpy as np

from monoseme.evaluation import EvalResult
from monoseme.evaluation.formats import SaeBenchResult, file_name, saebench_to_json

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


def core_name(result: EvalResult, *, release: str) -> str:
    """What its file is called: as SAEBench does, `core` before it, in letters that any system takes."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", f"core_{file_name(release, result.subject)}")


def core_file(result: EvalResult, *, release: str, config: dict[str, Any]) -> str:
    """The content of the file of one SAE. Raises ConfigError where a number is not finite."""
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
    made = SaeBenchResult(
        eval_type="core", metrics=metrics, release=release, sae_id=result.subject, config=config, unstructured={"monoseme": right}
    )
    return saebench_to_json(made).decode()
