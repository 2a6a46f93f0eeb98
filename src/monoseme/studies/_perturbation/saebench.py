"""The files of `scr` and `tpp` in SAEBench's JSON, by its own rule, so that they stand beside its published results."""

from collections.abc import Mapping
from typing import Literal

from monoseme.core.config import to_dict
from monoseme.evaluation.formats import SaeBenchResult
from monoseme.studies._perturbation.config import PerturbationConfig
from monoseme.studies._saebench_files import RELEASE, saebench_file


def saebench_files(
    eval_type: Literal["scr", "tpp"], metrics: Mapping[str, Mapping[str, float | None]], config: PerturbationConfig
) -> dict[str, bytes]:
    """A file for each subject."""
    told = {key: value for key, value in to_dict(config).items() if key not in ("sae", "model", "corpus")}
    told |= {"model_name": config.model.model, "n_values": list(config.n_latents), "perform_scr": eval_type == "scr"}
    made: dict[str, bytes] = {}
    for subject, values in metrics.items():
        made |= saebench_file(
            SaeBenchResult(
                eval_type=eval_type, metrics={f"{eval_type}_metrics": values}, release=RELEASE, sae_id=subject, config=told
            )
        )
    return made
