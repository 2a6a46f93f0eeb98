"""The files of `scr` and `tpp` in SAEBench's JSON, by its own rule, so that they stand beside its published results."""

import re
from collections.abc import Mapping
from typing import Literal

from monoseme.core.config import to_dict
from monoseme.evaluation.formats import SaeBenchResult, file_name, saebench_to_json
from monoseme.studies._perturbation.config import PerturbationConfig

_RELEASE = "monoseme"


def plain_file_name(release: str, subject: str) -> str:
    """As SAEBench calls the file, without spaces and brackets, which names of parts and controls have."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", file_name(release, subject))


def saebench_files(
    eval_type: Literal["scr", "tpp"], metrics: Mapping[str, Mapping[str, float | None]], config: PerturbationConfig
) -> dict[str, bytes]:
    """A file for each subject."""
    made: dict[str, bytes] = {}
    for subject, values in metrics.items():
        result = SaeBenchResult(
            eval_type=eval_type,
            metrics={f"{eval_type}_metrics": values},
            release=_RELEASE,
            sae_id=subject,
            config={key: value for key, value in to_dict(config).items() if key not in ("sae", "model", "corpus")},
        )
        made[plain_file_name(_RELEASE, subject)] = saebench_to_json(result)
    return made
