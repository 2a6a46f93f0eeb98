"""Results of evaluations as other tools write and read them."""

from monoseme.evaluation.formats.saebench import (
    SAEBENCH_METRICS,
    SaeBenchResult,
    file_name,
    read_saebench,
    saebench_to_json,
    to_saebench,
)

__all__ = ["SAEBENCH_METRICS", "SaeBenchResult", "file_name", "read_saebench", "saebench_to_json", "to_saebench"]
