"""Measure SAEs on held-out text: reconstruction, sparsity, and the model's loss with them in place.

    monoseme eval RUN                  every SAE of the run, on its held-out documents; writes reports
    monoseme eval RUN@2000             a checkpoint; prints, writes nothing
    monoseme eval RUN/saes/NAME        one SAE; prints, writes nothing
    monoseme eval RUN --overwrite      measures again
    monoseme eval RUN --evaluations smoothness,layer_spread      other evaluations than the run's own: monoseme ls evaluations
    monoseme eval RUN --part high,low  parts of the codes (all, high, low, predicted, novel, a group's number); writes nothing

How much is measured (`--fidelity.max_tokens`, `--fidelity.max_loss_tokens`) is set when the run is made.
Definitions of all metrics: docs, "Metrics".
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from monoseme.cli._run_words import read_words
from monoseme.core.display import get_display
from monoseme.evaluation import EVALUATIONS, metrics_to_json
from monoseme.pipeline import Materials, evaluate_run, evaluation_of, measure, open_saes, run_config, run_of


def main(words: list[str]) -> int:
    """Measures each run or checkpoint named."""
    said = read_words(words, verb="eval", switches=("--overwrite",), options=("--evaluations", "--part"))
    if said is None:
        return 0
    names, parts = _list(said.options.get("--evaluations", "")), _list(said.options.get("--part", ""))
    for name in names:
        EVALUATIONS.source(name)
    told = {word: _evaluate(word, names, parts, overwrite="--overwrite" in said.switches) for word in said.paths}
    get_display().result({"results": told})
    return 0


def _list(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _evaluate(word: str, names: Sequence[str], parts: Sequence[str], *, overwrite: bool) -> dict[str, list[Any]]:
    """Metrics of each SAE that the word means, of all evaluations one after the other."""
    run = run_of(word)
    if run.path == Path(word) and not parts:
        found = evaluate_run(run, names, overwrite=overwrite)
        return {
            sae: [m for result in results.values() for m in metrics_to_json(result.metrics)] for sae, results in found.items()
        }
    materials = Materials(run_config(run))
    saes = open_saes(word, device=materials.sae_device)
    told: dict[str, list[Any]] = {}
    for name in names or materials.config.evaluations:
        for result in measure(saes, materials, evaluation_of(name, materials.config), parts=parts or ("all",)):
            told.setdefault(result.subject, []).extend(metrics_to_json(result.metrics))
    return told
