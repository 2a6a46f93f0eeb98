"""Measure SAEs on held-out text: reconstruction, sparsity, and the model's loss with them in place.

    monoseme eval RUN                  every SAE of the run, on its held-out documents; writes reports
    monoseme eval RUN@2000             a checkpoint; prints, writes nothing
    monoseme eval RUN/saes/NAME        one SAE; prints, writes nothing
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
        run = _run_of(word)
        if run.path == Path(word):
            results[word] = list(evaluate_run(run, overwrite="--overwrite" in said.switches).values())
        else:
            results[word] = measure(open_saes(word), Materials(run_config(run)))
    told = {path: {r.subject: metrics_to_json(r.metrics) for r in found} for path, found in results.items()}
    get_display().result({"results": told})
    return 0


def _run_of(word: str) -> RunFolder:
    """The run that a checkpoint or an SAE belongs to, or the run itself."""
    base, at, _ = word.rpartition("@")
    path = Path(base if at else word)
    return RunFolder(path.parent.parent if path.parent.name == "saes" else path)
