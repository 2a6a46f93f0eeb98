"""Verify an atlas: hash what it was made from, compute a random sample of it again, and compare.

    monoseme verify RUN                                     256 contexts, drawn at random
    monoseme verify RUN --contexts all                      everything; counts must then be equal
    monoseme verify runs/news --sae RUN/saes/topk           an atlas in a folder of its own
    monoseme verify RUN --seed 7 --rounding-share 1e-4      one that another machine has made

First the checksums of all files, and the hashes of model, SAEs and text against those in the manifests. Then tokens, codes,
examples, counts and logits of the drawn contexts, each number within --tolerance (1e-4 of its size). Exit code 0 when all is
sound, 2 with what differs otherwise. `--model` names the model where the SAEs' run does not.
"""

import dataclasses
from pathlib import Path
from typing import Any

from monoseme.cli._declared import HandFlag
from monoseme.cli._run_words import RunWords, read_words
from monoseme.core.display import get_display
from monoseme.core.errors import ArtifactDamagedError, ConfigError
from monoseme.models import ModelConfig
from monoseme.pipeline import verify_place

_FLAGS = (
    HandFlag("--sae", "SAEs of an atlas in a folder of its own, with commas."),
    HandFlag("--model", "The language model, where the run does not name it."),
    HandFlag("--contexts", "Contexts computed again (256), or all."),
    HandFlag("--seed", "Of the draw."),
    HandFlag("--tolerance", "How far a number may be off, as a share of its size (1e-4)."),
    HandFlag("--rounding-share", "Share of the codes that may differ by a tie of rounding."),
)


def main(words: list[str]) -> int:
    """Verifies each atlas named."""
    said = read_words(words, verb="verify", flags=_FLAGS)
    if said is None:
        return 0
    from monoseme.atlas.verify import VerifyConfig

    config = VerifyConfig(**_settings(said))
    saes = tuple(said.options["--sae"].split(",")) if "--sae" in said.options else ()
    model = ModelConfig(model=said.options["--model"]) if "--model" in said.options else None
    results: dict[str, Any] = {}
    problems: list[str] = []
    for place in said.paths:
        found = verify_place(Path(place), saes=saes, model=model, config=config)
        for check in found.checks:
            worst = "" if check.worst is None else f", apart by {check.worst:.1e} at most"
            get_display().say(f"{'sound' if check.is_sound else 'DIFFERS':<8} {check.what}: {check.n:,} compared{worst}")
            problems += [] if check.is_sound else [f"{check.what}: {problem}" for problem in check.problems]
        get_display().say(f"{place}: {found.n_contexts:,} of {found.n_contexts_in_all:,} contexts were computed again")
        results[place] = {"sound": found.is_sound, **dataclasses.asdict(found)}
    get_display().result({"atlases": results})
    if problems:
        raise ArtifactDamagedError("\n  ".join(["the atlas is not what its manifests say:", *problems]))
    return 0


def _settings(said: RunWords) -> dict[str, Any]:
    """What the words say of the sample. Raises ConfigError for what is no number."""
    found: dict[str, Any] = {}
    if said.options.get("--contexts") == "all":
        found["n_contexts"] = None
    elif "--contexts" in said.options:
        found["n_contexts"] = said.number("--contexts")
    if "--seed" in said.options:
        found["seed"] = said.number("--seed")
    for flag in ("--tolerance", "--rounding-share"):
        if flag in said.options:
            try:
                found[flag[2:].replace("-", "_")] = float(said.options[flag])
            except ValueError:
                raise ConfigError(f"{flag} must be a number, not {said.options[flag]!r}") from None
    return found
