"""Score explanations of latents on documents that made none of them.

    monoseme score RUN
    monoseme score RUN --explanations llm_top --scorer detection
    monoseme score RUN --explanations llm_top --scorer llm_detection --judge anthropic --judge.model claude-haiku-4-5 --dry-run
    monoseme score RUN --explanations llm_top --scorer fuzzing --judge openai --judge.model gpt-5-mini --budget 5 --batch
    monoseme score ATLAS --sae topk --scorer llm_detection --judge local --judge.model FOLDER --sample 50
    monoseme score --scorer simulation --judge local --help       the settings of these plug-ins

Without --explanations the newest are scored. A score that a judge gives comes with two controls, another latent's explanation
and an empty one; what it costs is told before (`--dry-run` tells it and stops) and after, and a budget is never passed. Keys come
from the environment. Interrupted, the same command goes on and pays nothing twice.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from monoseme.atlas import SCORERS
from monoseme.atlas.choice import LatentChoice
from monoseme.cli._ask_flags import PluginFlag, flag, parse_flags, settings_of, take_name, with_file
from monoseme.cli._options import take_files
from monoseme.cli._verbs import document
from monoseme.core.display import get_display
from monoseme.core.errors import ConfigError
from monoseme.core.files import typed
from monoseme.judges import JUDGES, DeskSettings
from monoseme.pipeline import AtlasPlace, ScoreConfig, outcome_facts, score_atlas


def main(words: list[str]) -> int:
    """Scores the explanations of each run or atlas named."""
    said = read_flags(words)
    if not said.paths:
        raise ConfigError("score needs a path.\n  Type, for example:  monoseme score runs/demo")
    told: dict[str, Any] = {}
    for word in said.paths:
        place = AtlasPlace.at(Path(word))
        outcome = score_atlas(place, said.config, saes=said.saes, dry_run=said.dry_run)
        told[word] = outcome_facts(outcome)
        if outcome.labels and place.run is not None:
            get_display().say(f"  look at them:  monoseme serve {typed(word)}")
    get_display().result({"atlases": [str(AtlasPlace.at(Path(word)).folder) for word in said.paths], "told": told})
    return 0


@dataclasses.dataclass(frozen=True)
class _Said:
    """What the words say."""

    paths: tuple[str, ...]
    saes: tuple[str, ...]
    config: ScoreConfig
    dry_run: bool


def read_flags(words: Sequence[str]) -> _Said:
    """The words. Raises ConfigError, UnknownPluginError; `--help` prints the options and ends the program."""
    import tyro  # reads the types of the plug-ins' settings

    said, rest = take_files(words)
    base = with_file(ScoreConfig(), said)
    scorer, rest = take_name(rest, PluginFlag("scorer", SCORERS, base.scorer, base.scorer_config))
    judge, rest = take_name(rest, PluginFlag("judge", JUDGES, base.judge, base.judge_config))
    if scorer.name is None:
        raise ConfigError(f"score needs a scorer.\n  Allowed: {', '.join(SCORERS.names())}")
    fields = {
        "paths": (tyro.conf.Positional[tuple[str, ...]], ()),
        "sae": (flag(tuple[str, ...], "SAEs of the atlas, with commas between them. None: all."), ()),
        "explanations": (flag(str | None, "Label of the explanations. None: the newest."), base.explanations),
        "label": (flag(str | None, "What the scores are called. None: SCORER.EXPLANATIONS."), base.label),
        "dry_run": (flag(bool, "Tell what asking would cost, and stop."), False),
        "which": (flag(LatentChoice, "", name=""), base.which),
        "desk": (flag(DeskSettings, "", name=""), base.desk),
    }
    plugins = (scorer, judge)
    flags = parse_flags(rest, fields, plugins, verb="score", summary=document("score"))
    chosen = {name: value for plugin in plugins for name, value in settings_of(flags, plugin).items()}
    others = {name: getattr(flags, name) for name in ("explanations", "label", "which", "desk")}
    return _Said(flags.paths, flags.sae, ScoreConfig(**chosen, **others), flags.dry_run)
