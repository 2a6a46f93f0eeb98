"""Explain the latents of a scanned run, with scores on documents that made none of the explanations.

    monoseme explain RUN
    monoseme explain RUN --explainer offline --scorer detection --most-latents 100

What is not said is as the run's own config has it; `--scorer none` leaves the scores out. The `offline` explainer needs no
language model and no network: it finds the tokens and contexts that most predict firing.
"""

import dataclasses
from pathlib import Path
from typing import Any

from monoseme.cli._run_words import RunWords, read_words
from monoseme.core.display import get_display
from monoseme.core.files import typed
from monoseme.pipeline import ExplainConfig, RunFolder, explain_run, run_config


def main(words: list[str]) -> int:
    """Explains each run named."""
    said = read_words(words, verb="explain", options=("--explainer", "--scorer", "--most-latents"))
    if said is None:
        return 0
    for word in said.paths:
        run = RunFolder(Path(word))
        explain_run(run, _settings(said, run_config(run).atlas.explain))
        run.add({"explanations": "atlas/annotations"})
        get_display().say(f"  look at them:  monoseme serve {typed(word)}")
    get_display().result({"atlases": [str(RunFolder(Path(word)).atlas) for word in said.paths]})
    return 0


def _settings(said: RunWords, config: ExplainConfig) -> ExplainConfig:
    """`config` with what the words say on top."""
    given: dict[str, Any] = {"explainer": said.options.get("--explainer"), "most_latents": said.number("--most-latents")}
    changed = {name: value for name, value in given.items() if value is not None}
    if "--scorer" in said.options:
        changed["scorer"] = None if said.options["--scorer"] == "none" else said.options["--scorer"]
    return dataclasses.replace(config, **changed)
