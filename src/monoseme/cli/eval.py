"""Measure SAEs on held-out text: reconstruction, sparsity, and the model's loss with them in place.

    monoseme eval RUN                  every SAE of the run, on its held-out documents; writes reports
    monoseme eval RUN@2000             a checkpoint; prints, writes nothing
    monoseme eval RUN --overwrite      measures again

How much is measured (`--fidelity.max_tokens`, `--fidelity.max_loss_tokens`) is set when the run is made.
Definitions of all metrics: docs, "Metrics".
"""

from pathlib import Path

from monoseme.cli._run_words import read_words
from monoseme.core.display import get_display
from monoseme.evaluation import EvalResult, metrics_to_json
from monoseme.pipeline import Materials, RunFolder, evaluate_run, measure, open_saes, run_config


def main(words: list[str]) -> int:
    """Measures each run or checkpoint named."""
    said = read_words(words, verb="eval", switches=("--overwrite",))
    if said is None:
        return 0
    results: dict[str, list[EvalResult]] = {}
    for word in said.paths:
        base, at, _ = word.rpartition("@")
        if at:
            run = RunFolder(Path(base))
            results[word] = measure(open_saes(word), Materials(run_config(run)))
        else:
            results[word] = list(evaluate_run(RunFolder(Path(word)), overwrite="--overwrite" in said.switches).values())
    told = {path: {r.subject: metrics_to_json(r.metrics) for r in found} for path, found in results.items()}
    get_display().result({"results": told})
    return 0
