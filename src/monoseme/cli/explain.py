"""Explain the latents of a scanned run, with scores on documents that made none of the explanations.

    monoseme explain RUN
    monoseme explain RUN --explainer offline --scorer detection --most-latents 100

The `offline` explainer needs no language model and no network: it finds the tokens and contexts that most predict firing.
"""

from pathlib import Path

from monoseme.cli._run_words import read_words
from monoseme.core.display import get_display
from monoseme.pipeline import ExplainConfig, RunFolder, explain_run


def main(words: list[str]) -> int:
    """Explains each run named."""
    said = read_words(words, verb="explain", options=("--explainer", "--scorer", "--most-latents"))
    if said is None:
        return 0
    scorer = said.options.get("--scorer", "detection")
    config = ExplainConfig(
        explainer=said.options.get("--explainer", "offline"),
        scorer=None if scorer == "none" else scorer,
        most_latents=said.number("--most-latents", 0) or None,
    )
    for word in said.paths:
        run = RunFolder(Path(word))
        explain_run(run, config)
        run.add({"explanations": "atlas/annotations"})
        get_display().say(f"  look at them:  monoseme serve {word}")
    get_display().result({"atlases": [str(RunFolder(Path(word)).atlas) for word in said.paths]})
    return 0
