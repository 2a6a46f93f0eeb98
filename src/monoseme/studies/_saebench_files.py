"""SAEBench's JSON as studies write it: a file for each SAE, whose name says which evaluation it is of."""

import re

from monoseme.evaluation.formats import SaeBenchResult, file_name, saebench_to_json

RELEASE = "monoseme"
"""What the files call the collection that an SAE is of: they name no folder of a machine."""


def saebench_file(result: SaeBenchResult) -> dict[str, bytes]:
    """The file's name and content, `EVALUATION_RELEASE_SAE_eval_results.json`; a name of letters that any system takes.

    SAEBench keeps a folder for each evaluation and has no evaluation in the name. Raises ConfigError as `saebench_to_json`.
    """
    named = f"{result.eval_type}_{file_name(result.release or RELEASE, result.sae_id or 'sae')}"
    return {re.sub(r"[^A-Za-z0-9_.-]+", "_", named): saebench_to_json(result)}
