"""SAEBench's result JSON: one file for an SAE and an evaluation, written here for its plots, and read from its published results.

Who writes and reads it: SAEBench 0.6 (`sae_bench/evals/base_eval_output.py` and the `eval_output.py` of each evaluation), its
graphs and Neuronpedia. A file is one object:

    eval_type_id, eval_config, eval_id, datetime_epoch_millis, eval_result_metrics {category: {metric: number}},
    eval_result_details [{...}], sae_bench_commit_hash, sae_lens_id, sae_lens_release_id, sae_lens_version, sae_cfg_dict,
    eval_result_unstructured

A number that does not exist is None here. In the file it is null where SAEBench's schema lets a metric be null, else -1, as
SAEBench itself has it; reading undoes both.
"""

import json
import math
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from monoseme.core.config import suggest
from monoseme.core.errors import ConfigError, ForeignError

T = TypeVar("T")
Number = int | float | None
Categories = Mapping[str, Mapping[str, Number]]

SAEBENCH_METRICS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "core": {
        "model_behavior_preservation": ("kl_div_score", "kl_div_with_ablation", "kl_div_with_sae"),
        "model_performance_preservation": (
            "ce_loss_score",
            "ce_loss_with_ablation",
            "ce_loss_with_sae",
            "ce_loss_without_sae",
        ),
        "reconstruction_quality": ("explained_variance", "explained_variance_legacy", "mse", "cossim"),
        "shrinkage": ("l2_norm_in", "l2_norm_out", "l2_ratio", "relative_reconstruction_bias"),
        "sparsity": ("l0", "l1"),
        "token_stats": ("total_tokens_eval_reconstruction", "total_tokens_eval_sparsity_variance"),
        "misc_metrics": (
            "freq_over_1_percent",
            "freq_over_10_percent",
            "normalized_freq_over_1_percent",
            "normalized_freq_over_10_percent",
            "average_max_encoder_cosine_sim",
            "average_max_decoder_cosine_sim",
            "frac_alive",
        ),
    },
    "absorption_first_letter": {
        "mean": tuple(
            f"{of}_{what}"
            for of in ("mean", "std_dev")
            for what in ("absorption_fraction_score", "full_absorption_score", "num_split_features")
        )
    },
    "autointerp": {"autointerp": ("autointerp_score", "autointerp_std_dev")},
    "sparse_probing": {
        "llm": ("llm_test_accuracy", "llm_top_{n}_test_accuracy"),
        "sae": ("sae_test_accuracy", "sae_top_{n}_test_accuracy"),
    },
    "scr": {"scr_metrics": ("scr_dir1_threshold_{n}", "scr_metric_threshold_{n}", "scr_dir2_threshold_{n}")},
    "tpp": {
        "tpp_metrics": (
            "tpp_threshold_{n}_total_metric",
            "tpp_threshold_{n}_intended_diff_only",
            "tpp_threshold_{n}_unintended_diff_only",
        )
    },
    "ravel": {"ravel": ("disentanglement_score", "cause_score", "isolation_score")},
    "unlearning": {"unlearning": ("unlearning_score",)},
    "meta_structure_decoder_variance": {
        "meta_structure": ("decoder_fraction_variance_explained", "train_time_seconds", "final_reconstruction_mse")
    },
}
"""Evaluation -> category -> its metrics; {n} stands for any count, of latents."""
_NULL_ALLOWED = ("sparse_probing", "scr", "tpp")
_NEVER_NULL = ("llm_test_accuracy",)
_MISSING = -1.0
_KEYS = ("eval_type_id", "eval_config", "eval_result_metrics")


@dataclass(frozen=True, kw_only=True)
class SaeBenchResult:
    """What one file says."""

    eval_type: str
    """One of `SAEBENCH_METRICS`, or when read, any that SAEBench may come to have."""
    metrics: Categories
    """Category -> metric -> value; None where there is none."""
    release: str | None
    """What the SAE belongs to: a release of SAELens, or a run."""
    sae_id: str | None
    config: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """How it was measured."""
    details: Sequence[Mapping[str, Any]] = ()
    """Rows of a finer table: of each data set, letter or latent."""
    unstructured: Any = None
    """Whatever else was told; any JSON."""
    sae_config: Mapping[str, Any] | None = None
    made_by: str = "monoseme"
    """Commit of SAEBench, or what else measured it."""
    sae_lens_version: str | None = None
    eval_id: str | None = None
    """Name of the measurement, a UUID; None: one that follows from the content."""
    made_at_ms: int = 0
    """Milliseconds since 1970; 0: not told, so that the same result is the same file."""


def to_saebench(result: SaeBenchResult) -> dict[str, Any]:
    """The object of a file. Raises ConfigError for an evaluation, a category or a metric that SAEBench does not have."""
    _check(result)
    plain: dict[str, Any] = {
        "eval_type_id": result.eval_type,
        "eval_config": dict(result.config),
        "eval_id": result.eval_id,
        "datetime_epoch_millis": result.made_at_ms,
        "eval_result_metrics": {
            category: {name: _written(result.eval_type, name, value) for name, value in metrics.items()}
            for category, metrics in result.metrics.items()
        },
        "eval_result_details": [dict(row) for row in result.details],
        "sae_bench_commit_hash": result.made_by,
        "sae_lens_id": result.sae_id,
        "sae_lens_release_id": result.release,
        "sae_lens_version": result.sae_lens_version,
        "sae_cfg_dict": None if result.sae_config is None else dict(result.sae_config),
        "eval_result_unstructured": result.unstructured,
    }
    if result.eval_id is None:
        plain["eval_id"] = str(uuid.uuid5(uuid.NAMESPACE_OID, json.dumps(plain, sort_keys=True, default=str)))
    return plain


def saebench_to_json(result: SaeBenchResult) -> bytes:
    """The file's content. Raises as `to_saebench`, and ConfigError for a number that JSON does not have (NaN, infinite)."""
    try:
        return json.dumps(to_saebench(result), indent=2, allow_nan=False).encode()
    except ValueError as error:
        raise ConfigError(f"a result of SAEBench holds a number that JSON does not have: {error}") from error


def read_saebench(source: Path | bytes) -> SaeBenchResult:
    """The result in a file, or in its content. Raises ForeignError if it is no result of SAEBench."""
    where = str(source) if isinstance(source, Path) else "the content"
    try:
        plain: Any = json.loads(source.read_bytes() if isinstance(source, Path) else source)
    except (OSError, ValueError, RecursionError) as error:
        raise ForeignError(f"{where} is no JSON of SAEBench: {error}") from error
    if not isinstance(plain, dict) or any(key not in plain for key in _KEYS):
        raise ForeignError(f"{where} is no result of SAEBench: it lacks one of {', '.join(_KEYS)}")
    kind = str(plain["eval_type_id"])
    categories = plain["eval_result_metrics"]
    if not isinstance(categories, dict) or not all(isinstance(metrics, dict) for metrics in categories.values()):
        raise ForeignError(f"{where}: eval_result_metrics is no table of categories and metrics")
    return SaeBenchResult(
        eval_type=kind,
        metrics={
            str(category): {str(name): _read(kind, str(name), value, where) for name, value in metrics.items()}
            for category, metrics in categories.items()
        },
        release=_typed(plain, "sae_lens_release_id", str, where),
        sae_id=_typed(plain, "sae_lens_id", str, where),
        config=_typed(plain, "eval_config", dict, where) or {},
        details=tuple(_typed(plain, "eval_result_details", list, where) or ()),
        unstructured=plain.get("eval_result_unstructured"),
        sae_config=_typed(plain, "sae_cfg_dict", dict, where),
        made_by=str(plain.get("sae_bench_commit_hash", "")),
        sae_lens_version=_typed(plain, "sae_lens_version", str, where),
        eval_id=_typed(plain, "eval_id", str, where),
        made_at_ms=_typed(plain, "datetime_epoch_millis", int, where) or 0,
    )


def file_name(release: str, sae_id: str) -> str:
    """As SAEBench calls the file of an SAE: `<release>_<id>_eval_results.json`, with _ for slashes."""
    return re.sub(r"[\\/]+", "_", f"{release}_{sae_id}_eval_results.json")


def _check(result: SaeBenchResult) -> None:
    if result.eval_type not in SAEBENCH_METRICS:
        raise ConfigError(
            f'SAEBench has no evaluation "{result.eval_type}".{suggest(result.eval_type, SAEBENCH_METRICS)}\n'
            f"  Allowed: {', '.join(SAEBENCH_METRICS)}"
        )
    known = SAEBENCH_METRICS[result.eval_type]
    for category, metrics in result.metrics.items():
        if category not in known:
            raise ConfigError(f'{result.eval_type} has no category "{category}".\n  Allowed: {", ".join(known)}')
        for name in metrics:
            if re.sub(r"(?<=_)\d+(?=_|$)", "{n}", name) not in known[category] and name not in known[category]:
                raise ConfigError(
                    f'{result.eval_type} has no metric "{name}" in {category}.\n  Allowed: {", ".join(known[category])}'
                )


def _is_nullable(kind: str, name: str) -> bool:
    return kind in _NULL_ALLOWED and name not in _NEVER_NULL


def _written(kind: str, name: str, value: Number) -> Number:
    if value is not None and not math.isnan(value):
        return value
    return None if _is_nullable(kind, name) else _MISSING


def _read(kind: str, name: str, value: Any, where: str) -> Number:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ForeignError(f"{where}: the metric {name} is {value!r}, no number")
    # A full probe on the latents that was left out is -1 too, though its metric may be null.
    is_told = value == _MISSING and (not _is_nullable(kind, name) or name == "sae_test_accuracy")
    if is_told or (isinstance(value, float) and math.isnan(value)):
        return None
    try:
        number = float(value)
    except OverflowError:  # a whole number of more than 308 digits
        number = math.inf
    if math.isinf(number):
        raise ForeignError(f"{where}: the metric {name} is infinite")
    return value


def _typed(plain: Mapping[str, Any], key: str, kind: type[T], where: str) -> T | None:
    """What the file has under `key`, None where it has nothing. Raises ForeignError for another type."""
    value = plain.get(key)
    if value is None or isinstance(value, kind):
        return value
    raise ForeignError(f"{where}: {key} is {type(value).__name__}, not {kind.__name__}")
